#include "embedding.hpp"

#include <cstring>
#include <stdexcept>
#include <vector>

#include <fmt/format.h>

#include "kernels/common/device_images.hpp"
#include "kernels/common/registry.hpp"
#include "kernels/tbe/op.hpp"
#include "operator.hpp"

namespace talus::paper {

using namespace kernels;

EmbeddingResult run_embedding(const Embedding& embedding, const Settings& settings) {
    Card card(settings);
    const std::int64_t row_elements = embedding.rows * embedding.width;
    const std::int64_t bags = embedding.tables * embedding.batch;
    std::vector<float> weights(static_cast<std::size_t>(embedding.tables * row_elements));
    std::uint64_t seed = 88172645463325252; // xorshift64, Marsaglia 2003
    const auto random = [&seed] {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        return seed ^= seed << 17;
    };
    for (float& weight : weights) {
        weight =
            static_cast<float>(static_cast<std::int64_t>(random() >> 40) - (1 << 23)) * 0x1p-23f;
    }
    std::vector<std::int32_t> indices(static_cast<std::size_t>(bags * embedding.pooling));
    for (std::int32_t& index : indices) {
        index = static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(embedding.rows));
    }

    std::vector<tbe::Table> tables(static_cast<std::size_t>(embedding.tables));
    for (std::size_t t = 0; t < tables.size(); ++t) {
        tables[t].byte_offset = t * static_cast<std::size_t>(row_elements) * sizeof(float);
        tables[t].rows = embedding.rows;
        tables[t].width = static_cast<std::int32_t>(embedding.width);
        tables[t].column = static_cast<std::int32_t>(t) * tables[t].width;
    }
    tbe::Attributes attributes;
    attributes.tables = tables.data();
    attributes.table_count = static_cast<std::int32_t>(embedding.tables);
    attributes.batch = static_cast<std::int32_t>(embedding.batch);
    attributes.stored = DType::kFloat32;
    const std::int64_t columns = embedding.tables * embedding.width;
    const std::int64_t blob_shape[] = {static_cast<std::int64_t>(weights.size() * sizeof(float))};
    const std::int64_t index_shape[] = {embedding.tables, embedding.batch, embedding.pooling};
    const std::int64_t y_shape[] = {embedding.batch, columns};
    TensorView inputs[2] = {make_view(weights.data(), DType::kUint8, blob_shape, 1),
                            make_view(nullptr, DType::kInt32, index_shape, 3)};
    TensorView output = make_view(nullptr, DType::kFloat32, y_shape, 2);
    Node node;
    node.op = "tbe";
    node.attributes = &attributes;
    node.inputs = inputs;
    node.input_count = 2;
    node.outputs = &output;
    node.output_count = 1;

    const TalusKernel& kernel = *find_operator("tbe")->talus;
    Capabilities capabilities;
    capabilities.grid_rows = card.info().grid_rows;
    capabilities.grid_columns = card.info().grid_cols;
    capabilities.local_memory_bytes = static_cast<std::uint32_t>(card.info().local_memory_bytes);
    Diagnostic diagnostic;
    check(kernel.supports(node, capabilities, &diagnostic), diagnostic);
    std::vector<std::uint8_t> packed(kernel.packed_bytes(node, capabilities));
    check(kernel.prepack(node, capabilities, packed.data(), &diagnostic), diagnostic);
    const std::uint64_t constants = card.allocate(TALUS_DRV_DRAM, packed.size());
    card.write(constants, packed.data(), packed.size());
    const std::uint64_t indices_at = card.allocate(TALUS_DRV_LLS, indices.size() * 4);
    card.write(indices_at, indices.data(), indices.size() * 4);
    std::vector<float> y(static_cast<std::size_t>(embedding.batch * columns));
    const std::uint64_t y_at = card.allocate(TALUS_DRV_LLS, y.size() * 4);
    inputs[1].data = pointer_of(indices_at);
    output.data = pointer_of(y_at);
    std::vector<std::uint8_t> block((kernel.args_bytes + 63U) / 64U * 64U);
    check(kernel.encode(node, capabilities, constants, 0, block.data(), &diagnostic), diagnostic);
    const std::uint64_t args = card.allocate(TALUS_DRV_LLS, block.size());
    card.write(args, block.data(), block.size());
    const std::uint64_t entry = card.load(device_image(kernel.image));

    const double before = card.simulator_seconds();
    const auto completion =
        card.run({launch_command(entry, args, static_cast<std::uint32_t>(block.size()))}).front();
    EmbeddingResult result;
    result.launch_seconds = card.simulator_seconds() - before;
    result.lookups = indices.size();
    result.cycles = completion.exec_cycles;
    result.clock_hz = static_cast<double>(card.info().clock_hz);

    card.read(y.data(), y_at, y.size() * 4);
    for (std::int64_t bag = 0; bag < bags; bag += 7) {
        const std::int64_t table = bag / embedding.batch;
        const std::int64_t element = bag % embedding.width;
        float sum = 0;
        for (std::int64_t i = 0; i < embedding.pooling; ++i) {
            const std::int64_t row = indices[static_cast<std::size_t>(bag * embedding.pooling + i)];
            sum += weights[static_cast<std::size_t>(table * row_elements + row * embedding.width +
                                                    element)];
        }
        const std::int64_t at = bag % embedding.batch * columns + table * embedding.width + element;
        const float got = y[static_cast<std::size_t>(at)];
        if (std::memcmp(&got, &sum, sizeof sum) != 0) {
            throw std::runtime_error(
                fmt::format("bag {} element {} is {}, must be {}", bag, element, got, sum));
        }
    }
    return result;
}

} // namespace talus::paper
