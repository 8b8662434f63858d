// Dynamic INT8 fully connected layer on the CPU: rows of X as q - z in 16 bits, W widened to 16
// bits, so that one multiply-add instruction of pairs gives exact 32-bit sums on every x86 level.
//
// Packed constants: W as int16 [N, K], N * K rounded up to an even number; then scale and bias as
// float32 [N] each. Workspace: a row of X as float32 and as int16, and a row of Y.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/common/implementation.hpp"
#include "kernels/common/runs.hpp"
#include "kernels/fc_int8/op.hpp"

namespace talus::kernels::fc_int8 {
namespace {

constexpr int64_t kColumns = 4; // outputs at a time: a row of X is loaded once for them

int64_t weight_elements(const TensorView& w) {
    return (w.elements() + 1) / 2 * 2;
}

struct Range {
    float low, high;
    bool finite;
};

TALUS_MULTIVERSION Range range_of(const float* row, int64_t count) {
    float low = 0.0F;
    float high = 0.0F;
    float nothing = 0.0F; // stays 0 unless an element is infinite or NaN
    for (int64_t i = 0; i < count; ++i) {
        low = row[i] < low ? row[i] : low;
        high = row[i] > high ? row[i] : high;
        nothing += row[i] * 0.0F;
    }
    return {low, high, nothing == 0.0F};
}

// q - z for every element; |x * factor| <= 256.
TALUS_MULTIVERSION void quantize_row(const float* row, int64_t count, float factor, float zero,
                                     int16_t* to) {
    // Adding 1.5 * 2^23 rounds to an integer, ties to even, in the way that SIMD can.
    constexpr float kRound = 12582912.0F;
    for (int64_t i = 0; i < count; ++i) {
        const float q = (row[i] * factor + kRound) - kRound + zero;
        const float clamped = q < 0.0F ? 0.0F : q > 255.0F ? 255.0F : q;
        to[i] = static_cast<int16_t>(static_cast<int32_t>(clamped - zero));
    }
}

TALUS_MULTIVERSION void dot_rows(const int16_t* x, const int16_t* w, int64_t pitch, int64_t k,
                                 int32_t* sums) {
    int32_t sum0 = 0;
    int32_t sum1 = 0;
    int32_t sum2 = 0;
    int32_t sum3 = 0;
    for (int64_t i = 0; i < k; ++i) {
        const int32_t value = x[i];
        sum0 += value * w[i];
        sum1 += value * w[pitch + i];
        sum2 += value * w[2 * pitch + i];
        sum3 += value * w[3 * pitch + i];
    }
    sums[0] = sum0;
    sums[1] = sum1;
    sums[2] = sum2;
    sums[3] = sum3;
}

TALUS_MULTIVERSION int32_t dot_row(const int16_t* x, const int16_t* w, int64_t k) {
    int32_t sum = 0;
    for (int64_t i = 0; i < k; ++i)
        sum += x[i] * w[i];
    return sum;
}

Status supports(const Node&, Diagnostic*) {
    return Status::kOk;
}

size_t packed_bytes(const Node& node) {
    const TensorView& w = node.input(1);
    return static_cast<size_t>(weight_elements(w)) * sizeof(int16_t) +
           static_cast<size_t>(2 * w.shape[0]) * sizeof(float);
}

Status prepack(const Node& node, void* packed, Diagnostic*) {
    const TensorView& w = node.input(1);
    auto* to = static_cast<int16_t*>(packed);
    for (int64_t n = 0; n < w.shape[0]; ++n)
        for (int64_t k = 0; k < w.shape[1]; ++k)
            to[n * w.shape[1] + k] = w.as<const int8_t>()[n * w.strides[0] + k * w.strides[1]];
    auto* scales = reinterpret_cast<float*>(to + weight_elements(w));
    float* bias = scales + w.shape[0];
    load_run(node.input(2), 0, node.input(2).strides[0], w.shape[0], scales);
    std::fill_n(bias, w.shape[0], 0.0F);
    if (node.has_input(3))
        load_run(node.input(3), 0, node.input(3).strides[0], w.shape[0], bias);
    return Status::kOk;
}

size_t workspace_bytes(const Node& node) {
    const auto k = static_cast<size_t>(node.input(0).shape[1]);
    const auto n = static_cast<size_t>(node.output().shape[1]);
    return (k + n) * sizeof(float) + k * sizeof(int16_t);
}

Status launch(const Node& node, const void* packed, void* workspace, Diagnostic*) {
    const TensorView& x = node.input(0);
    const TensorView& y = node.output();
    const int64_t k = x.shape[1];
    const int64_t n = y.shape[1];
    const auto* weights = static_cast<const int16_t*>(packed);
    const auto* scales = reinterpret_cast<const float*>(weights + weight_elements(node.input(1)));
    const float* bias = scales + n;
    auto* row = static_cast<float*>(workspace);
    float* result = row + k;
    auto* quantized = reinterpret_cast<int16_t*>(result + n);
    for (int64_t b = 0; b < x.shape[0]; ++b) {
        load_run(x, b * x.strides[0], x.strides[1], k, row);
        const Range range = range_of(row, k);
        float scale =
            range.high == range.low ? 1.0F : std::max((range.high - range.low) / 255.0F, 0x1p-126F);
        const float factor = 1.0F / scale;
        if (range.finite) {
            const float zero = std::clamp(std::nearbyint(-range.low * factor), 0.0F, 255.0F);
            quantize_row(row, k, factor, zero, quantized);
        } else {
            std::fill_n(quantized, k, int16_t{0});
            scale = std::numeric_limits<float>::quiet_NaN();
        }
        int32_t sums[kColumns];
        for (int64_t first = 0; first < n; first += kColumns) {
            const int64_t columns = std::min(kColumns, n - first);
            if (columns == kColumns)
                dot_rows(quantized, weights + first * k, k, k, sums);
            else
                for (int64_t i = 0; i < columns; ++i)
                    sums[i] = dot_row(quantized, weights + (first + i) * k, k);
            for (int64_t i = 0; i < columns; ++i) {
                const float value =
                    static_cast<float>(sums[i]) * (scale * scales[first + i]) + bias[first + i];
                result[first + i] =
                    node.as<Attributes>().activation == Activation::kRelu && value < 0.0F ? 0.0F
                                                                                          : value;
            }
        }
        if (node.as<Attributes>().activation == Activation::kSigmoid)
            sigmoid_run(result, n);
        store_run(y, b * y.strides[0], y.strides[1], n, result);
    }
    return Status::kOk;
}

} // namespace

extern const HostKernel kCpu;
const HostKernel kCpu{supports, packed_bytes, prepack, workspace_bytes, launch};

} // namespace talus::kernels::fc_int8
