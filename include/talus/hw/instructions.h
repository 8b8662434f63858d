/* Custom instructions: the sheets of the command processor (CP) of a PE. Both cores of a PE have them.
 *
 * Encoding: R-type. funct7 | rs2 | rs1 | funct3 | rd | opcode.
 *   custom-0 (0x0b), ENQUEUE: funct3 = unit, funct7 = operation, rs1 and rs2 = operand registers,
 *     rd field = CP context number 0..31 (an immediate, no register is written). The command takes a
 *     copy of the operands and of the context's words; the context may be rewritten at once. Blocks
 *     (the instruction does not retire, interrupts are taken) while the queue is full. There is one queue
 *     per core and unit, TALUS_CP_QUEUE_DEPTH deep; commands of a queue start and complete in order;
 *     queues of different units or cores are ordered by circular buffers alone.
 *   custom-1 (0x2b), SYNCHRONOUS: funct3 = group, funct7 = operation. Retires when it is done.
 *
 * Issuing a command releases the core's earlier stores to local memory: the command sees them.
 * Returning from a wait (CB_WAIT_*, SEM_WAIT, CP_DRAIN) acquires: later loads see what was waited for.
 *
 * Errors. A malformed custom-1 traps at the instruction. A malformed custom-0 traps at issue where the
 * fields alone show it (TALUS_TRAP_CP_COMMAND); what shows only when the command runs (bounds, CB rules,
 * fabric, index) stops the PE's queue of that core, fills CP_FAULT_* and raises TALUS_LIRQ_CP_FAULT.
 *
 * Circular buffers (CB): 32 per PE, kept by hardware: base, depth, head, tail. A producing command
 * reserves its push bytes when it starts, in program order, and commits them when it completes, in order.
 * A consuming command starts when `offset + extent` bytes are committed, reads at head + offset, and
 * frees its pop bytes (from the head) when it completes. Rules; a breach is TALUS_TRAP_CB:
 *   - push and pop sizes divide the depth, and no operand wraps round the end;
 *   - one producer (queue or core) and one consumer (queue or core) per CB between configurations;
 *   - a request above the depth, or a pop above what is committed, is an error, not a wait;
 *   - a CB is reconfigured only when no command refers to it.
 *
 * Blocks. A DPE or RE command may name a block of up to four tiles of 32 x 32 (m, n in 1..128 with
 * ceil(m / 32) * ceil(n / 32) <= 4). The CP runs it tile by tile, row by row: tile t uses bank
 * (bank + t) mod 4, waits and completes by itself, and so a drain of one bank overlaps with the product in
 * the next. Operands are read and written where a whole command would; pops and pushes come with the last
 * tile.
 *
 * Sequences (auto-increment). With TALUS_CP_SEQUENCE in funct7 the CP runs the command
 * TALUS_SEQUENCE_COUNT(w5) times, as if it had been enqueued that often, but takes one entry of the queue
 * and one instruction. After each time
 *   - an FI command's fabric address (rs1) grows by TALUS_SEQUENCE_STRIDE(w5) bytes;
 *   - the offset of the operand in w0 grows by the low half of w6, that of w1 by the low half of w7, and
 *     goes back to where it began whenever it has grown by the high half (0: never).
 * A count of 0 is malformed. Without the flag w5..w7 are not looked at.
 *
 * Broadcast read. TALUS_FI_BROADCAST is a DMA_IN that every PE of a row or a column of the sub-grid issues
 * on the same core. The members' requests meet in the NoC: nothing moves before the last of them has begun
 * (which takes space at its destination), then one request goes out per packet and the answer is multicast.
 * The n-th broadcast of each member over the same line belong together; address, bytes, rows and source
 * pitch must agree, destinations are each member's own. The member that differs from the first faults
 * (TALUS_TRAP_BROADCAST). A PE that is reset leaves the broadcasts that it waits in.
 */
#ifndef TALUS_HW_INSTRUCTIONS_H
#define TALUS_HW_INSTRUCTIONS_H

#include "common.h"

#define TALUS_OPCODE_ENQUEUE 0x0bu
#define TALUS_OPCODE_SYNC 0x2bu

#define TALUS_CP_QUEUE_DEPTH 8u
#define TALUS_CP_CONTEXTS 32u /* per core */
#define TALUS_CP_CONTEXT_WORDS 8u /* 64 bits each */
#define TALUS_CB_COUNT 32u
#define TALUS_SEM_COUNT 32u /* per PE; 32-bit counters, zero at reset */
#define TALUS_RE_BANKS 4u
#define TALUS_RE_BANK_ROWS 32u
#define TALUS_RE_BANK_COLS 32u

/* Units: funct3 of custom-0, and bit numbers of CP_DRAIN's mask. X(name, value, meaning) */
#define TALUS_UNITS(X)                                                                             \
    X(TALUS_UNIT_FI_IN, 0, "fabric interface, fabric -> local memory")                             \
    X(TALUS_UNIT_FI_OUT, 1, "fabric interface, local memory -> fabric")                            \
    X(TALUS_UNIT_MLU, 2, "memory layout unit")                                                     \
    X(TALUS_UNIT_DPE, 3, "dot product engine")                                                     \
    X(TALUS_UNIT_RE, 4, "reduction engine")                                                        \
    X(TALUS_UNIT_SE, 5, "SIMD engine")
enum talus_unit { TALUS_UNITS(TALUS_ENUM_VALUE) TALUS_UNIT_COUNT = 6 };

/* Element types in commands. X(name, value, meaning) */
#define TALUS_CP_TYPES(X)                                                                          \
    X(TALUS_CP_FP32, 0, "IEEE binary32")                                                           \
    X(TALUS_CP_FP16, 1, "IEEE binary16")                                                           \
    X(TALUS_CP_BF16, 2, "bfloat16")                                                                \
    X(TALUS_CP_INT32, 3, "two's complement")                                                       \
    X(TALUS_CP_INT8, 4, "two's complement")                                                        \
    X(TALUS_CP_UINT8, 5, "")                                                                       \
    X(TALUS_CP_INT64, 6, "index lists only")
enum talus_cp_type { TALUS_CP_TYPES(TALUS_ENUM_VALUE) TALUS_CP_TYPE_LAST = 15 };

/* Local operand: one 64-bit word of a context.
 *   bits 7:0   CB id 0..31, or TALUS_DIRECT: no CB, `offset` is a local-memory offset and the program
 *              orders accesses itself (CP_DRAIN, or one queue's order)
 *   bits 31:8  offset in bytes: consumer: from the head; producer: from the tail
 *   bits 55:32 pop (consumer) or push (producer) bytes; 0 = leaves head or tail as they are: a
 *              producer with 0 waits for and writes free space at tail + offset, which a later
 *              command of its queue commits with its push
 *   bits 63:56 zero */
#define TALUS_DIRECT 0xffu
#define TALUS_OPERAND(cb, offset, move)                                                            \
    ((uint64_t)(uint8_t)(cb) | ((uint64_t)((offset)&0xffffffu) << 8) |                             \
     ((uint64_t)((move)&0xffffffu) << 32))
#define TALUS_OPERAND_CB(word) ((uint32_t)((word)&0xffu))
#define TALUS_OPERAND_OFFSET(word) ((uint32_t)(((word) >> 8) & 0xffffffu))
#define TALUS_OPERAND_MOVE(word) ((uint32_t)(((word) >> 32) & 0xffffffu))

/* Flag in funct7 of custom-0: a sequence, see above. Command numbers stay below it. */
#define TALUS_CP_SEQUENCE 0x40u
#define TALUS_SEQUENCE_COUNT(w5) ((uint32_t)(w5))
#define TALUS_SEQUENCE_STRIDE(w5) ((uint32_t)((w5) >> 32))
#define TALUS_BLOCK_TILES 4u /* of a command, at most: one per RE bank */

/* w2 of TALUS_FI_BROADCAST: who the members are. */
#define TALUS_BROADCAST_ROW 0u    /* the PEs of the own row of the sub-grid */
#define TALUS_BROADCAST_COLUMN 1u /* of the own column */

/* Two 32-bit halves of a register or word. */
#define TALUS_PAIR(low, high) ((uint64_t)(uint32_t)(low) | ((uint64_t)(uint32_t)(high) << 32))

/* ---- custom-0 sheets. X(name, unit, funct7, rs1, rs2, context words, completion and rounding) ------
 * Rows and bytes are > 0 unless a sheet says otherwise. "pair(a, b)" is TALUS_PAIR. Pitches in bytes.
 * 4-bit elements: the even one of a byte is the lower half; rows begin at a byte, and the half of a
 * row's last byte that no element takes is written as 0. */
#define TALUS_COMMANDS(X)                                                                          \
    X(TALUS_FI_DMA_IN, TALUS_UNIT_FI_IN, 0, "fabric address of row 0",                             \
      "pair(bytes per row, rows)",                                                                 \
      "w0 destination (producer); w1 pair(source pitch, destination pitch)",                       \
      "2-D copy, any alignment; complete when the last byte is in local memory")                   \
    X(TALUS_FI_DMA_INDEXED, TALUS_UNIT_FI_IN, 1, "fabric address of table row 0",                  \
      "pair(bytes per row, number of indices)",                                                    \
      "w0 destination (producer); w1 pair(table pitch, destination pitch); w2 index list (consumer, " \
      "tightly packed); w3 rows in the table; w4 index type (INT32 or INT64)",                     \
      "row[i] = table + index[i] * pitch; an index < 0 or >= w3 faults (TALUS_TRAP_INDEX) before any " \
      "row of the command is read; complete as DMA_IN; number of indices may be 0")                \
    X(TALUS_FI_BROADCAST, TALUS_UNIT_FI_IN, 2, "fabric address of row 0",                          \
      "pair(bytes per row, rows)",                                                                 \
      "w0 destination (producer); w1 pair(source pitch, destination pitch); w2 TALUS_BROADCAST_*", \
      "2-D copy into every member of the line, read once; complete, at each member by itself, when the " \
      "last byte is in its local memory")                                                          \
    X(TALUS_FI_DMA_OUT, TALUS_UNIT_FI_OUT, 0, "fabric address of row 0",                           \
      "pair(bytes per row, rows)",                                                                 \
      "w0 source (consumer); w1 pair(source pitch, destination pitch)",                            \
      "2-D copy, any alignment; complete when memory has acknowledged the last byte")              \
    X(TALUS_FI_PREFETCH, TALUS_UNIT_FI_OUT, 1, "fabric address of row 0",                          \
      "pair(bytes per row, rows)", "w1 pair(source pitch, 0)",                                     \
      "asks the shared SRAM's cache to fetch these rows of DRAM; a hint that changes no value; complete " \
      "when the requests have left; rows of other memories are skipped")                           \
    X(TALUS_FI_DISCARD, TALUS_UNIT_FI_OUT, 2, "fabric address of row 0",                           \
      "pair(bytes per row, rows)", "w1 pair(source pitch, 0)",                                     \
      "nobody reads these rows of DRAM before they are written again: the shared SRAM's cache need not " \
      "write them back, and what they hold is undefined from here on; complete when the hints have left; " \
      "rows of other memories are skipped")                                                        \
    X(TALUS_MLU_COPY, TALUS_UNIT_MLU, 0, "pair(bytes per row, rows)", "0",                         \
      "w0 destination (producer); w1 source (consumer); w2 pair(source pitch, destination pitch)", \
      "2-D copy within local memory; ranges must not overlap")                                     \
    X(TALUS_MLU_TRANSPOSE, TALUS_UNIT_MLU, 1, "pair(columns, rows) of the source",                 \
      "element bits: 4, 8, 16, 32",                                                                \
      "w0 destination (producer); w1 source (consumer); w2 pair(source pitch, destination pitch)", \
      "destination[c][r] = source[r][c]; ranges must not overlap")                                 \
    X(TALUS_MLU_FILL, TALUS_UNIT_MLU, 2, "pair(bytes per row, rows)", "byte value",                \
      "w0 destination (producer); w2 pair(0, destination pitch)", "fills")                         \
    X(TALUS_MLU_CONCAT, TALUS_UNIT_MLU, 3, "pair(elements per row of the first source, rows)",     \
      "pair(elements per row of the second source, element bits: 4, 8, 16, 32)",                   \
      "w0 destination (producer); w1 first source (consumer); w2 pair(first source pitch, destination " \
      "pitch); w3 second source (consumer); w4 pair(second source pitch, 0)",                      \
      "destination[r] = first[r] followed by second[r]; ranges must not overlap")                  \
    X(TALUS_MLU_RESHAPE, TALUS_UNIT_MLU, 4, "pair(elements per source row, source rows)",          \
      "pair(elements per destination row, element bits: 4, 8, 16, 32)",                            \
      "w0 destination (producer); w1 source (consumer); w2 pair(source pitch, destination pitch)", \
      "the elements in row-major order, cut anew; all of them divide by the destination row; ranges " \
      "must not overlap")                                                                          \
    X(TALUS_DPE_MATMUL, TALUS_UNIT_DPE, 0, "pair(m | n << 16, k): a block of tiles, k >= 1",       \
      "bank | accumulate << 8 | type << 16 (FP16, BF16, INT8)",                                    \
      "w0 A: m rows of k elements (consumer); w1 B: n rows of k elements (consumer); w2 pair(A pitch, " \
      "B pitch)",                                                                                  \
      "bank[i][j] = (accumulate ? bank[i][j] : +0) then, k ascending, fma(A[i][k], B[j][k], acc): FP32, " \
      "round to nearest even, subnormals kept, NaN canonical; INT8: INT32 wrapping; rows and columns " \
      "outside m x n are untouched; bank rows and RE commands on one bank are interlocked in issue " \
      "order of the core")                                                                         \
    X(TALUS_DPE_MATMUL_SPARSE, TALUS_UNIT_DPE, 1, "pair(m | n << 16, k): a block of tiles, k a multiple of 4", \
      "bank | accumulate << 8 | type << 16 (FP16, BF16, INT8)",                                    \
      "w0 A: m rows of k elements (consumer); w1 B: n rows in the 2:4 format (consumer); w2 pair(A " \
      "pitch, B pitch)",                                                                           \
      "as DPE_MATMUL over the elements of B that are stored, k ascending, at twice its rate; an index " \
      "pair that does not ascend faults (TALUS_TRAP_INDEX, tval = row of its tile << 32 | group)")             \
    X(TALUS_RE_LOAD, TALUS_UNIT_RE, 0, "pair(m | n << 16, 0)",                                     \
      "bank | mode << 8 (0: zero, 1: one row of n 32-bit values for all rows, 2: m rows)",         \
      "w1 source (consumer; modes 1, 2); w2 pair(source pitch, 0)",                                \
      "presets the accumulators of a block of tiles (bias)")                                       \
    X(TALUS_RE_STORE, TALUS_UNIT_RE, 1, "pair(m | n << 16, 0)",                                    \
      "bank | function << 8 | destination type << 16 (FP32, FP16, BF16; INT32 with function NONE) | " \
      "range << 24 (TALUS_RE_RANGE_*; not with INT32)",                                            \
      "w0 destination (producer); w2 pair(0, destination pitch)",                                  \
      "drains m x n (a block of tiles) through the SE's function and conversion; one row of up to 32 " \
      "elements of a tile a clock; "                                                               \
      "rounding: nearest even, FP16 overflow to infinity; range: of the values as stored, a tile's into its bank") \
    X(TALUS_RE_STORE_DEQUANTIZED, TALUS_UNIT_RE, 2, "pair(m | n << 16, 0)",                        \
      "bank | function << 8 | destination type << 16 (FP32, FP16, BF16) | range << 24",            \
      "w0 destination (producer); w1 m talus_row_scale (consumer); w2 pair(0, destination pitch); w3 n " \
      "talus_column_scale (consumer)",                                                             \
      "t = bank[i][j] - row[i].zero_point * column[j].sum in wrapping INT32; fma(FP32(t), row[i].scale * " \
      "column[j].scale, column[j].bias), each step rounded to nearest even in FP32; then as RE_STORE") \
    X(TALUS_RE_RANGE, TALUS_UNIT_RE, 3, "pair(elements per row, rows): rows in 1..32",             \
      "bank | range << 8 (START or WIDEN) | source type << 16 (FP32, FP16, BF16)",                 \
      "w1 source (consumer); w2 pair(source pitch, 0)",                                            \
      "least and greatest element of each row, into the bank's row ranges; a NaN makes both NaN; -0 is " \
      "less than +0")                                                                              \
    X(TALUS_RE_RANGE_STORE, TALUS_UNIT_RE, 4, "pair(m, 0): m in 1..32", "bank",                    \
      "w0 destination (producer): m talus_row_range", "row ranges 0..m-1 of the bank")             \
    X(TALUS_RE_SEND, TALUS_UNIT_RE, 5, "pair(m | n << 16, 0): one tile; ranges: n = 1",                      \
      "bank | content << 8 (TALUS_RE_SUMS, TALUS_RE_RANGES) | direction << 16 (TALUS_RE_DOWN, " \
      "TALUS_RE_RIGHT)", "-",                                                                      \
      "over the reduction network to the PE below or to the right, as soon as what was sent that way " \
      "before is taken up; faults at the sub-grid's edge (TALUS_TRAP_SUBGRID)")                    \
    X(TALUS_RE_RECEIVE, TALUS_UNIT_RE, 6, "pair(m | n << 16, 0): one tile; ranges: n = 1",                   \
      "bank | content << 8 | direction << 16 (the sender's: DOWN comes from above, RIGHT from the left) " \
      "| type << 24 (sums: FP32, INT32; ranges: 0)", "-",                                          \
      "waits for the neighbour's RE_SEND: bank[i][j] + sum in FP32 (nearest even) or wrapping INT32, or " \
      "the wider of both ranges; other m, n or content than sent faults (TALUS_TRAP_REDUCTION)")   \
    X(TALUS_SE_UNARY, TALUS_UNIT_SE, 0, "pair(elements per row, rows)",                            \
      "function | source type << 8 | destination type << 16",                                      \
      "w0 destination (producer); w1 source (consumer); w2 pair(source pitch, destination pitch)", \
      "computed in FP32, then converted (nearest even; to integers: nearest even, saturating, NaN to " \
      "0); INT32 <-> INT32 with NONE is a copy; INT32 to FP32 rounds to nearest even")             \
    X(TALUS_SE_BINARY, TALUS_UNIT_SE, 1, "pair(elements per row, rows)",                           \
      "operation | source types << 8 | destination type << 16",                                    \
      "w0 destination (producer); w1 first source (consumer); w2 pair(first source pitch, destination " \
      "pitch); w3 second source (consumer); w4 pair(second source pitch; 0 = one row for all, 0)", \
      "computed in FP32, one rounding each to nearest even; then converted")                       \
    X(TALUS_SE_SCALE, TALUS_UNIT_SE, 2, "pair(elements per row, rows)",                            \
      "source type << 8 | destination type << 16",                                                 \
      "w0 destination (producer); w1 source (consumer); w2 pair(source pitch, destination pitch); w3 " \
      "pair(scale, offset) as FP32 bit patterns",                                                  \
      "fma(x, scale, offset) in FP32, one rounding; then converted")                               \
    X(TALUS_SE_ROW_ACCUMULATE, TALUS_UNIT_SE, 3, "pair(elements per row, rows): rows in 0..128",   \
      "mode (TALUS_SE_POOL_*) | source type << 8 | accumulate << 24",                              \
      "w0 destination: one FP32 row (producer, or with accumulate also read); w1 source rows (consumer); " \
      "w2 pair(source pitch, 0)",                                                                  \
      "acc = accumulate ? destination : (sum: +0, max: -inf), then row by row, ascending: acc + x or " \
      "max(acc, x) in FP32, nearest even; a NaN operand gives NaN in both modes")                   \
    X(TALUS_SE_QUANTIZE, TALUS_UNIT_SE, 4, "pair(elements per row, rows)",                         \
      "source type << 8 (FP32, FP16, BF16) | destination type << 16 (INT8, UINT8)",                \
      "w0 destination (producer); w1 source (consumer); w2 pair(source pitch, destination pitch); w3 one " \
      "talus_row_scale per row (consumer)",                                                        \
      "x * scale in FP32, to an integer (nearest even, saturating at INT32, NaN to 0), + zero point, " \
      "saturated to the destination type")                                                         \
    X(TALUS_SE_DEQUANTIZE, TALUS_UNIT_SE, 5, "pair(elements per row, rows)",                       \
      "source type << 8 (INT8, UINT8, INT32) | destination type << 16 (FP32, FP16, BF16)",         \
      "w0 destination (producer); w1 source (consumer); w2 pair(source pitch, destination pitch); w3 one " \
      "talus_row_scale per row (consumer)",                                                        \
      "x - zero point in wrapping INT32, to FP32, * scale, each rounded to nearest even; then converted")

#define TALUS_COMMAND_VALUE(name, unit, funct7, ...) name = (((unit) << 8) | (funct7)),
enum talus_command { TALUS_COMMANDS(TALUS_COMMAND_VALUE) TALUS_COMMAND_LAST = 0xffff };
#define TALUS_COMMAND_UNIT(command) (((unsigned)(command) >> 8) & 7u)
#define TALUS_COMMAND_FUNCT7(command) ((unsigned)(command)&0x7fu)

/* SE functions. tanh and sigmoid come from tables with linear or quadratic interpolation; the bound is
 * the largest |error| against the exact function over all FP32 inputs. X(name, value, meaning) */
#define TALUS_SE_FUNCTIONS(X)                                                                      \
    X(TALUS_SE_NONE, 0, "identity")                                                                \
    X(TALUS_SE_RELU, 1, "x > 0 ? x : +0; NaN stays")                                               \
    X(TALUS_SE_SIGMOID, 2, "absolute error <= 2^-20")                                              \
    X(TALUS_SE_TANH, 3, "absolute error <= 2^-20")                                                 \
    X(TALUS_SE_EXP, 4, "relative error <= 2^-20")                                                  \
    X(TALUS_SE_GELU, 5, "erf form; absolute error <= 2^-20 * max(1, |x|)")
enum talus_se_function { TALUS_SE_FUNCTIONS(TALUS_ENUM_VALUE) TALUS_SE_FUNCTION_LAST = 15 };

#define TALUS_SE_OPERATIONS(X)                                                                     \
    X(TALUS_SE_ADD, 0, "")                                                                         \
    X(TALUS_SE_SUB, 1, "first - second")                                                           \
    X(TALUS_SE_MUL, 2, "")                                                                         \
    X(TALUS_SE_MAX, 3, "NaN if either is NaN")                                                     \
    X(TALUS_SE_MIN, 4, "NaN if either is NaN")
enum talus_se_operation { TALUS_SE_OPERATIONS(TALUS_ENUM_VALUE) TALUS_SE_OPERATION_LAST = 15 };

/* Row ranges: every RE bank has TALUS_RE_BANK_ROWS of them, which its sums do not touch. */
#define TALUS_RE_RANGE_OFF 0u
#define TALUS_RE_RANGE_START 1u /* from these values alone */
#define TALUS_RE_RANGE_WIDEN 2u /* and those before */

/* Reduction network: one link from each PE to the one below and one to the right; a link holds one
 * message (m x n sums, or m ranges) until it is received. Content and direction of a message: */
#define TALUS_RE_SUMS 0u
#define TALUS_RE_RANGES 1u
#define TALUS_RE_DOWN 0u
#define TALUS_RE_RIGHT 1u

/* Operands of quantised commands, in local memory. FP32 as bit patterns. */
struct talus_row_range {
    uint32_t low, high; /* FP32 */
};
struct talus_row_scale {
    uint32_t scale; /* FP32 */
    int32_t zero_point;
};
struct talus_column_scale {
    uint32_t scale; /* FP32 */
    int32_t sum;    /* of the column's weights, for the rows' zero points */
    uint32_t bias;  /* FP32 */
    uint32_t reserved;
};
TALUS_ASSERT_SIZE(talus_row_range, 8);
TALUS_ASSERT_SIZE(talus_row_scale, 8);
TALUS_ASSERT_SIZE(talus_column_scale, 16);

/* 2:4 format of a row of B: of every 4 neighbouring elements of k at most 2 differ from 0. First come
 * k/2 values, two per group of 4; then, at a byte, (k/4 groups of) two 2-bit positions within the
 * group, the lower first, group g in bits 4*(g%2)..4*(g%2)+3 of byte g/2; positions ascend. */
#define TALUS_SPARSE_ROW_BYTES(k, element_bytes) ((k) / 2u * (element_bytes) + ((k) / 4u + 1u) / 2u)

#define TALUS_SE_POOL_SUM 0u
#define TALUS_SE_POOL_MAX 1u
#define TALUS_SE_MAX_ROWS 128u

/* ---- custom-1 sheets. X(name, funct3, funct7, rd, rs1, rs2, meaning) ------------------------------ */
#define TALUS_SYNC_OPERATIONS(X)                                                                   \
    X(TALUS_CTX_SET, 0, 0, "context (immediate)", "word value", "word index",                      \
      "contexts[core][rd].word[rs2] = rs1")                                                        \
    X(TALUS_CTX_SET2, 0, 1, "context (immediate)", "word 0", "word 1", "sets words 0 and 1")       \
    X(TALUS_CTX_SET3, 0, 2, "context (immediate)", "word 2", "word 3", "sets words 2 and 3")       \
    X(TALUS_CB_CONFIG, 1, 0, "-", "CB id", "pair(base offset, depth): multiples of 64",            \
      "configures an idle CB and empties it; depth 0 frees it")                                    \
    X(TALUS_CB_WAIT_DATA, 1, 1, "local address of the head", "CB id", "bytes",                     \
      "blocks until that many bytes are committed; the core is the consumer")                      \
    X(TALUS_CB_POP, 1, 2, "-", "CB id", "bytes", "frees bytes at the head; the core is the consumer") \
    X(TALUS_CB_WAIT_SPACE, 1, 3, "local address of the tail", "CB id", "bytes",                    \
      "blocks until that much space is free; the core is the producer")                            \
    X(TALUS_CB_PUSH, 1, 4, "-", "CB id", "bytes", "commits bytes at the tail; the core is the producer") \
    X(TALUS_CB_OCCUPANCY, 1, 5, "bytes committed", "CB id", "-", "")                               \
    X(TALUS_SEM_WAIT, 2, 0, "-", "semaphore", "value",                                             \
      "blocks until the PE's semaphore >= value (unsigned), then subtracts value")                 \
    X(TALUS_SEM_POST, 2, 1, "-", "semaphore | row << 8 | col << 16", "value",                      \
      "adds value to a semaphore of the PE at (row, col) of the sub-grid, over the NoC; row = col = " \
      "0xff: of every PE of the sub-grid. Posted: retires at once; ordered after the core's earlier posts") \
    X(TALUS_SEM_READ, 2, 2, "value", "semaphore", "-", "")                                         \
    X(TALUS_CP_DRAIN, 3, 0, "-", "mask of units (bit = enum talus_unit)", "-",                     \
      "blocks until this core's commands on these units are complete")                             \
    X(TALUS_CP_CORE, 3, 1, "0 on core A, 1 on core B", "-", "-", "")

#define TALUS_SYNC_VALUE(name, funct3, funct7, ...) name = (((funct3) << 8) | (funct7)),
enum talus_sync_operation { TALUS_SYNC_OPERATIONS(TALUS_SYNC_VALUE) TALUS_SYNC_LAST = 0xffff };

#endif
