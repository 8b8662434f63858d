// A simulated card for one measurement: a talus-sim of its own, started by the driver with settings
// that differ from its configuration file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "talus/driver.h"

namespace talus::paper {

// "section.key=value", each changing one line of sim/config/t2.toml.
using Settings = std::vector<std::string>;

class Card {
  public:
    // Throws std::runtime_error, as all members do.
    // `arguments`: what else talus-sim is told.
    explicit Card(const Settings& settings, const std::vector<std::string>& arguments = {});
    ~Card();
    Card(const Card&) = delete;
    Card& operator=(const Card&) = delete;

    const talus_drv_device_info& info() const { return info_; }
    talus_drv_telemetry telemetry() const;

    std::uint64_t allocate(talus_drv_memory memory, std::uint64_t bytes);
    // Host memory that the device reads and writes in place.
    talus_drv_host_buffer host(std::uint64_t bytes);
    void write(std::uint64_t address, const void* data, std::uint64_t bytes);
    void read(void* data, std::uint64_t address, std::uint64_t bytes);
    // A kernel image in the scratch SRAM: its entry.
    std::uint64_t load(std::span<const std::byte> image);
    std::uint64_t load(const std::string& file);

    // One batch. A command that fails is an error unless `may_fail`.
    std::vector<talus_drv_completion> run(const std::vector<talus_drv_command>& commands,
                                          bool may_fail = false);

    // CPU seconds, user and system, that the card's simulator has used since its process began.
    double simulator_seconds() const;
    // Its resident memory, what it shares with the driver included.
    std::uint64_t simulator_resident_bytes() const;

  private:
    talus_drv_device* device_ = nullptr;
    talus_drv_queue* queue_ = nullptr;
    talus_drv_device_info info_{};
    int simulator_ = 0; // process id
};

// Launch of `entry` on the whole grid.
talus_drv_command launch_command(std::uint64_t entry, std::uint64_t args, std::uint32_t args_bytes);

} // namespace talus::paper
