// The host's half of the accelerator's conversion kernel (device.c).
#include <cstring>

#include "kernels/common/implementation.hpp"
#include "kernels/common/talus_views.hpp"
#include "kernels/convert/args.h"
#include "kernels/convert/op.hpp"
#include "talus/hw/instructions.h"

namespace talus::kernels::convert {
namespace {

constexpr int64_t kCapacity = 4096; // elements of an item: two buffers of four slots in 128 KiB

bool rows_of(const Node& node, RowForm& form) {
    const TensorView& x = node.input(0);
    const TensorView& y = node.output();
    int64_t strides[3][kMaxRank] = {};
    for (int32_t d = 0; d < x.rank; ++d) {
        strides[0][d] = x.strides[d];
        strides[1][d] = y.strides[d];
    }
    return to_rows(x.shape, x.rank, strides, 2, form);
}

Status supports(const Node& node, const Capabilities& device, Diagnostic* reason) {
    const DType from = node.input(0).dtype;
    const DType to = node.output().dtype;
    // The SE rounds to integers to nearest; this operator truncates. Small integers are exact.
    const bool exact = is_float(to) ? from != DType::kFloat64 && to != DType::kFloat64
                                    : from == to && from == DType::kInt32;
    if (cp_type_of(from) < 0 || cp_type_of(to) < 0 || !exact ||
        (from == DType::kInt32 && to != DType::kFloat32 && to != DType::kInt32))
        return fail(reason, Status::kUnsupported, "convert: the SIMD engine has no %s to %s",
                    name_of(from), name_of(to));
    RowForm form;
    if (device.grid_rows == 0 || device.grid_columns == 0)
        return fail(reason, Status::kUnsupported, "convert: the device has no PEs");
    if (!rows_of(node, form))
        return fail(reason, Status::kUnsupported, "convert: the strides are not rows at a pitch");
    return Status::kOk;
}

size_t packed_bytes(const Node&, const Capabilities&) {
    return 0;
}
Status prepack(const Node&, const Capabilities&, void*, Diagnostic*) {
    return Status::kOk;
}
size_t workspace_bytes(const Node&, const Capabilities&) {
    return 0;
}

Status encode(const Node& node, const Capabilities& device, uint64_t, uint64_t, void* args,
              Diagnostic* diagnostic) {
    RowForm form;
    if (!rows_of(node, form))
        return fail(diagnostic, Status::kUnsupported,
                    "convert: the strides are not rows at a pitch");
    const TensorView& x = node.input(0);
    const TensorView& y = node.output();
    const RowBlocks blocks =
        split_rows(form, kCapacity, static_cast<int64_t>(device.grid_rows) * device.grid_columns);
    talus_convert_args block{};
    block.x = address_of(x);
    block.y = address_of(y);
    block.x_bytes = static_cast<uint32_t>(size_of(x.dtype));
    block.y_bytes = static_cast<uint32_t>(size_of(y.dtype));
    block.x_pitch = static_cast<uint32_t>(form.pitch[0]) * block.x_bytes;
    block.y_pitch = static_cast<uint32_t>(form.pitch[1]) * block.y_bytes;
    block.rows = static_cast<uint32_t>(form.rows);
    block.columns = static_cast<uint32_t>(form.columns);
    block.row_block = blocks.row_block;
    block.column_block = blocks.column_block;
    block.x_type = static_cast<uint32_t>(cp_type_of(x.dtype));
    block.y_type = static_cast<uint32_t>(cp_type_of(y.dtype));
    std::memcpy(args, &block, sizeof block);
    return Status::kOk;
}

} // namespace

extern const TalusKernel kTalus;
const TalusKernel kTalus{
    "convert", sizeof(talus_convert_args), supports, packed_bytes, prepack, workspace_bytes, encode,
    nullptr};

} // namespace talus::kernels::convert
