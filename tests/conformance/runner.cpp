#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

#include "case.hpp"
#include "kernels/common/element.hpp"

namespace talus::conformance {

using kernels::CopyKind;
using kernels::Diagnostic;
using kernels::Target;

uint64_t Random::next() {
    state_ += 0x9e3779b97f4a7c15ULL;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

int64_t Random::integer(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(next() % static_cast<uint64_t>(high - low + 1));
}

double Random::uniform(double low, double high) {
    return low + (high - low) * static_cast<double>(next() >> 11) * 0x1p-53;
}

TensorView Tensor::at(void* base) const {
    TensorView result = view;
    result.data = static_cast<uint8_t*>(base) + first_byte;
    return result;
}

Tensor make_tensor(DType type, std::vector<int64_t> shape, int64_t pitch, int64_t lead) {
    Tensor tensor;
    tensor.view =
        kernels::make_view(nullptr, type, shape.data(), static_cast<int32_t>(shape.size()));
    if (pitch > 0 && shape.size() >= 2) {
        int64_t stride = pitch;
        for (int32_t d = tensor.view.rank - 2; d >= 0; --d) {
            tensor.view.strides[d] = stride;
            stride *= shape[static_cast<size_t>(d)];
        }
    }
    int64_t extent = 1;
    for (int32_t d = 0; d < tensor.view.rank; ++d)
        extent += (shape[static_cast<size_t>(d)] - 1) * tensor.view.strides[d];
    if (tensor.view.elements() == 0)
        extent = 0;
    const auto element = kernels::size_of(type);
    tensor.first_byte = static_cast<size_t>(lead) * element;
    // Nothing behind the last element: an overrun leaves the buffer.
    tensor.bytes.assign(static_cast<size_t>(lead + extent) * element, 0);
    return tensor;
}

void fill_halves(Tensor& tensor, Random& random, double low, double high) {
    TensorView all = tensor.host();
    all.data = tensor.bytes.data();
    const auto count = static_cast<int64_t>(tensor.bytes.size() / kernels::size_of(all.dtype));
    for (int64_t i = 0; i < count; ++i) {
        const auto value = static_cast<float>(random.uniform(low, high));
        kernels::store_f64(all, i, kernels::half_to_float(kernels::float_to_half(value)));
    }
}

namespace {

// Largest rounding error of storing `value` in `type`.
double rounding(DType type, double value) {
    const double magnitude = std::fabs(value);
    switch (type) {
    case DType::kFloat16:
        return std::max(magnitude * 0x1p-11, 0x1p-25);
    case DType::kBfloat16:
        return std::max(magnitude * 0x1p-8, 0x1p-134);
    case DType::kFloat32:
        return std::max(magnitude * 0x1p-24, 0x1p-150);
    default:
        return 0;
    }
}

std::string text(const char* format, auto... arguments) {
    char buffer[1024];
    std::snprintf(buffer, sizeof buffer, format, arguments...);
    return buffer;
}

// Offsets of the elements of a view in row-major order.
std::vector<int64_t> offsets_of(const TensorView& view) {
    std::vector<int64_t> offsets(static_cast<size_t>(view.elements()));
    for (size_t e = 0; e < offsets.size(); ++e) {
        auto rest = static_cast<int64_t>(e);
        for (int32_t d = view.rank - 1; d >= 0; --d) {
            offsets[e] += rest % view.shape[d] * view.strides[d];
            rest /= view.shape[d];
        }
    }
    return offsets;
}

Outcome compare(const Case& test, const TensorView& got, const TensorView& want,
                const std::vector<uint8_t>& bytes) {
    Outcome outcome;
    const auto offsets = offsets_of(got);
    const auto element = kernels::size_of(got.dtype);
    std::vector<bool> written(bytes.size(), false);
    for (size_t e = 0; e < offsets.size(); ++e) {
        const size_t at = test.output.first_byte + static_cast<size_t>(offsets[e]) * element;
        std::fill_n(written.begin() + static_cast<std::ptrdiff_t>(at), element, true);
        if (test.claim == Claim::kBitExact) {
            const auto* expected = want.as<const uint8_t>() + e * element;
            const double value = kernels::load_f64(got, offsets[e]);
            const bool both_nan = kernels::is_float(got.dtype) && std::isnan(value) &&
                                  std::isnan(kernels::load_f64(want, static_cast<int64_t>(e)));
            if (std::memcmp(bytes.data() + at, expected, element) != 0 && !both_nan)
                return {Outcome::kFailed,
                        text("element %zu is %.9g, must be exactly %.9g", e, value,
                             kernels::load_f64(want, static_cast<int64_t>(e))),
                        0};
            continue;
        }
        const double value = kernels::load_f64(got, offsets[e]);
        const double reference = want.as<const double>()[e];
        if (std::isnan(reference) || std::isnan(value)) {
            if (std::isnan(reference) != std::isnan(value))
                return {Outcome::kFailed,
                        text("element %zu is %.9g, must be %.9g", e, value, reference), 0};
            continue;
        }
        if (value == reference)
            continue;
        const double bound = (e < test.bound.size() ? test.bound[e] : 0.0) +
                             test.function_absolute + test.function_relative * std::fabs(reference);
        const double allowed = bound + rounding(got.dtype, std::fabs(reference) + bound);
        const bool overflow = std::isinf(value) && got.dtype == DType::kFloat16 &&
                              std::fabs(reference) + bound >= 65519.0;
        const double error = overflow ? 0.0 : std::fabs(value - reference);
        if (!(error <= allowed))
            return {Outcome::kFailed,
                    text("element %zu is %.9g, reference %.9g: error %.3g above %.3g", e, value,
                         reference, error, allowed),
                    0};
        outcome.worst = std::max(outcome.worst, allowed > 0 ? error / allowed : 0.0);
    }
    for (size_t i = 0; i < bytes.size(); ++i)
        if (!written[i] && bytes[i] != kUntouched)
            return {Outcome::kFailed, text("byte %zu outside the output view was written", i), 0};
    return outcome;
}

} // namespace

// Device memory of one run, released in any case.
struct Runner::Memory {
    const Target* target;
    kernels::Device* device;
    std::vector<void*> owned;

    Memory(const Target* t, kernels::Device* d) : target(t), device(d) {}
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    ~Memory() {
        for (void* address : owned)
            target->release(device, address);
    }
    Status take(size_t bytes, void** address, Diagnostic& diagnostic) {
        const Status status =
            target->allocate(device, std::max<size_t>(bytes, 1), address, &diagnostic);
        if (status == Status::kOk)
            owned.push_back(*address);
        return status;
    }
};

Runner::Runner(const Target* target, int32_t ordinal) : target_(target) {
    Diagnostic diagnostic;
    if (target->open(ordinal, &device_, &diagnostic) != Status::kOk)
        throw std::runtime_error(diagnostic.text);
    if (target->stream_create(device_, &stream_, &diagnostic) != Status::kOk) {
        target->close(device_);
        throw std::runtime_error(diagnostic.text);
    }
}

Runner::~Runner() {
    target_->stream_destroy(stream_);
    target_->close(device_);
}

const kernels::Capabilities& Runner::capabilities() const {
    return *target_->capabilities(device_);
}

Status Runner::execute(Case& test, std::vector<uint8_t>& result, Diagnostic& diagnostic) {
    std::vector<TensorView> inputs;
    for (Tensor& input : test.inputs)
        inputs.push_back(input.host());
    TensorView output = test.output.view;
    Node node;
    node.op = test.op.c_str();
    node.attributes = test.attributes.get();
    node.inputs = inputs.data();
    node.input_count = static_cast<int32_t>(inputs.size());
    node.outputs = &output;
    node.output_count = 1;
    Status status = target_->supports(device_, &node, &diagnostic);
    if (status != Status::kOk)
        return status;

    Memory memory(target_, device_);
    auto send = [&](void*& address, const std::vector<uint8_t>& bytes) {
        status = memory.take(bytes.size(), &address, diagnostic);
        if (status == Status::kOk)
            status = target_->copy(stream_, address, bytes.data(), bytes.size(),
                                   CopyKind::kHostToDevice, &diagnostic);
        return status == Status::kOk;
    };
    size_t packed_bytes = 0;
    size_t workspace_bytes = 0;
    status = target_->packed_bytes(device_, &node, &packed_bytes, &diagnostic);
    if (status == Status::kOk)
        status = target_->workspace_bytes(device_, &node, &workspace_bytes, &diagnostic);
    void* packed = nullptr;
    std::vector<uint8_t> packed_host(packed_bytes);
    if (status == Status::kOk && packed_bytes > 0) {
        status = target_->prepack(device_, &node, packed_host.data(), &diagnostic);
        if (status != Status::kOk || !send(packed, packed_host))
            return status;
    }
    void* workspace = nullptr;
    if (status == Status::kOk && workspace_bytes > 0)
        status = memory.take(workspace_bytes, &workspace, diagnostic);
    for (size_t i = 0; status == Status::kOk && i < test.inputs.size(); ++i) {
        inputs[i] = test.inputs[i].view;
        void* address = nullptr;
        if ((test.constant_inputs >> i & 1U) == 0 && inputs[i].present() &&
            send(address, test.inputs[i].bytes))
            inputs[i] = test.inputs[i].at(address);
    }
    result.assign(test.output.bytes.size(), kUntouched);
    void* address = nullptr;
    if (status != Status::kOk || !send(address, result))
        return status;
    output = test.output.at(address);
    status = target_->launch(stream_, &node, packed, workspace, &diagnostic);
    if (status == Status::kOk)
        status = target_->synchronize(stream_, &diagnostic);
    if (status == Status::kOk)
        status = target_->copy(stream_, result.data(), address, result.size(),
                               CopyKind::kDeviceToHost, &diagnostic);
    return status == Status::kOk ? target_->synchronize(stream_, &diagnostic) : status;
}

Outcome Runner::run(Case& test) {
    const kernels::RegistryEntry* entry = kernels::find_operator(test.op);
    if (entry == nullptr)
        return {Outcome::kFailed, "no such operator", 0};
    if (entry->op->constant_inputs != test.constant_inputs)
        return {Outcome::kFailed, "the case disagrees about which inputs are constant", 0};

    // The reference, dense: float64, or the output's own type where equality is claimed.
    std::vector<TensorView> inputs;
    for (Tensor& input : test.inputs)
        inputs.push_back(input.host());
    Tensor want =
        make_tensor(test.claim == Claim::kBitExact ? test.output.view.dtype : DType::kFloat64,
                    {test.output.view.shape, test.output.view.shape + test.output.view.rank});
    TensorView want_view = want.host();
    Node node;
    node.op = test.op.c_str();
    node.attributes = test.attributes.get();
    node.inputs = inputs.data();
    node.input_count = static_cast<int32_t>(inputs.size());
    node.outputs = &want_view;
    node.output_count = 1;
    Diagnostic diagnostic;
    if (entry->op->reference(node, &diagnostic) != test.expected)
        return {Outcome::kFailed, std::string("reference: ") + diagnostic.text, 0};

    std::vector<uint8_t> result;
    const Status status = execute(test, result, diagnostic);
    if (status == Status::kUnsupported)
        return {Outcome::kUnsupported, diagnostic.text, 0};
    if (status != test.expected)
        return {Outcome::kFailed,
                text("status %d instead of %d: %s", static_cast<int>(status),
                     static_cast<int>(test.expected), diagnostic.text),
                0};
    if (status == Status::kOk)
        return compare(test, test.output.at(result.data()), want_view, result);
    if (std::string(diagnostic.text).find(test.expected_text) == std::string::npos)
        return {Outcome::kFailed,
                text("the message '%s' lacks '%s'", diagnostic.text, test.expected_text.c_str()),
                0};
    return {};
}

} // namespace talus::conformance
