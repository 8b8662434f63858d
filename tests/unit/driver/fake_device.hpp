// A Talus device behind the Transport interface, in this process: registers, boot ROM, admin queue,
// copies. It executes inside the doorbell write, so tests are deterministic, and misbehaves on
// request. Written from the contract's headers alone.
#pragma once

#include "transport.hpp"

#include "talus/hw/boot_image.h"
#include "talus/hw/mailbox.h"
#include "talus/hw/queue.h"
#include "talus/hw/registers.h"
#include "talus/hw/work.h"

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace talus::driver::test {

/// What a test sees and steers. Outlives the transport, which the driver's Device owns.
struct FakeState {
    // Steering.
    bool gone = false;       ///< the connection is dead: every operation throws
    bool all_ones = false;   ///< surprise removal: every register reads all ones
    bool clock_moves = true; ///< device time advances by clock_step with every look at it
    bool mute = false;       ///< commands are fetched, never completed
    bool sleeps = true;      ///< after work, publishes its event index and waits for a doorbell
    std::uint64_t clock_step = 1000;
    std::uint32_t capabilities = TALUS_CAP_SHADOW | TALUS_CAP_SIMULATED | TALUS_CAP_GZIP;
    std::uint32_t vectors = 64;
    std::uint32_t boot_state = TALUS_BOOT_ROM_READY;
    std::uint16_t load_status = 0; ///< what the ROM answers
    std::uint16_t verify_status = 0;
    std::uint16_t boot_status = 0;
    bool boot_hangs = false;       ///< STARTING for ever
    bool firmware_is_hung = false; ///< stays mute after a function-level reset
    std::uint64_t contract_hash;
    std::uint64_t firmware_contract_hash;
    std::uint32_t abi_version = TALUS_ABI_VERSION;
    /// Edits or refuses completions of I/O queues: false = none is written.
    std::function<bool(const talus_sqe&, talus_cqe&)> on_io;
    /// Called before every operation, with its name.
    std::function<void(const char*)> on_operation;

    // Seen.
    struct Mapping {
        std::uint64_t bytes;
        std::byte* pointer;
        int fd;
    };
    struct Window {
        std::uint64_t iova = 0, length = 0;
    };
    struct Write {
        int bar;
        std::uint64_t offset;
        std::uint32_t value;
    };
    struct Queue {
        bool live = false;
        std::uint64_t sq_iova = 0, cq_iova = 0;
        std::uint32_t entries = 0, sq_head = 0, cq_tail = 0, sq_tail = 0, cq_head = 0;
        std::uint16_t phase = 1, vector = 0;
        std::uint8_t domain = 0;
        bool irq = false;
    };
    std::map<std::uint64_t, Mapping> dma;
    std::map<int, Window> windows;   ///< of domain 1
    std::vector<Write> doorbells;    ///< BAR2 writes in order
    std::vector<talus_sqe> commands; ///< every entry fetched, all queues
    std::array<Queue, TALUS_MAX_QUEUES> queues;
    std::map<std::uint32_t, int> eventfds;
    std::vector<std::byte> staging = std::vector<std::byte>(TALUS_BAR4_SIZE);
    std::vector<std::byte> dram = std::vector<std::byte>(1 << 20);
    std::uint64_t shadow_iova = 0, event_iova = 0;
    std::uint64_t clock = 0;
    std::uint32_t resets = 0;
    std::uint32_t fundamental_resets = 0;
    bool bus_master = false;
    bool memory_enabled = false; ///< else BARs read all ones
    talus_fault_record fault{};

    FakeState();

    /// What the device does while awake: looks at the shadow tails.
    void poll_shadow();
    /// Host memory at an IOVA; null if no mapping covers it.
    std::byte* host(std::uint64_t iova, std::uint64_t bytes);
    /// Writes a completion, whatever it says.
    void post(std::uint16_t qid, talus_cqe entry);
    /// Puts text into the log page.
    void write_log(const std::string& text, std::uint32_t capacity = 4096);

    void run(std::uint16_t qid);

  private:
    std::uint16_t execute_admin(const talus_sqe& entry);
    std::uint16_t execute_io(const Queue& queue, const talus_sqe& entry, talus_cqe& answer);
};

class FakeTransport final : public Transport {
  public:
    explicit FakeTransport(FakeState& state) : s_(state) {}

    const char* kind() const override { return "fake"; }
    void config_read(std::uint32_t offset, std::span<std::byte> data) override;
    void config_write(std::uint32_t offset, std::span<const std::byte> data) override;
    std::uint32_t bar_read32(int bar, std::uint64_t offset) override;
    std::uint64_t bar_read64(int bar, std::uint64_t offset) override;
    void bar_write32(int bar, std::uint64_t offset, std::uint32_t value) override;
    void bar_write64(int bar, std::uint64_t offset, std::uint64_t value) override;
    void bar_read(int bar, std::uint64_t offset, std::span<std::byte> data) override;
    void bar_write(int bar, std::uint64_t offset, std::span<const std::byte> data) override;
    std::uint64_t bar_size(int bar) override;
    BarMapping bar_map(int, std::uint64_t, std::uint64_t, bool) override { return {}; }
    void dma_map(std::uint64_t iova, std::uint64_t bytes, void* pointer, int fd) override;
    void dma_unmap(std::uint64_t iova, std::uint64_t bytes) override;
    std::uint32_t irq_count() override { return s_.vectors; }
    void irq_set(std::uint32_t vector, int eventfd) override;
    void reset() override;
    bool wait(int eventfd, std::chrono::milliseconds timeout) override;

  private:
    void enter(const char* operation);
    void clear_function(); // what any reset does
    talus_status_page status();
    void mailbox(std::uint32_t command);

    FakeState& s_;
    std::array<std::byte, 256> config_{};
    std::map<std::uint64_t, std::uint32_t> bar0_;
};

/// A boot image that passes the driver's checks, in a temporary file that the object removes.
class TemporaryImage {
  public:
    explicit TemporaryImage(const std::function<void(talus_image_header&)>& edit = {});
    ~TemporaryImage();
    const std::string& path() const { return path_; }

  private:
    std::string path_;
};

} // namespace talus::driver::test
