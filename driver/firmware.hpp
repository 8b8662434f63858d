// Brings a device from any state to READY: pushes the boot image and walks the boot ROM through it.
#pragma once

#include "wait.hpp"

#include "talus/hw/mailbox.h"

#include <cstdint>
#include <string>
#include <vector>

namespace talus::driver {

/// Reads a boot image and checks what can be told without the device: that it is one, that it is
/// whole, that it fits staging. Throws FIRMWARE or NOT_FOUND.
std::vector<std::byte> read_boot_image(const std::string& path);

/// The mailbox: one command at a time, before and beside queues.
class Mailbox {
  public:
    Mailbox(Registers& registers, Waiter& waiter) : registers_(registers), waiter_(waiter) {}

    struct Answer {
        std::uint16_t status;
        std::uint32_t result0;
        std::uint32_t result1;
    };
    Answer command(talus_mailbox_command opcode, std::uint32_t argument0, std::uint32_t argument1,
                   std::uint64_t timeout_us);

  private:
    Registers& registers_;
    Waiter& waiter_;
};

/// Compares the frozen page with what this driver was built for. Throws PROTOCOL (no Talus device
/// answers there) or VERSION_MISMATCH.
void check_contract(Registers& registers, const std::string& device_name);

/// Boots the firmware unless it runs (READY). `timeout_us` is device time for all of it. Throws
/// FIRMWARE with the boot code and the last log line, VERSION_MISMATCH, TIMEOUT, DEVICE_LOST.
void boot_firmware(Registers& registers, Waiter& waiter, const std::string& image_path,
                   std::uint64_t timeout_us);

/// Fundamental reset: back to the boot ROM, whatever the device was doing.
void reset_to_rom(Registers& registers, Waiter& waiter, std::uint64_t timeout_us);

} // namespace talus::driver
