// The host's half of the accelerator's embedding kernel (device.c, vector.c).
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/common/implementation.hpp"
#include "kernels/common/talus_views.hpp"
#include "kernels/tbe/args.h"
#include "kernels/tbe/op.hpp"
#include "talus/hw/instructions.h"

namespace talus::kernels::tbe {
namespace {

// Rows are FP16 unless the node asks for FP32 (Attributes::stored).
DType stored_type(const Attributes& attributes) {
    return attributes.stored == DType::kFloat32 ? DType::kFloat32 : DType::kFloat16;
}

int64_t stored_pitch(const Attributes& attributes, const Table& table) {
    // Rows of up to 64 bytes do not straddle a 64-byte line if their pitch is a power of two.
    const int64_t bytes = table.width * static_cast<int64_t>(size_of(stored_type(attributes)));
    int64_t pitch = 4;
    while (pitch < bytes && pitch < kTalusPitch)
        pitch *= 2;
    return bytes > kTalusPitch ? round_up(bytes, 32) : pitch;
}

int64_t descriptors_bytes(const Attributes& attributes) {
    return round_up(attributes.table_count * static_cast<int64_t>(sizeof(talus_tbe_table)),
                    kTalusBlock);
}

int32_t widest(const Attributes& attributes) {
    int32_t width = 1;
    for (int32_t t = 0; t < attributes.table_count; ++t)
        width = std::max(width, attributes.tables[t].width);
    return width;
}

Status supports(const Node& node, const Capabilities& device, Diagnostic* reason) {
    const Attributes& a = node.as<Attributes>();
    const TensorView& indices = node.input(1);
    const TensorView& y = node.output();
    if (device.grid_rows == 0 || device.grid_columns == 0)
        return fail(reason, Status::kUnsupported, "tbe: the device has no PEs");
    if (y.dtype != DType::kFloat16 && y.dtype != DType::kFloat32)
        return fail(reason, Status::kUnsupported, "tbe: the output is %s", name_of(y.dtype));
    if (a.table_count > static_cast<int32_t>(TALUS_TBE_MAX_TABLES))
        return fail(reason, Status::kUnsupported, "tbe: more than %u tables", TALUS_TBE_MAX_TABLES);
    for (int32_t t = 0; t < a.table_count; ++t)
        if (a.tables[t].width > static_cast<int32_t>(TALUS_TBE_MAX_WIDTH) ||
            a.tables[t].rows > INT32_MAX)
            return fail(reason, Status::kUnsupported,
                        "tbe: table %d (%lld rows of %d) exceeds 2^31 - 1 rows of %u", t,
                        static_cast<long long>(a.tables[t].rows), a.tables[t].width,
                        TALUS_TBE_MAX_WIDTH);
    if (indices.elements() > INT32_MAX || batch_of(node) > INT32_MAX)
        return fail(reason, Status::kUnsupported, "tbe: more than 2^31 - 1 indices");
    if (node.has_input(2)) {
        if ((indices.shape[0] > 1 && indices.strides[0] != 1) ||
            (node.input(2).shape[0] > 1 && node.input(2).strides[0] != 1))
            return fail(reason, Status::kUnsupported, "tbe: indices and offsets must be dense");
    } else if (indices.shape[2] > 1 &&
               (indices.strides[2] != 1 ||
                (indices.shape[1] > 1 && indices.strides[1] != indices.shape[2]))) {
        return fail(reason, Status::kUnsupported,
                    "tbe: the indices of one table must be consecutive");
    }
    for (int d = 0; d < indices.rank; ++d)
        if (indices.strides[d] < 0)
            return fail(reason, Status::kUnsupported, "tbe: negative strides");
    return require_rows("tbe", "the output", y, reason);
}

size_t packed_bytes(const Node& node, const Capabilities&) {
    const Attributes& a = node.as<Attributes>();
    int64_t bytes = descriptors_bytes(a);
    for (int32_t t = 0; t < a.table_count; ++t)
        bytes += round_up(a.tables[t].rows * stored_pitch(a, a.tables[t]), kTalusBlock);
    return static_cast<size_t>(bytes);
}

Status prepack(const Node& node, const Capabilities& device, void* packed, Diagnostic* diagnostic) {
    const Attributes& a = node.as<Attributes>();
    std::memset(packed, 0, packed_bytes(node, device));
    auto* base = static_cast<uint8_t*>(packed);
    int64_t offset = descriptors_bytes(a);
    long long overflows = 0;
    const DType stored = stored_type(a);
    for (int32_t t = 0; t < a.table_count; ++t) {
        const Table& table = a.tables[t];
        const int64_t pitch = stored_pitch(a, table);
        talus_tbe_table descriptor{};
        descriptor.offset = static_cast<uint64_t>(offset);
        descriptor.rows = static_cast<uint64_t>(table.rows);
        descriptor.width = static_cast<uint32_t>(table.width);
        descriptor.pitch = static_cast<uint32_t>(pitch);
        descriptor.column = static_cast<uint32_t>(table.column);
        descriptor.type = stored == DType::kFloat32 ? TALUS_CP_FP32 : TALUS_CP_FP16;
        std::memcpy(base + static_cast<size_t>(t) * sizeof descriptor, &descriptor,
                    sizeof descriptor);
        TensorView source;
        source.data = node.input(0).as<uint8_t>() + table.byte_offset;
        source.dtype = table.dtype;
        for (int64_t r = 0; r < table.rows; ++r)
            for (int64_t c = 0; c < table.width; ++c) {
                const auto value = static_cast<float>(load_f64(source, r * table.width + c));
                uint8_t* to = base + offset + r * pitch + c * static_cast<int64_t>(size_of(stored));
                if (stored == DType::kFloat32) {
                    std::memcpy(to, &value, sizeof value);
                    continue;
                }
                const uint16_t half = float_to_half(value);
                std::memcpy(to, &half, sizeof half);
                overflows += std::isfinite(value) && (half & 0x7fffU) == 0x7c00U;
            }
        offset += round_up(table.rows * pitch, kTalusBlock);
    }
    if (overflows > 0)
        fail(diagnostic, Status::kOk, "tbe: %lld table entries overflow float16", overflows);
    return Status::kOk;
}

size_t workspace_bytes(const Node&, const Capabilities&) {
    return 0;
}

Status encode(const Node& node, const Capabilities& device, uint64_t packed, uint64_t, void* args,
              Diagnostic*) {
    const Attributes& a = node.as<Attributes>();
    const TensorView& indices = node.input(1);
    const TensorView& y = node.output();
    const int64_t batch = batch_of(node);
    const auto index_bytes = static_cast<int64_t>(size_of(indices.dtype));
    const int64_t row_slot =
        round_up(widest(a) * static_cast<int64_t>(size_of(stored_type(a))), kTalusPitch);
    talus_tbe_args block{};
    block.packed = packed;
    block.indices = address_of(indices);
    block.y = address_of(y);
    block.y_pitch = static_cast<uint32_t>(row_pitch(y));
    block.y_type = y.dtype == DType::kFloat32 ? TALUS_CP_FP32 : TALUS_CP_FP16;
    block.tables = static_cast<uint32_t>(a.table_count);
    block.batch = static_cast<uint32_t>(batch);
    block.pooling = static_cast<uint32_t>(a.pooling);
    block.negative = a.negative_indices != 0;
    block.index_bytes = static_cast<uint32_t>(index_bytes);
    block.row_slot = static_cast<uint32_t>(row_slot);
    block.widest = static_cast<uint32_t>(widest(a));
    if (node.has_input(2)) {
        block.offsets = address_of(node.input(2));
        block.offset_bytes = static_cast<uint32_t>(size_of(node.input(2).dtype));
        block.count = static_cast<uint64_t>(indices.shape[0]);
    } else {
        block.offset_bytes = 8;
        block.fixed = static_cast<uint32_t>(indices.shape[2]);
        block.table_stride = static_cast<uint64_t>(indices.strides[0] * index_bytes);
        block.sample_stride = static_cast<uint64_t>(indices.strides[1] * index_bytes);
    }
    // Three chunks of rows in at most 128 KiB; a vector register group checks 64 indices at once.
    block.chunk =
        static_cast<uint32_t>(std::clamp<int64_t>((int64_t{128} << 10) / (3 * row_slot), 1, 64));
    // Sums and two blocks of output in at most 96 KiB; four items for every PE, if there are as
    // many.
    const int64_t pes = static_cast<int64_t>(device.grid_rows) * device.grid_columns;
    const int64_t even = round_up(std::max<int64_t>(a.table_count * batch / (4 * pes), 1), 8);
    const int64_t fits = std::max<int64_t>((int64_t{96} << 10) / (12 * widest(a)), 1);
    block.copy = block.offsets == 0 && block.fixed == 1 && stored_type(a) == y.dtype;
    block.block = static_cast<uint32_t>(std::min({even, fits, int64_t{64}}));
    if (block.copy != 0) // an item is one chunk
        block.block = std::min(block.block, block.chunk);
    std::memcpy(args, &block, sizeof block);
    return Status::kOk;
}

Status explain(const Node& node, uint32_t code, const uint64_t detail[4], Diagnostic* diagnostic) {
    const Attributes& a = node.as<Attributes>();
    if (code != TALUS_KERNEL_INDEX_OUT_OF_RANGE && code != TALUS_KERNEL_OFFSET_OUT_OF_RANGE)
        return fail(diagnostic, Status::kDeviceError, "tbe: the kernel stopped with code %#x",
                    code);
    talus_kernel_error error{};
    error.code = code;
    error.table = static_cast<uint32_t>(detail[0]);
    error.sample = detail[1];
    error.position = detail[2];
    error.value = static_cast<int64_t>(detail[3]);
    if (code == TALUS_KERNEL_OFFSET_OUT_OF_RANGE)
        error.limit = node.input(1).shape[0];
    else if (detail[0] < static_cast<uint64_t>(a.table_count))
        error.limit = a.tables[detail[0]].rows;
    return report(error, diagnostic);
}

} // namespace

extern const TalusKernel kTalus;
const TalusKernel kTalus{"tbe",   sizeof(talus_tbe_args), supports, packed_bytes,
                         prepack, workspace_bytes,        encode,   explain};

} // namespace talus::kernels::tbe
