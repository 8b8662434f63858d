// Conversion on CUDA: one kernel per destination type, one thread per element.
#include "kernels/common/cuda_kernel.hpp"
#include "kernels/convert/element.hpp"
#include "kernels/convert/op.hpp"

namespace talus::kernels::convert {
namespace {

template <typename To>
__global__ void convert_all(TensorView y, TensorView x, int64_t count) {
    TALUS_GRID_STRIDE(i, count) convert_one<To>(y, x, i);
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
    const TensorView x = node.input(0);
    const TensorView y = node.output();
    const int64_t count = x.elements();
    if (count > 0)
        with_element_type(y.dtype, [&](auto to) {
            convert_all<decltype(to)>
                <<<blocks_for(count), kThreads, 0, context.stream>>>(y, x, count);
        });
    return launched("convert", diagnostic);
}

} // namespace

extern const CudaKernel kCuda;
const CudaKernel kCuda{"convert", supports, packed_bytes, prepack, workspace_bytes, launch};

} // namespace talus::kernels::convert
