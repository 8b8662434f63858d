// The host's half of the accelerator's interaction kernel (device.c, vector.c).
#include <cstring>

#include "kernels/common/implementation.hpp"
#include "kernels/common/talus_views.hpp"
#include "kernels/interaction/args.h"
#include "kernels/interaction/op.hpp"
#include "talus/hw/instructions.h"

namespace talus::kernels::interaction {
namespace {

// Bytes of local memory that interaction_make_plan takes.
int64_t local_bytes(const Node& node) {
    const TensorView& t = node.input(0);
    const TensorView& y = node.output();
    const int64_t dense = node.has_input(1) ? node.input(1).shape[1] : 0;
    const auto element = static_cast<int64_t>(size_of(y.dtype));
    return 2 * round_up(t.shape[1] * t.shape[2] * 2, 64) + 4 * round_up(dense * 2, 64) +
           4 * 32 * 32 * element + 2 * round_up(y.shape[1] * element, 64);
}

Status supports(const Node& node, const Capabilities& device, Diagnostic* reason) {
    const TensorView& t = node.input(0);
    const TensorView& y = node.output();
    if (t.dtype != DType::kFloat16)
        return fail(reason, Status::kUnsupported, "interaction: T must be float16 on talus, is %s",
                    name_of(t.dtype));
    if (y.dtype != DType::kFloat16 && y.dtype != DType::kFloat32)
        return fail(reason, Status::kUnsupported, "interaction: the output is %s",
                    name_of(y.dtype));
    if (device.grid_rows == 0 || device.grid_columns == 0)
        return fail(reason, Status::kUnsupported, "interaction: the device has no PEs");
    if (t.shape[1] > static_cast<int64_t>(TALUS_INTERACTION_MAX_FEATURES) ||
        local_bytes(node) > static_cast<int64_t>(device.local_memory_bytes))
        return fail(reason, Status::kUnsupported,
                    "interaction: %lld features of %lld do not fit %u bytes of local memory",
                    static_cast<long long>(t.shape[1]), static_cast<long long>(t.shape[2]),
                    device.local_memory_bytes);
    if ((t.shape[2] > 1 && t.strides[2] != 1) || t.strides[0] < 0 || t.strides[1] < 0 ||
        t.strides[0] > 0x3fffffff || t.strides[1] > 0x3fffffff)
        return fail(reason, Status::kUnsupported,
                    "interaction: T has strides that the DMA engine lacks");
    if (node.has_input(1))
        if (const Status status = require_rows("interaction", "dense", node.input(1), reason);
            status != Status::kOk)
            return status;
    return require_rows("interaction", "the output", y, reason);
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

Status encode(const Node& node, const Capabilities&, uint64_t, uint64_t, void* args, Diagnostic*) {
    const TensorView& t = node.input(0);
    const TensorView& y = node.output();
    talus_interaction_args block{};
    block.t = address_of(t);
    block.y = address_of(y);
    block.t_pitch = static_cast<uint32_t>(t.strides[0] * 2);
    block.feature_pitch = static_cast<uint32_t>((t.shape[1] > 1 ? t.strides[1] : t.shape[2]) * 2);
    block.y_pitch = static_cast<uint32_t>(row_pitch(y));
    block.batch = static_cast<uint32_t>(t.shape[0]);
    block.features = static_cast<uint32_t>(t.shape[1]);
    block.width = static_cast<uint32_t>(t.shape[2]);
    block.diagonal = node.as<Attributes>().include_diagonal != 0;
    block.pairs = static_cast<uint32_t>(pair_count(t.shape[1], block.diagonal != 0));
    block.y_type = y.dtype == DType::kFloat32 ? TALUS_CP_FP32 : TALUS_CP_FP16;
    if (node.has_input(1)) {
        block.dense = address_of(node.input(1));
        block.dense_pitch = static_cast<uint32_t>(row_pitch(node.input(1)));
        block.dense_columns = static_cast<uint32_t>(node.input(1).shape[1]);
    }
    std::memcpy(args, &block, sizeof block);
    return Status::kOk;
}

} // namespace

extern const TalusKernel kTalus;
const TalusKernel kTalus{"interaction", sizeof(talus_interaction_args),
                         supports,      packed_bytes,
                         prepack,       workspace_bytes,
                         encode,        nullptr};

} // namespace talus::kernels::interaction
