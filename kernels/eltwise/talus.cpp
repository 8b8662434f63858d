// The host's half of the accelerator's element-wise kernel (device.c).
#include <cstring>

#include "kernels/common/implementation.hpp"
#include "kernels/common/talus_views.hpp"
#include "kernels/eltwise/args.h"
#include "kernels/eltwise/op.hpp"
#include "talus/hw/instructions.h"

namespace talus::kernels::eltwise {
namespace {

constexpr int64_t kCapacity = 4096; // elements of an item: three buffers of four slots in 192 KiB

struct Instruction {
    int32_t kind; // enum talus_eltwise_kind, or -1
    uint32_t operation;
    float scale;
};

Instruction instruction_of(Function function) {
    switch (function) {
    case Function::kAdd:
        return {TALUS_ELTWISE_BINARY, TALUS_SE_ADD, 0};
    case Function::kSub:
        return {TALUS_ELTWISE_BINARY, TALUS_SE_SUB, 0};
    case Function::kMul:
        return {TALUS_ELTWISE_BINARY, TALUS_SE_MUL, 0};
    case Function::kMin:
        return {TALUS_ELTWISE_BINARY, TALUS_SE_MIN, 0};
    case Function::kMax:
        return {TALUS_ELTWISE_BINARY, TALUS_SE_MAX, 0};
    case Function::kIdentity:
        return {TALUS_ELTWISE_UNARY, TALUS_SE_NONE, 0};
    case Function::kRelu:
        return {TALUS_ELTWISE_UNARY, TALUS_SE_RELU, 0};
    case Function::kSigmoid:
        return {TALUS_ELTWISE_UNARY, TALUS_SE_SIGMOID, 0};
    case Function::kTanh:
        return {TALUS_ELTWISE_UNARY, TALUS_SE_TANH, 0};
    case Function::kExp:
        return {TALUS_ELTWISE_UNARY, TALUS_SE_EXP, 0};
    case Function::kNeg:
        return {TALUS_ELTWISE_SCALE, 0, -1.0F};
    case Function::kDiv:
    case Function::kAbs:
    case Function::kSqrt:
    case Function::kClip:
        break;
    }
    return {-1, 0, 0};
}

bool rows_of(const Node& node, RowForm& form) {
    const TensorView& y = node.output();
    int64_t strides[3][kMaxRank] = {};
    for (int32_t d = 0; d < y.rank; ++d) {
        strides[0][d] = y.strides[d];
        for (int32_t i = 0; i < node.input_count; ++i)
            strides[i + 1][d] = broadcast_stride(node.input(i), y.rank, d);
    }
    // Only the second operand may repeat a row.
    return to_rows(y.shape, y.rank, strides, node.input_count + 1, form) &&
           (form.rows == 1 || form.pitch[1] != 0);
}

Status supports(const Node& node, const Capabilities& device, Diagnostic* reason) {
    const TensorView& a = node.input(0);
    const TensorView& y = node.output();
    const Function function = node.as<Attributes>().function;
    if (instruction_of(function).kind < 0)
        return fail(reason, Status::kUnsupported, "eltwise: the SIMD engine lacks function %d",
                    static_cast<int>(function));
    if (cp_type_of(a.dtype) < 0 || cp_type_of(y.dtype) < 0)
        return fail(reason, Status::kUnsupported, "eltwise: %s to %s", name_of(a.dtype),
                    name_of(y.dtype));
    if (device.grid_rows == 0 || device.grid_columns == 0)
        return fail(reason, Status::kUnsupported, "eltwise: the device has no PEs");
    RowForm form;
    if (y.elements() > 0 && !rows_of(node, form))
        return fail(reason, Status::kUnsupported,
                    "eltwise: strides or broadcast are not rows at a pitch");
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
    const TensorView& a = node.input(0);
    const TensorView& y = node.output();
    RowForm form;
    if (y.elements() == 0)
        form.rows = 0;
    else if (!rows_of(node, form))
        return fail(diagnostic, Status::kUnsupported,
                    "eltwise: strides or broadcast are not rows at a pitch");
    const Instruction instruction = instruction_of(node.as<Attributes>().function);
    const RowBlocks blocks =
        form.rows == 0 ? RowBlocks{1, 1}
                       : split_rows(form, kCapacity,
                                    static_cast<int64_t>(device.grid_rows) * device.grid_columns);
    talus_eltwise_args block{};
    block.a = address_of(a);
    block.y = address_of(y);
    block.bytes = static_cast<uint32_t>(size_of(a.dtype));
    block.y_bytes = static_cast<uint32_t>(size_of(y.dtype));
    block.y_pitch = static_cast<uint32_t>(form.pitch[0]) * block.y_bytes;
    block.a_pitch = static_cast<uint32_t>(form.pitch[1]) * block.bytes;
    if (node.input_count > 1) {
        block.b = address_of(node.input(1));
        block.b_pitch = static_cast<uint32_t>(form.pitch[2]) * block.bytes;
    }
    block.rows = static_cast<uint32_t>(form.rows);
    block.columns = static_cast<uint32_t>(form.columns);
    block.row_block = blocks.row_block;
    block.column_block = blocks.column_block;
    block.kind = static_cast<uint32_t>(instruction.kind);
    block.operation = instruction.operation;
    block.type = static_cast<uint32_t>(cp_type_of(a.dtype));
    block.y_type = static_cast<uint32_t>(cp_type_of(y.dtype));
    block.scale = float_bits(instruction.scale);
    block.offset = float_bits(-0.0F); // x * -1 + -0 keeps the sign of zero
    std::memcpy(args, &block, sizeof block);
    return Status::kOk;
}

} // namespace

extern const TalusKernel kTalus;
const TalusKernel kTalus{
    "eltwise", sizeof(talus_eltwise_args), supports, packed_bytes, prepack, workspace_bytes, encode,
    nullptr};

} // namespace talus::kernels::eltwise
