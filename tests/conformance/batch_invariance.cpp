// A row's result has the same bits at every batch size and position.
#include <cstdio>
#include <cstring>

#include "case.hpp"
#include "kernels/fc/op.hpp"
#include "kernels/fc_int8/op.hpp"
#include "kernels/interaction/op.hpp"
#include "kernels/tbe/op.hpp"

namespace talus::conformance {
namespace {

constexpr DType kF16 = DType::kFloat16;
constexpr int64_t kBatch = 1999;

// The dimension of an input that counts samples, or -1.
int batch_dimension(const std::string& op, size_t input) {
    if (op == "fc" || op == "fc_int8")
        return input == 0 ? 0 : -1;
    if (op == "tbe")
        return input == 1 ? 1 : -1;
    return 0; // interaction
}

// `count` samples of the case from `first` on, over the same buffers.
Case part_of(const Case& whole, int64_t first, int64_t count) {
    Case part = whole;
    for (size_t i = 0; i < part.inputs.size(); ++i) {
        TensorView& view = part.inputs[i].view;
        const int d = batch_dimension(part.op, i);
        if (d < 0)
            continue;
        part.inputs[i].first_byte +=
            static_cast<size_t>(first * view.strides[d]) * kernels::size_of(view.dtype);
        view.shape[d] = count;
    }
    part.output = make_tensor(whole.output.view.dtype, {count, whole.output.view.shape[1]},
                              whole.output.view.strides[0]);
    return part;
}

Case fc_case(int64_t n, int64_t k, kernels::fc::Activation activation) {
    Random random(static_cast<uint64_t>(n * k));
    Case test;
    test.op = "fc";
    test.name = std::to_string(n) + "x" + std::to_string(k);
    test.constant_inputs = 0b110;
    test.emplace_attributes<kernels::fc::Attributes>().activation = activation;
    test.inputs.push_back(make_tensor(kF16, {kBatch, k}, (k + 31) / 32 * 32));
    test.inputs.push_back(make_tensor(DType::kFloat32, {n, k}));
    test.inputs.push_back(make_tensor(DType::kFloat32, {n}));
    for (Tensor& input : test.inputs)
        fill_halves(input, random, -1, 1);
    test.output = make_tensor(DType::kFloat32, {kBatch, n}, (n + 15) / 16 * 16);
    return test;
}

Case fc_int8_case(int64_t n, int64_t k, kernels::fc::Activation activation) {
    Case test = fc_case(n, k, activation);
    test.op = "fc_int8";
    test.constant_inputs = 0b1110;
    test.emplace_attributes<kernels::fc_int8::Attributes>().activation = activation;
    Tensor weights = make_tensor(DType::kInt8, {n, k});
    Random random(static_cast<uint64_t>(n + k));
    for (uint8_t& byte : weights.bytes)
        byte = static_cast<uint8_t>(random.integer(0, 255));
    Tensor scales = test.inputs[2]; // any will do
    test.inputs = {test.inputs[0], weights, scales, test.inputs[2]};
    return test;
}

struct Tables {
    kernels::tbe::Attributes attributes; // first: the case's attributes pointer points here
    std::vector<kernels::tbe::Table> list;
};

Case tbe_case(int64_t pooling) {
    Random random(static_cast<uint64_t>(pooling));
    constexpr int64_t kTables = 5;
    constexpr int64_t kRows = 300;
    constexpr int32_t kWidth = 16;
    Case test;
    test.op = "tbe";
    test.name = "pooling " + std::to_string(pooling);
    test.constant_inputs = 0b001;
    auto& tables = test.emplace_attributes<Tables>();
    Tensor rows = make_tensor(kF16, {kTables, kRows, kWidth});
    fill_halves(rows, random, -1, 1);
    for (int64_t t = 0; t < kTables; ++t) {
        kernels::tbe::Table table;
        table.byte_offset = static_cast<uint64_t>(t * kRows * kWidth * 2);
        table.rows = kRows;
        table.width = kWidth;
        table.column = static_cast<int32_t>(t) * kWidth;
        table.dtype = kF16;
        tables.list.push_back(table);
    }
    tables.attributes.tables = tables.list.data();
    tables.attributes.table_count = kTables;
    tables.attributes.pooling = kernels::tbe::Pooling::kMean;
    test.inputs.push_back(make_tensor(DType::kUint8, {static_cast<int64_t>(rows.bytes.size())}));
    test.inputs[0].bytes = rows.bytes;
    test.inputs.push_back(make_tensor(DType::kInt64, {kTables, kBatch, pooling}));
    for (int64_t i = 0; i < kTables * kBatch * pooling; ++i)
        test.inputs[1].host().as<int64_t>()[i] = random.integer(0, kRows - 1);
    test.output = make_tensor(DType::kFloat32, {kBatch, kTables * kWidth});
    return test;
}

Case interaction_case() {
    Random random(27);
    Case test;
    test.op = "interaction";
    test.name = "27x16";
    test.emplace_attributes<kernels::interaction::Attributes>();
    test.inputs.push_back(make_tensor(kF16, {kBatch, 27, 16}));
    test.inputs.push_back(make_tensor(kF16, {kBatch, 16}));
    for (Tensor& input : test.inputs)
        fill_halves(input, random, -1, 1);
    test.output = make_tensor(kF16, {kBatch, 367}, 384);
    return test;
}

// Returns whether all parts agree with the whole.
bool check(Runner& runner, Case whole) {
    kernels::Diagnostic diagnostic;
    std::vector<uint8_t> expected;
    if (runner.execute(whole, expected, diagnostic) != Status::kOk) {
        std::printf("  FAILED      %-11s %s: %s\n", whole.op.c_str(), whole.name.c_str(),
                    diagnostic.text);
        return false;
    }
    const size_t element = kernels::size_of(whole.output.view.dtype);
    const auto row_bytes = static_cast<size_t>(whole.output.view.shape[1]) * element;
    const auto pitch = static_cast<size_t>(whole.output.view.strides[0]) * element;
    int parts = 0;
    for (const int64_t count : {1, 31, 32, 33})
        for (const int64_t first :
             {int64_t{0}, int64_t{1}, int64_t{17}, int64_t{32}, int64_t{1000}, kBatch - count}) {
            Case part = part_of(whole, first, count);
            std::vector<uint8_t> result;
            if (runner.execute(part, result, diagnostic) != Status::kOk) {
                std::printf("  FAILED      %-11s %s, %lld rows from %lld: %s\n", whole.op.c_str(),
                            whole.name.c_str(), static_cast<long long>(count),
                            static_cast<long long>(first), diagnostic.text);
                return false;
            }
            for (int64_t row = 0; row < count; ++row) {
                const auto at = static_cast<size_t>(first + row);
                if (std::memcmp(result.data() + static_cast<size_t>(row) * pitch,
                                expected.data() + at * pitch, row_bytes) != 0) {
                    std::printf("  FAILED      %-11s %s: row %zu of a batch of %lld has other bits "
                                "than in a batch of %lld\n",
                                whole.op.c_str(), whole.name.c_str(), at,
                                static_cast<long long>(count), static_cast<long long>(kBatch));
                    return false;
                }
            }
            ++parts;
        }
    std::printf("  ok          %-11s %s: %d parts of %lld rows\n", whole.op.c_str(),
                whole.name.c_str(), parts, static_cast<long long>(kBatch));
    return true;
}

} // namespace

int check_batch_invariance(Runner& runner) {
    using kernels::fc::Activation;
    int failures = 0;
    failures += !check(runner, fc_case(512, 367, Activation::kRelu));
    failures += !check(runner, fc_case(65, 1030, Activation::kNone));
    failures += !check(runner, fc_case(1, 256, Activation::kSigmoid));
    failures += !check(runner, fc_case(31, 13, Activation::kRelu));
    failures += !check(runner, fc_int8_case(512, 367, Activation::kRelu));
    failures += !check(runner, fc_int8_case(65, 2060, Activation::kNone));
    failures += !check(runner, tbe_case(1));
    failures += !check(runner, tbe_case(7));
    failures += !check(runner, interaction_case());
    return failures;
}

} // namespace talus::conformance
