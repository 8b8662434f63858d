// Pairwise dot interaction on CUDA: one thread per element of Y; a sample's features stay in the L1
// cache while its threads run.
#include "kernels/common/cuda_kernel.hpp"
#include "kernels/interaction/element.hpp"
#include "kernels/interaction/op.hpp"

namespace talus::kernels::interaction {
namespace {

__global__ void interact(Parameters parameters, int64_t count) {
    TALUS_GRID_STRIDE(i, count) compute_element(parameters, i);
}

Status supports(const Node& node, Diagnostic* reason) {
    for (int32_t i = 0; i < node.input_count; ++i)
        if (node.has_input(i) && !is_kernel_float(node.input(i).dtype))
            return fail(reason, Status::kUnsupported, "interaction: %s is not computed",
                        name_of(node.input(i).dtype));
    if (!is_kernel_float(node.output().dtype))
        return fail(reason, Status::kUnsupported, "interaction: the output is %s",
                    name_of(node.output().dtype));
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
    parameters.t = node.input(0);
    if (node.has_input(1))
        parameters.dense = node.input(1);
    parameters.y = node.output();
    parameters.diagonal = node.as<Attributes>().include_diagonal;
    const int64_t count = parameters.y.elements();
    if (count > 0)
        interact<<<blocks_for(count), kThreads, 0, context.stream>>>(parameters, count);
    return launched("interaction", diagnostic);
}

} // namespace

extern const CudaKernel kCuda;
const CudaKernel kCuda{"interaction", supports, packed_bytes, prepack, workspace_bytes, launch};

} // namespace talus::kernels::interaction
