// Dynamic INT8 fully connected layer on CUDA: one block per row finds its range and quantises it,
// then a tiled product with dp4a, whose threads apply scales, bias and activation themselves.
//
// Packed constants: element.hpp. Workspace: a RowScale per row, to a multiple of 256 bytes; X as
// int8 [B, packed_k(K)].
#include "kernels/common/cuda_kernel.hpp"
#include "kernels/fc_int8/element.hpp"

namespace talus::kernels::fc_int8 {
namespace {

__global__ void __launch_bounds__(kThreads)
    quantize_rows(TensorView x, RowScale* scales, int8_t* quantized) {
    __shared__ Range ranges[kThreads];
    __shared__ RowScale scale;
    const int64_t row = blockIdx.x;
    const int thread = static_cast<int>(threadIdx.x);
    Range range;
    for (int64_t i = thread; i < x.shape[1]; i += kThreads)
        include(range, load_float(x.data, x.dtype, row * x.strides[0] + i * x.strides[1]));
    ranges[thread] = range;
    __syncthreads();
    for (int half = kThreads / 2; half > 0; half /= 2) {
        if (thread < half) {
            Range& own = ranges[thread];
            const Range& other = ranges[thread + half];
            own.low = fminf(own.low, other.low);
            own.high = fmaxf(own.high, other.high);
            own.finite = own.finite && other.finite;
        }
        __syncthreads();
    }
    if (thread == 0) {
        scale = scale_of(ranges[0]);
        scales[row] = scale;
    }
    __syncthreads();
    const int64_t pitch = packed_k(x.shape[1]);
    for (int64_t i = thread; i < pitch; i += kThreads)
        quantized[row * pitch + i] = quantized_element(x, scale, row, i);
}

__global__ void __launch_bounds__(fc::kTileThreads)
    multiply(const int32_t* a, const int32_t* b, int64_t m, int64_t n, int64_t words,
             int64_t tiles_n, Epilogue epilogue) {
    __shared__ int32_t slice_a[fc::kDepth * fc::kSide];
    __shared__ int32_t slice_b[fc::kDepth * fc::kSide];
    const int64_t first_row = blockIdx.x / tiles_n * fc::kSide;
    const int64_t first_column = blockIdx.x % tiles_n * fc::kSide;
    const int thread = static_cast<int>(threadIdx.x);
    const int row = thread / (fc::kSide / fc::kStep) * fc::kStep;
    const int column = thread % (fc::kSide / fc::kStep) * fc::kStep;
    int32_t sums[fc::kStep][fc::kStep] = {};
    for (int64_t first = 0; first < words; first += fc::kDepth) {
        for (int slot = thread; slot < fc::kDepth * fc::kSide; slot += fc::kTileThreads) {
            slice_a[slot] = slice_word(a, m, words, first_row, first, slot);
            slice_b[slot] = slice_word(b, n, words, first_column, first, slot);
        }
        __syncthreads();
        for (int d = 0; d < fc::kDepth; ++d)
            for (int i = 0; i < fc::kStep; ++i)
                for (int j = 0; j < fc::kStep; ++j)
                    sums[i][j] = __dp4a(slice_a[d * fc::kSide + row + i],
                                        slice_b[d * fc::kSide + column + j], sums[i][j]);
        __syncthreads();
    }
    for (int i = 0; i < fc::kStep; ++i)
        for (int j = 0; j < fc::kStep; ++j) {
            const fc::Position at = fc::accumulator_position(first_row, first_column, thread, i, j);
            if (at.row < m && at.column < n)
                finish_element(epilogue, at.row, at.column, sums[i][j]);
        }
}

size_t scales_bytes(int64_t rows) {
    return (static_cast<size_t>(rows) * sizeof(RowScale) + 255) / 256 * 256;
}

Status supports(const Node& node, Diagnostic* reason) {
    if (!is_kernel_float(node.input(0).dtype) || !is_kernel_float(node.output().dtype))
        return fail(reason, Status::kUnsupported, "fc_int8: %s to %s is not computed",
                    name_of(node.input(0).dtype), name_of(node.output().dtype));
    return Status::kOk;
}

size_t packed_bytes(const Node& node) {
    return packed_size(node.input(1).shape[0], node.input(1).shape[1]);
}

Status prepack(const Node& node, void* packed, Diagnostic*) {
    pack_weights(node, packed);
    return Status::kOk;
}

size_t workspace_bytes(const Node& node) {
    const TensorView& x = node.input(0);
    return scales_bytes(x.shape[0]) + static_cast<size_t>(x.shape[0] * packed_k(x.shape[1]));
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
    const int64_t tiles_n = (n + fc::kSide - 1) / fc::kSide;
    const int64_t tiles = (m + fc::kSide - 1) / fc::kSide * tiles_n;
    if (tiles > 0x7fffffff || m > 0x7fffffff)
        return fail(diagnostic, Status::kUnsupported, "fc_int8: Y is too large for one launch");
    auto* scales = static_cast<RowScale*>(workspace);
    auto* quantized = static_cast<int8_t*>(workspace) + scales_bytes(m);
    const Packed parts = packed_parts(packed, n, k);
    quantize_rows<<<static_cast<unsigned>(m), kThreads, 0, context.stream>>>(x, scales, quantized);
    const Epilogue epilogue{
        scales, parts.scales, parts.bias, parts.column_sums, y, node.as<Attributes>().activation};
    multiply<<<static_cast<unsigned>(tiles), fc::kTileThreads, 0, context.stream>>>(
        reinterpret_cast<const int32_t*>(quantized), parts.weights, m, n, packed_k(k) / kPack,
        tiles_n, epilogue);
    return launched("fc_int8", diagnostic);
}

} // namespace

extern const CudaKernel kCuda;
const CudaKernel kCuda{"fc_int8", supports, packed_bytes, prepack, workspace_bytes, launch};

} // namespace talus::kernels::fc_int8
