// The simulator's log. Every line says who is at fault and when in device time it happened.
//
//   [guest     12345678] pe 3.4 core B: illegal instruction at 0x40000120 fc_kernel+0x1c (...)
//
// Thread-safe. The time stamp is the timing thread's clock as last published by set_clock().
#ifndef TALUS_SIM_CORE_DIAGNOSTICS_HPP
#define TALUS_SIM_CORE_DIAGNOSTICS_HPP

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "types.hpp"

namespace talus::sim {

/// Whose error (or whose message) a line of the log is.
enum class Owner : std::uint8_t {
    kGuest,         ///< firmware or kernel broke a rule of the hardware
    kHost,          ///< the driver broke a rule of PCIe or of the queue protocol
    kUnimplemented, ///< legal, but the model cannot do it
    kInternal,      ///< a bug of the simulator
    kInfo,          ///< no error
};

std::string_view owner_name(Owner owner);

/// Function symbols of ELF64 RISC-V files, by device address.
class SymbolTable {
  public:
    /// Adds the functions of the ELF file, shifted by `base`. Throws std::runtime_error with the
    /// path and the reason if it is not a readable little-endian ELF64 file.
    void add_elf(const std::string& path, std::uint64_t base);

    /// "name+0x1c", or "" when no function covers addr.
    std::string describe(std::uint64_t addr) const;

    /// Address of the function or object `name`; false if there is none.
    bool find(std::string_view name, std::uint64_t& addr) const;

    /// The addresses [first, last] of `name`; false if there is none. A label without a
    /// size goes up to the next symbol.
    bool find_range(std::string_view name, std::uint64_t& first, std::uint64_t& last) const;

    std::size_t size() const { return symbols_.size(); }

  private:
    struct Symbol {
        std::uint64_t addr;
        std::uint64_t size;
        std::string name;
    };
    std::vector<Symbol> symbols_; ///< sorted by addr
};

class Diagnostics {
  public:
    /// Lines go to stderr until open().
    Diagnostics() = default;
    ~Diagnostics();
    Diagnostics(const Diagnostics&) = delete;
    Diagnostics& operator=(const Diagnostics&) = delete;

    /// Appends to `path` instead of stderr. Throws std::runtime_error if it cannot be opened.
    void open(const std::string& path);

    /// Leaves out Owner::kInfo.
    void set_quiet(bool quiet) { quiet_.store(quiet, std::memory_order_relaxed); }

    /// Not while other threads log.
    SymbolTable& symbols() { return symbols_; }
    const SymbolTable& symbols() const { return symbols_; }

    /// "0x40000120 <fc_kernel+0x1c>"
    std::string pc(std::uint64_t addr) const;

    template <typename... Args>
    void log(Owner owner, fmt::format_string<Args...> format, Args&&... args) {
        write(owner, fmt::format(format, std::forward<Args>(args)...));
    }
    template <typename... Args>
    void guest(fmt::format_string<Args...> format, Args&&... args) {
        write(Owner::kGuest, fmt::format(format, std::forward<Args>(args)...));
    }
    template <typename... Args>
    void host(fmt::format_string<Args...> format, Args&&... args) {
        write(Owner::kHost, fmt::format(format, std::forward<Args>(args)...));
    }
    template <typename... Args>
    void unimplemented(fmt::format_string<Args...> format, Args&&... args) {
        write(Owner::kUnimplemented, fmt::format(format, std::forward<Args>(args)...));
    }
    template <typename... Args>
    void internal(fmt::format_string<Args...> format, Args&&... args) {
        write(Owner::kInternal, fmt::format(format, std::forward<Args>(args)...));
    }
    template <typename... Args>
    void info(fmt::format_string<Args...> format, Args&&... args) {
        write(Owner::kInfo, fmt::format(format, std::forward<Args>(args)...));
    }

    void write(Owner owner, std::string_view text);

    /// The device told its user of an error (a command that failed): information, and for the
    /// listener.
    void reported(std::string_view text);
    /// Hears of everything that the device detects: errors of the guest, and reported(). On the
    /// timing thread; set before it runs.
    void set_detection_listener(std::function<void(std::string_view)> listener) {
        listener_ = std::move(listener);
    }

    void set_clock(Cycle now) { clock_.store(now, std::memory_order_relaxed); }
    /// The latest lines, at most `count` and kRecentLines, oldest first; those that are not written
    /// because of set_quiet() as well.
    static constexpr std::size_t kRecentLines = 200;
    std::vector<std::string> recent(std::size_t count);
    /// Lines written for `owner` so far.
    std::uint64_t count(Owner owner) const;

  private:
    std::mutex mutex_;
    std::FILE* file_ = nullptr; ///< owned; null: stderr
    std::atomic<Cycle> clock_{0};
    std::atomic<bool> quiet_{false};
    std::atomic<std::uint64_t> counts_[5] = {};
    std::function<void(std::string_view)> listener_;
    std::deque<std::string> recent_; ///< under mutex_
    SymbolTable symbols_;
};

} // namespace talus::sim

#endif
