// Dynamic INT8 products: X in FP16 is quantised by the kernel, row by row.
#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

#include <fmt/format.h>

#include "kernels/common/device_images.hpp"
#include "kernels/common/element.hpp"
#include "kernels/common/registry.hpp"
#include "kernels/fc_int8/op.hpp"
#include "operator.hpp"
#include "product.hpp"

namespace talus::paper {

namespace {

using namespace kernels;

/// The operator's reference for one element.
double reference(const Node& node, const std::vector<std::uint16_t>& x, std::int64_t row,
                 std::int64_t col) {
    const std::int64_t k = node.input(0).shape[1];
    const std::int64_t one_x[] = {1, k};
    const std::int64_t one_y[] = {1, 1};
    const std::int64_t one[] = {1};
    double y = 0;
    TensorView inputs[3] = {
        make_view(const_cast<std::uint16_t*>(x.data() + row * k), DType::kFloat16, one_x, 2),
        make_view(node.input(1).as<std::int8_t>() + col * k, DType::kInt8, one_x, 2),
        make_view(node.input(2).as<float>() + col, DType::kFloat32, one, 1)};
    TensorView output = make_view(&y, DType::kFloat64, one_y, 2);
    Node single = node;
    single.inputs = inputs;
    single.outputs = &output;
    Diagnostic diagnostic;
    check(find_operator("fc_int8")->op->reference(single, &diagnostic), diagnostic);
    return y;
}

} // namespace

ProductResult run_int8_product(const Product& product, const Settings& settings) {
    Card card(settings);
    const std::int64_t m = product.m;
    const std::int64_t n = product.n;
    const std::int64_t k = product.k;
    std::uint64_t seed = 3;
    const auto random = [&] {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        return static_cast<std::uint32_t>(seed >> 32);
    };
    std::vector<std::uint16_t> x(static_cast<std::size_t>(m * k));
    for (std::uint16_t& value : x) {
        value = float_to_half(static_cast<float>(random()) * 0x1p-31F - 1.0F);
    }
    std::vector<std::int8_t> w(static_cast<std::size_t>(n * k));
    for (std::int8_t& value : w) {
        value = static_cast<std::int8_t>(random());
    }
    std::vector<float> scales(static_cast<std::size_t>(n), 0x1p-10F);

    const TalusKernel& kernel = *find_operator("fc_int8")->talus;
    Capabilities capabilities;
    capabilities.grid_rows = card.info().grid_rows;
    capabilities.grid_columns = card.info().grid_cols;
    capabilities.local_memory_bytes = static_cast<std::uint32_t>(card.info().local_memory_bytes);
    fc_int8::Attributes attributes;
    const std::int64_t x_shape[] = {m, k};
    const std::int64_t w_shape[] = {n, k};
    const std::int64_t y_shape[] = {m, n};
    TensorView inputs[3] = {make_view(nullptr, DType::kFloat16, x_shape, 2),
                            make_view(w.data(), DType::kInt8, w_shape, 2),
                            make_view(scales.data(), DType::kFloat32, &n, 1)};
    TensorView output = make_view(nullptr, DType::kFloat16, y_shape, 2);
    Node node;
    node.op = "fc_int8";
    node.attributes = &attributes;
    node.inputs = inputs;
    node.input_count = 3;
    node.outputs = &output;
    node.output_count = 1;
    Diagnostic diagnostic;
    check(kernel.supports(node, capabilities, &diagnostic), diagnostic);

    std::vector<std::uint8_t> packed(kernel.packed_bytes(node, capabilities));
    check(kernel.prepack(node, capabilities, packed.data(), &diagnostic), diagnostic);
    const std::uint64_t constants = card.allocate(product.weights, packed.size());
    card.write(constants, packed.data(), packed.size());
    const std::uint64_t x_at = card.allocate(TALUS_DRV_LLS, x.size() * 2);
    card.write(x_at, x.data(), x.size() * 2);
    const std::uint64_t y_at = card.allocate(TALUS_DRV_LLS, static_cast<std::uint64_t>(m * n) * 2);
    const std::uint64_t workspace =
        card.allocate(TALUS_DRV_LLS, kernel.workspace_bytes(node, capabilities));
    inputs[0].data = pointer_of(x_at);
    output.data = pointer_of(y_at);
    std::vector<std::uint8_t> block((kernel.args_bytes + 63U) / 64U * 64U);
    check(kernel.encode(node, capabilities, constants, workspace, block.data(), &diagnostic),
          diagnostic);
    const std::uint64_t args = card.allocate(TALUS_DRV_LLS, block.size());
    card.write(args, block.data(), block.size());
    const std::uint64_t entry = card.load(device_image(kernel.image));

    const double before = card.simulator_seconds();
    const auto completion =
        card.run({launch_command(entry, args, static_cast<std::uint32_t>(block.size()))}).front();
    const double after = card.simulator_seconds();
    std::vector<std::uint16_t> y(static_cast<std::size_t>(m * n));
    card.read(y.data(), y_at, y.size() * 2);
    inputs[0].data = x.data();
    // Strides without a common divisor with the tiles visit every PE and every tile position. The
    // integers are exact: what is left is the rounding of the epilogue and of FP16.
    for (std::int64_t row = 0; row < m; row += 37) {
        const std::int64_t col = row * 101 % n;
        const double want = reference(node, x, row, col);
        const double got = half_to_float(y[static_cast<std::size_t>(row * n + col)]);
        if (!(std::fabs(got - want) <= std::fabs(want) * 0x1.01p-11 + 0x1p-25)) {
            throw std::runtime_error(
                fmt::format("Y[{}, {}] is {}, must be {}", row, col, got, want));
        }
    }
    ProductResult result;
    result.cycles = completion.exec_cycles;
    result.clock_hz = static_cast<double>(card.info().clock_hz);
    result.weights_bytes = static_cast<double>(packed.size());
    const double pes = static_cast<double>(card.info().grid_rows) * card.info().grid_cols;
    result.peak_share = static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) /
                        (2048.0 * pes * static_cast<double>(result.cycles));
    result.simulator_seconds = after;
    result.launch_seconds = after - before;
    return result;
}

} // namespace talus::paper
