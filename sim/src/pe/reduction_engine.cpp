#include <bit>
#include <cstring>

#include "numeric.hpp"
#include "se_functions.hpp"
#include "units.hpp"

namespace talus::sim {

ReductionEngine::ReductionEngine(PeShared& shared)
    : PipelinedUnit(shared, shared.config.re.startup_clocks, shared.config.re.pipeline_clocks) {}

Cycle ReductionEngine::occupancy(const Command& command) const {
    if (command.code == TALUS_RE_LOAD && command.function == 0) {
        return 1; // all rows are cleared at once
    }
    return command.m * divide_up(command.n, shared_.config.re.drain_elements_per_clock);
}

std::uint64_t ReductionEngine::local_bytes(const Command& command) const {
    if (command.code == TALUS_RE_STORE) {
        return std::uint64_t{command.m} * command.n * element_bytes(command.destination_type);
    }
    const std::uint64_t rows = command.function == 0 ? 0 : command.function == 1 ? 1 : command.m;
    return rows * command.n * 4;
}

void ReductionEngine::execute(Command& command) {
    Bank& bank = shared_.banks[static_cast<std::size_t>(command.bank)];
    if (command.code == TALUS_RE_LOAD) {
        const Operand& from = command.operands[kFirst];
        for (std::uint32_t row = 0; row < command.m; ++row) {
            std::uint32_t* out = bank.data() + row * TALUS_RE_BANK_COLS;
            if (command.function == 0) {
                std::memset(out, 0, 4ull * command.n);
            } else {
                const std::uint64_t at =
                    command.function == 1 ? 0 : std::uint64_t{row} * from.pitch;
                std::memcpy(out, local(from) + at, 4ull * command.n);
            }
        }
        return;
    }
    const Operand& to = command.operands[kDestination];
    const std::uint32_t bytes = element_bytes(command.destination_type);
    for (std::uint32_t row = 0; row < command.m; ++row) {
        const std::uint32_t* in = bank.data() + row * TALUS_RE_BANK_COLS;
        std::uint8_t* out = local(to) + std::uint64_t{row} * to.pitch;
        if (command.destination_type == TALUS_CP_INT32) {
            std::memcpy(out, in, 4ull * command.n);
            continue;
        }
        for (std::uint32_t col = 0; col < command.n; ++col) {
            const float value = se_function(command.function, std::bit_cast<float>(in[col]));
            store_element(out + std::uint64_t{col} * bytes, command.destination_type, value);
        }
    }
}

} // namespace talus::sim
