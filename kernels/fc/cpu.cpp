// Fully connected layer on the CPU: oneDNN's FP32 GEMM, then bias and activation in one pass.
//
// Packed constants: W as float32 [N, K], then the bias as float32 [N] (zeros if there is none).
// Workspace: float32 copies of X and Y where their type is not float32 or their columns not dense.
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>

#include <algorithm>

#include "kernels/common/implementation.hpp"
#include "kernels/common/runs.hpp"
#include "kernels/fc/op.hpp"

namespace talus::kernels::fc {
namespace {

// oneDNN takes its thread count from the calling thread's OpenMP setting. Parallelism belongs to
// the runtime's workers, so each call runs on one thread and leaves the caller's setting as it was.
class SingleThreaded {
  public:
    SingleThreaded() : saved_(omp_get_max_threads()) { omp_set_num_threads(1); }
    ~SingleThreaded() { omp_set_num_threads(saved_); }
    SingleThreaded(const SingleThreaded&) = delete;
    SingleThreaded& operator=(const SingleThreaded&) = delete;

  private:
    int saved_;
};

bool direct(const TensorView& view) {
    return view.dtype == DType::kFloat32 && (view.strides[1] == 1 || view.shape[1] == 1) &&
           view.strides[0] >= view.shape[1];
}

size_t staging(const TensorView& view) {
    return direct(view) ? 0 : static_cast<size_t>(view.elements()) * sizeof(float);
}

Status supports(const Node&, Diagnostic*) {
    return Status::kOk;
}

size_t packed_bytes(const Node& node) {
    const TensorView& w = node.input(1);
    return static_cast<size_t>(w.elements() + w.shape[0]) * sizeof(float);
}

Status prepack(const Node& node, void* packed, Diagnostic*) {
    const TensorView& w = node.input(1);
    auto* to = static_cast<float*>(packed);
    for (int64_t n = 0; n < w.shape[0]; ++n)
        load_run(w, n * w.strides[0], w.strides[1], w.shape[1], to + n * w.shape[1]);
    float* bias = to + w.elements();
    std::fill_n(bias, w.shape[0], 0.0F);
    if (node.has_input(2))
        load_run(node.input(2), 0, node.input(2).strides[0], w.shape[0], bias);
    return Status::kOk;
}

size_t workspace_bytes(const Node& node) {
    return staging(node.input(0)) + staging(node.output());
}

TALUS_MULTIVERSION void add_bias(float* row, const float* bias, int64_t count) {
    for (int64_t n = 0; n < count; ++n)
        row[n] += bias[n];
}

TALUS_MULTIVERSION void add_bias_relu(float* row, const float* bias, int64_t count) {
    for (int64_t n = 0; n < count; ++n) {
        const float sum = row[n] + bias[n];
        row[n] = sum < 0.0F ? 0.0F : sum;
    }
}

void finish_row(Activation activation, float* row, const float* bias, int64_t count) {
    if (activation == Activation::kRelu) {
        add_bias_relu(row, bias, count);
        return;
    }
    add_bias(row, bias, count);
    if (activation == Activation::kSigmoid)
        sigmoid_run(row, count);
}

Status launch(const Node& node, const void* packed, void* workspace, Diagnostic* diagnostic) {
    const TensorView& x = node.input(0);
    const TensorView& y = node.output();
    const int64_t batch = x.shape[0];
    const int64_t k = x.shape[1];
    const int64_t n = y.shape[1];
    if (batch == 0)
        return Status::kOk;
    const auto* weights = static_cast<const float*>(packed);
    const float* bias = weights + n * k;

    auto* scratch = static_cast<float*>(workspace);
    const float* a = x.as<const float>();
    int64_t lda = batch == 1 ? k : x.strides[0];
    if (!direct(x)) {
        for (int64_t b = 0; b < batch; ++b)
            load_run(x, b * x.strides[0], x.strides[1], k, scratch + b * k);
        a = scratch;
        lda = k;
        scratch += batch * k;
    }
    float* c = direct(y) ? y.as<float>() : scratch;
    const int64_t ldc = direct(y) && batch > 1 ? y.strides[0] : n;

    {
        const SingleThreaded guard;
        const dnnl_status_t status =
            dnnl_sgemm('N', 'T', batch, n, k, 1.0F, a, lda, weights, k, 0.0F, c, ldc);
        if (status != dnnl_success)
            return fail(diagnostic, Status::kDeviceError, "fc: oneDNN's sgemm failed (%d)",
                        static_cast<int>(status));
    }
    for (int64_t b = 0; b < batch; ++b) {
        finish_row(node.as<Attributes>().activation, c + b * ldc, bias, n);
        if (!direct(y))
            store_run(y, b * y.strides[0], y.strides[1], n, c + b * ldc);
    }
    return Status::kOk;
}

} // namespace

extern const HostKernel kCpu;
const HostKernel kCpu{supports, packed_bytes, prepack, workspace_bytes, launch};

} // namespace talus::kernels::fc
