#include "htif.hpp"

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include <fmt/format.h>

namespace talus::sim::bare {

namespace {

constexpr std::uint64_t kPayload = (std::uint64_t{1} << 48) - 1;
constexpr std::uint64_t kBlockWords = 8;

// System call numbers of the RISC-V Linux ABI, which the proxy kernel and riscv-tests use.
constexpr std::uint64_t kSysWrite = 64;
constexpr std::uint64_t kSysExit = 93;

} // namespace

void Htif::stored(Cycle now, std::uint64_t offset, std::uint64_t len) {
    std::uint64_t value = 0;
    std::memcpy(&value, memory_.at(tohost_, 8), sizeof value);
    const bool upper_half = offset + len > 4;
    if (upper_half || (value == half_ && ++repeats_ == 2)) {
        act();
        return;
    }
    if (value != half_) {
        half_ = value;
        half_at_ = now;
        repeats_ = 0;
    }
}

void Htif::settle(Cycle now) {
    if (half_ != 0 && now >= half_at_ + kSettleClocks) {
        act();
    }
}

void Htif::act() {
    half_ = 0;
    repeats_ = 0;
    std::uint8_t* const word = memory_.at(tohost_, 8);
    std::uint64_t value = 0;
    std::memcpy(&value, word, sizeof value);
    if (value == 0) {
        return;
    }
    const std::uint64_t device = value >> 56, command = value >> 48 & 0xff;
    if (device == 0 && command == 0 && (value & 1)) {
        exit_code_ = (value & kPayload) >> 1;
        return;
    }
    constexpr std::uint64_t kTaken = 0;
    std::memcpy(word, &kTaken, sizeof kTaken);
    if (device == 0 && command == 0) {
        system_call(value & kPayload);
    } else if (device == 1 && command == 1) {
        std::fputc(static_cast<int>(value & 0xff), console_);
        std::fflush(console_);
    } else if (device == 1 && command == 0) {
        const int character = std::getchar();
        if (character != EOF) {
            respond(device << 56 | static_cast<std::uint64_t>(character));
        }
    } else {
        throw std::runtime_error(fmt::format("tohost = {:#x}: no HTIF device {} with command {}",
                                             value, device, command));
    }
}

void Htif::respond(std::uint64_t value) {
    if (!fromhost_) {
        throw std::runtime_error("the program waits for an HTIF answer but has no symbol fromhost");
    }
    std::memcpy(memory_.at(*fromhost_, 8), &value, sizeof value);
}

void Htif::system_call(std::uint64_t addr) {
    std::uint8_t* const bytes = memory_.at(addr, 8 * kBlockWords);
    if (bytes == nullptr || addr % 8 != 0) {
        throw std::runtime_error(
            fmt::format("tohost = {:#x}: no system call block lies there", addr));
    }
    std::uint64_t block[kBlockWords];
    std::memcpy(block, bytes, sizeof block);
    if (block[0] == kSysExit) {
        exit_code_ = block[1];
        return;
    }
    if (block[0] == kSysWrite) {
        write_call(block);
    } else {
        block[0] = 0 - std::uint64_t{ENOSYS};
    }
    std::memcpy(bytes, block, sizeof block[0]);
    respond(1);
}

void Htif::write_call(std::uint64_t* block) {
    const std::uint8_t* const text = memory_.at(block[2], block[3]);
    if (block[1] != 1 && block[1] != 2) {
        block[0] = 0 - std::uint64_t{EBADF};
    } else if (text == nullptr) {
        block[0] = 0 - std::uint64_t{EFAULT};
    } else {
        std::fwrite(text, 1, block[3], block[1] == 1 ? console_ : stderr);
        std::fflush(console_);
        block[0] = block[3];
    }
}

} // namespace talus::sim::bare
