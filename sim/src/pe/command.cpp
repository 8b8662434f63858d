#include "command.hpp"

#include <algorithm>
#include <utility>

#include "numeric.hpp"

namespace talus::sim {

namespace {

std::uint32_t low(std::uint64_t pair) {
    return static_cast<std::uint32_t>(pair);
}
std::uint32_t high(std::uint64_t pair) {
    return static_cast<std::uint32_t>(pair >> 32);
}

/// Bytes from the first to the last of `rows` rows; capped far above any memory's size.
std::uint64_t extent_of(std::uint64_t rows, std::uint64_t pitch, std::uint64_t row_bytes) {
    constexpr std::uint64_t kCap = std::uint64_t{1} << 40;
    if (rows == 0) {
        return 0;
    }
    if (pitch != 0 && rows - 1 > kCap / pitch) {
        return kCap;
    }
    return (rows - 1) * pitch + row_bytes;
}

struct Shape {
    std::uint64_t rows;
    std::uint64_t pitch;
    std::uint64_t row_bytes;
    std::uint32_t align;
};

bool set_operand(Command& command, OperandIndex index, std::uint8_t number, const Shape& shape) {
    Operand& operand = command.operands[index];
    const std::uint64_t word = command.words[number];
    operand.word = number;
    const std::uint32_t cb = TALUS_OPERAND_CB(word);
    operand.used = true;
    operand.producer = index == kDestination;
    operand.direct = cb == TALUS_DIRECT;
    operand.cb = static_cast<std::uint8_t>(cb);
    operand.offset = TALUS_OPERAND_OFFSET(word);
    operand.move = TALUS_OPERAND_MOVE(word);
    operand.align = shape.align;
    operand.pitch = static_cast<std::uint32_t>(shape.pitch);
    operand.rows = static_cast<std::uint32_t>(shape.rows);
    operand.row_bytes = static_cast<std::uint32_t>(shape.row_bytes);
    operand.extent = extent_of(shape.rows, shape.pitch, shape.row_bytes);
    if (word >> 56 != 0) {
        return false;
    }
    return operand.direct ? operand.move == 0 : cb < TALUS_CB_COUNT;
}

bool numeric_type(unsigned type) {
    return type <= TALUS_CP_UINT8;
}

bool decode_fi(Command& c) {
    const auto& w = c.words;
    c.row_bytes = low(c.rs2);
    c.rows = high(c.rs2);
    const bool out = c.unit == TALUS_UNIT_FI_OUT;
    c.fabric_pitch = out ? high(w[1]) : low(w[1]);
    const std::uint32_t local_pitch = out ? low(w[1]) : high(w[1]);
    if (c.row_bytes == 0 || (c.rows == 0 && c.code != TALUS_FI_DMA_INDEXED)) {
        return false;
    }
    if (is_hint(c)) {
        c.fabric_pitch = low(w[1]);
        return high(w[1]) == 0;
    }
    if (!set_operand(c, out ? kFirst : kDestination, 0, {c.rows, local_pitch, c.row_bytes, 1})) {
        return false;
    }
    if (c.code == TALUS_FI_BROADCAST) {
        c.column = w[2] == TALUS_BROADCAST_COLUMN;
        return w[2] <= TALUS_BROADCAST_COLUMN;
    }
    if (c.code != TALUS_FI_DMA_INDEXED) {
        return true;
    }
    c.source_type = static_cast<std::uint8_t>(w[4]);
    if (w[4] != TALUS_CP_INT32 && w[4] != TALUS_CP_INT64) {
        return false;
    }
    const std::uint32_t bytes = element_bytes(c.source_type);
    return set_operand(c, kFirst, 2, {c.rows, bytes, bytes, bytes});
}

bool element_bits(std::uint64_t bits) {
    return bits == 4 || bits == 8 || bits == 16 || bits == 32;
}

/// MLU commands that count elements.
bool decode_layout(Command& c) {
    const auto& w = c.words;
    const std::uint32_t source_pitch = low(w[2]);
    const std::uint32_t destination_pitch = high(w[2]);
    const bool transpose = c.code == TALUS_MLU_TRANSPOSE;
    c.columns = low(c.rs1);
    c.element_bits = transpose ? low(c.rs2) : high(c.rs2);
    c.columns2 = transpose ? 0 : low(c.rs2);
    if (!element_bits(c.element_bits) || (transpose ? high(c.rs2) != 0 : c.columns2 == 0)) {
        return false;
    }
    const auto bytes = [&](std::uint64_t elements) { return (elements * c.element_bits + 7) / 8; };
    const std::uint32_t align = std::max(c.element_bits / 8, 1u);
    std::uint64_t rows = c.rows;
    std::uint64_t columns = c.columns;
    if (transpose) {
        std::swap(rows, columns);
    } else if (c.code == TALUS_MLU_CONCAT) {
        columns += c.columns2;
        if (!set_operand(c, kSecond, 3, {c.rows, low(w[4]), bytes(c.columns2), align})) {
            return false;
        }
    } else {
        const std::uint64_t elements = rows * columns;
        if (elements % c.columns2 != 0) {
            return false;
        }
        rows = elements / c.columns2;
        columns = c.columns2;
    }
    return set_operand(c, kDestination, 0, {rows, destination_pitch, bytes(columns), align}) &&
           set_operand(c, kFirst, 1, {c.rows, source_pitch, bytes(c.columns), align});
}

bool decode_mlu(Command& c) {
    const auto& w = c.words;
    c.rows = high(c.rs1);
    if (low(c.rs1) == 0 || c.rows == 0) {
        return false;
    }
    if (c.code != TALUS_MLU_COPY && c.code != TALUS_MLU_FILL) {
        return decode_layout(c);
    }
    c.row_bytes = low(c.rs1);
    if (!set_operand(c, kDestination, 0, {c.rows, high(w[2]), c.row_bytes, 1})) {
        return false;
    }
    if (c.code == TALUS_MLU_FILL) {
        return c.rs2 <= 0xff;
    }
    return c.rs2 == 0 && set_operand(c, kFirst, 1, {c.rows, low(w[2]), c.row_bytes, 1});
}

bool decode_tile(Command& c) {
    c.m = low(c.rs1) & 0xffffu;
    c.n = low(c.rs1) >> 16;
    c.bank = static_cast<std::int8_t>(c.rs2 & 0xff);
    c.tiles_n = (c.n + TALUS_RE_BANK_COLS - 1) / TALUS_RE_BANK_COLS;
    c.tiles = (c.m + TALUS_RE_BANK_ROWS - 1) / TALUS_RE_BANK_ROWS * c.tiles_n;
    return (c.rs2 & 0xff) < TALUS_RE_BANKS && c.tiles >= 1 && c.tiles <= TALUS_BLOCK_TILES;
}

bool decode_dpe(Command& c) {
    c.k = high(c.rs1);
    c.accumulate = (c.rs2 >> 8 & 0xff) != 0;
    c.source_type = static_cast<std::uint8_t>(c.rs2 >> 16);
    const bool type = c.source_type == TALUS_CP_FP16 || c.source_type == TALUS_CP_BF16 ||
                      c.source_type == TALUS_CP_INT8;
    if (!decode_tile(c) || !type || c.rs2 >> 24 != 0 || c.k == 0 || (c.rs2 >> 8 & 0xff) > 1) {
        return false;
    }
    const std::uint32_t bytes = element_bytes(c.source_type);
    const std::uint64_t row = std::uint64_t{c.k} * bytes;
    const bool sparse = c.code == TALUS_DPE_MATMUL_SPARSE;
    if (sparse && c.k % 4 != 0) {
        return false;
    }
    const std::uint64_t b_row = sparse ? TALUS_SPARSE_ROW_BYTES(std::uint64_t{c.k}, bytes) : row;
    return set_operand(c, kFirst, 0, {c.m, low(c.words[2]), row, bytes}) &&
           set_operand(c, kSecond, 1, {c.n, high(c.words[2]), b_row, bytes});
}

bool floating_type(unsigned type) {
    return type == TALUS_CP_FP32 || type == TALUS_CP_FP16 || type == TALUS_CP_BF16;
}

bool decode_re_load(Command& c) {
    c.function = static_cast<std::uint8_t>(c.rs2 >> 8);
    return decode_tile(c) && c.rs2 >> 16 == 0 && c.function <= 2 &&
           (c.function == 0 ||
            set_operand(c, kFirst, 1, {c.function == 1 ? 1 : c.m, low(c.words[2]), 4ull * c.n, 4}));
}

bool decode_re_store(Command& c) {
    c.function = static_cast<std::uint8_t>(c.rs2 >> 8);
    c.destination_type = static_cast<std::uint8_t>(c.rs2 >> 16);
    c.range = static_cast<std::uint8_t>(c.rs2 >> 24);
    const unsigned type = c.destination_type;
    const bool sums = c.code == TALUS_RE_STORE && type == TALUS_CP_INT32 &&
                      c.function == TALUS_SE_NONE && c.range == TALUS_RE_RANGE_OFF;
    if (!decode_tile(c) || c.function > TALUS_SE_GELU || !(floating_type(type) || sums) ||
        c.range > TALUS_RE_RANGE_WIDEN) {
        return false;
    }
    if (c.code == TALUS_RE_STORE_DEQUANTIZED &&
        (!set_operand(c, kFirst, 1, {1, 0, sizeof(talus_row_scale) * c.m, 4}) ||
         !set_operand(c, kSecond, 3, {1, 0, sizeof(talus_column_scale) * c.n, 4}))) {
        return false;
    }
    const std::uint32_t bytes = element_bytes(type);
    return set_operand(c, kDestination, 0,
                       {c.m, high(c.words[2]), std::uint64_t{c.n} * bytes, bytes});
}

bool decode_re_range(Command& c) {
    c.columns = low(c.rs1);
    c.m = high(c.rs1);
    c.range = static_cast<std::uint8_t>(c.rs2 >> 8);
    c.source_type = static_cast<std::uint8_t>(c.rs2 >> 16);
    if (c.columns == 0 || c.rs2 >> 24 != 0 || !floating_type(c.source_type) ||
        (c.range != TALUS_RE_RANGE_START && c.range != TALUS_RE_RANGE_WIDEN)) {
        return false;
    }
    const std::uint32_t bytes = element_bytes(c.source_type);
    return set_operand(c, kFirst, 1,
                       {c.m, low(c.words[2]), std::uint64_t{c.columns} * bytes, bytes});
}

bool decode_re_range_store(Command& c) {
    c.m = low(c.rs1);
    return c.rs2 >> 8 == 0 &&
           set_operand(c, kDestination, 0, {1, 0, sizeof(talus_row_range) * c.m, 4});
}

bool decode_re_link(Command& c) {
    c.content = static_cast<std::uint8_t>(c.rs2 >> 8);
    c.direction = static_cast<std::uint8_t>(c.rs2 >> 16);
    c.source_type = static_cast<std::uint8_t>(c.rs2 >> 24);
    const bool ranges = c.content == TALUS_RE_RANGES;
    const bool typed = c.source_type == TALUS_CP_FP32 ||
                       (!ranges && c.code == TALUS_RE_RECEIVE && c.source_type == TALUS_CP_INT32);
    return decode_tile(c) && c.content <= TALUS_RE_RANGES && c.direction <= TALUS_RE_RIGHT &&
           typed && c.tiles == 1 && (!ranges || c.n == 1);
}

bool decode_re(Command& c) {
    const std::uint64_t bank = c.rs2 & 0xff;
    c.bank = static_cast<std::int8_t>(bank);
    if (bank >= TALUS_RE_BANKS || high(c.rs2) != 0) {
        return false;
    }
    switch (c.code) {
    case TALUS_RE_RANGE:
        return high(c.rs1) >= 1 && high(c.rs1) <= TALUS_RE_BANK_ROWS && decode_re_range(c);
    case TALUS_RE_RANGE_STORE:
        return c.rs1 >= 1 && c.rs1 <= TALUS_RE_BANK_ROWS && decode_re_range_store(c);
    default:
        break;
    }
    if (high(c.rs1) != 0) {
        return false;
    }
    switch (c.code) {
    case TALUS_RE_LOAD:
        return decode_re_load(c);
    case TALUS_RE_STORE:
    case TALUS_RE_STORE_DEQUANTIZED:
        return decode_re_store(c);
    default:
        return decode_re_link(c);
    }
}

bool decode_se(Command& c) {
    const auto& w = c.words;
    c.columns = low(c.rs1);
    c.rows = high(c.rs1);
    c.function = static_cast<std::uint8_t>(c.rs2);
    c.source_type = static_cast<std::uint8_t>(c.rs2 >> 8);
    if (c.columns == 0 || !numeric_type(c.source_type)) {
        return false;
    }
    const std::uint32_t source_bytes = element_bytes(c.source_type);
    const std::uint64_t source_row = std::uint64_t{c.columns} * source_bytes;
    if (c.code == TALUS_SE_ROW_ACCUMULATE) {
        c.accumulate = (c.rs2 >> 24 & 0xff) != 0;
        if (c.rows > TALUS_SE_MAX_ROWS || c.function > TALUS_SE_POOL_MAX ||
            (c.rs2 >> 16 & 0xff) != 0 || c.rs2 >> 24 > 1) {
            return false;
        }
        return set_operand(c, kDestination, 0, {1, 0, 4ull * c.columns, 4}) &&
               set_operand(c, kFirst, 1, {c.rows, low(w[2]), source_row, source_bytes});
    }

    c.destination_type = static_cast<std::uint8_t>(c.rs2 >> 16);
    if (c.rows == 0 || c.rs2 >> 24 != 0 || !numeric_type(c.destination_type)) {
        return false;
    }
    const std::uint32_t bytes = element_bytes(c.destination_type);
    if (!set_operand(c, kDestination, 0,
                     {c.rows, high(w[2]), std::uint64_t{c.columns} * bytes, bytes}) ||
        !set_operand(c, kFirst, 1, {c.rows, low(w[2]), source_row, source_bytes})) {
        return false;
    }
    switch (c.code) {
    case TALUS_SE_UNARY:
        return c.function <= TALUS_SE_GELU;
    case TALUS_SE_SCALE:
        return c.function == 0;
    case TALUS_SE_QUANTIZE:
    case TALUS_SE_DEQUANTIZE: {
        const bool quantize = c.code == TALUS_SE_QUANTIZE;
        const unsigned real = quantize ? c.source_type : c.destination_type;
        const unsigned integer = quantize ? c.destination_type : c.source_type;
        const bool typed =
            floating_type(real) && (integer == TALUS_CP_INT8 || integer == TALUS_CP_UINT8 ||
                                    (!quantize && integer == TALUS_CP_INT32));
        return c.function == 0 && typed &&
               set_operand(c, kSecond, 3, {1, 0, sizeof(talus_row_scale) * c.rows, 4});
    }
    default: {
        const std::uint32_t pitch = low(w[4]);
        const std::uint64_t second_rows = pitch == 0 ? 1 : c.rows;
        return c.function <= TALUS_SE_MIN &&
               set_operand(c, kSecond, 3, {second_rows, pitch, source_row, source_bytes});
    }
    }
}

/// Does the operand's offset move in a sequence, and how?
bool steps_fit(std::uint64_t word) {
    return high(word) == 0 || (low(word) != 0 && high(word) % low(word) == 0);
}

bool decode_sequence(Command& c) {
    c.repetitions = TALUS_SEQUENCE_COUNT(c.words[5]);
    return c.repetitions >= 1 && steps_fit(c.words[6]) && steps_fit(c.words[7]);
}

/// Cuts an operand down to `rows` rows of `row_bytes`, `row` and `byte` further on.
void cut(Operand& operand, std::uint64_t row, std::uint64_t byte, std::uint64_t rows,
         std::uint64_t row_bytes) {
    operand.offset += row * operand.pitch + byte;
    operand.rows = static_cast<std::uint32_t>(rows);
    operand.row_bytes = static_cast<std::uint32_t>(row_bytes);
    operand.extent = extent_of(rows, operand.pitch, row_bytes);
}

void cut_to_tile(Command& c) {
    const std::uint32_t row = c.tile / c.tiles_n * TALUS_RE_BANK_ROWS;
    const std::uint32_t col = c.tile % c.tiles_n * TALUS_RE_BANK_COLS;
    c.bank = static_cast<std::int8_t>(bank_of(c, c.tile));
    c.m = std::min(c.m - row, TALUS_RE_BANK_ROWS);
    c.n = std::min(c.n - col, TALUS_RE_BANK_COLS);
    switch (c.code) {
    case TALUS_DPE_MATMUL:
    case TALUS_DPE_MATMUL_SPARSE: {
        const std::uint64_t bytes = element_bytes(c.source_type);
        const std::uint64_t k = c.k;
        cut(c.operands[kFirst], row, 0, c.m, k * bytes);
        cut(c.operands[kSecond], col, 0, c.n,
            c.code == TALUS_DPE_MATMUL ? k * bytes : TALUS_SPARSE_ROW_BYTES(k, bytes));
        break;
    }
    case TALUS_RE_LOAD:
        if (c.function != 0) {
            const bool one_row = c.function == 1;
            cut(c.operands[kFirst], one_row ? 0 : row, 4ull * col, one_row ? 1 : c.m, 4ull * c.n);
        }
        break;
    default: { // RE_STORE, RE_STORE_DEQUANTIZED
        const std::uint64_t bytes = element_bytes(c.destination_type);
        cut(c.operands[kDestination], row, col * bytes, c.m, c.n * bytes);
        if (c.code == TALUS_RE_STORE_DEQUANTIZED) {
            constexpr std::uint64_t kRow = sizeof(talus_row_scale);
            constexpr std::uint64_t kColumn = sizeof(talus_column_scale);
            cut(c.operands[kFirst], 0, row * kRow, 1, c.m * kRow);
            cut(c.operands[kSecond], 0, col * kColumn, 1, c.n * kColumn);
        }
        break;
    }
    }
}

} // namespace

Command piece_of(const Command& command) {
    Command piece = command;
    const bool last_tile = command.tile + 1 == command.tiles;
    piece.last_on_bank = command.repetition + 1 == command.repetitions;
    piece.last = piece.last_on_bank && last_tile;
    if (command.repetition != 0) {
        if (command.unit <= TALUS_UNIT_FI_OUT) {
            piece.rs1 +=
                std::uint64_t{command.repetition} * TALUS_SEQUENCE_STRIDE(command.words[5]);
        }
        for (Operand& operand : piece.operands) {
            if (operand.used && operand.word < 2) {
                const std::uint64_t step = command.words[6u + operand.word];
                const std::uint64_t moved = std::uint64_t{command.repetition} * low(step);
                operand.offset += high(step) == 0 ? moved : moved % high(step);
            }
        }
    }
    if (command.tiles > 1) {
        cut_to_tile(piece);
    }
    if (!last_tile) {
        for (Operand& operand : piece.operands) {
            operand.move = 0;
        }
    }
    return piece;
}

bool next_piece(Command& command) {
    if (++command.tile == command.tiles) {
        command.tile = 0;
        return ++command.repetition < command.repetitions;
    }
    return true;
}

std::string_view command_name(std::uint32_t code) {
    switch (code) {
#define TALUS_COMMAND_NAME(name, ...)                                                              \
    case name:                                                                                     \
        return #name;
        TALUS_COMMANDS(TALUS_COMMAND_NAME)
#undef TALUS_COMMAND_NAME
    default:
        return "unknown command";
    }
}

std::string_view unit_name(unsigned unit) {
    switch (unit) {
#define TALUS_UNIT_NAME(name, value, ...)                                                          \
    case name:                                                                                     \
        return std::string_view(#name).substr(11);
        TALUS_UNITS(TALUS_UNIT_NAME)
#undef TALUS_UNIT_NAME
    default:
        return "unknown unit";
    }
}

bool decode_command(const CustomInsn& insn,
                    const std::array<std::uint64_t, TALUS_CP_CONTEXT_WORDS>& words,
                    Command& command) {
    command.code =
        static_cast<std::uint32_t>(insn.funct3) << 8 | (insn.funct7 & ~TALUS_CP_SEQUENCE);
    command.unit = insn.funct3;
    command.raw = insn.raw;
    command.pc = insn.pc;
    command.rs1 = insn.rs1_value;
    command.rs2 = insn.rs2_value;
    command.words = words;
    if ((insn.funct7 & TALUS_CP_SEQUENCE) != 0 && !decode_sequence(command)) {
        return false;
    }
    switch (command.code) {
    case TALUS_FI_DMA_IN:
    case TALUS_FI_DMA_INDEXED:
    case TALUS_FI_BROADCAST:
    case TALUS_FI_DMA_OUT:
    case TALUS_FI_PREFETCH:
    case TALUS_FI_DISCARD:
        return decode_fi(command);
    case TALUS_MLU_COPY:
    case TALUS_MLU_TRANSPOSE:
    case TALUS_MLU_FILL:
    case TALUS_MLU_CONCAT:
    case TALUS_MLU_RESHAPE:
        return decode_mlu(command);
    case TALUS_DPE_MATMUL:
    case TALUS_DPE_MATMUL_SPARSE:
        return decode_dpe(command);
    case TALUS_RE_LOAD:
    case TALUS_RE_STORE:
    case TALUS_RE_STORE_DEQUANTIZED:
    case TALUS_RE_RANGE:
    case TALUS_RE_RANGE_STORE:
    case TALUS_RE_SEND:
    case TALUS_RE_RECEIVE:
        return decode_re(command);
    case TALUS_SE_UNARY:
    case TALUS_SE_BINARY:
    case TALUS_SE_SCALE:
    case TALUS_SE_ROW_ACCUMULATE:
    case TALUS_SE_QUANTIZE:
    case TALUS_SE_DEQUANTIZE:
        return decode_se(command);
    default:
        return false;
    }
}

} // namespace talus::sim
