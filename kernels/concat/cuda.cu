// Concatenation on CUDA: one strided copy per input, one thread per element.
#include "kernels/common/cuda_kernel.hpp"
#include "kernels/common/strided.hpp"
#include "kernels/concat/op.hpp"

namespace talus::kernels::concat {
namespace {

template <typename T>
__global__ void copy_elements(TensorView to, TensorView from, int64_t count) {
    TALUS_GRID_STRIDE(i, count)
    to.as<T>()[offset_of(to, i)] = from.as<const T>()[offset_of(from, i)];
}

template <typename T>
void copy_view(const CudaContext& context, const TensorView& to, const TensorView& from) {
    const int64_t count = from.elements();
    if (count > 0)
        copy_elements<T><<<blocks_for(count), kThreads, 0, context.stream>>>(to, from, count);
}

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

Status launch(const CudaContext& context, const Node& node, const void*, void*,
              Diagnostic* diagnostic) {
    const int32_t axis = axis_of(node);
    const size_t element = size_of(node.output().dtype);
    int64_t begin = 0;
    for (int32_t i = 0; i < node.input_count; ++i) {
        const TensorView& from = node.input(i);
        TensorView to = node.output(); // the window of this input
        to.data = to.as<uint8_t>() + begin * to.strides[axis] * static_cast<int64_t>(element);
        to.shape[axis] = from.shape[axis];
        begin += from.shape[axis];
        if (element == 1)
            copy_view<uint8_t>(context, to, from);
        else if (element == 2)
            copy_view<uint16_t>(context, to, from);
        else if (element == 4)
            copy_view<uint32_t>(context, to, from);
        else
            copy_view<uint64_t>(context, to, from);
    }
    return launched("concat", diagnostic);
}

} // namespace

extern const CudaKernel kCuda;
const CudaKernel kCuda{"concat", supports, packed_bytes, prepack, workspace_bytes, launch};

} // namespace talus::kernels::concat
