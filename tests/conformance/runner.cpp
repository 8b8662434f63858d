#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

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

constexpr uint8_t kUntouched = 0xa5;

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
    char buffer[512];
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
struct Runner::Execution {
    const Target* target;
    kernels::Device* device;
    std::vector<void*> owned;

    Execution(const Target* t, kernels::Device* d) : target(t), device(d) {}
    Execution(const Execution&) = delete;
    Execution& operator=(const Execution&) = delete;
    ~Execution() {
        for (void* address : owned)
            target->release(device, address);
    }
    void* take(size_t bytes) {
        void* address = nullptr;
        Diagnostic diagnostic;
        if (target->allocate(device, std::max<size_t>(bytes, 1), &address, &diagnostic) !=
            Status::kOk)
            throw std::runtime_error(diagnostic.text);
        owned.push_back(address);
        return address;
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

Outcome Runner::run(Case& test) {
    const kernels::RegistryEntry* entry = kernels::find_operator(test.op);
    if (entry == nullptr)
        return {Outcome::kFailed, "no such operator", 0};
    if (entry->op->constant_inputs != test.constant_inputs)
        return {Outcome::kFailed, "the case disagrees about which inputs are constant", 0};
    Diagnostic diagnostic;

    // The reference, dense: float64, or the output's own type where equality is claimed.
    std::vector<TensorView> host;
    for (Tensor& input : test.inputs)
        host.push_back(input.host());
    Tensor want =
        make_tensor(test.claim == Claim::kBitExact ? test.output.view.dtype : DType::kFloat64,
                    {test.output.view.shape, test.output.view.shape + test.output.view.rank});
    TensorView want_view = want.host();
    Node node;
    node.op = test.op.c_str();
    node.attributes = test.attributes.get();
    node.inputs = host.data();
    node.input_count = static_cast<int32_t>(host.size());
    node.outputs = &want_view;
    node.output_count = 1;
    const Status reference = entry->op->reference(node, &diagnostic);
    if (reference != test.expected)
        return {Outcome::kFailed, std::string("reference: ") + diagnostic.text, 0};

    TensorView view = test.output.view;
    node.outputs = &view;
    if (target_->supports(device_, &node, &diagnostic) != Status::kOk)
        return {Outcome::kUnsupported, diagnostic.text, 0};

    Execution execution(target_, device_);
    auto check = [&](Status status, const char* step) {
        if (status != Status::kOk)
            throw std::runtime_error(std::string(step) + ": " + diagnostic.text);
    };
    try {
        size_t packed_bytes = 0;
        size_t workspace_bytes = 0;
        check(target_->packed_bytes(device_, &node, &packed_bytes, &diagnostic), "packed_bytes");
        check(target_->workspace_bytes(device_, &node, &workspace_bytes, &diagnostic), "workspace");
        void* packed = nullptr;
        std::vector<uint8_t> packed_host(packed_bytes);
        if (packed_bytes > 0) {
            check(target_->prepack(device_, &node, packed_host.data(), &diagnostic), "prepack");
            packed = execution.take(packed_bytes);
            check(target_->copy(stream_, packed, packed_host.data(), packed_bytes,
                                CopyKind::kHostToDevice, &diagnostic),
                  "copy of constants");
        }
        void* workspace = workspace_bytes > 0 ? execution.take(workspace_bytes) : nullptr;

        std::vector<TensorView> device_inputs;
        for (size_t i = 0; i < test.inputs.size(); ++i) {
            TensorView input = test.inputs[i].view;
            if ((test.constant_inputs >> i & 1U) == 0 && input.present()) {
                void* memory = execution.take(test.inputs[i].bytes.size());
                check(target_->copy(stream_, memory, test.inputs[i].bytes.data(),
                                    test.inputs[i].bytes.size(), CopyKind::kHostToDevice,
                                    &diagnostic),
                      "copy of an input");
                input = test.inputs[i].at(memory);
            }
            device_inputs.push_back(input);
        }
        std::vector<uint8_t> result(test.output.bytes.size(), kUntouched);
        void* output = execution.take(result.size());
        check(target_->copy(stream_, output, result.data(), result.size(), CopyKind::kHostToDevice,
                            &diagnostic),
              "copy of the output");
        TensorView output_view = test.output.at(output);
        node.inputs = device_inputs.data();
        node.outputs = &output_view;
        Status status = target_->launch(stream_, &node, packed, workspace, &diagnostic);
        const bool launched = status == Status::kOk;
        if (launched)
            status = target_->synchronize(stream_, &diagnostic);
        if (test.expected != Status::kOk) {
            if (status != test.expected)
                return {Outcome::kFailed,
                        text("status %d instead of %d", static_cast<int>(status),
                             static_cast<int>(test.expected)),
                        0};
            if (std::string(diagnostic.text).find(test.expected_text) == std::string::npos)
                return {Outcome::kFailed,
                        text("the message '%s' lacks '%s'", diagnostic.text,
                             test.expected_text.c_str()),
                        0};
            return {};
        }
        check(status, launched ? "synchronize" : "launch");
        check(target_->copy(stream_, result.data(), output, result.size(), CopyKind::kDeviceToHost,
                            &diagnostic),
              "copy of the result");
        check(target_->synchronize(stream_, &diagnostic), "synchronize");
        return compare(test, test.output.at(result.data()), want_view, result);
    } catch (const std::runtime_error& error) {
        return {Outcome::kFailed, error.what(), 0};
    }
}

} // namespace talus::conformance
