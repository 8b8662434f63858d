// One conformance case: an operator call with host data, checked against the operator's FP64
// reference on any target. Free of test frameworks and of libraries, so that the same sources build
// on a bare GPU machine (tests/gpu).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/common/registry.hpp"

namespace talus::conformance {

using kernels::DType;
using kernels::Node;
using kernels::Status;
using kernels::TensorView;

// A deterministic generator (splitmix64), the same everywhere.
class Random {
  public:
    explicit Random(uint64_t seed) : state_(seed) {}
    uint64_t next();
    int64_t integer(int64_t low, int64_t high); // both inclusive
    double uniform(double low, double high);

  private:
    uint64_t state_;
};

// A host buffer and the view into it; the view's data may start inside the buffer.
struct Tensor {
    std::vector<uint8_t> bytes;
    size_t first_byte = 0;
    TensorView view;

    // The view over this buffer, or over another copy of it.
    TensorView at(void* base) const;
    TensorView host() { return at(bytes.data()); }
};

// A tensor of zeros; `pitch` elements from row to row of the last dimension (0: dense), preceded by
// `lead` elements that belong to nobody.
Tensor make_tensor(DType type, std::vector<int64_t> shape, int64_t pitch = 0, int64_t lead = 0);
// Random values that binary16 represents exactly, so that no target loses any by storing them so.
void fill_halves(Tensor& tensor, Random& random, double low, double high);

enum class Claim {
    kBitExact,         // equal to the reference rounded once to the output's type, NaN for NaN
    kNumericallyEqual, // |y - reference| <= bound, element by element
};

struct Case {
    std::string op;
    std::string name;
    std::shared_ptr<void> attributes;
    std::vector<Tensor> inputs;
    Tensor output;
    uint32_t constant_inputs = 0;
    Claim claim = Claim::kNumericallyEqual;
    // Per element of the dense output, beside the rounding to the output's type: the error that any
    // order of FP32 accumulation may have.
    std::vector<double> bound;
    // Absolute and relative error allowed to a target's transcendental function.
    double function_absolute = 0;
    double function_relative = 0;
    Status expected = Status::kOk;
    std::string expected_text; // must appear in the diagnostic if expected is an error

    template <typename T>
    T& emplace_attributes() {
        auto owned = std::make_shared<T>();
        T& result = *owned;
        attributes = std::move(owned);
        return result;
    }
};

constexpr uint8_t kUntouched = 0xa5;

struct Outcome {
    enum Kind { kPassed, kUnsupported, kFailed } kind = kPassed;
    std::string text; // the reason for anything but kPassed
    double worst = 0; // the largest error over its bound
};

// A target's device with one stream.
class Runner {
  public:
    // Throws std::runtime_error if the device cannot be opened.
    explicit Runner(const kernels::Target* target, int32_t ordinal = 0);
    ~Runner();
    Runner(const Runner&) = delete;
    Runner& operator=(const Runner&) = delete;

    const kernels::Capabilities& capabilities() const;
    // Runs the case and compares it with the reference.
    Outcome run(Case& test);
    // Runs the case alone. `result` is the output's whole buffer, kUntouched where nothing was
    // written. The diagnostic tells of anything but kOk; kUnsupported if the target declines.
    Status execute(Case& test, std::vector<uint8_t>& result, kernels::Diagnostic& diagnostic);

  private:
    struct Memory;
    const kernels::Target* target_;
    kernels::Device* device_ = nullptr;
    kernels::Stream* stream_ = nullptr;
};

// Rows of one large batch, computed again in batches of 1, 31, 32 and 33 at several positions, must
// have the same bits: for fully connected, embedding and interaction. Returns the number of
// failures.
int check_batch_invariance(Runner& runner);

// Lazily built, so that memory holds one case at a time.
using CaseFactory = std::function<Case()>;
using Cases = std::vector<CaseFactory>;

void add_fc_cases(Cases& cases);
void add_fc_int8_cases(Cases& cases);
void add_tbe_cases(Cases& cases);
void add_interaction_cases(Cases& cases);
void add_concat_cases(Cases& cases);
void add_eltwise_cases(Cases& cases);
void add_convert_cases(Cases& cases);
// PyTorch's EmbeddingBag, from the committed file. Throws if it cannot be read.
void add_embedding_bag_golden(Cases& cases, const std::string& path);

} // namespace talus::conformance
