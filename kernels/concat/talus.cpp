// The host's half of the accelerator's concatenation kernel (device.c).
#include <cstring>

#include "kernels/common/implementation.hpp"
#include "kernels/common/talus_views.hpp"
#include "kernels/concat/args.h"
#include "kernels/concat/op.hpp"

namespace talus::kernels::concat {
namespace {

constexpr int64_t kCapacity = 16384; // bytes of an item: four slots in 64 KiB

bool rows_of(const TensorView& x, const TensorView& y, RowForm& form) {
    int64_t strides[3][kMaxRank] = {};
    for (int32_t d = 0; d < x.rank; ++d) {
        strides[0][d] = x.strides[d];
        strides[1][d] = y.strides[d];
    }
    return to_rows(x.shape, x.rank, strides, 2, form);
}

Status supports(const Node& node, const Capabilities& device, Diagnostic* reason) {
    if (device.grid_rows == 0 || device.grid_columns == 0)
        return fail(reason, Status::kUnsupported, "concat: the device has no PEs");
    if (node.input_count > static_cast<int32_t>(TALUS_CONCAT_MAX_PIECES))
        return fail(reason, Status::kUnsupported, "concat: more than %u inputs",
                    TALUS_CONCAT_MAX_PIECES);
    for (int32_t i = 0; i < node.input_count; ++i) {
        RowForm form;
        if (node.input(i).elements() > 0 && !rows_of(node.input(i), node.output(), form))
            return fail(reason, Status::kUnsupported,
                        "concat: the strides of input %d are not rows at a pitch", i);
    }
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
    const TensorView& y = node.output();
    const int32_t axis = axis_of(node);
    const auto element = static_cast<int64_t>(size_of(y.dtype));
    talus_concat_args block{};
    RowForm largest;
    uint64_t to = address_of(y);
    for (int32_t i = 0; i < node.input_count; ++i) {
        const TensorView& x = node.input(i);
        RowForm form;
        if (x.elements() > 0) {
            if (!rows_of(x, y, form))
                return fail(diagnostic, Status::kUnsupported,
                            "concat: the strides of input %d are not rows at a pitch", i);
            talus_concat_piece& piece = block.piece[block.pieces++];
            piece.x = address_of(x);
            piece.y = to;
            piece.rows = static_cast<uint32_t>(form.rows);
            piece.row_bytes = static_cast<uint32_t>(form.columns * element);
            piece.x_pitch = static_cast<uint32_t>(form.pitch[0] * element);
            piece.y_pitch = static_cast<uint32_t>(form.pitch[1] * element);
            largest.rows = std::max(largest.rows, form.rows);
            largest.columns = std::max(largest.columns, form.columns * element);
        }
        to += static_cast<uint64_t>(x.shape[axis] * y.strides[axis] * element);
    }
    const RowBlocks blocks = split_rows(
        largest, kCapacity, static_cast<int64_t>(device.grid_rows) * device.grid_columns);
    block.row_block = blocks.row_block;
    block.column_block = blocks.column_block;
    std::memcpy(args, &block, sizeof block);
    return Status::kOk;
}

} // namespace

extern const TalusKernel kTalus;
const TalusKernel kTalus{"concat", sizeof(talus_concat_args), supports, packed_bytes,
                         prepack,  workspace_bytes,           encode,   nullptr};

} // namespace talus::kernels::concat
