// The host's half of the accelerator's kernels: what it packs, what it writes into argument blocks,
// and what it refuses.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/common/registry.hpp"
#include "kernels/common/talus_views.hpp"
#include "kernels/fc/args.h"
#include "kernels/fc/op.hpp"
#include "kernels/tbe/args.h"
#include "kernels/tbe/op.hpp"

namespace talus::kernels {
namespace {

Capabilities grid() {
    Capabilities capabilities;
    capabilities.grid_rows = 8;
    capabilities.grid_columns = 8;
    capabilities.local_memory_bytes = 352 << 10;
    return capabilities;
}

Node make_node(const char* op, const void* attributes, std::vector<TensorView>& inputs,
               TensorView& output) {
    Node node;
    node.op = op;
    node.attributes = attributes;
    node.inputs = inputs.data();
    node.input_count = static_cast<int32_t>(inputs.size());
    node.outputs = &output;
    node.output_count = 1;
    return node;
}

struct FcCall {
    fc::Attributes attributes{fc::Activation::kRelu};
    std::vector<float> weights, bias;
    std::vector<TensorView> inputs;
    TensorView output{};

    FcCall(int64_t batch, int64_t n, int64_t k) {
        weights.resize(static_cast<size_t>(n * k));
        bias.resize(static_cast<size_t>(n));
        for (size_t i = 0; i < weights.size(); ++i)
            weights[i] = static_cast<float>(i % 61) - 30;
        for (size_t i = 0; i < bias.size(); ++i)
            bias[i] = static_cast<float>(i) + 0.5F;
        const int64_t x[] = {batch, k};
        const int64_t w[] = {n, k};
        const int64_t b[] = {n};
        const int64_t y[] = {batch, n};
        inputs = {make_view(nullptr, DType::kFloat16, x),
                  make_view(weights.data(), DType::kFloat32, w),
                  make_view(bias.data(), DType::kFloat32, b)};
        output = make_view(nullptr, DType::kFloat16, y);
    }
    Node node() { return make_node("fc", &attributes, inputs, output); }
};

TEST(FcTalus, PacksRowsAtAPitchBehindThePaddedBias) {
    FcCall call(4, 33, 13);
    const Node node = call.node();
    const TalusKernel& kernel = *find_operator("fc")->talus;
    std::vector<uint8_t> packed(kernel.packed_bytes(node, grid()), 0xcc);
    ASSERT_EQ(packed.size(), 64 * 4 + 33 * 64U);
    ASSERT_EQ(kernel.prepack(node, grid(), packed.data(), nullptr), Status::kOk);
    for (size_t n = 0; n < 64; ++n) {
        float value = 0;
        std::memcpy(&value, packed.data() + 4 * n, sizeof value);
        EXPECT_EQ(value, n < 33 ? static_cast<float>(n) + 0.5F : 0.0F);
    }
    for (size_t n = 0; n < 33; ++n)
        for (size_t k = 0; k < 32; ++k) {
            uint16_t half = 0;
            std::memcpy(&half, packed.data() + 256 + n * 64 + k * 2, sizeof half);
            EXPECT_EQ(half, k < 13 ? float_to_half(call.weights[n * 13 + k]) : 0);
        }
}

// Where the kernel will look for W[n, k], by the description in args.h.
size_t place_of(int64_t n, int64_t k, int64_t rows, int64_t depth) {
    const int64_t slices = (depth + 127) / 128;
    const int64_t tail_pitch = ((depth - (slices - 1) * 128) * 2 + 63) / 64 * 64;
    const int64_t row_bytes = (slices - 1) * 256 + tail_pitch;
    const int64_t group = n / 512 * 512;
    const int64_t group_rows = std::min<int64_t>(512, rows - group);
    const int64_t slice = k / 128;
    const int64_t pitch = slice == slices - 1 ? tail_pitch : 256;
    return static_cast<size_t>(group * row_bytes + slice * group_rows * 256 + (n - group) * pitch +
                               k % 128 * 2);
}

TEST(FcTalus, PacksGroupsOfContiguousSlices) {
    for (const int64_t n : {1, 63, 130, 511, 512, 513, 1030})
        for (const int64_t k : {1, 127, 128, 129, 300, 512}) {
            FcCall call(1, n, k);
            for (size_t i = 0; i < call.weights.size(); ++i)
                call.weights[i] = static_cast<float>(i % 2048);
            const Node node = call.node();
            const TalusKernel& kernel = *find_operator("fc")->talus;
            std::vector<uint8_t> packed(kernel.packed_bytes(node, grid()), 0xcc);
            ASSERT_EQ(kernel.prepack(node, grid(), packed.data(), nullptr), Status::kOk);
            const size_t bias = static_cast<size_t>((n + 63) / 64 * 64) * 4;
            EXPECT_EQ(packed.size(),
                      bias + place_of(n - 1, k - 1, n, k) - static_cast<size_t>((k - 1) % 128 * 2) +
                          static_cast<size_t>((((k - 1) % 128 + 1) * 2 + 63) / 64 * 64));
            for (int64_t row = 0; row < n; ++row)
                for (int64_t col = 0; col < k; ++col) {
                    uint16_t half = 0;
                    std::memcpy(&half, packed.data() + bias + place_of(row, col, n, k),
                                sizeof half);
                    ASSERT_EQ(half, float_to_half(static_cast<float>((row * k + col) % 2048)))
                        << n << "x" << k << " " << row << "," << col;
                }
        }
}

TEST(FcTalus, LargeProductsTakeTheWholeGrid) {
    const auto schedule = [](int64_t batch, int64_t n, int64_t k) {
        FcCall call(1, 1, 1);
        call.inputs[0].shape[0] = batch;
        call.inputs[0].shape[1] = k;
        call.output.shape[0] = batch;
        call.output.shape[1] = n;
        const Node node = call.node();
        talus_fc_args args{};
        EXPECT_EQ(find_operator("fc")->talus->encode(node, grid(), 0, 0, &args, nullptr),
                  Status::kOk);
        return args;
    };
    for (const int64_t batch : {256, 512, 2048}) {
        const talus_fc_args args = schedule(batch, 2048, 2048);
        EXPECT_EQ(args.schedule, TALUS_FC_GRID);
        EXPECT_EQ(args.resident, 1U);
        EXPECT_EQ(args.x_broadcast, 1U);
        EXPECT_GE(args.w_slots, 3U);
    }
    EXPECT_EQ(schedule(512, 2048, 26592).resident, 0U); // a strip of X does not fit
    EXPECT_EQ(schedule(512, 2048, 26592).x_broadcast, 1U);
    EXPECT_EQ(schedule(512, 4160, 26592).x_broadcast, 0U); // 65 panels on 8 columns of PEs
    EXPECT_EQ(schedule(255, 2048, 2048).schedule, TALUS_FC_BLOCKS);
    EXPECT_EQ(schedule(2048, 576, 2048).schedule, TALUS_FC_BLOCKS); // 9 panels would idle 7 columns
    EXPECT_EQ(schedule(2048, 2048, 100).schedule, TALUS_FC_BLOCKS);
}

TEST(FcTalus, NotesOverflow) {
    FcCall call(1, 2, 2);
    call.weights = {1.0F, 70000.0F, -1e10F, 65504.0F};
    call.inputs[1].data = call.weights.data();
    const Node node = call.node();
    const TalusKernel& kernel = *find_operator("fc")->talus;
    std::vector<uint8_t> packed(kernel.packed_bytes(node, grid()));
    Diagnostic diagnostic;
    ASSERT_EQ(kernel.prepack(node, grid(), packed.data(), &diagnostic), Status::kOk);
    EXPECT_NE(std::string(diagnostic.text).find("2 weights overflow"), std::string::npos);
}

TEST(FcTalus, EncodesAddressesPitchesAndBlocks) {
    for (const int64_t batch : {1, 32, 1999}) {
        FcCall call(batch, 448, 367);
        call.inputs[0].data = reinterpret_cast<void*>(0x1000000000);
        call.inputs[0].strides[0] = 384;
        call.output.data = reinterpret_cast<void*>(0x1000100000);
        const Node node = call.node();
        talus_fc_args args{};
        const TalusKernel& kernel = *find_operator("fc")->talus;
        ASSERT_EQ(kernel.args_bytes, sizeof args);
        ASSERT_EQ(kernel.encode(node, grid(), 0x40200000, 0, &args, nullptr), Status::kOk);
        EXPECT_EQ(args.x, 0x1000000000U);
        EXPECT_EQ(args.y, 0x1000100000U);
        EXPECT_EQ(args.bias, 0x40200000U);
        EXPECT_EQ(args.weights, 0x40200000U + 448 * 4);
        EXPECT_EQ(args.weights % 64, 0U);
        EXPECT_EQ(args.x_pitch, batch == 1 ? 734U : 768U);
        EXPECT_EQ(args.batch, static_cast<uint32_t>(batch));
        EXPECT_EQ(args.chunk, 384U);
        EXPECT_EQ(args.resident, 1U);
        EXPECT_GE(args.w_slots, 2U);
        EXPECT_EQ(args.block, batch == 1999 ? 2U : 1U);
    }
}

// What the kernel takes of local memory must fit, whatever the shape.
TEST(FcTalus, BuffersFitLocalMemory) {
    for (const int64_t batch : {1, 33, 5000})
        for (const int64_t n : {1, 31, 4096})
            for (const int64_t k : {1, 512, 1025, 26592}) {
                FcCall call(batch, 1, 1);
                call.inputs[0].shape[0] = batch;
                call.inputs[0].shape[1] = k;
                call.output.shape[0] = batch;
                call.output.shape[1] = n;
                call.output.dtype = DType::kFloat32;
                const Node node = call.node();
                talus_fc_args args{};
                ASSERT_EQ(find_operator("fc")->talus->encode(node, grid(), 0, 0, &args, nullptr),
                          Status::kOk);
                const uint64_t side = args.schedule == TALUS_FC_GRID ? 64 : args.block * 32;
                const uint64_t slot =
                    side * 2 * (args.schedule == TALUS_FC_GRID ? 128 : args.chunk);
                const uint64_t bytes =
                    (args.x_slots + args.w_slots) * slot + 2 * (side * 4 + side * side * 4);
                EXPECT_LE(bytes, uint64_t{352} << 10) << batch << " " << n << " " << k;
                EXPECT_EQ(args.chunk % 32, 0U);
            }
}

TEST(FcTalus, RefusesWithAReason) {
    FcCall call(4, 3, 5);
    const TalusKernel& kernel = *find_operator("fc")->talus;
    Diagnostic reason;
    call.inputs[0].dtype = DType::kFloat32;
    EXPECT_EQ(kernel.supports(call.node(), grid(), &reason), Status::kUnsupported);
    EXPECT_NE(std::string(reason.text).find("float16"), std::string::npos);
    call.inputs[0].dtype = DType::kFloat16;
    EXPECT_EQ(kernel.supports(call.node(), grid(), &reason), Status::kOk);
    call.inputs[0].strides[1] = 2;
    EXPECT_EQ(kernel.supports(call.node(), grid(), &reason), Status::kUnsupported);
    call.inputs[0].strides[1] = 1;
    EXPECT_EQ(kernel.supports(call.node(), Capabilities{}, &reason), Status::kUnsupported);
}

// Local memory of tbe_make_plan (kernels/tbe/pipeline.h), for all widths and table counts allowed.
TEST(TbeTalus, BuffersFitLocalMemory) {
    for (const int32_t width : {1, 16, 31, 128, 512, 1031, 8192})
        for (const int32_t count : {1, 26, 1024})
            for (const DType stored : {DType::kFloat16, DType::kFloat32})
                for (const int32_t batch : {1, 33, 100000}) {
                    std::vector<tbe::Table> tables(static_cast<size_t>(count));
                    for (tbe::Table& table : tables) {
                        table.rows = 3;
                        table.width = width;
                    }
                    tbe::Attributes attributes;
                    attributes.tables = tables.data();
                    attributes.table_count = count;
                    attributes.batch = batch;
                    attributes.stored = stored;
                    const int64_t flat[] = {10};
                    const int64_t bounds[] = {int64_t{count} * batch + 1};
                    const int64_t y[] = {batch, width};
                    std::vector<TensorView> inputs = {make_view(nullptr, DType::kUint8, flat),
                                                      make_view(nullptr, DType::kInt64, flat),
                                                      make_view(nullptr, DType::kInt64, bounds)};
                    TensorView output = make_view(nullptr, DType::kFloat32, y);
                    const Node node = make_node("tbe", &attributes, inputs, output);
                    talus_tbe_args args{};
                    const TalusKernel& kernel = *find_operator("tbe")->talus;
                    ASSERT_EQ(kernel.encode(node, grid(), 0, 0, &args, nullptr), Status::kOk);
                    ASSERT_GE(args.block, 1U);
                    ASSERT_GE(args.chunk, 1U);
                    ASSERT_LE(args.chunk, 64U);
                    auto align = [](uint64_t bytes) { return (bytes + 63) / 64 * 64; };
                    const uint64_t bytes =
                        align(args.tables * 32) + align(args.block * args.widest * 4) +
                        4 * align((args.block + 1) * 8) + 4 * align(64 + args.block * 4) +
                        4 * align(args.chunk * 8) + 4 * align(args.chunk * 4) +
                        3 * uint64_t{args.chunk} * args.row_slot +
                        2 * align(args.block * args.widest * 4);
                    EXPECT_LE(bytes, uint64_t{352} << 10) << width << " " << count;
                }
}

TEST(TbeTalus, ExplainsFaults) {
    tbe::Table table;
    table.rows = 50;
    table.width = 16;
    tbe::Attributes attributes;
    attributes.tables = &table;
    attributes.table_count = 1;
    const int64_t blob[] = {3200};
    const int64_t indices[] = {1, 8, 1};
    const int64_t y[] = {8, 16};
    std::vector<TensorView> inputs = {make_view(nullptr, DType::kUint8, blob),
                                      make_view(nullptr, DType::kInt64, indices)};
    TensorView output = make_view(nullptr, DType::kFloat16, y);
    const Node node = make_node("tbe", &attributes, inputs, output);
    const TalusKernel& kernel = *find_operator("tbe")->talus;
    Diagnostic diagnostic;
    const uint64_t detail[] = {0, 7, 3, static_cast<uint64_t>(int64_t{-4})};
    EXPECT_EQ(kernel.explain(node, TALUS_KERNEL_INDEX_OUT_OF_RANGE, detail, &diagnostic),
              Status::kIndexOutOfRange);
    EXPECT_STREQ(diagnostic.text,
                 "embedding table 0, sample 7, position 3: index -4 is out of range "
                 "for a table of 50 rows");
    EXPECT_EQ(kernel.explain(node, 0xffff0001, detail, &diagnostic), Status::kDeviceError);
}

TEST(RowForm, MergesWhatIsEvenlySpaced) {
    const int64_t shape[] = {2, 3, 4, 5};
    int64_t strides[3][kMaxRank] = {{60, 20, 5, 1}, {600, 200, 5, 1}, {0, 0, 5, 1}};
    RowForm form;
    ASSERT_TRUE(to_rows(shape, 4, strides, 1, form));
    EXPECT_EQ(form.rows, 1);
    EXPECT_EQ(form.columns, 120);
    ASSERT_TRUE(to_rows(shape, 4, strides, 3, form));
    EXPECT_EQ(form.rows, 6);
    EXPECT_EQ(form.columns, 20);
    EXPECT_EQ(form.pitch[0], 20);
    EXPECT_EQ(form.pitch[1], 200);
    EXPECT_EQ(form.pitch[2], 0);
    strides[1][0] = 601;
    EXPECT_FALSE(to_rows(shape, 4, strides, 2, form));
    const int64_t column[] = {7, 1};
    const int64_t column_strides[3][kMaxRank] = {{9, 1}, {1, 1}};
    ASSERT_TRUE(to_rows(column, 2, column_strides, 2, form));
    EXPECT_EQ(form.rows, 7);
    EXPECT_EQ(form.columns, 1);
    EXPECT_EQ(form.pitch[0], 9);
}

} // namespace
} // namespace talus::kernels
