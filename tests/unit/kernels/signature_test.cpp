// Operators refuse what their signature does not allow, and never touch data while they do.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/common/registry.hpp"
#include "kernels/concat/op.hpp"
#include "kernels/eltwise/op.hpp"
#include "kernels/fc/op.hpp"
#include "kernels/interaction/op.hpp"
#include "kernels/tbe/op.hpp"

namespace talus::kernels {
namespace {

TensorView view(DType type, std::vector<int64_t> shape) {
    return make_view(nullptr, type, shape.data(), static_cast<int32_t>(shape.size()));
}

struct Call {
    std::string op;
    const void* attributes;
    std::vector<TensorView> inputs;
    TensorView output{};
    Diagnostic diagnostic{};

    Status infer() {
        Node node;
        node.op = op.c_str();
        node.attributes = attributes;
        node.inputs = inputs.data();
        node.input_count = static_cast<int32_t>(inputs.size());
        node.outputs = &output;
        node.output_count = 1;
        return find_operator(op)->op->infer(node, &diagnostic);
    }
    std::vector<int64_t> shape() const { return {output.shape, output.shape + output.rank}; }
};

using Shape = std::vector<int64_t>;
constexpr DType kF32 = DType::kFloat32;

TEST(Registry, HoldsEveryFolder) {
    for (const char* name : {"fc", "tbe", "interaction", "concat", "eltwise", "convert"}) {
        const RegistryEntry* entry = find_operator(name);
        ASSERT_NE(entry, nullptr) << name;
        EXPECT_NE(entry->cpu, nullptr) << name;
        EXPECT_NE(entry->talus, nullptr) << name;
        EXPECT_LE(entry->talus->args_bytes, 3840U) << name;
    }
    EXPECT_EQ(find_operator("conv"), nullptr);
}

TEST(Fc, Signature) {
    const fc::Attributes attributes;
    Call call{"fc", &attributes, {view(kF32, {5, 13}), view(kF32, {7, 13}), view(kF32, {7})}};
    ASSERT_EQ(call.infer(), Status::kOk) << call.diagnostic.text;
    EXPECT_EQ(call.shape(), (Shape{5, 7}));
    EXPECT_EQ(call.output.dtype, kF32);

    call.inputs[1] = view(kF32, {13, 7});
    EXPECT_EQ(call.infer(), Status::kBadArgument);
    call.inputs[1] = view(kF32, {7, 13});
    call.inputs[2] = view(kF32, {8});
    EXPECT_EQ(call.infer(), Status::kBadArgument);
    call.inputs[2] = TensorView{};
    EXPECT_EQ(call.infer(), Status::kOk);
    call.inputs[0] = view(DType::kInt32, {5, 13});
    EXPECT_EQ(call.infer(), Status::kBadArgument);
    call.inputs[0] = view(kF32, {5, 13});
    call.output = view(kF32, {5, 8}); // set by the caller, and wrong
    EXPECT_EQ(call.infer(), Status::kBadArgument);
    EXPECT_NE(std::string(call.diagnostic.text).find("fc"), std::string::npos);
}

TEST(Tbe, TablesMustLieInTheBlob) {
    tbe::Table table;
    table.rows = 10;
    table.width = 4;
    tbe::Attributes attributes;
    attributes.tables = &table;
    attributes.table_count = 1;
    attributes.batch = 2;
    Call call{"tbe",
              &attributes,
              {view(DType::kUint8, {160}), view(DType::kInt64, {9}), view(DType::kInt64, {3})}};
    ASSERT_EQ(call.infer(), Status::kOk) << call.diagnostic.text;
    EXPECT_EQ(call.shape(), (Shape{2, 4}));
    table.rows = 11;
    EXPECT_EQ(call.infer(), Status::kBadArgument);
    table.rows = INT64_MAX; // must not overflow on the way
    EXPECT_EQ(call.infer(), Status::kBadArgument);
    table.rows = -1;
    EXPECT_EQ(call.infer(), Status::kBadArgument);
    table.rows = 10;
    table.byte_offset = 2;
    EXPECT_EQ(call.infer(), Status::kBadArgument);
    table.byte_offset = UINT64_MAX - 3;
    EXPECT_EQ(call.infer(), Status::kBadArgument);
    table.byte_offset = 0;
    call.inputs[2] = view(DType::kInt64, {4});
    EXPECT_EQ(call.infer(), Status::kBadArgument);
    call.inputs[2] = view(kF32, {3});
    EXPECT_EQ(call.infer(), Status::kBadArgument);
}

TEST(Tbe, FixedPoolingTakesTheBatchFromTheIndices) {
    tbe::Table tables[2];
    for (tbe::Table& table : tables) {
        table.rows = 1;
        table.width = 3;
    }
    tables[1].column = 3;
    tbe::Attributes attributes;
    attributes.tables = tables;
    attributes.table_count = 2;
    Call call{"tbe", &attributes, {view(DType::kUint8, {12}), view(DType::kInt32, {2, 7, 1})}};
    ASSERT_EQ(call.infer(), Status::kOk) << call.diagnostic.text;
    EXPECT_EQ(call.shape(), (Shape{7, 6}));
    call.inputs[1] = view(DType::kInt32, {3, 7, 1});
    EXPECT_EQ(call.infer(), Status::kBadArgument);
}

TEST(Interaction, Signature) {
    interaction::Attributes attributes;
    Call call{"interaction", &attributes, {view(kF32, {9, 27, 16}), view(kF32, {9, 16})}};
    ASSERT_EQ(call.infer(), Status::kOk) << call.diagnostic.text;
    EXPECT_EQ(call.shape(), (Shape{9, 367}));
    call.inputs[1] = view(kF32, {8, 16});
    EXPECT_EQ(call.infer(), Status::kBadArgument);
    call.inputs.pop_back();
    call.output = {};
    attributes.include_diagonal = 1;
    ASSERT_EQ(call.infer(), Status::kOk);
    EXPECT_EQ(call.shape(), (Shape{9, 378}));
}

TEST(Concat, Signature) {
    concat::Attributes attributes{-1};
    Call call{"concat", &attributes, {view(kF32, {4, 3}), view(kF32, {4, 5})}};
    ASSERT_EQ(call.infer(), Status::kOk) << call.diagnostic.text;
    EXPECT_EQ(call.shape(), (Shape{4, 8}));
    attributes.axis = 0;
    EXPECT_EQ(call.infer(), Status::kBadArgument);
    attributes.axis = 2;
    EXPECT_EQ(call.infer(), Status::kBadArgument);
    attributes.axis = 1;
    call.inputs[1] = view(DType::kFloat16, {4, 5});
    EXPECT_EQ(call.infer(), Status::kBadArgument);
}

TEST(Eltwise, Broadcasts) {
    eltwise::Attributes attributes{eltwise::Function::kAdd, 0, 0};
    Call call{"eltwise", &attributes, {view(kF32, {4, 1, 3}), view(kF32, {5, 1})}};
    ASSERT_EQ(call.infer(), Status::kOk) << call.diagnostic.text;
    EXPECT_EQ(call.shape(), (Shape{4, 5, 3}));
    call.inputs[1] = view(kF32, {5, 2});
    call.output = {};
    EXPECT_EQ(call.infer(), Status::kBadArgument);
    attributes.function = static_cast<eltwise::Function>(99);
    EXPECT_EQ(call.infer(), Status::kBadArgument);
}

} // namespace
} // namespace talus::kernels
