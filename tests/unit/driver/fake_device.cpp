#include "fake_device.hpp"

#include "error.hpp"

#include "talus/hw/contract_hash.h"
#include "talus/hw/status.h"

#include <poll.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace talus::driver::test {

FakeState::FakeState()
    : contract_hash(TALUS_CONTRACT_HASH), firmware_contract_hash(TALUS_CONTRACT_HASH) {}

std::byte* FakeState::host(std::uint64_t iova, std::uint64_t bytes) {
    auto range = dma.upper_bound(iova);
    if (range == dma.begin())
        return nullptr;
    --range;
    const std::uint64_t offset = iova - range->first;
    if (offset >= range->second.bytes || bytes > range->second.bytes - offset)
        return nullptr;
    return range->second.pointer + offset;
}

void FakeState::post(std::uint16_t qid, talus_cqe entry) {
    Queue& queue = queues[qid];
    entry.status = static_cast<std::uint16_t>((entry.status & 0xfffe) | queue.phase);
    std::byte* slot = host(queue.cq_iova + queue.cq_tail * TALUS_CQE_BYTES, TALUS_CQE_BYTES);
    if (slot == nullptr)
        throw std::logic_error("completion ring is not mapped");
    std::memcpy(slot, &entry, sizeof entry);
    if (++queue.cq_tail == queue.entries) {
        queue.cq_tail = 0;
        queue.phase ^= 1;
    }
    const auto fd = eventfds.find(queue.vector);
    if (queue.irq && fd != eventfds.end()) {
        const std::uint64_t one = 1;
        if (write(fd->second, &one, sizeof one) != sizeof one)
            throw std::logic_error("eventfd");
    }
}

void FakeState::write_log(const std::string& text, std::uint32_t capacity) {
    talus_log_header header{};
    std::byte* base = staging.data() + TALUS_STAGING_LOG_OFFSET;
    std::memcpy(&header, base, sizeof header);
    header.magic = TALUS_LOG_MAGIC;
    header.capacity = capacity;
    for (const char c : text)
        base[TALUS_LOG_TEXT_OFFSET + header.written++ % capacity] = static_cast<std::byte>(c);
    std::memcpy(base, &header, sizeof header);
}

void FakeState::run(std::uint16_t qid) {
    Queue& queue = queues[qid];
    if (!queue.live || !bus_master)
        return;
    while (queue.sq_head != queue.sq_tail) {
        talus_sqe entry{};
        const std::byte* slot =
            host(queue.sq_iova + queue.sq_head * TALUS_SQE_BYTES, TALUS_SQE_BYTES);
        if (slot == nullptr)
            throw std::logic_error("submission ring is not mapped");
        std::memcpy(&entry, slot, sizeof entry);
        queue.sq_head = (queue.sq_head + 1) % queue.entries;
        commands.push_back(entry);
        if (mute)
            continue;
        talus_cqe answer{};
        answer.qid = qid;
        answer.cid = entry.cid;
        answer.sq_head = static_cast<std::uint16_t>(queue.sq_head);
        answer.device_cycles = 100 + commands.size();
        const std::uint16_t status =
            qid == TALUS_QUEUE_ADMIN ? execute_admin(entry) : execute_io(queue, entry, answer);
        answer.status = static_cast<std::uint16_t>(status << 1);
        if (qid != TALUS_QUEUE_ADMIN && on_io && !on_io(entry, answer))
            continue;
        if (queue.live)
            post(qid, answer);
    }
    if (sleeps && event_iova != 0)
        if (std::byte* event = host(event_iova + 8u * qid, 4))
            std::memcpy(event, &queue.sq_tail, 4);
}

void FakeState::poll_shadow() {
    for (std::uint16_t qid = 1; qid < TALUS_MAX_QUEUES; ++qid) {
        if (!queues[qid].live || shadow_iova == 0)
            continue;
        std::memcpy(&queues[qid].sq_tail, host(shadow_iova + 8u * qid, 4), 4);
        run(qid);
    }
}

std::uint16_t FakeState::execute_admin(const talus_sqe& entry) {
    switch (entry.opcode) {
    case TALUS_ADMIN_IDENTIFY: {
        talus_identify identity{};
        identity.struct_bytes = sizeof identity;
        identity.abi_version = TALUS_ABI_VERSION;
        identity.contract_hash = firmware_contract_hash;
        std::strcpy(identity.product, "talus-t2");
        std::strcpy(identity.serial, "0123");
        std::strcpy(identity.firmware, "9.8.7");
        identity.generation = 2;
        identity.rows = identity.cols = 8;
        identity.clock_khz = 1350000;
        identity.local_bytes = 352 << 10;
        identity.lls_base = TALUS_LLS_BASE + TALUS_LLS_FIRMWARE_SIZE;
        identity.lls_bytes = TALUS_MIB(127);
        identity.dram_base = TALUS_DRAM_BASE;
        identity.dram_bytes = dram.size();
        identity.max_queues = TALUS_MAX_QUEUES;
        identity.max_queue_entries = TALUS_MAX_QUEUE_ENTRIES;
        identity.max_domains = TALUS_MAX_DOMAINS;
        identity.windows_per_domain = TALUS_WINDOWS_PER_DOMAIN;
        identity.max_args_bytes = TALUS_MAX_ARGS_BYTES;
        identity.max_sgl = TALUS_MAX_SGL;
        std::byte* to = host(entry.u.buffer.iova, sizeof identity);
        if (to == nullptr)
            return TALUS_HOST_ACCESS;
        std::memcpy(to, &identity, sizeof identity);
        return TALUS_OK;
    }
    case TALUS_ADMIN_CREATE_QUEUE: {
        const talus_sqe_create_queue& create = entry.u.create_queue;
        if (create.qid == 0 || create.qid >= TALUS_MAX_QUEUES || queues[create.qid].live)
            return TALUS_BAD_QUEUE;
        if (create.sq_iova % 4096 != 0 || create.cq_iova % 4096 != 0)
            return TALUS_BAD_FIELD;
        Queue queue;
        queue.live = true;
        queue.sq_iova = create.sq_iova;
        queue.cq_iova = create.cq_iova;
        queue.entries = create.entries;
        queue.vector = create.vector;
        queue.domain = create.domain;
        queue.irq = create.irq_enable != 0;
        queues[create.qid] = queue;
        return TALUS_OK;
    }
    case TALUS_ADMIN_DELETE_QUEUE:
        if (!queues[entry.u.buffer.qid].live)
            return TALUS_BAD_QUEUE;
        queues[entry.u.buffer.qid].live = false;
        return TALUS_OK;
    case TALUS_ADMIN_SET_SHADOW:
        shadow_iova = entry.u.set_shadow.shadow_iova;
        event_iova = entry.u.set_shadow.event_iova;
        return TALUS_OK;
    case TALUS_ADMIN_SET_WINDOW:
        if (entry.u.set_window.domain != 1)
            return TALUS_BAD_DOMAIN;
        if ((entry.u.set_window.access & TALUS_WINDOW_DEVICE) != 0)
            return TALUS_OK;
        windows[entry.u.set_window.index] = {entry.u.set_window.iova, entry.u.set_window.length};
        return TALUS_OK;
    case TALUS_ADMIN_GET_FAULT: {
        std::byte* to = host(entry.u.buffer.iova, sizeof fault);
        if (to == nullptr)
            return TALUS_HOST_ACCESS;
        std::memcpy(to, &fault, sizeof fault);
        return TALUS_OK;
    }
    case TALUS_ADMIN_ABORT: {
        talus_cqe aborted{};
        aborted.qid = entry.u.buffer.qid;
        aborted.cid = entry.u.buffer.cid;
        aborted.status = TALUS_ABORTED << 1;
        post(entry.u.buffer.qid, aborted);
        return TALUS_OK;
    }
    default:
        return TALUS_BAD_OPCODE;
    }
}

std::uint16_t FakeState::execute_io(const Queue& queue, const talus_sqe& entry, talus_cqe& answer) {
    if (entry.opcode == TALUS_IO_NOP)
        return TALUS_OK;
    if (entry.opcode == TALUS_IO_LAUNCH) {
        answer.result = entry.u.launch.entry;
        answer.detail = 77;
        return TALUS_OK;
    }
    if (entry.opcode != TALUS_IO_COPY)
        return TALUS_BAD_OPCODE;
    const talus_sqe_copy& copy = entry.u.copy;
    answer.result = copy.bytes;
    const auto device = [&](std::uint64_t address) -> std::byte* {
        if (address < TALUS_DRAM_BASE || address - TALUS_DRAM_BASE > dram.size() ||
            copy.bytes > dram.size() - (address - TALUS_DRAM_BASE))
            return nullptr;
        return dram.data() + (address - TALUS_DRAM_BASE);
    };
    const auto windowed = [&](std::uint64_t iova, std::uint64_t bytes) -> std::byte* {
        if (queue.domain != 0) {
            bool inside = false;
            for (const auto& [index, window] : windows)
                inside |= iova >= window.iova && iova - window.iova < window.length &&
                          bytes <= window.length - (iova - window.iova);
            if (!inside)
                return nullptr;
        }
        return host(iova, bytes);
    };
    if (device(copy.device) == nullptr)
        return TALUS_DEVICE_ACCESS;
    const unsigned kind = copy.kind & ~(TALUS_COPY_SGL | TALUS_COPY_GZIP);
    if (kind == TALUS_COPY_D2D) {
        if (device(copy.host) == nullptr)
            return TALUS_DEVICE_ACCESS;
        std::memmove(device(copy.device), device(copy.host), copy.bytes);
        return TALUS_OK;
    }
    std::vector<talus_sgl_entry> list(1, {copy.host, static_cast<std::uint32_t>(copy.bytes), 0});
    if ((copy.kind & TALUS_COPY_SGL) != 0) {
        list.resize(copy.sgl_count);
        const std::byte* from = windowed(copy.host, copy.sgl_count * sizeof(talus_sgl_entry));
        if (from == nullptr)
            return TALUS_WINDOW_MISS;
        std::memcpy(list.data(), from, copy.sgl_count * sizeof(talus_sgl_entry));
    }
    std::byte* at = device(copy.device);
    for (const talus_sgl_entry& part : list) {
        std::byte* memory = windowed(part.iova, part.bytes);
        if (memory == nullptr)
            return TALUS_WINDOW_MISS;
        if (kind == TALUS_COPY_H2D)
            std::memcpy(at, memory, part.bytes);
        else
            std::memcpy(memory, at, part.bytes);
        at += part.bytes;
    }
    return TALUS_OK;
}

// ---- Transport ----

void FakeTransport::enter(const char* operation) {
    if (s_.on_operation)
        s_.on_operation(operation);
    if (s_.gone)
        throw Error(TALUS_DRV_DEVICE_LOST, "device fake is lost: its connection is closed");
}

void FakeTransport::config_read(std::uint32_t offset, std::span<std::byte> data) {
    enter("config_read");
    std::array<std::byte, 256> image = config_;
    const std::uint32_t identity = TALUS_PCI_DEVICE_ID << 16 | TALUS_PCI_VENDOR_ID;
    std::memcpy(image.data(), &identity, 4);
    image[0x34] = std::byte{0x40};
    image[0x40] = std::byte{0x11}; // MSI-X
    image[0x41] = std::byte{0x60};
    image[0x60] = std::byte{0x10}; // PCI Express, capable of FLR
    image[0x67] = std::byte{0x10};
    std::memcpy(data.data(), image.data() + offset, data.size());
}

void FakeTransport::config_write(std::uint32_t offset, std::span<const std::byte> data) {
    enter("config_write");
    if (offset == 0x68 && (std::to_integer<unsigned>(data[1]) & 0x80) != 0) {
        ++s_.resets;
        clear_function();
        s_.mute = s_.mute && s_.firmware_is_hung;
        return;
    }
    std::memcpy(config_.data() + offset, data.data(), data.size());
    s_.memory_enabled = (std::to_integer<unsigned>(config_[4]) & 0x2) != 0;
    s_.bus_master = (std::to_integer<unsigned>(config_[4]) & 0x4) != 0;
}

talus_status_page FakeTransport::status() {
    if (s_.clock_moves)
        s_.clock += s_.clock_step;
    talus_status_page page{};
    page.device_clock = s_.clock;
    page.heartbeat = s_.clock / 1000;
    page.clock_khz = 1000000;
    page.boot_state = s_.boot_state;
    page.post_code = 0x42;
    page.temperature_mc = 41500;
    page.ecc_corrected[TALUS_ECC_DRAM] = 5;
    page.ecc_uncorrectable[TALUS_ECC_LOCAL] = 6;
    page.power_mw = 65000;
    return page;
}

std::uint32_t FakeTransport::bar_read32(int bar, std::uint64_t offset) {
    enter("bar_read32");
    if (s_.all_ones || !s_.memory_enabled)
        return 0xffffffffu;
    if (bar != TALUS_BAR_REGISTERS)
        return 0;
    switch (offset) {
    case FROZEN_MAGIC:
        return TALUS_MAGIC;
    case FROZEN_ABI_VERSION:
        return s_.abi_version;
    case FROZEN_CONTRACT_LO:
        return static_cast<std::uint32_t>(s_.contract_hash);
    case FROZEN_CONTRACT_HI:
        return static_cast<std::uint32_t>(s_.contract_hash >> 32);
    case FROZEN_CAP:
        return s_.capabilities;
    case FROZEN_BOOT_STATE:
        return s_.boot_state;
    case FROZEN_RESET_EPOCH:
        return 1 + s_.resets + s_.fundamental_resets;
    default:
        return bar0_[offset];
    }
}

std::uint64_t FakeTransport::bar_read64(int, std::uint64_t) {
    enter("bar_read64");
    return s_.all_ones ? ~std::uint64_t{0} : status().device_clock;
}

void FakeTransport::mailbox(std::uint32_t command) {
    std::uint16_t status = TALUS_OK;
    switch (command & 0xffff) {
    case TALUS_MB_LOAD: {
        status = s_.load_status;
        talus_image_header header{};
        std::memcpy(&header, s_.staging.data() + bar0_[FROZEN_MB_ARG1], sizeof header);
        if (header.magic[0] != TALUS_IMAGE_MAGIC_0 || bar0_[FROZEN_MB_ARG0] < sizeof header)
            status = TALUS_IMAGE_MAGIC;
        s_.boot_state = status == TALUS_OK ? TALUS_BOOT_LOADED : TALUS_BOOT_FAILED;
        break;
    }
    case TALUS_MB_VERIFY:
        status = s_.verify_status;
        s_.boot_state = status == TALUS_OK ? TALUS_BOOT_VERIFIED : TALUS_BOOT_FAILED;
        break;
    case TALUS_MB_BOOT:
        status = TALUS_OK;
        s_.boot_state = s_.boot_hangs                ? TALUS_BOOT_STARTING
                        : s_.boot_status == TALUS_OK ? TALUS_BOOT_READY
                                                     : TALUS_BOOT_FAILED;
        bar0_[FROZEN_FAIL_CODE] = s_.boot_status;
        break;
    case TALUS_MB_VERSION:
        bar0_[FROZEN_MB_RESULT0] = 9 << 16 | 8 << 8 | 7;
        break;
    default:
        break;
    }
    bar0_[FROZEN_MB_STATUS] = (command & 0xffff0000u) | status;
}

void FakeTransport::bar_write32(int bar, std::uint64_t offset, std::uint32_t value) {
    enter("bar_write32");
    if (!s_.memory_enabled)
        return;
    if (bar == TALUS_BAR_DOORBELLS) {
        s_.doorbells.push_back({bar, offset, value});
        const auto qid = static_cast<std::uint16_t>(offset / TALUS_DOORBELL_STRIDE);
        if (offset % TALUS_DOORBELL_STRIDE == TALUS_DOORBELL_CQ_HEAD) {
            s_.queues[qid].cq_head = value;
            return;
        }
        s_.queues[qid].sq_tail = value;
        s_.run(qid);
        return;
    }
    bar0_[offset] = value;
    if (offset == FROZEN_MB_COMMAND)
        mailbox(value);
    if (offset == FROZEN_RESET && value == TALUS_RESET_MAGIC) {
        ++s_.fundamental_resets;
        s_.boot_state = TALUS_BOOT_ROM_READY;
        s_.queues = {};
        s_.firmware_contract_hash = TALUS_CONTRACT_HASH;
        bar0_.clear();
    }
    if (offset == std::uint64_t{TALUS_BAR0_CONTROLLER} + CTRL_ENABLE) {
        const std::uint64_t base = TALUS_BAR0_CONTROLLER;
        bar0_[base + CTRL_STATUS] = value != 0 ? TALUS_STATUS_RDY : 0;
        s_.queues = {};
        s_.shadow_iova = s_.event_iova = 0;
        FakeState::Queue& admin = s_.queues[0];
        admin.live = value != 0;
        admin.entries = bar0_[base + CTRL_AQ_ENTRIES];
        admin.sq_iova = bar0_[base + CTRL_ASQ_LO] | std::uint64_t{bar0_[base + CTRL_ASQ_HI]} << 32;
        admin.cq_iova = bar0_[base + CTRL_ACQ_LO] | std::uint64_t{bar0_[base + CTRL_ACQ_HI]} << 32;
        admin.vector = 0;
        admin.irq = true;
    }
}

void FakeTransport::bar_write64(int, std::uint64_t, std::uint64_t) {
    throw std::logic_error("no 64-bit register is written");
}

void FakeTransport::bar_read(int bar, std::uint64_t offset, std::span<std::byte> data) {
    enter("bar_read");
    if (bar == TALUS_BAR_STAGING) {
        std::memcpy(data.data(), s_.staging.data() + offset, data.size());
        return;
    }
    const talus_status_page page = status();
    std::memcpy(data.data(), &page, std::min(data.size(), sizeof page));
}

void FakeTransport::bar_write(int bar, std::uint64_t offset, std::span<const std::byte> data) {
    enter("bar_write");
    if (bar != TALUS_BAR_STAGING)
        throw std::logic_error("block write to a register BAR");
    std::memcpy(s_.staging.data() + offset, data.data(), data.size());
}

std::uint64_t FakeTransport::bar_size(int bar) {
    return bar == TALUS_BAR_REGISTERS   ? TALUS_BAR0_SIZE
           : bar == TALUS_BAR_DOORBELLS ? TALUS_BAR2_SIZE
                                        : TALUS_BAR4_SIZE;
}

void FakeTransport::dma_map(std::uint64_t iova, std::uint64_t bytes, void* pointer, int fd) {
    enter("dma_map");
    for (const auto& [other, mapping] : s_.dma)
        if (iova < other + mapping.bytes && other < iova + bytes)
            throw std::logic_error("mappings overlap");
    s_.dma[iova] = {bytes, static_cast<std::byte*>(pointer), fd};
}

void FakeTransport::dma_unmap(std::uint64_t iova, std::uint64_t bytes) {
    enter("dma_unmap");
    const auto mapping = s_.dma.find(iova);
    if (mapping == s_.dma.end() || mapping->second.bytes != bytes)
        throw std::logic_error("unmap of what is not mapped");
    s_.dma.erase(mapping);
}

void FakeTransport::irq_set(std::uint32_t vector, int eventfd) {
    enter("irq_set");
    if (eventfd < 0)
        s_.eventfds.erase(vector);
    else
        s_.eventfds[vector] = eventfd;
}

void FakeTransport::reset() {
    enter("reset");
    ++s_.fundamental_resets;
    clear_function();
    s_.mute = s_.firmware_is_hung = false;
    s_.boot_state = TALUS_BOOT_ROM_READY;
}

void FakeTransport::clear_function() {
    s_.queues = {};
    s_.windows.clear();
    s_.eventfds.clear();
    s_.shadow_iova = s_.event_iova = 0;
    s_.bus_master = s_.memory_enabled = false;
    config_[4] = {};
    bar0_[std::uint64_t{TALUS_BAR0_CONTROLLER} + CTRL_STATUS] = 0;
}

bool FakeTransport::wait(int eventfd, std::chrono::milliseconds timeout) {
    enter("wait");
    pollfd entry{eventfd, POLLIN, 0};
    return eventfd >= 0 &&
           poll(&entry, 1, static_cast<int>(std::min<std::int64_t>(timeout.count(), 1))) > 0;
}

// ---- Image ----

TemporaryImage::TemporaryImage(const std::function<void(talus_image_header&)>& edit) {
    char name[] = "/tmp/talus-driver-test-XXXXXX";
    const int fd = mkstemp(name);
    if (fd < 0)
        throw std::runtime_error("mkstemp");
    path_ = name;
    talus_image_header header{};
    header.magic[0] = TALUS_IMAGE_MAGIC_0;
    header.magic[1] = TALUS_IMAGE_MAGIC_1;
    header.format = TALUS_IMAGE_FORMAT;
    header.image_bytes = sizeof header;
    header.contract_hash = TALUS_CONTRACT_HASH;
    if (edit)
        edit(header);
    const bool written = write(fd, &header, sizeof header) == sizeof header;
    close(fd);
    if (!written)
        throw std::runtime_error("write");
}

TemporaryImage::~TemporaryImage() {
    unlink(path_.c_str());
}

} // namespace talus::driver::test
