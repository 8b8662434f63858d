// Pairwise dot interaction on the CPU. Each sample's features are transposed to [D, F], so that row
// i of T·Tᵀ is a sum over d of vectors along the features: it vectorises without reordering a sum.
#include <algorithm>

#include "kernels/common/implementation.hpp"
#include "kernels/common/runs.hpp"
#include "kernels/interaction/op.hpp"

namespace talus::kernels::interaction {
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

int64_t columns(const Node& node) {
    return node.output().shape[1];
}

// T of one sample [F, D], its transpose [D, F], a row of products [F], a row of output.
size_t workspace_bytes(const Node& node) {
    const TensorView& t = node.input(0);
    return static_cast<size_t>(2 * t.shape[1] * t.shape[2] + t.shape[1] + columns(node)) *
           sizeof(float);
}

TALUS_MULTIVERSION void row_of_dots(const float* feature, const float* transposed, int64_t width,
                                    int64_t features, int64_t count, float* dots) {
    for (int64_t j = 0; j < count; ++j)
        dots[j] = 0.0F;
    for (int64_t d = 0; d < width; ++d) {
        const float value = feature[d];
        const float* row = transposed + d * features;
        for (int64_t j = 0; j < count; ++j)
            dots[j] += value * row[j];
    }
}

Status launch(const Node& node, const void*, void* workspace, Diagnostic*) {
    const TensorView& t = node.input(0);
    const TensorView& y = node.output();
    const int64_t features = t.shape[1];
    const int64_t width = t.shape[2];
    const int64_t diagonal = node.as<Attributes>().include_diagonal != 0 ? 1 : 0;
    auto* sample = static_cast<float*>(workspace);
    float* transposed = sample + features * width;
    float* dots = transposed + features * width;
    float* result = dots + features;
    for (int64_t b = 0; b < t.shape[0]; ++b) {
        for (int64_t f = 0; f < features; ++f) {
            float* feature = sample + f * width;
            load_run(t, b * t.strides[0] + f * t.strides[1], t.strides[2], width, feature);
            for (int64_t d = 0; d < width; ++d)
                transposed[d * features + f] = feature[d];
        }
        int64_t column = 0;
        if (node.has_input(1)) {
            const TensorView& dense = node.input(1);
            column = dense.shape[1];
            load_run(dense, b * dense.strides[0], dense.strides[1], column, result);
        }
        for (int64_t i = 0; i < features; ++i) {
            const int64_t count = i + diagonal;
            row_of_dots(sample + i * width, transposed, width, features, count, dots);
            std::copy_n(dots, count, result + column);
            column += count;
        }
        store_run(y, b * y.strides[0], y.strides[1], column, result);
    }
    return Status::kOk;
}

} // namespace

extern const HostKernel kCpu;
const HostKernel kCpu{supports, packed_bytes, prepack, workspace_bytes, launch};

} // namespace talus::kernels::interaction
