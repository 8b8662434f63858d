// Concatenation along one axis. Plans avoid it where producers can write strided views; it remains
// for graph inputs and for tensors with several consumers.
//
//   inputs    1 … 256 tensors of one type (any) and rank 1 … 6, equal but for the axis' extent
//   output 0  the same type; the extents of the axis add up
//
// Bit-exact on every target: elements are moved, never converted. All views may be strided.
#pragma once

#include "kernels/common/element.hpp"
#include "kernels/common/operator.hpp"

namespace talus::kernels::concat {

constexpr int32_t kMaxInputs = 256;

struct Attributes {
    int32_t axis = 0; // negative counts from the end
};

inline int32_t axis_of(const Node& node) {
    const int32_t axis = node.as<Attributes>().axis;
    return axis < 0 ? axis + node.input(0).rank : axis;
}

inline Status infer(const Node& node, Diagnostic* diagnostic) {
    if (node.input_count < 1 || node.input_count > kMaxInputs || node.output_count != 1)
        return fail(diagnostic, Status::kBadArgument, "concat: takes 1 to %d inputs, got %d",
                    kMaxInputs, node.input_count);
    const TensorView& first = node.input(0);
    const int32_t axis = axis_of(node);
    if (first.rank < 1 || axis < 0 || axis >= first.rank || size_of(first.dtype) == 0)
        return fail(diagnostic, Status::kBadArgument,
                    "concat: axis %d does not fit a tensor of rank %d", node.as<Attributes>().axis,
                    first.rank);
    int64_t shape[kMaxRank] = {};
    for (int32_t d = 0; d < first.rank; ++d)
        shape[d] = first.shape[d];
    shape[axis] = 0;
    for (int32_t i = 0; i < node.input_count; ++i) {
        const TensorView& input = node.input(i);
        bool fits = input.rank == first.rank && input.dtype == first.dtype;
        for (int32_t d = 0; fits && d < first.rank; ++d)
            fits = input.shape[d] >= 0 && (d == axis || input.shape[d] == first.shape[d]);
        if (!fits)
            return fail(diagnostic, Status::kBadArgument,
                        "concat: input %d does not match input 0 in type or shape", i);
        shape[axis] += input.shape[axis];
    }
    if (const Status status =
            set_output("concat", node.output(), first.dtype, shape, first.rank, diagnostic);
        status != Status::kOk)
        return status;
    if (node.output().dtype != first.dtype)
        return fail(diagnostic, Status::kBadArgument, "concat: the output must be %s",
                    name_of(first.dtype));
    return Status::kOk;
}

inline Status reference(const Node& node, Diagnostic* diagnostic) {
    if (const Status status = infer(node, diagnostic); status != Status::kOk)
        return status;
    const TensorView& y = node.output();
    const auto bytes = static_cast<int64_t>(size_of(y.dtype));
    const int32_t axis = axis_of(node);
    int64_t begin = 0;
    for (int32_t i = 0; i < node.input_count; ++i) {
        const TensorView& x = node.input(i);
        const int64_t count = x.elements();
        for (int64_t e = 0; e < count; ++e) {
            int64_t rest = e;
            int64_t from = 0;
            int64_t to = 0;
            for (int32_t d = x.rank - 1; d >= 0; --d) {
                const int64_t at = rest % x.shape[d];
                rest /= x.shape[d];
                from += at * x.strides[d];
                to += (at + (d == axis ? begin : 0)) * y.strides[d];
            }
            for (int64_t k = 0; k < bytes; ++k)
                y.as<uint8_t>()[to * bytes + k] = x.as<const uint8_t>()[from * bytes + k];
        }
        begin += x.shape[axis];
    }
    return Status::kOk;
}

constexpr Operator kOperator{"concat", sizeof(Attributes), 0, infer, reference};

} // namespace talus::kernels::concat
