#include <algorithm>
#include <cstring>

#include "sdk/common/error.hpp"
#include "sdk/targets/talus_device.hpp"
#include "talus/hw/interrupts.h"
#include "talus/hw/perf.h"
#include "talus/hw/status.h"

namespace talus::targets {

namespace {

constexpr std::uint64_t kAlignment = 64;
constexpr std::uint64_t kBlockBytes = std::uint64_t{1} << 20; // of staging memory
// Larger copies (weights) go through the driver's own bounce buffer, piece by piece.
constexpr std::uint64_t kLargestStaged = std::uint64_t{8} << 20;
// user_data of commands that nobody asked for.
constexpr std::uint64_t kArgumentsTag = UINT64_MAX;
constexpr std::uint64_t kRecordsTag = UINT64_MAX - 1;

std::uint64_t rounded(std::uint64_t value, std::uint64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

const char* cause_name(std::uint32_t cause) {
    switch (cause) {
#define CAUSE(name, value, text)                                                                   \
    case value:                                                                                    \
        return text;
        TALUS_STANDARD_CAUSES(CAUSE)
        TALUS_TRAP_CAUSES(CAUSE)
#undef CAUSE
    default:
        return "unknown cause";
    }
}

} // namespace

TalusStream::TalusStream(TalusCard& card) : card_(card) {
    talus_drv_queue_options options = TALUS_DRV_INIT(talus_drv_queue_options);
    options.entries = std::min<std::uint32_t>(card.info().max_queue_entries, 256);
    capacity_ = options.entries - 1;
    queue_ = card.create_queue(options);
    try {
        if (const talus_drv_status status =
                talus_drv_host_alloc(card.driver(), kArgumentBytes, 0, &arguments_);
            status != TALUS_DRV_OK)
            fail(card.status_of(status), "talus: no DMA memory: {}", talus_drv_last_error());
        device_arguments_ = card.allocate(TALUS_DRV_LLS, kArgumentBytes);
        if (card.profile()) {
            const std::uint64_t bytes = std::uint64_t{capacity_} * TALUS_PERF_RECORD_BYTES;
            if (talus_drv_host_alloc(card.driver(), bytes, 0, &records_) != TALUS_DRV_OK)
                fail(TALUS_ERROR_OUT_OF_MEMORY, "talus: no DMA memory: {}", talus_drv_last_error());
            device_records_ = card.allocate(TALUS_DRV_DRAM, bytes);
        }
    } catch (...) {
        talus_drv_queue_destroy(queue_);
        throw;
    }
}

TalusStream::~TalusStream() {
    // The queue first: afterwards the device touches none of this memory.
    talus_drv_queue_destroy(queue_);
    for (const Staging::Block& block : staging_.blocks)
        (void)talus_drv_host_free(card_.driver(), &block.memory);
    (void)talus_drv_host_free(card_.driver(), &arguments_);
    card_.release(device_arguments_);
    if (device_records_ != 0) {
        (void)talus_drv_host_free(card_.driver(), &records_);
        card_.release(device_records_);
    }
}

void TalusStream::lose(talus_drv_status status, const char* what) {
    const std::string message = talus_drv_last_error();
    // Of a long copy some pieces are missing even if this one was done after all.
    if (status == TALUS_DRV_TIMEOUT)
        static_cast<void>(ended_after_all(message));
    broken_ = true;
    const talus_status meaning = card_.status_of(status);
    discard();
    fail(meaning, "{}: {} ({})", what, message, talus_drv_status_name(status));
}

bool TalusStream::ended_after_all(const std::string& message) {
    talus_drv_recovery recovery = TALUS_DRV_INIT(talus_drv_recovery);
    const talus_drv_status status = card_.recover(queue_, recovery);
    if (status == TALUS_DRV_OK && recovery.rung == TALUS_DRV_RUNG_NONE)
        return true;
    broken_ = true;
    discard();
    if (status != TALUS_DRV_OK)
        fail(TALUS_ERROR_DEVICE_LOST, "the device does not answer, nor to a reset: {}; {}", message,
             talus_drv_last_error());
    fail(recovery.rung == TALUS_DRV_RUNG_ABORT ? TALUS_ERROR_TIMEOUT : TALUS_ERROR_DEVICE_LOST,
         "the device does not answer, and was freed by {} in {:.3f} s: {}",
         talus_drv_rung_name(static_cast<talus_drv_rung>(recovery.rung)),
         static_cast<double>(recovery.wall_us) * 1e-6, message);
}

TalusStream::Staged TalusStream::stage(std::uint64_t bytes) {
    const std::uint64_t needed = rounded(std::max<std::uint64_t>(bytes, 1), kAlignment);
    for (Staging::Block& block : staging_.blocks)
        if (block.memory.bytes - block.used >= needed) {
            const Staged staged{static_cast<std::byte*>(block.memory.pointer) + block.used,
                                block.memory.iova + block.used};
            block.used += needed;
            return staged;
        }
    Staging::Block block;
    if (const talus_drv_status status =
            talus_drv_host_alloc(card_.driver(), std::max(needed, kBlockBytes), 0, &block.memory);
        status != TALUS_DRV_OK)
        fail(card_.status_of(status), "no DMA memory: {}", talus_drv_last_error());
    block.used = needed;
    staging_.blocks.push_back(block);
    return {block.memory.pointer, block.memory.iova};
}

void TalusStream::copy(void* destination, const void* source, std::size_t bytes,
                       kernels::CopyKind kind) {
    if (bytes == 0)
        return;
    if (broken_)
        fail(card_.lost() ? TALUS_ERROR_DEVICE_LOST : TALUS_ERROR_DEVICE,
             "the queue was lost by an earlier error");
    talus_drv_command command{};
    command.copy.bytes = bytes;
    const auto to = reinterpret_cast<std::uint64_t>(destination);
    const auto from = reinterpret_cast<std::uint64_t>(source);
    if (kind == kernels::CopyKind::kDeviceToDevice) {
        command.opcode = TALUS_DRV_COPY_D2D;
        command.copy.source = from;
        command.copy.destination = to;
        commands_.push_back(command);
        return;
    }
    const bool in = kind == kernels::CopyKind::kHostToDevice;
    const void* host = in ? source : destination;
    std::uint64_t iova = card_.iova_of(host, bytes);
    if (iova == 0 && bytes > kLargestStaged) {
        synchronize();
        const talus_drv_status status = in ? talus_drv_copy_in(queue_, to, source, bytes)
                                           : talus_drv_copy_out(queue_, destination, from, bytes);
        if (status != TALUS_DRV_OK)
            lose(status, "copy failed");
        return;
    }
    if (iova == 0) {
        const Staged staged = stage(bytes);
        iova = staged.iova;
        if (in)
            std::memcpy(staged.pointer, source, bytes);
        else
            arrivals_.push_back({staged.pointer, destination, bytes});
    }
    command.opcode = in ? TALUS_DRV_COPY_H2D : TALUS_DRV_COPY_D2H;
    command.copy.source = in ? iova : from;
    command.copy.destination = in ? to : iova;
    commands_.push_back(command);
}

void TalusStream::launch(const kernels::Node& node, const kernels::TalusKernel& kernel,
                         const void* packed, void* workspace) {
    if (broken_)
        fail(card_.lost() ? TALUS_ERROR_DEVICE_LOST : TALUS_ERROR_DEVICE,
             "the queue was lost by an earlier error");
    const LoadedKernel& image = card_.kernel(kernel.image);
    const std::uint64_t bytes = rounded(kernel.args_bytes, kAlignment);
    if (bytes > card_.info().max_args_bytes || bytes > kArgumentBytes)
        fail(TALUS_ERROR_UNSUPPORTED, "the argument block of '{}' has {} bytes", kernel.image,
             kernel.args_bytes);
    if (arguments_used_ + bytes > kArgumentBytes)
        submit_batch();
    auto* block = static_cast<std::byte*>(arguments_.pointer) + arguments_used_;
    kernels::Diagnostic diagnostic;
    runtime::check(kernel.encode(node, card_.capabilities(),
                                 reinterpret_cast<std::uint64_t>(packed),
                                 reinterpret_cast<std::uint64_t>(workspace), block, &diagnostic),
                   diagnostic, kernel.image);
    Launched launched;
    launched.command = commands_.size();
    launched.image = kernel.image;
    launched.kernel = &kernel;
    const kernels::RegistryEntry* entry = kernels::find_operator(node.op);
    launched.attributes.resize(entry->op->attributes_bytes);
    if (node.attributes != nullptr)
        std::memcpy(launched.attributes.data(), node.attributes, launched.attributes.size());
    launched.inputs.assign(node.inputs, node.inputs + node.input_count);
    launched.outputs.assign(node.outputs, node.outputs + node.output_count);
    launched_.push_back(std::move(launched));

    talus_drv_command command{};
    command.opcode = TALUS_DRV_LAUNCH;
    command.launch.entry = image.entry;
    command.launch.args = device_arguments_ + arguments_used_;
    command.launch.args_bytes = kernel.args_bytes;
    commands_.push_back(command);
    arguments_used_ += bytes;
}

// Which launch failed, and what its fault record says.
void TalusStream::explain_failure(const talus_drv_completion& completion) {
    const auto launch =
        std::find_if(launched_.begin(), launched_.end(), [&](const Launched& candidate) {
            return candidate.command == completion.user_data;
        });
    const std::string status = talus_drv_device_status_name(completion.device_status);
    if (launch == launched_.end())
        fail(TALUS_ERROR_DEVICE, "a copy failed: {}", status);
    talus_drv_fault fault = TALUS_DRV_INIT(talus_drv_fault);
    if (talus_drv_get_fault(queue_, &fault) != TALUS_DRV_OK)
        fail(TALUS_ERROR_DEVICE, "kernel '{}' failed: {} (no fault record: {})", launch->image,
             status, talus_drv_last_error());
    if (TALUS_STATUS_BASE(completion.device_status) == TALUS_KERNEL_ERROR &&
        launch->kernel->explain != nullptr) {
        kernels::Node node;
        const std::string op = launch->image;
        node.op = op.c_str();
        node.attributes = launch->attributes.data();
        node.inputs = launch->inputs.data();
        node.input_count = static_cast<std::int32_t>(launch->inputs.size());
        node.outputs = launch->outputs.data();
        node.output_count = static_cast<std::int32_t>(launch->outputs.size());
        kernels::Diagnostic diagnostic;
        runtime::check(launch->kernel->explain(node, fault.cause, fault.detail, &diagnostic),
                       diagnostic, "on the device");
    }
    // Of a job that can't go on, or has overstayed its time, another try may come out well.
    const std::uint16_t base = TALUS_STATUS_BASE(completion.device_status);
    const bool hung = base == TALUS_KERNEL_DEADLOCK || base == TALUS_KERNEL_TIMEOUT;
    if (hung)
        card_.note_hang();
    const LoadedKernel& image = card_.kernel(launch->image);
    const std::uint64_t offset = fault.pc - fault.kernel_entry;
    const bool inside = fault.pc >= fault.kernel_entry && offset < image.bytes;
    const std::string core = fault.core == 0xff ? "control core"
                             : fault.core == 0  ? "core A"
                                                : "core B";
    fail(hung ? TALUS_ERROR_TIMEOUT : TALUS_ERROR_DEVICE,
         "kernel '{}' failed on PE ({},{}) {}: {}: {} (cause {}, tval {:#x}) at pc {:#x} ({}), "
         "device "
         "clock {}",
         launch->image, fault.row, fault.col, core, status, cause_name(fault.cause), fault.cause,
         fault.tval, fault.pc,
         inside ? image.locate(launch->image, offset) : std::string("outside the kernel"),
         fault.cycle);
}

void TalusStream::submit_chunk(std::vector<talus_drv_command> commands) {
    std::size_t records = 0;
    if (card_.profile())
        for (talus_drv_command& command : commands)
            if (command.opcode == TALUS_DRV_LAUNCH)
                command.launch.perf = device_records_ + records++ * TALUS_PERF_RECORD_BYTES;
    if (records > 0) {
        talus_drv_command copy{};
        copy.opcode = TALUS_DRV_COPY_D2H;
        copy.user_data = kRecordsTag;
        copy.copy.source = device_records_;
        copy.copy.destination = records_.iova;
        copy.copy.bytes = records * TALUS_PERF_RECORD_BYTES;
        commands.push_back(copy);
    }
    const std::size_t count = commands.size();
    std::vector<talus_drv_completion> done(count);
    if (const talus_drv_status status = talus_drv_submit(queue_, commands.data(), count, nullptr);
        status != TALUS_DRV_OK)
        lose(status, "submission failed");
    std::size_t taken = 0;
    talus_drv_status waited = talus_drv_wait(queue_, done.data(), count, count, &taken, 0);
    if (waited == TALUS_DRV_TIMEOUT && ended_after_all(talus_drv_last_error())) {
        std::size_t rest = 0;
        waited =
            talus_drv_wait(queue_, done.data() + taken, count - taken, count - taken, &rest, 0);
        taken += rest;
    }
    if (waited != TALUS_DRV_OK)
        lose(waited, "the device does not answer");
    if (taken != count)
        lose(TALUS_DRV_PROTOCOL, "completions are missing");
    std::uint64_t whole = 0;
    for (const talus_drv_completion& completion : done) {
        if (completion.device_status != 0) { // later ones of the batch are aborted
            const talus_drv_completion copy = completion;
            try {
                explain_failure(copy);
            } catch (...) {
                discard();
                throw;
            }
        }
        if (completion.user_data == kRecordsTag)
            continue; // the price of looking is not the work's
        whole = std::max(whole, completion.device_cycles);
        const bool arguments = completion.user_data == kArgumentsTag;
        const std::uint32_t opcode = arguments ? static_cast<std::uint32_t>(TALUS_DRV_COPY_H2D)
                                               : commands_.at(completion.user_data).opcode;
        if (opcode == TALUS_DRV_LAUNCH)
            profile_.launches.push_back({completion.exec_cycles, completion.launch_cycles});
        else if (opcode == TALUS_DRV_COPY_D2H)
            profile_.copies_out.add(completion.exec_cycles, completion.result);
        else
            profile_.copies_in.add(completion.exec_cycles, completion.result);
        if (!arguments)
            marks_[submitted_ + completion.user_data + 1] = clock_ + completion.device_cycles;
    }
    const auto* stored = static_cast<const talus_perf_record*>(records_.pointer);
    profile_.records.insert(profile_.records.end(), stored, stored + records);
    clock_ += whole;
    profile_.whole += whole;
}

void TalusStream::submit_batch() {
    if (commands_.empty())
        return;
    std::vector<talus_drv_command> batch;
    if (arguments_used_ > 0) {
        talus_drv_command arguments{};
        arguments.opcode = TALUS_DRV_COPY_H2D;
        arguments.user_data = kArgumentsTag;
        arguments.copy.source = arguments_.iova;
        arguments.copy.destination = device_arguments_;
        arguments.copy.bytes = arguments_used_;
        batch.push_back(arguments);
    }
    for (std::size_t i = 0; i < commands_.size(); ++i) {
        commands_[i].user_data = i;
        batch.push_back(commands_[i]);
    }
    marks_.clear();
    const std::size_t room = capacity_ - (card_.profile() ? 1 : 0);
    for (std::size_t first = 0; first < batch.size(); first += room) {
        const std::size_t count = std::min(room, batch.size() - first);
        const auto begin = batch.begin() + static_cast<std::ptrdiff_t>(first);
        submit_chunk({begin, begin + static_cast<std::ptrdiff_t>(count)});
    }
    submitted_ += commands_.size();
    commands_.clear();
    launched_.clear();
    arguments_used_ = 0;
}

void TalusStream::synchronize() {
    submit_batch();
    for (const Arrival& arrival : arrivals_)
        std::memcpy(arrival.destination, arrival.staged, arrival.bytes);
    arrivals_.clear();
    for (Staging::Block& block : staging_.blocks)
        block.used = 0;
}

void TalusStream::discard() {
    submitted_ += commands_.size();
    commands_.clear();
    launched_.clear();
    arrivals_.clear();
    arguments_used_ = 0;
    profile_ = {};
    if (!broken_)
        for (Staging::Block& block : staging_.blocks)
            block.used = 0;
}

std::uint64_t TalusStream::cycles_at(std::uint64_t position) const {
    const auto found = marks_.find(position);
    return found == marks_.end() ? clock_ : found->second;
}

runtime::DeviceProfile TalusStream::take_profile() {
    return std::exchange(profile_, {});
}

} // namespace talus::targets
