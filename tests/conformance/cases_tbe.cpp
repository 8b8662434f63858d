#include <cmath>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include "case.hpp"
#include "kernels/common/element.hpp"
#include "kernels/tbe/op.hpp"

namespace talus::conformance {
namespace {

using kernels::load_f64;
using kernels::tbe::Attributes;
using kernels::tbe::Pooling;
using kernels::tbe::Table;

struct Tables {
    Attributes attributes; // first: the case's attributes pointer points here
    std::vector<Table> list;
};

// Adds a table at the next free column and returns its blob's growth.
void add_table(Tables& tables, std::vector<uint8_t>& blob, int64_t rows, int32_t width, DType type,
               Random& random, bool fine) {
    Table table;
    // Some distance between tables, so that a row too far is not a row of the next one by chance.
    table.byte_offset = (blob.size() + 64 + 63) / 64 * 64;
    table.rows = rows;
    table.width = width;
    table.column = tables.list.empty() ? 0 : tables.list.back().column + tables.list.back().width;
    table.dtype = type;
    Tensor values = make_tensor(type, {rows, width});
    if (fine)
        for (int64_t i = 0; i < rows * width; ++i)
            kernels::store_f64(values.host(), i, random.uniform(-4, 4));
    else
        fill_halves(values, random, -4, 4);
    blob.resize(table.byte_offset, 0x7e); // NaN in both types, where nothing may read
    blob.insert(blob.end(), values.bytes.begin(), values.bytes.end());
    tables.list.push_back(table);
}

// Fields in the order in which cases name them.
struct Setup { // NOLINT(clang-analyzer-optin.performance.Padding)
    const char* name;
    Pooling pooling = Pooling::kSum;
    int64_t batch = 1;
    int32_t table_count = 1;
    int32_t width = 16; // of the first table; the others vary if `mixed`
    bool mixed = false;
    DType rows_type = DType::kFloat32;
    DType index_type = DType::kInt64;
    DType output_type = DType::kFloat32;
    int64_t longest_bag = 4;
    int64_t fixed_pooling = -1; // >= 0: the form without offsets
    bool transposed = false;    // fixed form: indices as a view of a [B, T] tensor
    bool negative = false;
    bool strided_output = false;
    int64_t rows = 50;
    bool stored_fp32 = false; // rows that binary16 does not hold, and the target told to keep them
};

Tensor integers(DType type, const std::vector<int64_t>& values, std::vector<int64_t> shape) {
    Tensor tensor = make_tensor(type, std::move(shape));
    for (size_t i = 0; i < values.size(); ++i)
        if (type == DType::kInt32)
            tensor.host().as<int32_t>()[i] = static_cast<int32_t>(values[i]);
        else
            tensor.host().as<int64_t>()[i] = values[i];
    return tensor;
}

// Bags of every length in turn, starting with empty ones; each second bag repeats an index.
Case tbe_case(const Setup& setup) {
    Random random(static_cast<uint64_t>(setup.batch * 31 + setup.table_count * 7 + setup.width));
    Case test;
    test.op = "tbe";
    test.name = setup.name;
    test.constant_inputs = 0b001;
    auto& tables = test.emplace_attributes<Tables>();
    std::vector<uint8_t> blob;
    for (int32_t t = 0; t < setup.table_count; ++t) {
        constexpr int32_t kWidths[] = {1, 31, 33, 65, 4, 128, 17};
        const int32_t width = setup.mixed && t > 0 ? kWidths[t % 7] : setup.width;
        const DType type = setup.mixed && t % 3 == 1 ? DType::kFloat32 : setup.rows_type;
        add_table(tables, blob, t == 1 && setup.mixed ? 1 : setup.rows + t, width, type, random,
                  setup.stored_fp32);
    }
    tables.attributes = {tables.list.data(), setup.table_count, setup.pooling,
                         setup.negative ? 1 : 0, 0};
    if (setup.stored_fp32)
        tables.attributes.stored = DType::kFloat32;
    test.inputs.push_back(make_tensor(DType::kUint8, {static_cast<int64_t>(blob.size())}));
    test.inputs[0].bytes = blob;

    std::vector<std::vector<int64_t>> bags;
    std::vector<int64_t> offsets{0};
    std::vector<int64_t> flat;
    for (int32_t t = 0; t < setup.table_count; ++t)
        for (int64_t b = 0; b < setup.batch; ++b) {
            const int64_t length = setup.fixed_pooling >= 0 ? setup.fixed_pooling
                                                            : (t + b * 3) % (setup.longest_bag + 1);
            std::vector<int64_t> bag;
            for (int64_t p = 0; p < length; ++p) {
                const int64_t rows = tables.list[static_cast<size_t>(t)].rows;
                int64_t row = p == 1 && b % 2 == 1 ? bag[0] : random.integer(0, rows - 1);
                if (b == 0 && p == 0)
                    row = rows - 1; // the last row is as valid as the first
                bag.push_back(row);
            }
            for (int64_t& row : bag)
                if (setup.negative && random.integer(0, 1) == 1 && row >= 0)
                    row -= tables.list[static_cast<size_t>(t)].rows;
            flat.insert(flat.end(), bag.begin(), bag.end());
            offsets.push_back(static_cast<int64_t>(flat.size()));
            bags.push_back(std::move(bag));
        }
    const auto total = static_cast<int64_t>(flat.size());
    if (setup.fixed_pooling < 0) {
        tables.attributes.batch = static_cast<int32_t>(setup.batch);
        test.inputs.push_back(integers(setup.index_type, flat, {total}));
        test.inputs.push_back(
            integers(setup.index_type, offsets, {static_cast<int64_t>(offsets.size())}));
    } else if (setup.transposed) { // P = 1
        std::vector<int64_t> sample_major(flat.size());
        for (int64_t t = 0; t < setup.table_count; ++t)
            for (int64_t b = 0; b < setup.batch; ++b)
                sample_major[static_cast<size_t>(b * setup.table_count + t)] =
                    flat[static_cast<size_t>(t * setup.batch + b)];
        test.inputs.push_back(
            integers(setup.index_type, sample_major, {setup.table_count, setup.batch, 1}));
        test.inputs[1].view.strides[0] = 1;
        test.inputs[1].view.strides[1] = setup.table_count;
    } else {
        test.inputs.push_back(integers(setup.index_type, flat,
                                       {setup.table_count, setup.batch, setup.fixed_pooling}));
    }

    const int64_t columns = kernels::tbe::output_columns(tables.attributes);
    test.output =
        make_tensor(setup.output_type, {setup.batch, columns},
                    setup.strided_output ? columns + 37 : 0, setup.strided_output ? 16 : 0);
    for (int64_t b = 0; b < setup.batch; ++b)
        for (int32_t t = 0; t < setup.table_count; ++t) {
            const Table& table = tables.list[static_cast<size_t>(t)];
            const auto& bag = bags[static_cast<size_t>(t * setup.batch + b)];
            TensorView rows;
            rows.dtype = table.dtype;
            rows.data = blob.data() + table.byte_offset;
            for (int32_t c = 0; c < table.width; ++c) {
                double sum = 0;
                for (const int64_t index : bag)
                    sum += std::fabs(
                        load_f64(rows, (index < 0 ? index + table.rows : index) * table.width + c));
                const auto length = static_cast<double>(bag.size());
                test.bound.push_back(setup.pooling == Pooling::kMax || bag.size() < 2
                                         ? 0.0
                                         : (length + 2) * 0x1p-24 * sum /
                                               (setup.pooling == Pooling::kMean ? length : 1.0));
            }
        }
    return test;
}

enum class Fault {
    kTooLarge,
    kNegative,
    kFarTooLarge,
    kFirst,
    kLast,
    kNegativeOffset,
    kDecreasing,
    kPastTheEnd
};

Case fault_case(Fault fault, DType index_type, bool negative_allowed) {
    Setup setup{
        .name = "fault", .batch = 40, .table_count = 3, .index_type = index_type, .longest_bag = 5};
    setup.negative = negative_allowed;
    Case test = tbe_case(setup);
    test.name = "fault " + std::to_string(static_cast<int>(fault)) + " " + name_of(index_type) +
                (negative_allowed ? " Gather" : "");
    auto& tables = *static_cast<Tables*>(test.attributes.get());
    const int64_t table = 1;
    const int64_t sample = 9; // (1 + 27) % 6 = 4 indices
    const int64_t bag = table * setup.batch + sample;
    auto set = [&](size_t input, int64_t at, int64_t value) {
        if (index_type == DType::kInt32)
            test.inputs[input].host().as<int32_t>()[at] = static_cast<int32_t>(value);
        else
            test.inputs[input].host().as<int64_t>()[at] = value;
    };
    const int64_t first = kernels::load_index(test.inputs[2].host(), bag);
    const int64_t rows = tables.list[1].rows;
    const int64_t far = index_type == DType::kInt32 ? INT32_MAX : (int64_t{1} << 32) + 3;
    test.expected = Status::kIndexOutOfRange;
    test.expected_text = "table 1, sample 9, position 2";
    switch (fault) {
    case Fault::kTooLarge:
        set(1, first + 2, rows);
        break;
    case Fault::kNegative:
        set(1, first + 2, negative_allowed ? -rows - 1 : -1);
        break;
    case Fault::kFarTooLarge: // narrowed to 32 bits it would be 3
        set(1, first + 2, far);
        break;
    case Fault::kFirst: // bags have (table + 3 * sample) % 6 indices
        set(1, 0, tables.list[0].rows);
        test.expected_text = "table 0, sample 1, position 0";
        break;
    case Fault::kLast:
        set(1, test.inputs[1].view.shape[0] - 1, tables.list[2].rows);
        test.expected_text = "table 2, sample 39, position 4";
        break;
    case Fault::kNegativeOffset:
        set(2, 0, -1);
        test.expected_text = "table 0, sample 0: offset -1";
        break;
    case Fault::kDecreasing:
        set(2, bag + 1, first - 1);
        test.expected_text = "table 1, sample 9: offset";
        break;
    case Fault::kPastTheEnd:
        set(2, 3 * setup.batch, test.inputs[1].view.shape[0] + 1);
        test.expected_text = "table 2, sample 39: offset";
        break;
    }
    return test;
}

} // namespace

void add_tbe_cases(Cases& cases) {
    constexpr DType kF16 = DType::kFloat16;
    const Setup setups[] = {
        {.name = "one bag, empty", .longest_bag = 0},
        {.name = "batch 0", .batch = 0, .table_count = 2},
        {.name = "one row", .batch = 3, .longest_bag = 3, .rows = 1},
        {.name = "one index per bag",
         .batch = 33,
         .table_count = 3,
         .rows_type = kF16,
         .output_type = kF16,
         .fixed_pooling = 1},
        {.name = "DLRM's Gather",
         .batch = 65,
         .table_count = 26,
         .rows_type = kF16,
         .output_type = kF16,
         .fixed_pooling = 1,
         .transposed = true,
         .negative = true,
         .strided_output = true},
        {.name = "DLRM's Gather, FP32",
         .batch = 65,
         .table_count = 26,
         .fixed_pooling = 1,
         .transposed = true,
         .negative = true,
         .strided_output = true},
        {.name = "DLRM's Gather, int32",
         .batch = 31,
         .table_count = 26,
         .rows_type = kF16,
         .index_type = DType::kInt32,
         .output_type = kF16,
         .fixed_pooling = 1,
         .transposed = true},
        {.name = "fixed pooling 0", .batch = 5, .table_count = 2, .fixed_pooling = 0},
        {.name = "fixed pooling 7", .batch = 31, .table_count = 2, .fixed_pooling = 7},
        {.name = "fixed pooling 200",
         .batch = 3,
         .table_count = 2,
         .rows_type = kF16,
         .output_type = kF16,
         .fixed_pooling = 200},
        {.name = "mixed tables", .batch = 33, .table_count = 8, .mixed = true, .longest_bag = 6},
        {.name = "mixed tables, half out",
         .batch = 33,
         .table_count = 8,
         .mixed = true,
         .rows_type = kF16,
         .output_type = kF16,
         .longest_bag = 6,
         .strided_output = true},
        {.name = "long bags", .batch = 9, .table_count = 2, .width = 65, .longest_bag = 700},
        {.name = "wide rows",
         .batch = 5,
         .table_count = 2,
         .width = 1031,
         .rows_type = kF16,
         .longest_bag = 9},
        {.name = "batch 4096",
         .batch = 4096,
         .table_count = 2,
         .width = 8,
         .rows_type = kF16,
         .longest_bag = 3,
         .rows = 1000},
        {.name = "200 tables", .batch = 7, .table_count = 200, .width = 4, .longest_bag = 3},
        {.name = "FP32 rows, fixed",
         .batch = 33,
         .table_count = 5,
         .fixed_pooling = 1,
         .strided_output = true,
         .stored_fp32 = true},
        {.name = "FP32 rows, ragged",
         .batch = 40,
         .table_count = 6,
         .mixed = true,
         .longest_bag = 9,
         .stored_fp32 = true},
        {.name = "FP32 rows, half out",
         .batch = 65,
         .table_count = 2,
         .width = 33,
         .output_type = kF16,
         .fixed_pooling = 1,
         .stored_fp32 = true},
    };
    for (const Setup& setup : setups)
        for (const auto pooling : {Pooling::kSum, Pooling::kMean, Pooling::kMax})
            for (const DType index_type : {DType::kInt64, DType::kInt32}) {
                Setup variant = setup;
                variant.pooling = pooling;
                if (index_type == DType::kInt32)
                    variant.index_type = index_type;
                cases.push_back([variant] {
                    Case test = tbe_case(variant);
                    constexpr const char* kNames[] = {" sum", " mean", " max"};
                    test.name += kNames[static_cast<int>(variant.pooling)];
                    test.name += std::string(" ") + name_of(variant.index_type);
                    return test;
                });
            }
    for (const auto fault :
         {Fault::kTooLarge, Fault::kNegative, Fault::kFarTooLarge, Fault::kFirst, Fault::kLast,
          Fault::kNegativeOffset, Fault::kDecreasing, Fault::kPastTheEnd})
        for (const DType type : {DType::kInt64, DType::kInt32})
            for (const bool negative : {false, true})
                cases.push_back([=] { return fault_case(fault, type, negative); });
}

void add_embedding_bag_golden(Cases& cases, const std::string& path) {
    std::ifstream file(path);
    std::string line;
    int64_t count = 0;
    while (std::getline(file, line) && !line.empty() && line[0] == '#') {
    }
    if (!file || (count = std::stoll(line)) < 1)
        throw std::runtime_error("cannot read " + path);
    for (int64_t i = 0; i < count; ++i) {
        // mode rows width batch indices; weights; indices; offsets; expected
        std::string mode;
        int64_t rows = 0;
        int64_t width = 0;
        int64_t batch = 0;
        int64_t total = 0;
        file >> mode >> rows >> width >> batch >> total;
        auto numbers = [&](int64_t n) {
            std::vector<double> values(static_cast<size_t>(n));
            for (double& value : values)
                file >> value;
            if (!file)
                throw std::runtime_error("truncated: " + path);
            return values;
        };
        const auto weights = numbers(rows * width);
        const auto indices = numbers(total);
        const auto offsets = numbers(batch + 1);
        const auto expected = numbers(batch * width);
        for (const DType type : {DType::kFloat32, DType::kFloat16})
            cases.push_back([=] {
                Case test;
                test.op = "tbe";
                test.name =
                    "PyTorch EmbeddingBag " + mode + " #" + std::to_string(i) + " " + name_of(type);
                test.constant_inputs = 0b001;
                auto& tables = test.emplace_attributes<Tables>();
                Tensor blob = make_tensor(type, {rows * width});
                for (size_t k = 0; k < weights.size(); ++k)
                    kernels::store_f64(blob.host(), static_cast<int64_t>(k), weights[k]);
                Table table;
                table.rows = rows;
                table.width = static_cast<int32_t>(width);
                table.dtype = type;
                tables.list.push_back(table);
                tables.attributes.tables = tables.list.data();
                tables.attributes.table_count = 1;
                tables.attributes.batch = static_cast<int32_t>(batch);
                tables.attributes.pooling = mode == "sum"    ? Pooling::kSum
                                            : mode == "mean" ? Pooling::kMean
                                                             : Pooling::kMax;
                test.inputs.push_back(
                    make_tensor(DType::kUint8, {static_cast<int64_t>(blob.bytes.size())}));
                test.inputs[0].bytes = blob.bytes;
                test.inputs.push_back(
                    integers(DType::kInt64, {indices.begin(), indices.end()}, {total}));
                test.inputs.push_back(
                    integers(DType::kInt64, {offsets.begin(), offsets.end()}, {batch + 1}));
                test.output = make_tensor(DType::kFloat32, {batch, width});
                // PyTorch's own result replaces the reference's role: the bound below is around the
                // reference, and must hold PyTorch's value as well.
                test.bound.assign(expected.size(), 0.0);
                const TensorView rows_view = blob.host();
                for (int64_t b = 0; b < batch; ++b)
                    for (int64_t c = 0; c < width; ++c) {
                        double sum = 0;
                        double best = 0;
                        const auto begin = static_cast<size_t>(offsets[static_cast<size_t>(b)]);
                        const auto end = static_cast<size_t>(offsets[static_cast<size_t>(b + 1)]);
                        double magnitude = 0;
                        for (size_t p = begin; p < end; ++p) {
                            const double value =
                                load_f64(rows_view, static_cast<int64_t>(indices[p]) * width + c);
                            sum += value;
                            magnitude += std::fabs(value);
                            best = p == begin || value > best ? value : best;
                        }
                        const auto length = static_cast<double>(end - begin);
                        double result = mode == "max" ? best : sum;
                        if (mode == "mean" && end > begin)
                            result /= length;
                        const auto at = static_cast<size_t>(b * width + c);
                        test.bound[at] = mode == "max" ? 0.0 : (length + 2) * 0x1p-24 * magnitude;
                        if (std::fabs(result - expected[at]) >
                            test.bound[at] + 0x1p-23 * std::fabs(result))
                            throw std::runtime_error(
                                "PyTorch's EmbeddingBag disagrees with the reference: " +
                                test.name);
                    }
                return test;
            });
    }
}

} // namespace talus::conformance
