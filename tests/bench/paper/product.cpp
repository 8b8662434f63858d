#include "product.hpp"

#include <cmath>
#include <cstring>
#include <stdexcept>
#include <vector>

#include <fmt/format.h>

#include "kernels/common/device_images.hpp"
#include "kernels/common/element.hpp"
#include "kernels/common/registry.hpp"
#include "kernels/fc/op.hpp"
#include "operator.hpp"

namespace talus::paper {

namespace {

using namespace kernels;

// Values of either sign between 2^-4 and 2, so that products neither vanish nor overflow.
std::vector<std::uint16_t> random_halves(std::int64_t count, std::uint64_t seed) {
    std::vector<std::uint16_t> values(static_cast<std::size_t>(count));
    for (std::uint16_t& value : values) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        const auto bits = static_cast<std::uint32_t>(seed >> 40);
        const std::uint32_t exponent = 11 + bits % 5;
        value =
            static_cast<std::uint16_t>((bits & 0x8000U) | exponent << 10 | ((bits >> 5) & 0x3ffU));
    }
    return values;
}

std::uint16_t reference(const std::uint16_t* x, const std::uint16_t* w, std::int64_t k) {
    float sum = 0;
    for (std::int64_t i = 0; i < k; ++i) {
        sum = std::fma(half_to_float(x[i]), half_to_float(w[i]), sum);
    }
    return float_to_half(sum);
}

} // namespace

ProductResult run_product(const Product& product, const Settings& settings) {
    Card card(settings);
    const std::int64_t m = product.m;
    const std::int64_t n = product.n;
    const std::int64_t k = product.k;
    const std::vector<std::uint16_t> x = random_halves(m * k, 1);
    const std::vector<std::uint16_t> w = random_halves(n * k, 2);

    const TalusKernel& kernel = *find_operator("fc")->talus;
    Capabilities capabilities;
    capabilities.grid_rows = card.info().grid_rows;
    capabilities.grid_columns = card.info().grid_cols;
    capabilities.local_memory_bytes = static_cast<std::uint32_t>(card.info().local_memory_bytes);
    fc::Attributes attributes;
    const std::int64_t x_shape[] = {m, k};
    const std::int64_t w_shape[] = {n, k};
    const std::int64_t y_shape[] = {m, n};
    TensorView inputs[2] = {
        make_view(nullptr, DType::kFloat16, x_shape, 2),
        make_view(const_cast<std::uint16_t*>(w.data()), DType::kFloat16, w_shape, 2)};
    TensorView output = make_view(nullptr, DType::kFloat16, y_shape, 2);
    Node node;
    node.op = "fc";
    node.attributes = &attributes;
    node.inputs = inputs;
    node.input_count = 2;
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
    inputs[0].data = pointer_of(x_at);
    output.data = pointer_of(y_at);
    std::vector<std::uint8_t> block((kernel.args_bytes + 63U) / 64U * 64U);
    check(kernel.encode(node, capabilities, constants, 0, block.data(), &diagnostic), diagnostic);
    const std::uint64_t args = card.allocate(TALUS_DRV_LLS, block.size());
    card.write(args, block.data(), block.size());
    const std::uint64_t entry = card.load(device_image(kernel.image));

    const double before = card.simulator_seconds();
    const auto completion =
        card.run({launch_command(entry, args, static_cast<std::uint32_t>(block.size()))}).front();
    const double after = card.simulator_seconds();
    std::vector<std::uint16_t> y(static_cast<std::size_t>(m * n));
    card.read(y.data(), y_at, y.size() * 2);
    // Strides without a common divisor with the blocks visit every PE and every tile position.
    for (std::int64_t row = 0; row < m; row += 37) {
        const std::int64_t col = row * 101 % n;
        const std::uint16_t want = reference(x.data() + row * k, w.data() + col * k, k);
        const std::uint16_t got = y[static_cast<std::size_t>(row * n + col)];
        if (got != want) {
            throw std::runtime_error(
                fmt::format("Y[{}, {}] is {:#06x}, must be {:#06x}", row, col, got, want));
        }
    }
    ProductResult result;
    result.cycles = completion.exec_cycles;
    result.clock_hz = static_cast<double>(card.info().clock_hz);
    result.weights_bytes = static_cast<double>(packed.size());
    const double pes = static_cast<double>(card.info().grid_rows) * card.info().grid_cols;
    result.peak_share = static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) /
                        (1024.0 * pes * static_cast<double>(result.cycles));
    result.simulator_seconds = after;
    result.launch_seconds = after - before;
    return result;
}

} // namespace talus::paper
