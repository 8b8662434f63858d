// A command of the command processor, decoded from a custom-0 instruction and its context.
#ifndef TALUS_SIM_PE_COMMAND_HPP
#define TALUS_SIM_PE_COMMAND_HPP

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "talus/hw/instructions.h"

#include "core/types.hpp"
#include "isa/hart.hpp"

namespace talus::sim {

/// What stops a command when it runs: a TALUS_TRAP_* cause and its tval.
struct Fault {
    std::uint64_t cause;
    std::uint64_t tval;
    std::string detail{}; ///< for the log
};

/// A range of local memory that a command reads or writes, in rows.
struct Operand {
    bool used = false;
    bool producer = false;
    bool direct = false;
    std::uint8_t cb = 0;
    std::uint8_t word = 0; ///< of the context
    std::uint64_t offset = 0;
    std::uint32_t move = 0;  ///< push or pop bytes
    std::uint32_t align = 1; ///< of the address and the pitch
    std::uint32_t pitch = 0;
    std::uint32_t rows = 0;
    std::uint32_t row_bytes = 0; ///< what counts of `pitch`; meaningless if `extent` fits no memory
    std::uint64_t extent = 0;    ///< bytes from the first to the last one
    std::uint64_t base = 0;      ///< offset in local memory; valid once the command has begun
};

/// Indices of Command::operands.
enum OperandIndex : std::uint8_t { kDestination = 0, kFirst = 1, kSecond = 2, kOperandCount = 3 };

struct Command {
    std::uint32_t code = 0; ///< enum talus_command
    std::uint8_t unit = 0;  ///< enum talus_unit
    std::uint8_t core = 0;
    std::int8_t bank = -1; ///< RE bank, or -1
    std::uint32_t raw = 0;
    std::uint64_t pc = 0;
    std::uint64_t ticket = 0; ///< number of the command within its PE, in order of issue
    Cycle visible = 0;        ///< when the unit sees it
    Cycle begun = 0;          ///< for traces: when it began, and beside how many others
    std::uint8_t lane = 0;

    std::uint64_t rs1 = 0;
    std::uint64_t rs2 = 0;
    std::array<std::uint64_t, TALUS_CP_CONTEXT_WORDS> words{};
    std::array<Operand, kOperandCount> operands{};

    // Decoded fields; which of them count depends on the code.
    std::uint32_t m = 0, n = 0, k = 0;
    std::uint32_t row_bytes = 0; ///< FI, MLU
    std::uint32_t columns = 0;   ///< SE, MLU, RE_RANGE: elements per row
    std::uint32_t rows = 0;
    std::uint32_t element_bits = 0; ///< MLU: 0 where rows are counted in bytes
    std::uint32_t columns2 =
        0; ///< MLU_CONCAT: of the second source; MLU_RESHAPE: of the destination
    std::uint8_t function = 0; ///< SE function, operation, pool mode; RE_LOAD mode
    std::uint8_t source_type = 0;
    std::uint8_t destination_type = 0;
    bool accumulate = false;
    bool column = false; ///< BROADCAST: over the column, else the row
    std::uint8_t range = TALUS_RE_RANGE_OFF;
    std::uint8_t content = 0;   ///< RE_SEND, RE_RECEIVE: TALUS_RE_SUMS or TALUS_RE_RANGES
    std::uint8_t direction = 0; ///< and TALUS_RE_DOWN or TALUS_RE_RIGHT
    std::uint32_t fabric_pitch = 0;

    /// A block or a sequence runs as pieces; a piece is a command of one tile and one repetition.
    std::uint32_t tiles_n = 1;
    std::uint32_t tiles = 1;
    std::uint32_t repetitions = 1;
    std::uint32_t tile = 0; ///< position of the next piece
    std::uint32_t repetition = 0;
    bool last = true;         ///< piece: nothing of the command follows
    bool last_on_bank = true; ///< piece: nothing of the command on this bank follows

    /// DMA_INDEXED: fabric address per row, filled when the command begins.
    std::vector<std::uint64_t> row_addresses;
    /// FI: host memory of fabric row 0 when all rows lie in one memory.
    std::uint8_t* whole = nullptr;
};

/// A hint about rows of DRAM: nothing comes, and nothing goes.
inline bool is_hint(const Command& command) {
    return command.code == TALUS_FI_PREFETCH || command.code == TALUS_FI_DISCARD;
}

/// "TALUS_FI_DMA_IN"
std::string_view command_name(std::uint32_t code);
std::string_view unit_name(unsigned unit);
/// Name and shape, as traces show them: "DPE_MATMUL 32 x 32 x 64".
std::string command_title(const Command& command);

/// The RE bank of a tile of the command.
inline std::size_t bank_of(const Command& command, std::uint32_t tile) {
    return (static_cast<std::size_t>(command.bank) + tile) % TALUS_RE_BANKS;
}
/// The piece at the command's position.
Command piece_of(const Command& command);
/// Moves the position on; false: that was the last piece.
bool next_piece(Command& command);

/// Decodes and checks what the fields alone show. false: TALUS_TRAP_CP_COMMAND.
bool decode_command(const CustomInsn& insn,
                    const std::array<std::uint64_t, TALUS_CP_CONTEXT_WORDS>& words,
                    Command& command);

} // namespace talus::sim

#endif
