// A transport that writes down everything that passes, and one that plays it back: for bug reports
// and tests without the device.
//
// A recording is a text file, one operation a line:
//
//     MICROSECONDS OPERATION ARGUMENTS [= RESULT]
//     1520 bar_write32 2 10000 5                BAR, offset, value; all numbers but the time are
//     hexadecimal 1609 dma_write 100002000 0000000000...    the device wrote these bytes of host
//     memory 1611 wait 1 = 1                           on the vector's eventfd (- = none); it was
//     readable
//
// What the device writes into host memory is seen only where it comes as messages (vfio-user
// without shared files). A recording of a card behind vfio has registers, interrupts and mappings:
// it can be read, and replayed up to the first completion.
#pragma once

#include "transport.hpp"

#include <array>
#include <cstdio>
#include <map>
#include <mutex>

namespace talus::driver {

class RecordingTransport final : public Transport {
  public:
    /// Replaces the file at `path`. Throws Error(IO).
    RecordingTransport(std::unique_ptr<Transport> inner, const std::string& path);
    ~RecordingTransport() override;

    const char* kind() const override { return inner_->kind(); }
    void config_read(std::uint32_t offset, std::span<std::byte> data) override;
    void config_write(std::uint32_t offset, std::span<const std::byte> data) override;
    std::uint32_t bar_read32(int bar, std::uint64_t offset) override;
    std::uint64_t bar_read64(int bar, std::uint64_t offset) override;
    void bar_write32(int bar, std::uint64_t offset, std::uint32_t value) override;
    void bar_write64(int bar, std::uint64_t offset, std::uint64_t value) override;
    void bar_read(int bar, std::uint64_t offset, std::span<std::byte> data) override;
    void bar_write(int bar, std::uint64_t offset, std::span<const std::byte> data) override;
    std::uint64_t bar_size(int bar) override { return inner_->bar_size(bar); }
    /// Nothing: what is read through a mapping would not be seen.
    BarMapping bar_map(int, std::uint64_t, std::uint64_t, bool) override { return {}; }
    void dma_map(std::uint64_t iova, std::uint64_t bytes, void* pointer, int fd) override;
    void dma_unmap(std::uint64_t iova, std::uint64_t bytes) override;
    std::vector<IovaRange> iova_ranges() override { return inner_->iova_ranges(); }
    bool pins_memory() override { return inner_->pins_memory(); }
    std::uint32_t irq_count() override { return inner_->irq_count(); }
    void irq_set(std::uint32_t vector, int eventfd) override;
    void reset() override;
    bool hot_reset() override;
    bool wait(int eventfd, std::chrono::milliseconds timeout) override;

  private:
    void write(const std::string& line);
    /// Runs `operation` and writes `what` with what comes of it: a result, or the error.
    template <typename Operation>
    auto record(const std::string& what, Operation&& operation);

    std::mutex mutex_; // the file
    std::FILE* file_;
    std::chrono::steady_clock::time_point began_;
    std::mutex vectors_mutex_;
    std::map<int, std::uint32_t> vectors_; // by eventfd
    std::unique_ptr<Transport> inner_;     // destroyed first: it may still report
};

/// Plays a recording to the driver that made it. What the driver *does* (writes, mappings,
/// interrupts, resets) must come as recorded, or Error(PROTOCOL) says at which line it differs. How
/// often it *looks* may differ: a read is answered by the next recorded one of its kind before the
/// next deed, else by the last.
class ReplayTransport final : public Transport {
  public:
    /// Throws NOT_FOUND, or PROTOCOL if the file is no recording.
    explicit ReplayTransport(const std::string& path);

    const char* kind() const override { return "replay"; }
    void config_read(std::uint32_t offset, std::span<std::byte> data) override;
    void config_write(std::uint32_t offset, std::span<const std::byte> data) override;
    std::uint32_t bar_read32(int bar, std::uint64_t offset) override;
    std::uint64_t bar_read64(int bar, std::uint64_t offset) override;
    void bar_write32(int bar, std::uint64_t offset, std::uint32_t value) override;
    void bar_write64(int bar, std::uint64_t offset, std::uint64_t value) override;
    void bar_read(int bar, std::uint64_t offset, std::span<std::byte> data) override;
    void bar_write(int bar, std::uint64_t offset, std::span<const std::byte> data) override;
    std::uint64_t bar_size(int bar) override {
        return bar_sizes_.at(static_cast<std::size_t>(bar));
    }
    BarMapping bar_map(int, std::uint64_t, std::uint64_t, bool) override { return {}; }
    void dma_map(std::uint64_t iova, std::uint64_t bytes, void* pointer, int fd) override;
    void dma_unmap(std::uint64_t iova, std::uint64_t bytes) override;
    std::uint32_t irq_count() override { return irq_count_; }
    void irq_set(std::uint32_t vector, int eventfd) override;
    void reset() override;
    bool wait(int eventfd, std::chrono::milliseconds timeout) override;

  private:
    struct Event {
        std::size_t line = 0;
        std::string what; // operation and arguments
        std::string result;
        bool has_result = false;
        bool deed = false;
    };
    struct Mapping {
        std::uint64_t bytes;
        std::byte* pointer;
    };

    void parse(const std::string& text, std::size_t number);
    void apply(const Event& event); // a dma_write
    std::string look(const std::string& what);
    void act(const std::string& what);
    void read_bytes(const std::string& what, std::span<std::byte> data);
    [[noreturn]] void diverge(const Event* event, const std::string& what) const;

    std::string path_;
    std::array<std::uint64_t, 6> bar_sizes_{};
    std::uint32_t irq_count_ = 0;
    std::mutex mutex_;
    std::vector<Event> events_;
    std::size_t next_ = 0;
    std::map<std::string, std::string> last_; // results of looks
    std::map<std::uint64_t, Mapping> dma_;
};

} // namespace talus::driver
