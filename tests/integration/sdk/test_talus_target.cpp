// The talus target below the request layer: device memory, copies, events, and what a failing
// kernel tells. Runs on the simulated device.
#include <cmath>
#include <cstring>
#include <numeric>

#include <gtest/gtest.h>

#include "kernels/fc/op.hpp"
#include "kernels/tbe/op.hpp"
#include "sdk/common/error.hpp"
#include "sdk/runtime/request.hpp"
#include "sdk/runtime/stream.hpp"
#include "sdk/targets/targets.hpp"
#include "tests/unit/sdk/onnx_builder.hpp"

namespace talus::test {
namespace {

using kernels::CopyKind;
using kernels::DType;
using kernels::Status;
using kernels::TensorView;

class TalusTarget : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        talus_device_options options = TALUS_INIT(talus_device_options);
        options.target = "talus";
        options.device = "sim";
        device() = runtime::open_device(options);
    }
    static void TearDownTestSuite() { device().reset(); }
    static runtime::DevicePtr& device() {
        static runtime::DevicePtr opened;
        return opened;
    }

    const kernels::Target& target() { return device()->target(); }
    void SetUp() override {
        ASSERT_EQ(target().stream_create(device()->handle(), &stream_, &diagnostic_), Status::kOk)
            << diagnostic_.text;
    }
    void TearDown() override { target().stream_destroy(stream_); }
    void copy(void* to, const void* from, std::size_t bytes, CopyKind kind) {
        ASSERT_EQ(target().copy(stream_, to, from, bytes, kind, &diagnostic_), Status::kOk)
            << diagnostic_.text;
    }
    Status synchronize() { return target().synchronize(stream_, &diagnostic_); }

    kernels::Stream* stream_ = nullptr;
    kernels::Diagnostic diagnostic_;
};

TEST_F(TalusTarget, SaysThatItIsSimulated) {
    EXPECT_EQ(device()->info().name, "talus (simulated)");
    EXPECT_TRUE(device()->info().simulated);
    EXPECT_EQ(device()->info().clock_hz, 1350000000U);
    EXPECT_STREQ(device()->info().clock, "simulated");
    EXPECT_NEAR(device()->info().peak_flops, 177e12, 1e12);
}

TEST_F(TalusTarget, CopiesOfEverySizeComeBack) {
    for (const std::size_t bytes : {std::size_t{1}, std::size_t{63}, std::size_t{4097},
                                    std::size_t{3} << 20, (std::size_t{9} << 20) + 5}) {
        const runtime::DeviceMemory first(device(), bytes, runtime::Placement::kLarge);
        const runtime::DeviceMemory second(device(), bytes, runtime::Placement::kFast);
        std::vector<std::uint8_t> sent(bytes);
        std::iota(sent.begin(), sent.end(), std::uint8_t{3});
        std::vector<std::uint8_t> back(bytes, 0);
        copy(first.address(), sent.data(), bytes, CopyKind::kHostToDevice);
        copy(second.address(), first.address(), bytes, CopyKind::kDeviceToDevice);
        copy(back.data(), second.address(), bytes, CopyKind::kDeviceToHost);
        ASSERT_EQ(synchronize(), Status::kOk) << diagnostic_.text;
        EXPECT_EQ(back, sent) << bytes;
    }
}

TEST_F(TalusTarget, BuffersAreReadAndWrittenInPlace) {
    constexpr std::size_t kBytes = 10000;
    auto* host = static_cast<std::uint8_t*>(device()->host_allocate(kBytes));
    const runtime::DeviceMemory memory(device(), kBytes, runtime::Placement::kLarge);
    std::memset(host, 7, kBytes);
    copy(memory.address(), host, kBytes, CopyKind::kHostToDevice);
    // In place: what stands there when the batch is submitted is what the device reads.
    std::memset(host, 8, kBytes);
    ASSERT_EQ(synchronize(), Status::kOk);
    std::memset(host, 0, kBytes);
    copy(host, memory.address(), kBytes, CopyKind::kDeviceToHost);
    ASSERT_EQ(synchronize(), Status::kOk);
    EXPECT_EQ(host[0], 8);
    EXPECT_EQ(host[kBytes - 1], 8);
    device()->host_release(host);
}

TEST_F(TalusTarget, EventsCountDeviceTime) {
    const runtime::DeviceMemory memory(device(), 1 << 20, runtime::Placement::kLarge);
    const std::vector<std::uint8_t> data(1 << 20, 1);
    kernels::Event* begin = nullptr;
    kernels::Event* end = nullptr;
    ASSERT_EQ(target().event_create(device()->handle(), &begin, &diagnostic_), Status::kOk);
    ASSERT_EQ(target().event_create(device()->handle(), &end, &diagnostic_), Status::kOk);
    copy(memory.address(), data.data(), 64, CopyKind::kHostToDevice);
    ASSERT_EQ(target().record(stream_, begin, &diagnostic_), Status::kOk);
    copy(memory.address(), data.data(), data.size(), CopyKind::kHostToDevice);
    ASSERT_EQ(target().record(stream_, end, &diagnostic_), Status::kOk);
    ASSERT_EQ(synchronize(), Status::kOk);
    double seconds = 0;
    ASSERT_EQ(target().elapsed(begin, end, &seconds, &diagnostic_), Status::kOk);
    // 1 MiB cannot come faster than PCIe Gen5 x8, 32 GB/s, lets it.
    EXPECT_GT(seconds, 1048576.0 / 32e9);
    EXPECT_LT(seconds, 1e-3);
    target().event_destroy(begin);
    target().event_destroy(end);
}

// The host checks indices before a launch; here one is put past it, and the kernel finds it.
TEST_F(TalusTarget, KernelsReportIndicesOutOfRange) {
    constexpr int kRows = 10;
    constexpr int kWidth = 16;
    std::vector<float> table(kRows * kWidth, 1.0F);
    kernels::tbe::Table description{0, kRows, kWidth, 0, DType::kFloat32, 0};
    kernels::tbe::Attributes attributes;
    attributes.tables = &description;
    attributes.table_count = 1;
    const runtime::DeviceMemory indices(device(), 64, runtime::Placement::kFast);
    const runtime::DeviceMemory y(device(), 4096, runtime::Placement::kFast);
    const std::int32_t wanted[3] = {1, 2, 77};
    copy(indices.address(), wanted, sizeof wanted, CopyKind::kHostToDevice);
    const std::int64_t blob_shape[] = {static_cast<std::int64_t>(table.size() * sizeof(float))};
    const std::int64_t index_shape[] = {1, 3, 1};
    const std::int64_t y_shape[] = {3, kWidth};
    TensorView inputs[2] = {kernels::make_view(table.data(), DType::kUint8, blob_shape),
                            kernels::make_view(indices.address(), DType::kInt32, index_shape)};
    TensorView outputs[1] = {kernels::make_view(y.address(), DType::kFloat16, y_shape)};
    outputs[0].strides[0] = 32;
    kernels::Node node;
    node.op = "tbe";
    node.attributes = &attributes;
    node.inputs = inputs;
    node.input_count = 2;
    node.outputs = outputs;
    node.output_count = 1;
    std::size_t bytes = 0;
    ASSERT_EQ(target().packed_bytes(device()->handle(), &node, &bytes, &diagnostic_), Status::kOk);
    std::vector<std::byte> packed(bytes);
    ASSERT_EQ(target().prepack(device()->handle(), &node, packed.data(), &diagnostic_),
              Status::kOk);
    const runtime::DeviceMemory weights(device(), bytes, runtime::Placement::kLarge);
    copy(weights.address(), packed.data(), bytes, CopyKind::kHostToDevice);
    ASSERT_EQ(target().launch(stream_, &node, weights.address(), nullptr, &diagnostic_),
              Status::kOk)
        << diagnostic_.text;
    EXPECT_EQ(synchronize(), Status::kIndexOutOfRange) << diagnostic_.text;
    const std::string message = diagnostic_.text;
    EXPECT_NE(message.find("table 0, sample 2, position 0: index 77"), std::string::npos)
        << message;
    // The stream goes on.
    copy(indices.address(), wanted, 8, CopyKind::kHostToDevice);
    EXPECT_EQ(synchronize(), Status::kOk) << diagnostic_.text;
}

// A kernel that reads where no memory is faults; the error says which kernel, which PE, where.
TEST_F(TalusTarget, KernelFaultsNameKernelPeAndSymbol) {
    kernels::fc::Attributes attributes;
    const std::vector<float> w(32 * 32, 0.5F);
    const std::int64_t shape[] = {32, 32};
    const runtime::DeviceMemory y(device(), 4096, runtime::Placement::kFast);
    TensorView inputs[2] = {
        kernels::make_view(reinterpret_cast<void*>(std::uintptr_t{0x70000000}), DType::kFloat16,
                           shape),
        kernels::make_view(const_cast<float*>(w.data()), DType::kFloat32, shape)};
    TensorView outputs[1] = {kernels::make_view(y.address(), DType::kFloat16, shape)};
    kernels::Node node;
    node.op = "fc";
    node.attributes = &attributes;
    node.inputs = inputs;
    node.input_count = 2;
    node.outputs = outputs;
    node.output_count = 1;
    std::size_t bytes = 0;
    ASSERT_EQ(target().packed_bytes(device()->handle(), &node, &bytes, &diagnostic_), Status::kOk);
    std::vector<std::byte> packed(bytes);
    ASSERT_EQ(target().prepack(device()->handle(), &node, packed.data(), &diagnostic_),
              Status::kOk);
    const runtime::DeviceMemory weights(device(), bytes, runtime::Placement::kLarge);
    copy(weights.address(), packed.data(), bytes, CopyKind::kHostToDevice);
    ASSERT_EQ(target().launch(stream_, &node, weights.address(), nullptr, &diagnostic_),
              Status::kOk);
    EXPECT_EQ(synchronize(), Status::kDeviceError);
    const std::string message = diagnostic_.text;
    for (const char* part : {"kernel 'fc'", "PE (", "core", "pc 0x", "fc!", "tval 0x7"})
        EXPECT_NE(message.find(part), std::string::npos) << part << " in: " << message;
    // The device goes on.
    copy(y.address(), w.data(), 64, CopyKind::kHostToDevice);
    EXPECT_EQ(synchronize(), Status::kOk) << diagnostic_.text;
}

// FP16 ends at 65504: what becomes infinite is counted where it happens, and said in the plan.
TEST_F(TalusTarget, OverflowsToInfinityAreReported) {
    GraphBuilder g;
    g.input("x", 1, {"batch", 2});
    g.floats("w", {2, 2}, {1e6F, 1, 1, -1e6F});
    g.node("MatMul", {"x", "w"}, {"y"});
    g.output("y");
    const auto model = runtime::Model::load(g.model(), {device()}, plan::Options{});
    EXPECT_NE(model->explanation().find("WARNING: 2 constants overflow fp16"), std::string::npos)
        << model->explanation();
    runtime::Request request(model);
    float x[4] = {1.0F, 2.0F, 70000.0F, 3.0F};
    talus_tensor tensor = TALUS_INIT(talus_tensor);
    tensor.dtype = TALUS_FLOAT32;
    tensor.rank = 2;
    tensor.shape[0] = 2;
    tensor.shape[1] = 2;
    tensor.data = x;
    request.set_input(0, tensor);
    request.run();
    std::uint64_t constants = 0;
    std::uint64_t inputs = 0;
    for (const runtime::OperatorStats& stats : request.operators()) {
        constants += stats.op == "fc" ? stats.overflows : 0;
        inputs += stats.name == "copy in" ? stats.overflows : 0;
    }
    EXPECT_EQ(constants, 2U);
    EXPECT_EQ(inputs, 1U);
    const auto* y = static_cast<const float*>(request.output(0).data);
    EXPECT_EQ(y[0], INFINITY);
    EXPECT_EQ(y[1], -INFINITY);
}

// Requests on two streams share one device; every one gets its own results.
TEST_F(TalusTarget, ConcurrentRequestsAgree) {
    const auto model = runtime::Model::load(std::string(TALUS_DEMO_FOLDER) + "/model.onnx",
                                            {device()}, plan::Options{});
    constexpr std::int64_t kRows = 40;
    std::vector<float> dense(kRows * 13);
    std::vector<std::int64_t> sparse(kRows * 26);
    for (std::size_t i = 0; i < dense.size(); ++i)
        dense[i] = static_cast<float>(i % 11) * 0.1F - 0.5F;
    for (std::size_t i = 0; i < sparse.size(); ++i)
        sparse[i] = static_cast<std::int64_t>(i % 9);
    const auto tensor = [](std::int32_t dtype, std::int64_t columns, void* data) {
        talus_tensor result = TALUS_INIT(talus_tensor);
        result.dtype = dtype;
        result.rank = 2;
        result.shape[0] = kRows;
        result.shape[1] = columns;
        result.data = data;
        return result;
    };
    std::vector<std::unique_ptr<runtime::Request>> requests;
    std::vector<std::unique_ptr<runtime::Stream>> streams;
    for (int i = 0; i < 3; ++i) {
        requests.push_back(std::make_unique<runtime::Request>(model));
        streams.push_back(std::make_unique<runtime::Stream>());
        requests.back()->set_input(0, tensor(TALUS_FLOAT32, 13, dense.data()));
        requests.back()->set_input(1, tensor(TALUS_INT64, 26, sparse.data()));
    }
    for (int round = 0; round < 3; ++round)
        for (std::size_t i = 0; i < requests.size(); ++i)
            streams[i]->submit([request = requests[i].get()] {
                try {
                    request->run();
                } catch (const Failure& failure) {
                    ADD_FAILURE() << failure.what();
                }
            });
    for (const auto& stream : streams)
        stream->synchronize();
    const auto* first = static_cast<const float*>(requests[0]->output(0).data);
    for (const auto& request : requests) {
        EXPECT_EQ(request->stats().runs, 3U);
        EXPECT_EQ(std::memcmp(request->output(0).data, first, kRows * sizeof(float)), 0);
    }
}

} // namespace
} // namespace talus::test
