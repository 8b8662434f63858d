// Table-batched embedding on CUDA: one launch for all tables, a thread per bag and column, so that
// a warp reads rows in one piece. A second kernel of one thread turns the smallest fault key, if
// any, into the stream's record.
//
// Packed constants: the table descriptors, padded to 256 bytes, then the blob.
#include <cstring>

#include "kernels/common/cuda_kernel.hpp"
#include "kernels/tbe/pooling.hpp"

namespace talus::kernels::tbe {
namespace {

size_t descriptors_bytes(const Attributes& attributes) {
    return (static_cast<size_t>(attributes.table_count) * sizeof(Table) + 255) / 256 * 256;
}

__global__ void pool_bags(Parameters parameters, int64_t count, StreamFaults* faults) {
    TALUS_GRID_STRIDE(i, count) {
        const uint64_t key = pool_element(parameters, i);
        if (key != kNoFault)
            atomicMin(&faults->key, static_cast<FaultKey>(key));
    }
}

__global__ void note_fault(Parameters parameters, StreamFaults* faults) {
    if (faults->key == kNoFault)
        return;
    if (faults->first.code == TALUS_KERNEL_OK)
        faults->first = describe_fault(parameters, faults->key);
    faults->key = kNoFault;
}

Status supports(const Node& node, Diagnostic* reason) {
    if (!is_kernel_float(node.output().dtype))
        return fail(reason, Status::kUnsupported, "tbe: the output is %s",
                    name_of(node.output().dtype));
    return Status::kOk;
}

size_t packed_bytes(const Node& node) {
    return descriptors_bytes(node.as<Attributes>()) + static_cast<size_t>(node.input(0).shape[0]);
}

Status prepack(const Node& node, void* packed, Diagnostic*) {
    const Attributes& attributes = node.as<Attributes>();
    const TensorView& blob = node.input(0);
    auto* to = static_cast<uint8_t*>(packed);
    std::memset(to, 0, descriptors_bytes(attributes));
    std::memcpy(to, attributes.tables, static_cast<size_t>(attributes.table_count) * sizeof(Table));
    to += descriptors_bytes(attributes);
    for (int64_t i = 0; i < blob.shape[0]; ++i)
        to[i] = blob.as<const uint8_t>()[i * blob.strides[0]];
    return Status::kOk;
}

size_t workspace_bytes(const Node&) {
    return 0;
}

Status launch(const CudaContext& context, const Node& node, const void* packed, void*,
              Diagnostic* diagnostic) {
    const Attributes& attributes = node.as<Attributes>();
    const TensorView& y = node.output();
    Parameters parameters{};
    parameters.indices = index_view(node);
    parameters.tables = static_cast<const Table*>(packed);
    parameters.blob = static_cast<const uint8_t*>(packed) + descriptors_bytes(attributes);
    parameters.y = y.data;
    parameters.y_type = y.dtype;
    parameters.y_strides[0] = y.strides[0];
    parameters.y_strides[1] = y.strides[1];
    parameters.table_count = attributes.table_count;
    parameters.pooling = attributes.pooling;
    for (int32_t t = 0; t < attributes.table_count; ++t)
        if (attributes.tables[t].width > parameters.widest)
            parameters.widest = attributes.tables[t].width;
    const int64_t count = attributes.table_count * parameters.indices.batch * parameters.widest;
    if (count > 0) {
        pool_bags<<<blocks_for(count), kThreads, 0, context.stream>>>(parameters, count,
                                                                      context.faults);
        note_fault<<<1, 1, 0, context.stream>>>(parameters, context.faults);
    }
    return launched("tbe", diagnostic);
}

} // namespace

extern const CudaKernel kCuda;
const CudaKernel kCuda{"tbe", supports, packed_bytes, prepack, workspace_bytes, launch};

} // namespace talus::kernels::tbe
