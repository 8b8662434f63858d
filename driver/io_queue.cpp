// The part of device.hpp that is IoQueue.
#include "daemon_transport.hpp"
#include "device.hpp"
#include "error.hpp"

#include "talus/hw/pci.h"
#include "talus/hw/status.h"
#include "talus/hw/work.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>

namespace talus::driver {
namespace {

constexpr std::uint64_t kPage = IovaSpace::kPage;
constexpr std::uint64_t kBounceBytes = std::uint64_t{4} << 20;
// A simulator that admits host writes only while it rests does not hear of an abort while a kernel
// spins; then a reset, which it always hears, is the way out. A free-running one does hear.
constexpr std::uint64_t kAbortTimeoutUs = 40'000;
constexpr std::uint64_t kFreeAbortTimeoutUs = 1'000'000;
constexpr int kAbortRounds = 4;
constexpr std::uint8_t kDataDomain = 1; // as in device.cpp

Error invalid(const std::string& message) {
    return Error(TALUS_DRV_INVALID_ARGUMENT, message);
}

} // namespace

IoQueue::IoQueue(Device& device, std::uint32_t qid, std::uint32_t entries, WaitBy wait_by)
    : device_(device), epoch_(device.epoch_), wait_by_(wait_by) {
    // A device without enough vectors is polled.
    if (wait_by == WaitBy::kSleep && qid < device.transport_->irq_count()) {
        event_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        if (!event_.valid())
            throw system_error("eventfd", errno);
    } else {
        wait_by_ = WaitBy::kPoll;
    }
    submission_ = device.control_memory_.allocate(entries * TALUS_SQE_BYTES, kPage);
    try {
        completion_ = device.control_memory_.allocate(entries * TALUS_CQE_BYTES, kPage);
    } catch (const Error&) {
        device.control_memory_.release(submission_.iova);
        throw;
    }
    pair_ = std::make_unique<QueuePair>(qid, entries, submission_.pointer, completion_.pointer,
                                        device.doorbells_);
}

IoQueue::~IoQueue() {
    device_.control_memory_.release(submission_.iova);
    device_.control_memory_.release(completion_.iova);
    if (bounce_.bytes != 0)
        device_.data_memory_.release(bounce_.iova);
}

void IoQueue::create() {
    if (event_.valid())
        device_.transport_->irq_set(qid(), event_.get());
    device_.doorbells_.restart(qid());
    talus_sqe command{};
    command.opcode = TALUS_ADMIN_CREATE_QUEUE;
    command.u.create_queue.sq_iova = submission_.iova;
    command.u.create_queue.cq_iova = completion_.iova;
    command.u.create_queue.qid = static_cast<std::uint16_t>(qid());
    command.u.create_queue.entries = static_cast<std::uint16_t>(pair_->entries());
    command.u.create_queue.vector = static_cast<std::uint16_t>(event_.valid() ? qid() : 0);
    command.u.create_queue.domain = kDataDomain;
    command.u.create_queue.irq_enable = event_.valid();
    device_.admin_locked(command, "CREATE_QUEUE");
    if (device_.daemon_ != nullptr && event_.valid())
        event_ = device_.daemon_->bell(qid());
}

std::uint64_t IoQueue::abort_timeout_us() {
    return device_.registers_.status().free_running != 0 ? kFreeAbortTimeoutUs : kAbortTimeoutUs;
}

void IoQueue::abort_pending() {
    for (const std::uint16_t cid : pair_->pending()) {
        talus_sqe abort{};
        abort.opcode = TALUS_ADMIN_ABORT;
        abort.u.buffer.qid = static_cast<std::uint16_t>(qid());
        abort.u.buffer.cid = cid;
        try {
            device_.admin_locked(abort, "ABORT", abort_timeout_us());
        } catch (const Error& error) {
            // It completed meanwhile, or it can't be aborted.
            if (error.status() != TALUS_DRV_COMMAND_FAILED)
                throw;
        }
    }
}

void IoQueue::destroy() {
    abort_pending(); // hears within a limit of its own whether the device listens at all
    talus_sqe command{};
    command.opcode = TALUS_ADMIN_DELETE_QUEUE;
    command.u.buffer.qid = static_cast<std::uint16_t>(qid());
    command.u.buffer.cid = TALUS_DELETE_ABORT; // with what the device had not yet fetched by now
    device_.admin_locked(command, "DELETE_QUEUE");
    if (event_.valid())
        device_.transport_->irq_set(qid(), -1);
}

talus_drv_recovery IoQueue::recover() {
    const auto began = std::chrono::steady_clock::now();
    talus_drv_recovery done{};
    std::string reason;
    {
        const std::lock_guard lock(device_.admin_mutex_);
        done.commands = static_cast<std::uint32_t>(pair_->in_flight());
        const auto complete = [this] { return pair_->ready() == pair_->in_flight(); };
        if (device_.lost_) {
            reason = "the device was lost already";
            done.rung = TALUS_DRV_RUNG_FLR;
        } else if (require_usable(); !complete()) {
            done.rung = TALUS_DRV_RUNG_ABORT;
            try {
                // More than once: the firmware may not have known a command yet that was submitted
                // just now.
                for (int round = 1; !complete(); ++round) {
                    abort_pending();
                    try {
                        device_.waiter_.until(complete, "the aborted commands",
                                              abort_timeout_us() / kAbortRounds);
                    } catch (const Error& error) {
                        if (error.status() != TALUS_DRV_TIMEOUT || round == kAbortRounds)
                            throw;
                    }
                }
            } catch (const Error& error) {
                reason = std::string("abort: ") + error.what();
                done.rung = TALUS_DRV_RUNG_FLR;
            }
        }
    }
    if (done.rung == TALUS_DRV_RUNG_FLR) {
        std::string why;
        done.rung = device_.reset(&why);
        if (!why.empty())
            reason = why + "; " + reason;
    }
    std::snprintf(done.reason, sizeof done.reason, "%s", reason.c_str());
    done.wall_us = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                                  std::chrono::steady_clock::now() - began)
                                                  .count());
    return done;
}

void IoQueue::require_usable() {
    device_.require_alive();
    if (epoch_ != device_.epoch_) {
        const std::lock_guard lock(device_.lost_mutex_);
        const std::string& why = device_.reset_reason_;
        throw Error(TALUS_DRV_DEVICE_LOST, "queue " + std::to_string(qid()) + " of device " +
                                               device_.name_ + " ended with the device's reset" +
                                               (why.empty() ? "" : " (" + why + ")") +
                                               "; create another");
    }
    if (!broken_.empty())
        throw Error(TALUS_DRV_PROTOCOL, broken_);
}

// ---- Submission ----

talus_sqe IoQueue::encode(const talus_drv_command& command) const {
    const talus_identify& identity = device_.identity_;
    const bool gzip = (command.flags & TALUS_DRV_COMMAND_GZIP) != 0;
    if ((command.flags & ~TALUS_DRV_COMMAND_GZIP) != 0 ||
        (gzip && command.opcode != TALUS_DRV_COPY_H2D))
        throw invalid("command flags " + std::to_string(command.flags) + " with opcode " +
                      std::to_string(command.opcode) +
                      ": only TALUS_DRV_COMMAND_GZIP, for copies to the device");
    talus_sqe entry{};
    switch (command.opcode) {
    case TALUS_DRV_NOP:
        entry.opcode = TALUS_IO_NOP;
        return entry;
    case TALUS_DRV_COPY_H2D:
    case TALUS_DRV_COPY_D2H:
    case TALUS_DRV_COPY_D2D: {
        const talus_drv_copy& copy = command.copy;
        const bool within = command.opcode == TALUS_DRV_COPY_D2D;
        if (copy.bytes == 0)
            throw invalid("a copy of 0 bytes");
        if (copy.sgl_count > identity.max_sgl || (within && copy.sgl_count != 0))
            throw invalid("a scatter list of " + std::to_string(copy.sgl_count) +
                          " entries: the device takes " + std::to_string(identity.max_sgl) +
                          ", and none for copies within it");
        if (gzip && !device_.gzip_)
            throw Error(TALUS_DRV_UNSUPPORTED,
                        "device " + device_.name_ + " has no GZIP engine; copy the data inflated");
        if (gzip && copy.gzip_bytes == 0)
            throw invalid("a gzip member of 0 bytes");
        const bool to_host = command.opcode == TALUS_DRV_COPY_D2H;
        entry.opcode = TALUS_IO_COPY;
        entry.u.copy.host = to_host ? copy.destination : copy.source;
        entry.u.copy.device = to_host ? copy.source : copy.destination;
        entry.u.copy.bytes = copy.bytes;
        entry.u.copy.sgl_count = copy.sgl_count;
        const unsigned kind = within ? TALUS_COPY_D2D : to_host ? TALUS_COPY_D2H : TALUS_COPY_H2D;
        entry.u.copy.kind = static_cast<std::uint8_t>(
            kind | (copy.sgl_count != 0 ? TALUS_COPY_SGL : 0u) | (gzip ? TALUS_COPY_GZIP : 0u));
        entry.u.copy.gzip_bytes = gzip ? copy.gzip_bytes : 0;
        return entry;
    }
    case TALUS_DRV_LAUNCH: {
        const talus_drv_launch& launch = command.launch;
        if (launch.args_bytes > identity.max_args_bytes || launch.args % 64 != 0 ||
            (launch.args == 0) != (launch.args_bytes == 0))
            throw invalid("argument block of " + std::to_string(launch.args_bytes) +
                          " bytes: at most " + std::to_string(identity.max_args_bytes) +
                          ", at a 64-byte aligned device address");
        if (launch.perf % 64 != 0)
            throw invalid("a performance record at an address that is not 64-byte aligned");
        const bool whole = launch.rows == 0 && launch.cols == 0;
        const unsigned rows = whole ? identity.rows : launch.rows;
        const unsigned cols = whole ? identity.cols : launch.cols;
        if (rows == 0 || cols == 0 || launch.row + rows > identity.rows ||
            launch.col + cols > identity.cols)
            throw invalid("sub-grid of " + std::to_string(rows) + "x" + std::to_string(cols) +
                          " PEs at row " + std::to_string(launch.row) + ", column " +
                          std::to_string(launch.col) + " does not fit the grid of " +
                          std::to_string(identity.rows) + "x" + std::to_string(identity.cols));
        entry.opcode = TALUS_IO_LAUNCH;
        entry.u.launch.entry = launch.entry;
        entry.u.launch.args = launch.args;
        entry.u.launch.args_bytes = launch.args_bytes;
        entry.u.launch.timeout_us = launch.timeout_us;
        entry.u.launch.perf = launch.perf;
        entry.u.launch.row0 = launch.row;
        entry.u.launch.col0 = launch.col;
        entry.u.launch.rows = static_cast<std::uint8_t>(rows);
        entry.u.launch.cols = static_cast<std::uint8_t>(cols);
        return entry;
    }
    default:
        throw invalid("unknown opcode " + std::to_string(command.opcode));
    }
}

void IoQueue::submit(std::span<const talus_drv_command> commands, std::span<std::uint32_t> cids) {
    require_usable();
    if (commands.size() > pair_->room())
        throw Error(TALUS_DRV_QUEUE_FULL, "queue " + std::to_string(qid()) + " has room for " +
                                              std::to_string(pair_->room()) + " of " +
                                              std::to_string(commands.size()) + " commands");
    // Encode everything before anything reaches the ring: all or none.
    encoded_.clear();
    tags_.clear();
    for (const talus_drv_command& command : commands) {
        encoded_.push_back(encode(command));
        tags_.push_back(command.user_data);
    }
    device_.guard([&] { pair_->submit(encoded_, tags_, cids); });
}

// ---- Completion ----

void IoQueue::drain(std::span<talus_drv_completion> completions, std::size_t& count) {
    try {
        while (count < completions.size()) {
            const auto taken = pair_->take();
            if (!taken)
                break;
            const talus_cqe& entry = taken->entry;
            talus_drv_completion& completion = completions[count++];
            completion = {};
            completion.user_data = taken->tag;
            completion.device_cycles = entry.device_cycles;
            completion.result = entry.result;
            completion.exec_cycles = entry.exec_cycles;
            completion.launch_cycles = entry.detail;
            completion.cid = entry.cid;
            completion.device_status = static_cast<std::uint16_t>(entry.status >> 1);
        }
    } catch (const Error& error) {
        // What else stands in the ring can't be told from rubbish any more.
        broken_ = "device " + device_.name_ + " broke the queue protocol: " + error.what() + "; " +
                  device_.registers_.last_state();
        throw Error(TALUS_DRV_PROTOCOL, broken_);
    }
    pair_->acknowledge();
}

void IoQueue::wait(std::span<talus_drv_completion> completions, std::size_t minimum,
                   std::size_t& count, std::uint64_t timeout_us) {
    count = 0;
    require_usable();
    const std::size_t wanted = std::min(minimum, pair_->in_flight());
    if (wanted > completions.size())
        throw invalid("room for " + std::to_string(completions.size()) + " completions, but " +
                      std::to_string(wanted) + " are to be waited for");
    device_.guard([&] {
        drain(completions, count);
        if (count >= wanted)
            return;
        device_.waiter_.until(
            [&] {
                if (epoch_ != device_.epoch_)
                    return true;
                drain(completions, count);
                return count >= wanted;
            },
            std::to_string(wanted - count) + " of " + std::to_string(pair_->in_flight()) +
                " commands in flight on queue " + std::to_string(qid()),
            timeout_us != 0 ? timeout_us : device_.options_.command_timeout_us, wait_by_,
            event_.get());
    });
    // Not under guard(): the queue has ended, the device lives on.
    if (count < wanted)
        require_usable();
}

void IoQueue::poll(std::span<talus_drv_completion> completions, std::size_t& count) {
    count = 0;
    require_usable();
    device_.guard([&] {
        drain(completions, count);
        // Nothing there: is anybody there? (And the device may wait for an answer of ours.)
        if (count == 0 && pair_->in_flight() != 0)
            device_.transport_->wait(-1, std::chrono::milliseconds(0));
    });
}

// ---- Synchronous copies ----

const DmaBuffer& IoQueue::bounce() {
    if (bounce_.bytes == 0)
        bounce_ = device_.host_allocate(kBounceBytes, kPage);
    return bounce_;
}

void IoQueue::copy_and_wait(const talus_drv_copy& copy, std::uint32_t opcode) {
    talus_drv_command command{};
    command.opcode = opcode;
    command.copy = copy;
    submit({&command, 1}, {});
    talus_drv_completion completion{};
    std::size_t count = 0;
    wait({&completion, 1}, 1, count, 0);
    if (completion.device_status != TALUS_OK)
        throw Error(TALUS_DRV_COMMAND_FAILED,
                    "device " + device_.name_ + ": copy of " + std::to_string(copy.bytes) +
                        " bytes failed: " + device_status_text(completion.device_status));
}

void IoQueue::copy_in(std::uint64_t device_address, const void* source, std::uint64_t bytes) {
    require_usable();
    if (in_flight() != 0)
        throw invalid("copy_in needs an empty queue");
    const auto* from = static_cast<const std::byte*>(source);
    for (std::uint64_t done = 0; done < bytes;) {
        const std::uint64_t part = std::min(bytes - done, kBounceBytes);
        std::memcpy(bounce().pointer, from + done, part);
        copy_and_wait({bounce().iova, device_address + done, part, 0, 0, 0}, TALUS_DRV_COPY_H2D);
        done += part;
    }
}

void IoQueue::copy_out(void* destination, std::uint64_t device_address, std::uint64_t bytes) {
    require_usable();
    if (in_flight() != 0)
        throw invalid("copy_out needs an empty queue");
    auto* to = static_cast<std::byte*>(destination);
    for (std::uint64_t done = 0; done < bytes;) {
        const std::uint64_t part = std::min(bytes - done, kBounceBytes);
        copy_and_wait({device_address + done, bounce().iova, part, 0, 0, 0}, TALUS_DRV_COPY_D2H);
        std::memcpy(to + done, bounce().pointer, part);
        done += part;
    }
}

talus_drv_fault IoQueue::fault() {
    require_usable();
    const talus_fault_record record = device_.fault_record(qid());
    if (record.valid != TALUS_FAULT_VALID)
        throw Error(TALUS_DRV_NOT_FOUND,
                    "queue " + std::to_string(qid()) + " has no fault on record");
    talus_drv_fault fault{};
    fault.struct_size = sizeof fault;
    fault.pc = record.pc;
    fault.kernel_entry = record.kernel_entry;
    fault.tval = record.tval;
    std::copy(std::begin(record.detail), std::end(record.detail), std::begin(fault.detail));
    fault.cycle = record.cycle;
    fault.cause = record.cause;
    fault.core = record.core;
    fault.cid = record.cid;
    fault.device_status = record.status;
    fault.row = record.row;
    fault.col = record.col;
    return fault;
}

} // namespace talus::driver
