// A chip that only remembers, and a client that speaks the protocol byte by byte. The client uses
// neither the project's client nor its structs: offsets and numbers are those of the protocol text,
// so that a wrong struct in the shared header cannot agree with itself.
#ifndef TALUS_TESTS_UNIT_SIM_PCI_SUPPORT_HPP
#define TALUS_TESTS_UNIT_SIM_PCI_SUPPORT_HPP

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pci/device_model.hpp"
#include "pci/pci_function.hpp"
#include "pci/shared_bar_memory.hpp"
#include "vfio_user/server.hpp"
#include "vfio_user/unique_fd.hpp"

namespace talus::sim::test {

using vfio_user::UniqueFd;

inline constexpr uint64_t kMiB = 1u << 20;

// Little-endian fields appended one by one.
class Bytes {
  public:
    Bytes& u8(uint8_t value) { return put(&value, 1); }
    Bytes& u16(uint16_t value) { return put(&value, 2); }
    Bytes& u32(uint32_t value) { return put(&value, 4); }
    Bytes& u64(uint64_t value) { return put(&value, 8); }
    Bytes& text(const std::string& value) { return put(value.c_str(), value.size() + 1); }
    Bytes& raw(std::span<const std::byte> value) { return put(value.data(), value.size()); }
    Bytes& fill(size_t count, uint8_t value);
    const std::vector<std::byte>& data() const { return data_; }
    operator std::span<const std::byte>() const { return data_; }

  private:
    Bytes& put(const void* value, size_t size);
    std::vector<std::byte> data_;
};

uint16_t u16_at(std::span<const std::byte> data, size_t offset);
uint32_t u32_at(std::span<const std::byte> data, size_t offset);
uint64_t u64_at(std::span<const std::byte> data, size_t offset);

// A whole message: header (16 bytes, "Header" in the text) and payload.
std::vector<std::byte> message(uint16_t id, uint16_t command, uint32_t flags,
                               std::span<const std::byte> payload);

struct Received {
    uint16_t id = 0;
    uint16_t command = 0;
    uint32_t size = 0;
    uint32_t flags = 0;
    uint32_t error = 0;
    std::vector<std::byte> payload;
    std::vector<UniqueFd> fds;

    bool is_reply() const { return (flags & 0xf) == 1; }
    bool failed() const { return (flags & 0x20) != 0; }
};

class RawClient {
  public:
    explicit RawClient(UniqueFd socket) : socket_(std::move(socket)) {}

    void send(std::span<const std::byte> data, std::span<const int> fds = {});
    // The next message, or nothing after `timeout_ms`, or nothing if the server closed.
    std::optional<Received> receive(int timeout_ms = 5000);
    bool closed_by_server(int timeout_ms = 5000);

    // Sends a command and returns its reply; fails the test if it is none.
    Received call(uint16_t command, std::span<const std::byte> payload,
                  std::initializer_list<int> fds = {});
    Received call(uint16_t command, std::span<const std::byte> payload, std::span<const int> fds);
    // The errno of the reply, 0 if it succeeded.
    uint32_t error_of(uint16_t command, std::span<const std::byte> payload,
                      std::initializer_list<int> fds = {});

    Received negotiate(const std::string& capabilities =
                           R"({"capabilities":{"max_msg_fds":64,"max_data_xfer_size":1048576}})");

    uint32_t dma_map(uint64_t iova, uint64_t size, int fd, uint64_t offset = 0, uint32_t flags = 3);
    uint32_t dma_unmap(uint64_t iova, uint64_t size);
    std::vector<std::byte> read(uint32_t region, uint64_t offset, uint32_t count);
    void write(uint32_t region, uint64_t offset, std::span<const std::byte> data);
    uint32_t read32(uint32_t region, uint64_t offset);
    void write32(uint32_t region, uint64_t offset, uint32_t value);
    void write16(uint32_t region, uint64_t offset, uint16_t value);
    // DEVICE_SET_IRQS; returns the errno.
    uint32_t set_irqs(uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
                      std::span<const int> fds = {}, std::span<const std::byte> data = {});
    // Command.Memory | Command.BusMaster.
    void enable_device();

    int socket() const { return socket_.get(); }
    void close() { socket_.reset(); }
    uint16_t next_id() { return id_++; }

  private:
    bool receive_exactly(std::span<std::byte> data, std::vector<UniqueFd>& fds, int timeout_ms);
    UniqueFd socket_;
    uint16_t id_ = 100;
};

inline constexpr uint32_t kConfigRegion = 7;

class FakeChip final : public PciDeviceModel {
  public:
    FakeChip();

    void connect(HostPort& port) override { host = &port; }
    MappableBar mappable(unsigned bar) override;
    uint64_t bar_read(unsigned bar, uint64_t offset, unsigned size) override;
    void bar_write(unsigned bar, uint64_t offset, unsigned size, uint64_t value) override;
    void function_reset() override { note("function_reset"); }
    void fundamental_reset() override { note("fundamental_reset"); }
    void client_gone() override { note("client_gone"); }

    void note(const std::string& event);
    std::vector<std::string> take_events();
    bool wait_for(const std::string& event, int timeout_ms = 5000);
    void set_register(unsigned bar, uint64_t offset, uint64_t value);

    HostPort* host = nullptr;
    SharedBarMemory status; // BAR0: its page at 0x1000 is mappable, read-only
    SharedBarMemory staging;

  private:
    std::mutex mutex_;
    std::vector<std::string> events_;
    std::map<std::pair<unsigned, uint64_t>, uint64_t> registers_;
};

// Chip, function and server on a socket pair, with a raw client at the other end.
class Rig {
  public:
    explicit Rig(std::chrono::milliseconds completion_timeout = std::chrono::seconds(5));
    ~Rig();

    FakeChip chip;
    PciFunction function;
    std::unique_ptr<vfio_user::Server> server;
    RawClient client;
    std::vector<std::string> reports() const;

  private:
    mutable std::mutex mutex_;
    std::vector<std::string> reports_;
};

UniqueFd make_memfd(uint64_t bytes);
UniqueFd make_eventfd();
// The counter, 0 if none within the time.
uint64_t eventfd_count(int fd, int timeout_ms = 0);
size_t open_descriptors();

} // namespace talus::sim::test

#endif
