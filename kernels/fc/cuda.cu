// Fully connected layer on CUDA: FP32 without TF32, through cuBLASLt where it can be loaded and
// through the SGEMM below where not; then one pass for bias, activation and rounding.
//
// Packed constants: W as float32 [N, K], then the bias as float32 [N]. Workspace: float32 copies of
// X and Y where their type is not float32 or their columns not dense.
#include <algorithm>

#include "kernels/common/cuda_kernel.hpp"
#include "kernels/common/strided.hpp"
#include "kernels/fc/cublaslt.hpp"
#include "kernels/fc/element.hpp"

namespace talus::kernels::fc {
namespace {

__global__ void __launch_bounds__(kTileThreads)
    multiply(const float* a, int64_t lda, const float* b, float* c, int64_t ldc, int64_t m,
             int64_t n, int64_t k, int64_t tiles_n) {
    __shared__ float slice_a[kDepth * kSide];
    __shared__ float slice_b[kDepth * kSide];
    const int64_t first_row = blockIdx.x / tiles_n * kSide;
    const int64_t first_column = blockIdx.x % tiles_n * kSide;
    const int thread = static_cast<int>(threadIdx.x);
    const int row = thread / (kSide / kStep) * kStep;
    const int column = thread % (kSide / kStep) * kStep;
    float sums[kStep][kStep] = {};
    for (int64_t first_k = 0; first_k < k; first_k += kDepth) {
        for (int slot = thread; slot < kDepth * kSide; slot += kTileThreads) {
            slice_a[slot] = slice_element(a, m, k, lda, first_row, first_k, slot);
            slice_b[slot] = slice_element(b, n, k, k, first_column, first_k, slot);
        }
        __syncthreads();
        // Not beyond k: 0 * NaN of a padded slot would be NaN if the other operand's were not 0.
        const int depth = static_cast<int>(k - first_k < kDepth ? k - first_k : kDepth);
        for (int d = 0; d < depth; ++d)
            for (int i = 0; i < kStep; ++i)
                for (int j = 0; j < kStep; ++j)
                    sums[i][j] = fmaf(slice_a[d * kSide + row + i], slice_b[d * kSide + column + j],
                                      sums[i][j]);
        __syncthreads();
    }
    for (int i = 0; i < kStep; ++i)
        for (int j = 0; j < kStep; ++j) {
            const Position at = accumulator_position(first_row, first_column, thread, i, j);
            if (at.row < m && at.column < n)
                c[at.row * ldc + at.column] = sums[i][j];
        }
}

__global__ void widen(TensorView from, float* to, int64_t count) {
    TALUS_GRID_STRIDE(i, count) to[i] = load_float(from.data, from.dtype, offset_of(from, i));
}

__global__ void finish(Epilogue epilogue, int64_t count) {
    TALUS_GRID_STRIDE(i, count) finish_element(epilogue, i);
}

bool direct(const TensorView& view) {
    return view.dtype == DType::kFloat32 && (view.strides[1] == 1 || view.shape[1] == 1) &&
           view.strides[0] >= view.shape[1];
}

// Bytes of a float32 copy, kept at multiples of 256 for the alignment of what follows.
size_t staging(const TensorView& view) {
    return direct(view) ? 0
                        : (static_cast<size_t>(view.elements()) * sizeof(float) + 255) / 256 * 256;
}

Status supports(const Node& node, Diagnostic* reason) {
    if (!is_kernel_float(node.input(0).dtype) || !is_kernel_float(node.output().dtype))
        return fail(reason, Status::kUnsupported, "fc: %s to %s is not computed",
                    name_of(node.input(0).dtype), name_of(node.output().dtype));
    return Status::kOk;
}

size_t packed_bytes(const Node& node) {
    const TensorView& w = node.input(1);
    return static_cast<size_t>(w.elements() + w.shape[0]) * sizeof(float);
}

Status prepack(const Node& node, void* packed, Diagnostic*) {
    const TensorView& w = node.input(1);
    auto* to = static_cast<float*>(packed);
    for (int64_t i = 0; i < w.elements(); ++i)
        to[i] = static_cast<float>(load_f64(w, offset_of(w, i)));
    float* bias = to + w.elements();
    for (int64_t n = 0; n < w.shape[0]; ++n)
        bias[n] = node.has_input(2)
                      ? static_cast<float>(load_f64(node.input(2), n * node.input(2).strides[0]))
                      : 0.0F;
    return Status::kOk;
}

size_t workspace_bytes(const Node& node) {
    return staging(node.input(0)) + staging(node.output());
}

Status launch(const CudaContext& context, const Node& node, const void* packed, void* workspace,
              Diagnostic* diagnostic) {
    const TensorView& x = node.input(0);
    const TensorView& y = node.output();
    const int64_t m = x.shape[0];
    const int64_t k = x.shape[1];
    const int64_t n = y.shape[1];
    if (m == 0)
        return Status::kOk;
    const auto* weights = static_cast<const float*>(packed);
    auto* scratch = static_cast<uint8_t*>(workspace);

    const float* a = x.as<const float>();
    int64_t lda = m == 1 ? k : x.strides[0];
    if (!direct(x)) {
        auto* copy = reinterpret_cast<float*>(scratch);
        widen<<<blocks_for(m * k), kThreads, 0, context.stream>>>(x, copy, m * k);
        a = copy;
        lda = k;
        scratch += staging(x);
    }
    float* c = direct(y) ? y.as<float>() : reinterpret_cast<float*>(scratch);
    const int64_t ldc = direct(y) && m > 1 ? y.strides[0] : n;

    if (context.blas == nullptr ||
        !context.blas->multiply(context.stream, m, n, k, a, lda, weights, k, c, ldc)) {
        const int64_t tiles_n = (n + kSide - 1) / kSide;
        const int64_t tiles = (m + kSide - 1) / kSide * tiles_n;
        if (tiles > 0x7fffffff)
            return fail(diagnostic, Status::kUnsupported, "fc: Y is too large for one launch");
        multiply<<<static_cast<unsigned>(tiles), kTileThreads, 0, context.stream>>>(
            a, lda, weights, c, ldc, m, n, k, tiles_n);
    }
    const Epilogue epilogue{c, ldc, weights + n * k, y, node.as<Attributes>().activation};
    finish<<<blocks_for(m * n), kThreads, 0, context.stream>>>(epilogue, m * n);
    return launched("fc", diagnostic);
}

} // namespace

extern const CudaKernel kCuda;
const CudaKernel kCuda{"fc", supports, packed_bytes, prepack, workspace_bytes, launch};

} // namespace talus::kernels::fc
