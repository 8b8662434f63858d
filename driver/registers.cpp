#include "registers.hpp"

#include "error.hpp"

#include "talus/hw/mailbox.h"
#include "talus/hw/pci.h"
#include "talus/hw/status.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace talus::driver {
namespace {

constexpr std::uint64_t kLogTextLimit = TALUS_STAGING_LOG_SIZE - TALUS_LOG_TEXT_OFFSET;

// The mapped memory changes under us: copy word by word, each read once.
void copy_volatile(std::byte* to, const volatile std::byte* from, std::size_t bytes) {
    std::size_t i = 0;
    for (; i + 8 <= bytes; i += 8) {
        const std::uint64_t word = *reinterpret_cast<const volatile std::uint64_t*>(from + i);
        std::memcpy(to + i, &word, 8);
    }
    for (; i < bytes; ++i)
        to[i] = from[i];
}

std::string hex(std::uint32_t value, int digits) {
    char text[16];
    std::snprintf(text, sizeof text, "0x%0*x", digits, value);
    return text;
}

} // namespace

std::string boot_state_name(std::uint32_t state) {
    switch (state) {
#define TALUS_NAME(name, value, text)                                                              \
    case value:                                                                                    \
        return std::string(#name).substr(sizeof "TALUS_BOOT_" - 1);
        TALUS_BOOT_STATES(TALUS_NAME)
#undef TALUS_NAME
    default:
        return "unknown state " + std::to_string(state);
    }
}

std::string device_status_text(std::uint16_t status) {
    const char* meaning = "unknown status";
    switch (TALUS_STATUS_BASE(status)) {
#define TALUS_TEXT(name, value, text)                                                              \
    case value:                                                                                    \
        meaning = text;                                                                            \
        break;
        TALUS_STATUS_CODES(TALUS_TEXT)
#undef TALUS_TEXT
    default:
        break;
    }
    return std::string(meaning) + " (" + hex(status, 4) + ")";
}

Registers::Registers(Transport& transport) : transport_(transport) {
    if (transport.bar_size(TALUS_BAR_REGISTERS) < TALUS_BAR0_SIZE ||
        transport.bar_size(TALUS_BAR_DOORBELLS) < TALUS_BAR2_SIZE ||
        transport.bar_size(TALUS_BAR_STAGING) < TALUS_BAR4_SIZE)
        throw Error(TALUS_DRV_PROTOCOL, "the device's BARs are smaller than a Talus device's");
    status_page_ = transport.bar_map(TALUS_BAR_REGISTERS, TALUS_BAR0_STATUS_PAGE,
                                     TALUS_STATUS_PAGE_SIZE, false);
    staging_ = transport.bar_map(TALUS_BAR_STAGING, 0, TALUS_BAR4_SIZE, true);
}

std::uint32_t Registers::frozen(talus_frozen_register reg) {
    return transport_.bar_read32(TALUS_BAR_REGISTERS, TALUS_BAR0_FROZEN + std::uint64_t{reg});
}

void Registers::write_frozen(talus_frozen_register reg, std::uint32_t value) {
    transport_.bar_write32(TALUS_BAR_REGISTERS, TALUS_BAR0_FROZEN + std::uint64_t{reg}, value);
}

std::uint32_t Registers::controller(talus_controller_register reg) {
    return transport_.bar_read32(TALUS_BAR_REGISTERS, TALUS_BAR0_CONTROLLER + std::uint64_t{reg});
}

void Registers::write_controller(talus_controller_register reg, std::uint32_t value) {
    transport_.bar_write32(TALUS_BAR_REGISTERS, TALUS_BAR0_CONTROLLER + std::uint64_t{reg}, value);
}

talus_status_page Registers::status() {
    talus_status_page page{};
    const auto bytes = std::as_writable_bytes(std::span(&page, 1));
    if (status_page_.pointer != nullptr)
        copy_volatile(bytes.data(), status_page_.pointer, bytes.size());
    else
        transport_.bar_read(TALUS_BAR_REGISTERS, TALUS_BAR0_STATUS_PAGE, bytes);
    const std::lock_guard lock(mutex_);
    last_status_ = page;
    return page;
}

void Registers::step_parked() {
    // Not the status page: a device does not notice reads of what it lets be mapped.
    transport_.bar_read32(TALUS_BAR_REGISTERS, TALUS_BAR0_FROZEN + FROZEN_BOOT_STATE);
}

void Registers::read_staging(std::uint64_t offset, std::span<std::byte> data) {
    if (staging_.pointer != nullptr)
        copy_volatile(data.data(), staging_.pointer + offset, data.size());
    else
        transport_.bar_read(TALUS_BAR_STAGING, offset, data);
}

void Registers::write_staging(std::uint64_t offset, std::span<const std::byte> data) {
    if (staging_.pointer != nullptr)
        std::memcpy(const_cast<std::byte*>(staging_.pointer) + offset, data.data(), data.size());
    else
        transport_.bar_write(TALUS_BAR_STAGING, offset, data);
}

std::string Registers::log() {
    talus_log_header header{};
    read_staging(TALUS_STAGING_LOG_OFFSET, std::as_writable_bytes(std::span(&header, 1)));
    // The device's memory is not to be trusted with our indices.
    if (header.magic != TALUS_LOG_MAGIC || header.capacity == 0 || header.capacity > kLogTextLimit)
        return "";
    std::string ring(header.capacity, '\0');
    read_staging(TALUS_STAGING_LOG_OFFSET + TALUS_LOG_TEXT_OFFSET,
                 std::as_writable_bytes(std::span(ring)));
    const std::uint64_t length = std::min<std::uint64_t>(header.written, header.capacity);
    std::string text;
    text.reserve(length);
    for (std::uint64_t n = header.written - length; n != header.written; ++n) {
        const char c = ring[n % header.capacity];
        text += c == '\n' || c == '\t' || (c >= ' ' && c <= '~') ? c : '?';
    }
    // Where older text was overwritten, the first line is a fragment.
    if (header.written > header.capacity)
        if (const auto end = text.find('\n'); end != std::string::npos)
            text.erase(0, end + 1);
    return text;
}

std::string Registers::last_state() {
    talus_status_page page{};
    std::string last_line;
    try {
        page = status();
        std::string text = log();
        while (!text.empty() && text.back() == '\n')
            text.pop_back();
        if (!text.empty())
            last_line = text.substr(text.rfind('\n') + 1);
    } catch (const Error&) {
        const std::lock_guard lock(mutex_);
        page = last_status_;
    }
    std::string state =
        "BOOT_STATE " + boot_state_name(page.boot_state) + ", POST " + hex(page.post_code, 8);
    if (page.fail_code != 0)
        state += ", failure: " + device_status_text(static_cast<std::uint16_t>(page.fail_code));
    return state + (last_line.empty() ? ", no log line" : ", last log line \"" + last_line + "\"");
}

} // namespace talus::driver
