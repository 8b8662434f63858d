// The host's half of the accelerator's dynamic INT8 kernel (device.c).
#include <algorithm>
#include <cstring>

#include "kernels/common/implementation.hpp"
#include "kernels/common/talus_views.hpp"
#include "kernels/fc_int8/args.h"
#include "kernels/fc_int8/op.hpp"
#include "talus/hw/instructions.h"

namespace talus::kernels::fc_int8 {
namespace {

constexpr int64_t kTile = TALUS_FC_INT8_TILE;

int64_t pitch_of(int64_t k) {
    return round_up(k, kTalusPitch);
}
int64_t column_bytes(int64_t n) {
    return round_up(n, kTile) * static_cast<int64_t>(sizeof(talus_column_scale));
}
int64_t row_bytes(int64_t batch) {
    return round_up(batch * static_cast<int64_t>(sizeof(talus_row_scale)), kTalusPitch);
}

Status supports(const Node& node, const Capabilities& device, Diagnostic* reason) {
    const TensorView& x = node.input(0);
    const TensorView& y = node.output();
    if (x.dtype != DType::kFloat16)
        return fail(reason, Status::kUnsupported, "fc_int8: X must be float16 on talus, is %s",
                    name_of(x.dtype));
    if (y.dtype != DType::kFloat16 && y.dtype != DType::kFloat32)
        return fail(reason, Status::kUnsupported, "fc_int8: Y is %s", name_of(y.dtype));
    if (device.grid_rows == 0 || device.grid_columns == 0)
        return fail(reason, Status::kUnsupported, "fc_int8: the device has no PEs");
    if (const Status status = require_rows("fc_int8", "X", x, reason); status != Status::kOk)
        return status;
    if (const Status status = require_rows("fc_int8", "Y", y, reason); status != Status::kOk)
        return status;
    // Two rows of X beside two quantised ones.
    constexpr int64_t kLongestRow = 32768;
    constexpr int64_t kMaxExtent = int64_t{1} << 30;
    if (x.shape[1] > kLongestRow)
        return fail(reason, Status::kUnsupported,
                    "fc_int8: rows of %lld elements; %lld fit a PE's local memory",
                    static_cast<long long>(x.shape[1]), static_cast<long long>(kLongestRow));
    if (x.shape[0] > kMaxExtent || y.shape[1] > kMaxExtent)
        return fail(reason, Status::kUnsupported, "fc_int8: an extent is above 2^30");
    return Status::kOk;
}

size_t packed_bytes(const Node& node, const Capabilities&) {
    const TensorView& w = node.input(1);
    return static_cast<size_t>(column_bytes(w.shape[0]) + w.shape[0] * pitch_of(w.shape[1]));
}

Status prepack(const Node& node, const Capabilities& device, void* packed, Diagnostic*) {
    const TensorView& w = node.input(1);
    std::memset(packed, 0, packed_bytes(node, device));
    auto* columns = static_cast<talus_column_scale*>(packed);
    auto* rows = static_cast<int8_t*>(packed) + column_bytes(w.shape[0]);
    for (int64_t n = 0; n < w.shape[0]; ++n) {
        const auto scale =
            static_cast<float>(load_f64(node.input(2), n * node.input(2).strides[0]));
        const auto bias = static_cast<float>(
            node.has_input(3) ? load_f64(node.input(3), n * node.input(3).strides[0]) : 0.0);
        int32_t sum = 0;
        int8_t* row = rows + n * pitch_of(w.shape[1]);
        for (int64_t k = 0; k < w.shape[1]; ++k) {
            row[k] = w.as<const int8_t>()[n * w.strides[0] + k * w.strides[1]];
            sum += row[k];
        }
        columns[n] = {float_bits(scale), sum, float_bits(bias), 0};
    }
    return Status::kOk;
}

size_t workspace_bytes(const Node& node, const Capabilities&) {
    const TensorView& x = node.input(0);
    return static_cast<size_t>(row_bytes(x.shape[0]) + x.shape[0] * pitch_of(x.shape[1]));
}

void split_product(int64_t batch, int64_t n, int64_t k, int64_t pes, talus_fc_int8_args& block) {
    // Long chunks make long rows, which the shared SRAM serves best.
    constexpr int64_t kChunk = 512;
    constexpr int64_t kStripBytes = int64_t{256} << 10;
    const int64_t chunk = std::min(round_up(k, 64), kChunk);
    const int64_t chunks = round_up(k, chunk) / chunk;
    const auto items = [&](int64_t strip) {
        return round_up(batch, strip * kTile) / (strip * kTile) * (round_up(n, kTile) / kTile);
    };
    // A higher strip reads W less often, but only where every PE still gets an item, and a strip
    // that stays in local memory beats a higher one that does not.
    int64_t strip = 4;
    while (strip > 1 && (items(strip) < pes || strip * kTile * chunk * chunks > kStripBytes))
        strip /= 2;
    block.resident = strip * kTile * chunk * chunks <= kStripBytes;
    if (block.resident == 0)
        for (strip = 4; strip > 1 && items(strip) < pes;)
            strip /= 2;
    block.chunk = static_cast<uint32_t>(chunk);
    block.strip = static_cast<uint32_t>(strip);
    const int64_t most = kStripBytes / (strip * kTile * chunk);
    // Room for the next strip where there is.
    block.x_slots =
        static_cast<uint32_t>(block.resident != 0 ? std::min(most / chunks, int64_t{2}) * chunks
                                                  : std::min<int64_t>(most, 4));
    block.w_slots = 4;
}

Status encode(const Node& node, const Capabilities& device, uint64_t packed, uint64_t workspace,
              void* args, Diagnostic*) {
    const TensorView& x = node.input(0);
    const TensorView& y = node.output();
    const int64_t batch = x.shape[0];
    const int64_t k = x.shape[1];
    talus_fc_int8_args block{};
    block.x = address_of(x);
    block.y = address_of(y);
    block.columns = packed;
    block.weights = packed + static_cast<uint64_t>(column_bytes(y.shape[1]));
    block.rows = workspace;
    block.quantized = workspace + static_cast<uint64_t>(row_bytes(batch));
    block.x_pitch = static_cast<uint32_t>(row_pitch(x));
    block.y_pitch = static_cast<uint32_t>(row_pitch(y));
    block.pitch = static_cast<uint32_t>(pitch_of(k));
    block.batch = static_cast<uint32_t>(batch);
    block.n = static_cast<uint32_t>(y.shape[1]);
    block.k = static_cast<uint32_t>(k);
    const int64_t pes = static_cast<int64_t>(device.grid_rows) * device.grid_columns;
    // Blocks of 16 KiB keep the three stages (DMA, range, quantisation) of the pass short.
    constexpr int64_t kBlockBytes = int64_t{16} << 10;
    const int64_t share = std::max<int64_t>((batch + pes - 1) / pes, 1);
    const int64_t fitting = kBlockBytes / round_up(k * 2, kTalusPitch);
    block.row_block =
        static_cast<uint32_t>(std::clamp<int64_t>(std::min(fitting, share), 1, kTile));
    block.row_slots = fitting >= 1 ? 4 : 2;
    split_product(batch, y.shape[1], k, pes, block);
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
const TalusKernel kTalus{
    "fc_int8", sizeof(talus_fc_int8_args), supports, packed_bytes, prepack, workspace_bytes, encode,
    nullptr};

} // namespace talus::kernels::fc_int8
