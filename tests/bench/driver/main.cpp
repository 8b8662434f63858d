// What the driver costs: submission and completion of a command beside a bare ring in memory (the
// limit), through the firmware, copies beside memcpy, and reads of the device by either road.
//
// CPU time is that of the calling thread; a simulated device computes in another process.
#include "queue.hpp"
#include "transport.hpp"

#include "talus/driver.h"
#include "talus/hw/pci.h"
#include "talus/hw/registers.h"

#include <benchmark/benchmark.h>

#include <time.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

namespace {

using namespace talus::driver;

double thread_seconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

void require(talus_drv_status status) {
    if (status == TALUS_DRV_OK)
        return;
    std::fprintf(stderr, "talus-driver-bench: %s\n", talus_drv_last_error());
    std::exit(1);
}

// ---- Rings in memory ----

constexpr std::uint32_t kEntries = 256;

struct Rings {
    alignas(4096) std::array<talus_sqe, kEntries> submission{};
    alignas(4096) std::array<talus_cqe, kEntries> completion{};
    alignas(64) std::uint32_t tail = 0;
};

/// The other side of a ring: takes every entry and completes it at once.
class Loopback {
  public:
    explicit Loopback(Rings& rings) : rings_(rings) {}

    void serve(const std::uint32_t* tail) {
        const std::uint32_t end = __atomic_load_n(tail, __ATOMIC_ACQUIRE);
        for (; head_ != end; head_ = (head_ + 1) % kEntries) {
            talus_sqe entry;
            std::memcpy(&entry, &rings_.submission[head_], sizeof entry);
            talus_cqe& to = rings_.completion[out_];
            to.device_cycles = 1;
            to.exec_cycles = 1;
            to.result = entry.u.words[0];
            to.sq_head = static_cast<std::uint16_t>((head_ + 1) % kEntries);
            to.qid = 1;
            to.cid = entry.cid;
            __atomic_store_n(&to.status, phase_, __ATOMIC_RELEASE);
            if (++out_ == kEntries) {
                out_ = 0;
                phase_ ^= 1;
            }
        }
    }

  private:
    Rings& rings_;
    std::uint32_t head_ = 0;
    std::uint32_t out_ = 0;
    std::uint16_t phase_ = 1;
};

/// Commands a second of CPU time of the bare ring, by batch.
std::map<std::int64_t, double> raw_rates;

// Entries of the same size, written, taken, completed and looked at, without a driver.
void raw_ring(benchmark::State& state) {
    const auto batch = static_cast<std::uint32_t>(state.range(0));
    const auto rings = std::make_unique<Rings>();
    Loopback loopback(*rings);
    std::uint32_t tail = 0;
    std::uint32_t head = 0;
    std::uint16_t phase = 1;
    std::uint64_t sum = 0;
    const double began = thread_seconds();
    for (auto _ : state) {
        for (std::uint32_t i = 0; i < batch; ++i) {
            talus_sqe entry{};
            entry.cid = static_cast<std::uint16_t>(tail);
            std::memcpy(&rings->submission[tail], &entry, sizeof entry);
            tail = (tail + 1) % kEntries;
        }
        __atomic_store_n(&rings->tail, tail, __ATOMIC_RELEASE);
        loopback.serve(&rings->tail);
        for (std::uint32_t i = 0; i < batch; ++i) {
            const talus_cqe& from = rings->completion[head];
            if ((__atomic_load_n(&from.status, __ATOMIC_ACQUIRE) & TALUS_CQE_PHASE) != phase)
                std::abort();
            talus_cqe entry;
            std::memcpy(&entry, &from, sizeof entry);
            sum += entry.cid;
            if (++head == kEntries) {
                head = 0;
                phase ^= 1;
            }
        }
    }
    benchmark::DoNotOptimize(sum);
    const double commands = static_cast<double>(state.iterations()) * batch;
    raw_rates[batch] = commands / (thread_seconds() - began);
    state.SetItemsProcessed(static_cast<std::int64_t>(commands));
}

/// Counts what would leave the process.
class CountingTransport final : public Transport {
  public:
    std::uint64_t writes = 0;
    const char* kind() const override { return "bench"; }
    void config_read(std::uint32_t, std::span<std::byte>) override {}
    void config_write(std::uint32_t, std::span<const std::byte>) override {}
    std::uint32_t bar_read32(int, std::uint64_t) override { return 0; }
    std::uint64_t bar_read64(int, std::uint64_t) override { return 0; }
    void bar_write32(int, std::uint64_t, std::uint32_t) override { ++writes; }
    void bar_write64(int, std::uint64_t, std::uint64_t) override { ++writes; }
    void bar_read(int, std::uint64_t, std::span<std::byte>) override {}
    void bar_write(int, std::uint64_t, std::span<const std::byte>) override { ++writes; }
    std::uint64_t bar_size(int) override { return 0; }
    BarMapping bar_map(int, std::uint64_t, std::uint64_t, bool) override { return {}; }
    void dma_map(std::uint64_t, std::uint64_t, void*, int) override {}
    void dma_unmap(std::uint64_t, std::uint64_t) override {}
    std::uint32_t irq_count() override { return 0; }
    void irq_set(std::uint32_t, int) override {}
    void reset() override {}
    bool wait(int, std::chrono::milliseconds) override { return false; }
};

// The driver's queue pair against the same loop-back, with shadow doorbells.
void queue_pair(benchmark::State& state) {
    const auto batch = static_cast<std::uint32_t>(state.range(0));
    const auto rings = std::make_unique<Rings>();
    Loopback loopback(*rings);
    CountingTransport transport;
    Doorbells doorbells(transport);
    std::array<std::uint32_t, 8> shadow{};
    std::array<std::uint32_t, 8> event{0, 0, kEntries - 1, kEntries - 1};
    doorbells.use_shadow(shadow.data(), event.data());
    QueuePair queue(1, kEntries, reinterpret_cast<std::byte*>(rings->submission.data()),
                    reinterpret_cast<std::byte*>(rings->completion.data()), doorbells);
    std::vector<talus_sqe> commands(batch);
    const std::vector<std::uint64_t> tags(batch, 7);
    std::uint64_t sum = 0;
    const double began = thread_seconds();
    for (auto _ : state) {
        queue.submit(commands, tags, {});
        loopback.serve(&shadow[2]);
        for (std::uint32_t i = 0; i < batch; ++i)
            sum += queue.take().value().tag;
        queue.acknowledge();
        event[2] = (shadow[2] + kEntries - 1) % kEntries; // behind: the device is awake
        event[3] = (shadow[3] + kEntries - 1) % kEntries;
    }
    benchmark::DoNotOptimize(sum);
    const double commands_done = static_cast<double>(state.iterations()) * batch;
    const double rate = commands_done / (thread_seconds() - began);
    state.SetItemsProcessed(static_cast<std::int64_t>(commands_done));
    state.counters["of_raw_ring"] = rate / raw_rates[batch];
    state.counters["bar_writes_per_command"] =
        static_cast<double>(transport.writes) / commands_done;
}

// ---- A device ----

struct Session {
    explicit Session(std::uint32_t completion_mode = TALUS_DRV_COMPLETION_POLL) {
        talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
        options.completion_mode = completion_mode;
        if (std::getenv("TALUS_DEVICE") == nullptr)
            options.device = "sim";
        require(talus_drv_open(&options, &device));
        require(talus_drv_queue_create(device, nullptr, &queue));
    }
    ~Session() {
        talus_drv_queue_destroy(queue);
        talus_drv_close(device);
    }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    /// Device cycles from admission to the batch's last completion.
    std::uint64_t run(const std::vector<talus_drv_command>& batch) {
        require(talus_drv_submit(queue, batch.data(), batch.size(), nullptr));
        done.resize(batch.size());
        std::size_t count = 0;
        require(talus_drv_wait(queue, done.data(), done.size(), done.size(), &count, 0));
        for (const talus_drv_completion& each : done)
            if (each.device_status != 0)
                std::abort();
        return done.back().device_cycles;
    }

    talus_drv_device* device = nullptr;
    talus_drv_queue* queue = nullptr;
    std::vector<talus_drv_completion> done;
};

void through_firmware(benchmark::State& state, std::uint32_t completion_mode) {
    Session session(completion_mode);
    const auto batch = static_cast<std::size_t>(state.range(0));
    talus_drv_command nop{};
    nop.opcode = TALUS_DRV_NOP;
    const std::vector<talus_drv_command> nops(batch, nop);
    std::uint64_t cycles = 0;
    const double began = thread_seconds();
    for (auto _ : state)
        cycles = session.run(nops);
    const double commands = static_cast<double>(state.iterations()) * static_cast<double>(batch);
    state.SetItemsProcessed(static_cast<std::int64_t>(commands));
    state.counters["cpu_ns_per_command"] = 1e9 * (thread_seconds() - began) / commands;
    state.counters["device_cycles_per_command"] =
        static_cast<double>(cycles) / static_cast<double>(batch);
}

void copy(benchmark::State& state, talus_drv_opcode opcode) {
    Session session;
    const auto bytes = static_cast<std::uint64_t>(state.range(0));
    talus_drv_host_buffer host{};
    std::uint64_t dram = 0;
    require(talus_drv_host_alloc(session.device, bytes, 0, &host));
    require(talus_drv_memory_alloc(session.device, TALUS_DRV_DRAM, bytes, 0, &dram));
    talus_drv_device_info info = TALUS_DRV_INIT(talus_drv_device_info);
    require(talus_drv_get_info(session.device, &info));
    std::memset(host.pointer, 1, bytes);
    talus_drv_command command{};
    command.opcode = opcode;
    const bool in = opcode == TALUS_DRV_COPY_H2D;
    command.copy = {in ? host.iova : dram, in ? dram : host.iova, bytes, 0, 0, 0};
    std::uint64_t cycles = 0;
    for (auto _ : state)
        cycles = session.run({command});
    state.SetBytesProcessed(state.iterations() * state.range(0));
    state.counters["device_GB/s"] = static_cast<double>(bytes) *
                                    static_cast<double>(info.clock_hz) /
                                    static_cast<double>(cycles) / 1e9;
}

void host_memcpy(benchmark::State& state) {
    const auto bytes = static_cast<std::size_t>(state.range(0));
    const std::vector<char> from(bytes, 1);
    std::vector<char> to(bytes);
    for (auto _ : state) {
        std::memcpy(to.data(), from.data(), bytes);
        benchmark::ClobberMemory();
    }
    state.SetBytesProcessed(state.iterations() * state.range(0));
}

// ---- Reads of the device ----

std::unique_ptr<Transport> open_device() {
    const char* name = std::getenv("TALUS_DEVICE");
    auto transport = open_transport(resolve_target(name == nullptr ? "sim" : name, ""), {});
    const std::uint16_t memory = 2;
    transport->config_write(4, std::as_bytes(std::span(&memory, 1)));
    return transport;
}

void read_register(benchmark::State& state) {
    const auto transport = open_device();
    std::uint64_t sum = 0;
    for (auto _ : state)
        sum += transport->bar_read32(TALUS_BAR_REGISTERS, TALUS_BAR0_FROZEN + FROZEN_ABI_VERSION);
    benchmark::DoNotOptimize(sum);
    state.SetLabel(transport->kind());
}

void read_mapped(benchmark::State& state) {
    const auto transport = open_device();
    const BarMapping page = transport->bar_map(TALUS_BAR_REGISTERS, TALUS_BAR0_STATUS_PAGE,
                                               TALUS_STATUS_PAGE_SIZE, false);
    if (page.pointer == nullptr) {
        state.SkipWithError("this device lets nothing be mapped");
        return;
    }
    std::uint64_t sum = 0;
    for (auto _ : state)
        sum += *reinterpret_cast<const volatile std::uint32_t*>(page.pointer);
    benchmark::DoNotOptimize(sum);
    state.SetLabel(transport->kind());
}

BENCHMARK(raw_ring)->Arg(1)->Arg(32);
BENCHMARK(queue_pair)->Arg(1)->Arg(32);
BENCHMARK_CAPTURE(through_firmware, poll, TALUS_DRV_COMPLETION_POLL)
    ->Arg(1)
    ->Arg(64)
    ->UseRealTime();
BENCHMARK_CAPTURE(through_firmware, interrupt, TALUS_DRV_COMPLETION_INTERRUPT)
    ->Arg(1)
    ->Arg(64)
    ->UseRealTime();
BENCHMARK(host_memcpy)->Arg(16 << 20);
BENCHMARK_CAPTURE(copy, h2d, TALUS_DRV_COPY_H2D)->Arg(16 << 20)->UseRealTime();
BENCHMARK_CAPTURE(copy, d2h, TALUS_DRV_COPY_D2H)->Arg(16 << 20)->UseRealTime();
BENCHMARK(read_mapped);
BENCHMARK(read_register);

} // namespace

BENCHMARK_MAIN();
