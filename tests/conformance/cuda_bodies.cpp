// The bodies of the CUDA kernels, executed thread by thread on the CPU: a target that computes what
// libtalus_cuda.so computes, with the very same functions, where AddressSanitizer sees each access.
// What it cannot show is what only a GPU has: launch configurations, races, shared memory's
// barriers.
#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "kernels/common/registry.hpp"
#include "kernels/concat/op.hpp"
#include "kernels/convert/element.hpp"
#include "kernels/convert/op.hpp"
#include "kernels/eltwise/element.hpp"
#include "kernels/fc/element.hpp"
#include "kernels/fc_int8/element.hpp"
#include "kernels/interaction/element.hpp"
#include "kernels/interaction/op.hpp"
#include "kernels/tbe/pooling.hpp"
#include "targets.hpp"

namespace talus::conformance {
namespace {

using kernels::Diagnostic;
using kernels::DType;
using kernels::Node;
using kernels::Status;
using kernels::TensorView;

// The SGEMM kernel of fc/cuda.cu: the same slices, the same positions, thread after thread.
void multiply(const float* a, int64_t lda, const float* b, float* c, int64_t m, int64_t n,
              int64_t k) {
    namespace fc = kernels::fc;
    constexpr int kSlots = fc::kDepth * fc::kSide;
    const int64_t tiles_n = (n + fc::kSide - 1) / fc::kSide;
    const int64_t tiles = (m + fc::kSide - 1) / fc::kSide * tiles_n;
    for (int64_t tile = 0; tile < tiles; ++tile) {
        const int64_t first_row = tile / tiles_n * fc::kSide;
        const int64_t first_column = tile % tiles_n * fc::kSide;
        std::vector<float> sums(fc::kSide * fc::kSide, 0.0F);
        for (int64_t first_k = 0; first_k < k; first_k += fc::kDepth) {
            float slice_a[kSlots];
            float slice_b[kSlots];
            for (int slot = 0; slot < kSlots; ++slot) {
                slice_a[slot] = fc::slice_element(a, m, k, lda, first_row, first_k, slot);
                slice_b[slot] = fc::slice_element(b, n, k, k, first_column, first_k, slot);
            }
            const auto depth = static_cast<int>(std::min<int64_t>(k - first_k, fc::kDepth));
            for (int row = 0; row < fc::kSide; ++row)
                for (int column = 0; column < fc::kSide; ++column)
                    for (int d = 0; d < depth; ++d)
                        sums[static_cast<size_t>(row) * fc::kSide + static_cast<size_t>(column)] +=
                            slice_a[d * fc::kSide + row] * slice_b[d * fc::kSide + column];
        }
        for (int thread = 0; thread < fc::kTileThreads; ++thread)
            for (int i = 0; i < fc::kStep; ++i)
                for (int j = 0; j < fc::kStep; ++j) {
                    const fc::Position at =
                        fc::accumulator_position(first_row, first_column, thread, i, j);
                    if (at.row < m && at.column < n)
                        c[at.row * n + at.column] = sums[static_cast<size_t>(
                            (at.row - first_row) * fc::kSide + at.column - first_column)];
                }
    }
}

Status launch_fc(const Node& node, const void* packed) {
    const TensorView& x = node.input(0);
    const TensorView& y = node.output();
    const int64_t m = x.shape[0];
    const int64_t k = x.shape[1];
    const int64_t n = y.shape[1];
    const auto* weights = static_cast<const float*>(packed);
    std::vector<float> wide(static_cast<size_t>(m * k));
    for (int64_t i = 0; i < m * k; ++i)
        wide[static_cast<size_t>(i)] =
            kernels::load_float(x.data, x.dtype, kernels::offset_of(x, i));
    std::vector<float> sums(static_cast<size_t>(m * n));
    multiply(wide.data(), k, weights, sums.data(), m, n, k);
    const kernels::fc::Epilogue epilogue{sums.data(), n, weights + n * k, y,
                                         node.as<kernels::fc::Attributes>().activation};
    for (int64_t i = 0; i < m * n; ++i)
        kernels::fc::finish_element(epilogue, i);
    return Status::kOk;
}

// fc_int8/cuda.cu: rows, then the tiles of the integer product with their epilogue.
Status launch_fc_int8(const Node& node, const void* packed) {
    namespace fc = kernels::fc;
    namespace int8 = kernels::fc_int8;
    constexpr int kSlots = fc::kDepth * fc::kSide;
    const TensorView& x = node.input(0);
    const int64_t m = x.shape[0];
    const int64_t k = x.shape[1];
    const int64_t n = node.output().shape[1];
    const int64_t words = int8::packed_k(k) / int8::kPack;
    std::vector<int8::RowScale> scales(static_cast<size_t>(m));
    std::vector<int32_t> quantized(static_cast<size_t>(m * words));
    for (int64_t row = 0; row < m; ++row) {
        int8::Range range;
        for (int64_t i = 0; i < k; ++i)
            int8::include(
                range, kernels::load_float(x.data, x.dtype, row * x.strides[0] + i * x.strides[1]));
        scales[static_cast<size_t>(row)] = int8::scale_of(range);
        auto* bytes = reinterpret_cast<int8_t*>(quantized.data() + row * words);
        for (int64_t i = 0; i < words * int8::kPack; ++i)
            bytes[i] = int8::quantized_element(x, scales[static_cast<size_t>(row)], row, i);
    }
    const int8::Packed parts = int8::packed_parts(packed, n, k);
    const int8::Epilogue epilogue{scales.data(), parts.scales,
                                  parts.bias,    parts.column_sums,
                                  node.output(), node.as<int8::Attributes>().activation};
    for (int64_t first_row = 0; first_row < m; first_row += fc::kSide)
        for (int64_t first_column = 0; first_column < n; first_column += fc::kSide) {
            std::vector<int32_t> sums(fc::kSide * fc::kSide);
            for (int64_t first = 0; first < words; first += fc::kDepth) {
                int32_t slice_a[kSlots];
                int32_t slice_b[kSlots];
                for (int slot = 0; slot < kSlots; ++slot) {
                    slice_a[slot] =
                        int8::slice_word(quantized.data(), m, words, first_row, first, slot);
                    slice_b[slot] =
                        int8::slice_word(parts.weights, n, words, first_column, first, slot);
                }
                for (int at = 0; at < fc::kSide * fc::kSide; ++at)
                    for (int d = 0; d < fc::kDepth; ++d)
                        sums[static_cast<size_t>(at)] = int8::dot_words(
                            slice_a[d * fc::kSide + at / fc::kSide],
                            slice_b[d * fc::kSide + at % fc::kSide], sums[static_cast<size_t>(at)]);
            }
            for (int thread = 0; thread < fc::kTileThreads; ++thread)
                for (int i = 0; i < fc::kStep; ++i)
                    for (int j = 0; j < fc::kStep; ++j) {
                        const fc::Position at =
                            fc::accumulator_position(first_row, first_column, thread, i, j);
                        if (at.row < m && at.column < n)
                            int8::finish_element(
                                epilogue, at.row, at.column,
                                sums[static_cast<size_t>((at.row - first_row) * fc::kSide +
                                                         at.column - first_column)]);
                    }
        }
    return Status::kOk;
}

Status launch_tbe(const Node& node, const void* packed, Diagnostic* diagnostic) {
    namespace tbe = kernels::tbe;
    const auto& attributes = node.as<tbe::Attributes>();
    tbe::Parameters parameters{};
    parameters.indices = tbe::index_view(node);
    parameters.tables = attributes.tables;
    parameters.blob = static_cast<const uint8_t*>(packed);
    parameters.y = node.output().data;
    parameters.y_type = node.output().dtype;
    parameters.y_strides[0] = node.output().strides[0];
    parameters.y_strides[1] = node.output().strides[1];
    parameters.table_count = attributes.table_count;
    parameters.pooling = attributes.pooling;
    for (int32_t t = 0; t < attributes.table_count; ++t)
        parameters.widest = std::max<int64_t>(parameters.widest, attributes.tables[t].width);
    const int64_t count = attributes.table_count * parameters.indices.batch * parameters.widest;
    uint64_t smallest = ~uint64_t{0};
    for (int64_t i = count - 1; i >= 0; --i) // a GPU has no order either
        smallest = std::min(smallest, tbe::pool_element(parameters, i));
    return smallest == ~uint64_t{0}
               ? Status::kOk
               : tbe::report(tbe::describe_fault(parameters, smallest), diagnostic);
}

Status launch_interaction(const Node& node) {
    kernels::interaction::Parameters parameters{};
    parameters.t = node.input(0);
    if (node.has_input(1))
        parameters.dense = node.input(1);
    parameters.y = node.output();
    parameters.diagonal = node.as<kernels::interaction::Attributes>().include_diagonal;
    for (int64_t i = 0; i < parameters.y.elements(); ++i)
        kernels::interaction::compute_element(parameters, i);
    return Status::kOk;
}

Status launch_eltwise(const Node& node) {
    kernels::eltwise::Parameters parameters{};
    parameters.attributes = node.as<kernels::eltwise::Attributes>();
    parameters.y = node.output();
    parameters.a = kernels::broadcast_to(node.input(0), node.output());
    if (node.input_count > 1)
        parameters.b = kernels::broadcast_to(node.input(1), node.output());
    for (int64_t i = 0; i < parameters.y.elements(); ++i)
        kernels::eltwise::compute_element(parameters, i);
    return Status::kOk;
}

Status launch_convert(const Node& node) {
    const TensorView& x = node.input(0);
    const TensorView& y = node.output();
    kernels::convert::with_element_type(y.dtype, [&](auto to) {
        for (int64_t i = 0; i < x.elements(); ++i)
            kernels::convert::convert_one<decltype(to)>(y, x, i);
    });
    return Status::kOk;
}

Status launch_concat(const Node& node) {
    const int32_t axis = kernels::concat::axis_of(node);
    const size_t element = kernels::size_of(node.output().dtype);
    int64_t begin = 0;
    for (int32_t i = 0; i < node.input_count; ++i) {
        const TensorView& from = node.input(i);
        TensorView to = node.output();
        to.data = to.as<uint8_t>() + begin * to.strides[axis] * static_cast<int64_t>(element);
        to.shape[axis] = from.shape[axis];
        begin += from.shape[axis];
        for (int64_t e = 0; e < from.elements(); ++e)
            std::memcpy(to.as<uint8_t>() + static_cast<size_t>(kernels::offset_of(to, e)) * element,
                        from.as<const uint8_t>() +
                            static_cast<size_t>(kernels::offset_of(from, e)) * element,
                        element);
    }
    return Status::kOk;
}

bool computes(DType type) {
    return kernels::is_kernel_float(type);
}

Status supports(const kernels::Device* device, const Node* node, Diagnostic* reason) {
    if (const Status status = kernels::cpu_target()->supports(device, node, reason);
        status != Status::kOk)
        return status;
    const std::string op = node->op;
    if (op != "convert" && op != "concat" && op != "tbe" &&
        (!computes(node->input(0).dtype) || !computes(node->output().dtype)))
        return kernels::fail(reason, Status::kUnsupported, "%s: float64", node->op);
    return Status::kOk;
}

// Constants are packed as the CPU target packs them: float32 weights and bias, the embedding's
// blob; but INT8 weights in words.
Status packed_bytes(const kernels::Device* device, const Node* node, size_t* bytes,
                    Diagnostic* diagnostic) {
    const Status status = kernels::cpu_target()->packed_bytes(device, node, bytes, diagnostic);
    if (status == Status::kOk && std::string(node->op) == "fc_int8")
        *bytes = kernels::fc_int8::packed_size(node->input(1).shape[0], node->input(1).shape[1]);
    return status;
}

Status prepack(const kernels::Device* device, const Node* node, void* packed,
               Diagnostic* diagnostic) {
    if (std::string(node->op) != "fc_int8")
        return kernels::cpu_target()->prepack(device, node, packed, diagnostic);
    kernels::fc_int8::pack_weights(*node, packed);
    return Status::kOk;
}

Status launch(kernels::Stream*, const Node* node, const void* packed, void*,
              Diagnostic* diagnostic) {
    const kernels::RegistryEntry* entry = kernels::find_operator(node->op);
    if (const Status status = entry->op->infer(*node, diagnostic); status != Status::kOk)
        return status;
    const std::string op = node->op;
    if (op == "fc")
        return launch_fc(*node, packed);
    if (op == "fc_int8")
        return launch_fc_int8(*node, packed);
    if (op == "tbe")
        return launch_tbe(*node, packed, diagnostic);
    if (op == "interaction")
        return launch_interaction(*node);
    if (op == "eltwise")
        return launch_eltwise(*node);
    if (op == "convert")
        return launch_convert(*node);
    if (op == "concat")
        return launch_concat(*node);
    return kernels::fail(diagnostic, Status::kUnsupported, "no body of '%s'", node->op);
}

} // namespace

const kernels::Target* cuda_bodies_target() {
    static const kernels::Target target = [] {
        kernels::Target table = *kernels::cpu_target();
        table.name = "cuda-bodies";
        table.supports = supports;
        table.packed_bytes = packed_bytes;
        table.prepack = prepack;
        table.launch = launch;
        return table;
    }();
    return &target;
}

} // namespace talus::conformance
