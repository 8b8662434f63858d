// UART: what firmware prints, line by line, to a file or to the log.
#ifndef TALUS_SIM_SOC_UART_HPP
#define TALUS_SIM_SOC_UART_HPP

#include <cstdio>
#include <string>

#include "../core/checkpoint.hpp"
#include "../core/diagnostics.hpp"
#include "register_block.hpp"

namespace talus::sim {

/// Transmits at once; never receives. A line is written when it ends, or with flush().
class Uart final : public RegisterBlock {
  public:
    explicit Uart(Diagnostics& diagnostics) : diagnostics_(diagnostics) {}
    ~Uart() override;
    Uart(const Uart&) = delete;
    Uart& operator=(const Uart&) = delete;

    /// Lines go to `path` (appended, without prefix) instead of the log. Throws std::runtime_error.
    void open(const std::string& path);
    /// Writes an unfinished line.
    void flush();

    std::uint32_t read32(Cycle now, std::uint32_t offset) override;
    void write32(Cycle now, std::uint32_t offset, std::uint32_t value) override;

    /// The unfinished line.
    void checkpoint(Checkpoint& state) { state(line_); }

  private:
    /// A guest that never ends its line must not grow the simulator.
    static constexpr std::size_t kMaxLine = 4096;

    Diagnostics& diagnostics_;
    std::FILE* file_ = nullptr; ///< owned
    std::string line_;
};

} // namespace talus::sim

#endif
