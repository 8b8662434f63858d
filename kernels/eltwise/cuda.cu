// Element-wise functions on CUDA: one thread per element.
#include "kernels/common/cuda_kernel.hpp"
#include "kernels/eltwise/element.hpp"

namespace talus::kernels::eltwise {
namespace {

__global__ void compute(Parameters parameters, int64_t count) {
    TALUS_GRID_STRIDE(i, count) compute_element(parameters, i);
}

Status supports(const Node& node, Diagnostic* reason) {
    if (!is_kernel_float(node.input(0).dtype) || !is_kernel_float(node.output().dtype))
        return fail(reason, Status::kUnsupported, "eltwise: %s to %s is not computed",
                    name_of(node.input(0).dtype), name_of(node.output().dtype));
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
    Parameters parameters{};
    parameters.attributes = node.as<Attributes>();
    parameters.y = node.output();
    parameters.a = broadcast_to(node.input(0), node.output());
    if (node.input_count > 1)
        parameters.b = broadcast_to(node.input(1), node.output());
    const int64_t count = parameters.y.elements();
    if (count > 0)
        compute<<<blocks_for(count), kThreads, 0, context.stream>>>(parameters, count);
    return launched("eltwise", diagnostic);
}

} // namespace

extern const CudaKernel kCuda;
const CudaKernel kCuda{"eltwise", supports, packed_bytes, prepack, workspace_bytes, launch};

} // namespace talus::kernels::eltwise
