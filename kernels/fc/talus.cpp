// The host's half of the accelerator's fully connected kernel (device.c).
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/common/implementation.hpp"
#include "kernels/common/talus_views.hpp"
#include "kernels/fc/args.h"
#include "kernels/fc/op.hpp"
#include "talus/hw/instructions.h"

namespace talus::kernels::fc {
namespace {

constexpr int64_t kTile = TALUS_FC_TILE;

size_t bias_bytes(int64_t n) {
    return static_cast<size_t>(round_up(n, kTile)) * sizeof(float);
}
int64_t weights_pitch(int64_t k) {
    return round_up(k * 2, kTalusPitch);
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
    return bias_bytes(w.shape[0]) + static_cast<size_t>(w.shape[0] * weights_pitch(w.shape[1]));
}

Status prepack(const Node& node, const Capabilities& device, void* packed, Diagnostic* diagnostic) {
    const TensorView& w = node.input(1);
    std::memset(packed, 0, packed_bytes(node, device));
    auto* bias = static_cast<float*>(packed);
    for (int64_t n = 0; node.has_input(2) && n < w.shape[0]; ++n)
        bias[n] = static_cast<float>(load_f64(node.input(2), n * node.input(2).strides[0]));
    auto* rows = static_cast<uint8_t*>(packed) + bias_bytes(w.shape[0]);
    long long overflows = 0;
    for (int64_t n = 0; n < w.shape[0]; ++n) {
        auto* row = reinterpret_cast<uint16_t*>(rows + n * weights_pitch(w.shape[1]));
        for (int64_t k = 0; k < w.shape[1]; ++k) {
            const auto value = static_cast<float>(load_f64(w, n * w.strides[0] + k * w.strides[1]));
            row[k] = float_to_half(value);
            overflows += std::isfinite(value) && (row[k] & 0x7fffU) == 0x7c00U;
        }
    }
    if (overflows > 0)
        fail(diagnostic, Status::kOk, "fc: %lld weights overflow float16", overflows);
    return Status::kOk;
}

size_t workspace_bytes(const Node&, const Capabilities&) {
    return 0;
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
    block.weights_pitch = static_cast<uint32_t>(weights_pitch(x.shape[1]));
    block.batch = static_cast<uint32_t>(x.shape[0]);
    block.n = static_cast<uint32_t>(y.shape[1]);
    block.k = static_cast<uint32_t>(x.shape[1]);
    // Blocks of 2 x 2 tiles halve the traffic for operands, but only where every PE still gets one.
    const int64_t tiles = round_up(x.shape[0], 2 * kTile) / (2 * kTile) *
                          (round_up(y.shape[1], 2 * kTile) / (2 * kTile));
    block.block = tiles >= static_cast<int64_t>(device.grid_rows) * device.grid_columns ? 2 : 1;
    // Long chunks make long rows, which the shared SRAM serves best (a DLRM layer of 1999 x 256 x
    // 512 takes 11.1 thousand clocks with chunks of 512, 13.0 with 256, 14.5 with 128). W takes up
    // to 128 KiB, which holds all of k where that is possible (with room for the next columns where
    // k is short), and X up to 128 KiB.
    constexpr int64_t kChunk = 512;
    constexpr int64_t kOperandBytes = int64_t{128} << 10;
    block.chunk = static_cast<uint32_t>(std::min(round_up(x.shape[1], kTile), kChunk));
    const int64_t slot = int64_t{block.block} * kTile * block.chunk * 2;
    const int64_t chunks = round_up(x.shape[1], block.chunk) / block.chunk;
    const int64_t most = kOperandBytes / slot;
    block.resident = chunks <= most;
    block.w_slots = static_cast<uint32_t>(std::min(most, std::max<int64_t>(2 * chunks, 4)));
    block.x_slots = static_cast<uint32_t>(std::min<int64_t>(most, 8));
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
    std::memcpy(args, &block, sizeof block);
    return Status::kOk;
}

} // namespace

extern const TalusKernel kTalus;
const TalusKernel kTalus{"fc",    sizeof(talus_fc_args), supports, packed_bytes,
                         prepack, workspace_bytes,       encode,   nullptr};

} // namespace talus::kernels::fc
