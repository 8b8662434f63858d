#include "uart.hpp"

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include <fmt/format.h>

#include "talus/hw/registers.h"

namespace talus::sim {

Uart::~Uart() {
    flush();
    if (file_ != nullptr) {
        std::fclose(file_);
    }
}

void Uart::open(const std::string& path) {
    std::FILE* file = std::fopen(path.c_str(), "ae");
    if (file == nullptr) {
        throw std::runtime_error(
            fmt::format("cannot open UART file {}: {}", path, std::strerror(errno)));
    }
    if (file_ != nullptr) {
        std::fclose(file_);
    }
    file_ = file;
}

void Uart::flush() {
    if (line_.empty()) {
        return;
    }
    if (file_ != nullptr) {
        line_ += '\n';
        std::fwrite(line_.data(), 1, line_.size(), file_);
        std::fflush(file_);
    } else {
        diagnostics_.info("uart: {}", line_);
    }
    line_.clear();
}

std::uint32_t Uart::read32(Cycle, std::uint32_t offset) {
    switch (offset) {
    case UART_RX:
        return 0x80000000u;
    case UART_STATUS:
        return 1;
    default:
        return 0;
    }
}

void Uart::write32(Cycle, std::uint32_t offset, std::uint32_t value) {
    if (offset != UART_TX) {
        return;
    }
    const char byte = static_cast<char>(value & 0xff);
    if (byte == '\n') {
        flush();
    } else if (byte != '\r') {
        line_ += byte;
        if (line_.size() >= kMaxLine) {
            flush();
        }
    }
}

} // namespace talus::sim
