// The host's half of the accelerator's fully connected kernel (device.c).
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/common/implementation.hpp"
#include "kernels/common/talus_views.hpp"
#include "kernels/fc/args.h"
#include "kernels/fc/op.hpp"
#include "talus/hw/address_map.h"
#include "talus/hw/instructions.h"

namespace talus::kernels::fc {
namespace {

constexpr int64_t kTile = TALUS_FC_TILE;
constexpr int64_t kPanel = TALUS_FC_PANEL;
constexpr int64_t kGroup = TALUS_FC_GROUP;

size_t bias_bytes(int64_t n) {
    return static_cast<size_t>(round_up(n * static_cast<int64_t>(sizeof(float)), kTalusBlock));
}
size_t weights_bytes(int64_t n, int64_t k) {
    return static_cast<size_t>(n) * talus_fc_row_bytes(static_cast<uint32_t>(k));
}

Status supports(const Node& node, const Capabilities& device, Diagnostic* reason) {
    const TensorView& x = node.input(0);
    const TensorView& y = node.output();
    if (x.dtype != DType::kFloat16)
        return fail(reason, Status::kUnsupported, "fc: X must be float16 on talus, is %s",
                    name_of(x.dtype));
    if (y.dtype != DType::kFloat16 && y.dtype != DType::kFloat32)
        return fail(reason, Status::kUnsupported, "fc: Y is %s", name_of(y.dtype));
    for (const int32_t i : {1, 2})
        if (node.has_input(i) && node.input(i).dtype == DType::kFloat64)
            return fail(reason, Status::kUnsupported, "fc: float64 constants");
    if (device.grid_rows == 0 || device.grid_columns == 0)
        return fail(reason, Status::kUnsupported, "fc: the device has no PEs");
    if (const Status status = require_rows("fc", "X", x, reason); status != Status::kOk)
        return status;
    if (const Status status = require_rows("fc", "Y", y, reason); status != Status::kOk)
        return status;
    constexpr int64_t kMaxExtent = int64_t{1} << 30;
    if (x.shape[0] > kMaxExtent || x.shape[1] > kMaxExtent || y.shape[1] > kMaxExtent)
        return fail(reason, Status::kUnsupported, "fc: an extent is above 2^30");
    return Status::kOk;
}

size_t packed_bytes(const Node& node, const Capabilities&) {
    const TensorView& w = node.input(1);
    return bias_bytes(w.shape[0]) + weights_bytes(w.shape[0], w.shape[1]);
}

Status prepack(const Node& node, const Capabilities& device, void* packed, Diagnostic* diagnostic) {
    const TensorView& w = node.input(1);
    std::memset(packed, 0, packed_bytes(node, device));
    auto* bias = static_cast<float*>(packed);
    for (int64_t n = 0; node.has_input(2) && n < w.shape[0]; ++n)
        bias[n] = static_cast<float>(load_f64(node.input(2), n * node.input(2).strides[0]));
    auto* weights = static_cast<uint8_t*>(packed) + bias_bytes(w.shape[0]);
    const int64_t k_all = w.shape[1];
    const auto full = static_cast<int64_t>(talus_fc_full_slices(static_cast<uint32_t>(k_all)));
    long long overflows = 0;
    for (int64_t n = 0; n < w.shape[0]; ++n) {
        const int64_t group = n / kGroup * kGroup;
        const int64_t rows = std::min(kGroup, w.shape[0] - group);
        uint8_t* slice = weights + weights_bytes(group, k_all);
        for (int64_t s = 0; s <= full; ++s) {
            const int64_t pitch = s < full
                                      ? int64_t{TALUS_FC_SLICE_BYTES}
                                      : int64_t{talus_fc_tail_pitch(static_cast<uint32_t>(k_all))};
            auto* row = reinterpret_cast<uint16_t*>(slice + (n - group) * pitch);
            const int64_t first = s * TALUS_FC_SLICE;
            const int64_t end = std::min<int64_t>(first + TALUS_FC_SLICE, k_all);
            for (int64_t k = first; k < end; ++k) {
                const auto value =
                    static_cast<float>(load_f64(w, n * w.strides[0] + k * w.strides[1]));
                const uint16_t half = float_to_half(value);
                row[k - first] = half;
                overflows += std::isfinite(value) && (half & 0x7fffU) == 0x7c00U;
            }
            slice += rows * pitch;
        }
    }
    if (overflows > 0)
        fail(diagnostic, Status::kOk, "fc: %lld weights overflow float16", overflows);
    return Status::kOk;
}

size_t workspace_bytes(const Node&, const Capabilities&) {
    return 0;
}

// Blocks of Y, each read and computed by one PE.
void schedule_blocks(talus_fc_args& block, const Capabilities& device) {
    block.schedule = TALUS_FC_BLOCKS;
    // Blocks of 2 x 2 tiles halve the traffic for operands, but only where every PE still gets one.
    const int64_t tiles = round_up(block.batch, 2 * kTile) / (2 * kTile) *
                          (round_up(block.n, 2 * kTile) / (2 * kTile));
    block.block = tiles >= static_cast<int64_t>(device.grid_rows) * device.grid_columns ? 2 : 1;
    // Long chunks make long rows of X, which the shared SRAM serves best. W takes up to 128 KiB,
    // which holds all of k where that is possible (with room for the next columns where k is
    // short), and X up to 128 KiB.
    constexpr int64_t kChunk = 4 * TALUS_FC_SLICE;
    constexpr int64_t kOperandBytes = int64_t{128} << 10;
    block.chunk = static_cast<uint32_t>(std::min(round_up(block.k, kTile), kChunk));
    const int64_t slot = int64_t{block.block} * kTile * block.chunk * 2;
    const int64_t chunks = round_up(block.k, block.chunk) / block.chunk;
    const int64_t most = kOperandBytes / slot;
    block.resident = chunks <= most;
    block.w_slots = static_cast<uint32_t>(std::min(most, std::max<int64_t>(2 * chunks, 4)));
    block.x_slots = static_cast<uint32_t>(std::min<int64_t>(most, 8));
}

// The whole grid on one product, if its shape fills it.
bool schedule_grid(talus_fc_args& block, const Capabilities& device) {
    const int64_t rows = device.grid_rows;
    const int64_t columns = device.grid_columns;
    const int64_t panels = round_up(block.n, kPanel) / kPanel;
    const int64_t per_column = round_up(panels, columns) / columns;
    // Every row of PEs needs strips that keep the DPE busy, and the panels must not leave columns
    // of PEs idle for more than a quarter of the time.
    const bool fills = block.batch >= rows * kTile && panels >= columns &&
                       4 * panels >= 3 * per_column * columns && block.k >= TALUS_FC_SLICE;
    if (!fills)
        return false;
    block.schedule = TALUS_FC_GRID;
    constexpr int64_t kSlot = kPanel * TALUS_FC_SLICE_BYTES;
    const int64_t y_block = kPanel * kPanel * (block.y_type == TALUS_CP_FP32 ? 4 : 2);
    const int64_t slots =
        (static_cast<int64_t>(device.local_memory_bytes) - 2 * (y_block + kPanel * 4)) / kSlot;
    const int64_t slices = int64_t{talus_fc_full_slices(block.k)} + 1;
    constexpr int64_t kFewest = 3; // slices of W: one in use, two under way
    block.resident = slices + kFewest <= slots;
    block.x_slots = static_cast<uint32_t>(block.resident ? slices : slots / 2);
    block.w_slots = static_cast<uint32_t>(block.resident ? std::min<int64_t>(slots - slices, 8)
                                                         : slots - slots / 2);
    // A strip that stays is read once whatever the number of panels; otherwise the PEs of a row ask
    // for it equally often only if they have equally many panels.
    block.x_broadcast = block.resident || panels % columns == 0;
    // Where X streams as well, it takes a PE's requests in flight from W: the shared SRAM's cache
    // fetches W instead. Two slices ahead: more of them than DRAM needs come in the way of each
    // other's open rows (of a pure stream, K = 26592: none 80 %, one 99.5 %, two 99.4 %, three
    // 98.8 %, six 98.4 %).
    block.prefetch = !block.resident && block.weights >= TALUS_DRAM_BASE ? 2 : 0;
    return true;
}

Status encode(const Node& node, const Capabilities& device, uint64_t packed, uint64_t, void* args,
              Diagnostic*) {
    const TensorView& x = node.input(0);
    const TensorView& y = node.output();
    talus_fc_args block{};
    block.x = address_of(x);
    block.y = address_of(y);
    block.bias = packed;
    block.weights = packed + bias_bytes(y.shape[1]);
    block.x_pitch = static_cast<uint32_t>(row_pitch(x));
    block.y_pitch = static_cast<uint32_t>(row_pitch(y));
    block.batch = static_cast<uint32_t>(x.shape[0]);
    block.n = static_cast<uint32_t>(y.shape[1]);
    block.k = static_cast<uint32_t>(x.shape[1]);
    switch (node.as<Attributes>().activation) {
    case Activation::kNone:
        block.activation = TALUS_SE_NONE;
        break;
    case Activation::kRelu:
        block.activation = TALUS_SE_RELU;
        break;
    case Activation::kSigmoid:
        block.activation = TALUS_SE_SIGMOID;
        break;
    }
    block.y_type = y.dtype == DType::kFloat32 ? TALUS_CP_FP32 : TALUS_CP_FP16;
    if (!schedule_grid(block, device))
        schedule_blocks(block, device);
    std::memcpy(args, &block, sizeof block);
    return Status::kOk;
}

} // namespace

extern const TalusKernel kTalus;
const TalusKernel kTalus{"fc",    sizeof(talus_fc_args), supports, packed_bytes,
                         prepack, workspace_bytes,       encode,   nullptr};

} // namespace talus::kernels::fc
