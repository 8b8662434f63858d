// Concatenation on the CPU: a strided copy per input.
#include "kernels/common/implementation.hpp"
#include "kernels/common/runs.hpp"
#include "kernels/concat/op.hpp"

namespace talus::kernels::concat {
namespace {

Status supports(const Node&, Diagnostic*) {
    return Status::kOk;
}
size_t packed_bytes(const Node&) {
    return 0;
}
Status prepack(const Node&, void*, Diagnostic*) {
    return Status::kOk;
}
size_t workspace_bytes(const Node&) {
    return 0;
}

Status launch(const Node& node, const void*, void*, Diagnostic*) {
    const int32_t axis = axis_of(node);
    TensorView window = node.output();
    const auto element = static_cast<int64_t>(size_of(window.dtype));
    for (int32_t i = 0; i < node.input_count; ++i) {
        copy_view(window, node.input(i));
        window.data =
            window.as<uint8_t>() + node.input(i).shape[axis] * window.strides[axis] * element;
    }
    return Status::kOk;
}

} // namespace

extern const HostKernel kCpu;
const HostKernel kCpu{supports, packed_bytes, prepack, workspace_bytes, launch};

} // namespace talus::kernels::concat
