// Fully connected layers large enough for the whole grid, on a small one: every way in which
// strips, panels and slices can be uneven, compared with the documented order of additions bit by
// bit.
#include <cmath>
#include <cstdlib>
#include <cstring>

#include <gtest/gtest.h>

#include "kernels/common/element.hpp"
#include "kernels/fc/op.hpp"
#include "sdk/runtime/device.hpp"

namespace talus::test {
namespace {

using kernels::CopyKind;
using kernels::DType;
using kernels::Status;
using kernels::TensorView;

struct Layer {
    std::int64_t batch, n, k;
    bool bias;
    bool wide; // Y in FP32
};

class FcGrid : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        setenv("TALUS_SIM_ARGS", "--set grid.rows=2 --set grid.cols=2", 1);
        talus_device_options options = TALUS_INIT(talus_device_options);
        options.target = "talus";
        options.device = "sim";
        device() = runtime::open_device(options);
        unsetenv("TALUS_SIM_ARGS");
    }
    static void TearDownTestSuite() { device().reset(); }
    static runtime::DevicePtr& device() {
        static runtime::DevicePtr opened;
        return opened;
    }
    void ok(Status status) { ASSERT_EQ(status, Status::kOk) << diagnostic_.text; }

    void check(const Layer& layer) {
        const auto [batch, n, k, with_bias, wide] = layer;
        SCOPED_TRACE(testing::Message() << batch << " x " << n << " x " << k);
        std::vector<std::uint16_t> x(static_cast<std::size_t>(batch * k));
        std::vector<float> w(static_cast<std::size_t>(n * k));
        std::vector<float> bias(static_cast<std::size_t>(n));
        std::uint32_t seed = 7;
        const auto random = [&] {
            seed = seed * 1664525U + 1013904223U;
            return static_cast<float>(static_cast<std::int32_t>(seed) >> 8) * 0x1p-24F;
        };
        for (std::uint16_t& value : x)
            value = kernels::float_to_half(random());
        for (float& value : w)
            value = kernels::half_to_float(kernels::float_to_half(random()));
        for (float& value : bias)
            value = with_bias ? random() : 0.0F;

        kernels::fc::Attributes attributes{kernels::fc::Activation::kRelu};
        const std::int64_t x_shape[] = {batch, k};
        const std::int64_t w_shape[] = {n, k};
        const std::int64_t b_shape[] = {n};
        const std::int64_t y_shape[] = {batch, n};
        std::vector<TensorView> inputs = {
            kernels::make_view(nullptr, DType::kFloat16, x_shape, 2),
            kernels::make_view(w.data(), DType::kFloat32, w_shape, 2)};
        if (with_bias)
            inputs.push_back(kernels::make_view(bias.data(), DType::kFloat32, b_shape, 1));
        TensorView output =
            kernels::make_view(nullptr, wide ? DType::kFloat32 : DType::kFloat16, y_shape, 2);
        kernels::Node node;
        node.op = "fc";
        node.attributes = &attributes;
        node.inputs = inputs.data();
        node.input_count = static_cast<std::int32_t>(inputs.size());
        node.outputs = &output;
        node.output_count = 1;

        const kernels::Target& target = device()->target();
        kernels::Device* handle = device()->handle();
        kernels::Stream* stream = nullptr;
        ok(target.stream_create(handle, &stream, &diagnostic_));
        std::size_t packed_bytes = 0;
        ok(target.packed_bytes(handle, &node, &packed_bytes, &diagnostic_));
        std::vector<std::uint8_t> packed(packed_bytes);
        ok(target.prepack(handle, &node, packed.data(), &diagnostic_));
        std::vector<std::uint8_t> y(static_cast<std::size_t>(batch * n) * (wide ? 4 : 2), 0xa5);
        void* at[3] = {};
        const std::size_t sizes[] = {packed_bytes, x.size() * 2, y.size()};
        const void* sources[] = {packed.data(), x.data(), y.data()};
        for (int i = 0; i < 3; ++i) {
            ok(target.allocate(handle, sizes[i], &at[i], &diagnostic_));
            ok(target.copy(stream, at[i], sources[i], sizes[i], CopyKind::kHostToDevice,
                           &diagnostic_));
        }
        inputs[0].data = at[1];
        output.data = at[2];
        ok(target.launch(stream, &node, at[0], nullptr, &diagnostic_));
        ok(target.synchronize(stream, &diagnostic_));
        ok(target.copy(stream, y.data(), at[2], y.size(), CopyKind::kDeviceToHost, &diagnostic_));
        ok(target.synchronize(stream, &diagnostic_));
        for (void* address : at)
            target.release(handle, address);
        target.stream_destroy(stream);

        std::vector<float> wide_x(x.size());
        for (std::size_t i = 0; i < x.size(); ++i)
            wide_x[i] = kernels::half_to_float(x[i]);
        for (std::int64_t i = 0; i < batch; ++i)
            for (std::int64_t j = 0; j < n; ++j) {
                float sum = bias[static_cast<std::size_t>(j)];
                for (std::int64_t e = 0; e < k; ++e)
                    sum = std::fma(wide_x[static_cast<std::size_t>(i * k + e)],
                                   w[static_cast<std::size_t>(j * k + e)], sum);
                sum = sum > 0 ? sum : 0.0F;
                const auto index = static_cast<std::size_t>(i * n + j);
                if (wide) {
                    float got = 0;
                    std::memcpy(&got, y.data() + 4 * index, 4);
                    ASSERT_EQ(got, sum) << i << "," << j;
                } else {
                    std::uint16_t got = 0;
                    std::memcpy(&got, y.data() + 2 * index, 2);
                    ASSERT_EQ(got, kernels::float_to_half(sum)) << i << "," << j;
                }
            }
    }

    kernels::Diagnostic diagnostic_;
};

TEST_F(FcGrid, XStaysForAllPanels) {
    check({300, 300, 300, true, false}); // six strips of 50 rows, three and two panels
    check({65, 130, 128, false, true});  // a strip of 33 rows and one of 32; the last panel has two
    check({300, 128, 300, true, false}); // fewer slices than the ring has slots
    check({513, 128, 1030, true, true}); // more slices than the ring of W has slots, one panel
}

TEST_F(FcGrid, XStreamsWhereAStripDoesNotFit) {
    check({70, 200, 2200, true, false}); // panels shared out evenly: X is broadcast
    check({64, 300, 2200, true, true});  // unevenly: every PE reads X by itself
}

} // namespace
} // namespace talus::test
