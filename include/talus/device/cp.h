/* Command processor: one inline function per custom instruction of talus/hw/instructions.h, where
 * the sheets stand. A context number must be a compile-time constant (it is a field of the
 * instruction).
 *
 * Every function is a compiler barrier: local-memory stores before a command and loads after a wait
 * stay where the program has them. */
#ifndef TALUS_DEVICE_CP_H
#define TALUS_DEVICE_CP_H

#include <stdint.h>

#include "talus/hw/address_map.h"
#include "talus/hw/instructions.h"

#define TALUS_INLINE static inline __attribute__((always_inline))

/* An element type, bank, unit or CB id is passed as the number that the contract gives it. */
#define TALUS_CP_ENQUEUE(command, context, rs1, rs2)                                               \
    __asm__ volatile(".insn r 0x0b, %0, %1, x%2, %3, %4"                                           \
                     :                                                                             \
                     : "i"(TALUS_COMMAND_UNIT(command)), "i"(TALUS_COMMAND_FUNCT7(command)),       \
                       "i"(context), "r"((uint64_t)(rs1)), "r"((uint64_t)(rs2))                    \
                     : "memory")

/* The same as a sequence: the context's words 5 to 7 say how often and what moves between. */
#define TALUS_CP_ENQUEUE_SEQUENCE(command, context, rs1, rs2)                                      \
    TALUS_CP_ENQUEUE((command) | TALUS_CP_SEQUENCE, context, rs1, rs2)

#define TALUS_CP_SYNC(operation, rs1, rs2)                                                         \
    __asm__ volatile(".insn r 0x2b, %0, %1, x0, %2, %3"                                            \
                     :                                                                             \
                     : "i"(((operation) >> 8) & 7), "i"((operation)&0x7f), "r"((uint64_t)(rs1)),   \
                       "r"((uint64_t)(rs2))                                                        \
                     : "memory")

#define TALUS_CP_SYNC_READ(operation, result, rs1, rs2)                                            \
    __asm__ volatile(".insn r 0x2b, %1, %2, %0, %3, %4"                                            \
                     : "=r"(result)                                                                \
                     : "i"(((operation) >> 8) & 7), "i"((operation)&0x7f), "r"((uint64_t)(rs1)),   \
                       "r"((uint64_t)(rs2))                                                        \
                     : "memory")

/* A local operand (instructions.h TALUS_OPERAND): consumed from, or produced into, a circular
 * buffer. */
TALUS_INLINE uint64_t talus_cb_operand(uint32_t cb, uint32_t offset, uint32_t move) {
    return TALUS_OPERAND(cb, offset, move);
}
/* A local operand by its offset in local memory; the program orders the accesses itself. */
TALUS_INLINE uint64_t talus_direct_operand(uint32_t offset) {
    return TALUS_OPERAND(TALUS_DIRECT, offset, 0);
}

/* --- contexts ------------------------------------------------------------------------------------
 */
#define TALUS_CP_CONTEXT(operation, context, rs1, rs2)                                             \
    __asm__ volatile(".insn r 0x2b, %0, %1, x%2, %3, %4"                                           \
                     :                                                                             \
                     : "i"(((operation) >> 8) & 7), "i"((operation)&0x7f), "i"(context),           \
                       "r"((uint64_t)(rs1)), "r"((uint64_t)(rs2))                                  \
                     : "memory")

TALUS_INLINE void talus_context_set(unsigned context, unsigned word, uint64_t value) {
    TALUS_CP_CONTEXT(TALUS_CTX_SET, context, value, word);
}
TALUS_INLINE void talus_context_set01(unsigned context, uint64_t word0, uint64_t word1) {
    TALUS_CP_CONTEXT(TALUS_CTX_SET2, context, word0, word1);
}
TALUS_INLINE void talus_context_set23(unsigned context, uint64_t word2, uint64_t word3) {
    TALUS_CP_CONTEXT(TALUS_CTX_SET3, context, word2, word3);
}

/* Words 5 to 7 for the *_sequence commands: `count` times; FI: `stride` bytes of fabric address
 * from one to the next; word 0's operand moves by `step0`, word 1's by `step1`, each back to its
 * start after `wrap` bytes (0: never). */
TALUS_INLINE void talus_context_sequence(unsigned context, uint32_t count, uint32_t stride,
                                         uint32_t step0, uint32_t wrap0, uint32_t step1,
                                         uint32_t wrap1) {
    talus_context_set(context, 5, TALUS_PAIR(count, stride));
    talus_context_set(context, 6, TALUS_PAIR(step0, wrap0));
    talus_context_set(context, 7, TALUS_PAIR(step1, wrap1));
}

/* --- fabric interface ----------------------------------------------------------------------------
 */
/* w0 destination, w1 pair(source pitch, destination pitch) */
TALUS_INLINE void talus_dma_in(unsigned context, uint64_t source, uint32_t row_bytes,
                               uint32_t rows) {
    TALUS_CP_ENQUEUE(TALUS_FI_DMA_IN, context, source, TALUS_PAIR(row_bytes, rows));
}
TALUS_INLINE void talus_dma_in_sequence(unsigned context, uint64_t source, uint32_t row_bytes,
                                        uint32_t rows) {
    TALUS_CP_ENQUEUE_SEQUENCE(TALUS_FI_DMA_IN, context, source, TALUS_PAIR(row_bytes, rows));
}
/* and w2 TALUS_BROADCAST_*: every PE of the line issues it */
TALUS_INLINE void talus_broadcast(unsigned context, uint64_t source, uint32_t row_bytes,
                                  uint32_t rows) {
    TALUS_CP_ENQUEUE(TALUS_FI_BROADCAST, context, source, TALUS_PAIR(row_bytes, rows));
}
TALUS_INLINE void talus_broadcast_sequence(unsigned context, uint64_t source, uint32_t row_bytes,
                                           uint32_t rows) {
    TALUS_CP_ENQUEUE_SEQUENCE(TALUS_FI_BROADCAST, context, source, TALUS_PAIR(row_bytes, rows));
}
/* w1 pair(source pitch, 0) */
TALUS_INLINE void talus_prefetch(unsigned context, uint64_t source, uint32_t row_bytes,
                                 uint32_t rows) {
    TALUS_CP_ENQUEUE(TALUS_FI_PREFETCH, context, source, TALUS_PAIR(row_bytes, rows));
}
TALUS_INLINE void talus_discard(unsigned context, uint64_t at, uint32_t row_bytes, uint32_t rows) {
    TALUS_CP_ENQUEUE(TALUS_FI_DISCARD, context, at, TALUS_PAIR(row_bytes, rows));
}
/* w0 destination, w1 pair(table pitch, destination pitch), w2 index list, w3 table rows, w4 index
 * type */
TALUS_INLINE void talus_dma_in_indexed(unsigned context, uint64_t table, uint32_t row_bytes,
                                       uint32_t count) {
    TALUS_CP_ENQUEUE(TALUS_FI_DMA_INDEXED, context, table, TALUS_PAIR(row_bytes, count));
}
/* w0 source, w1 pair(source pitch, destination pitch) */
TALUS_INLINE void talus_dma_out(unsigned context, uint64_t destination, uint32_t row_bytes,
                                uint32_t rows) {
    TALUS_CP_ENQUEUE(TALUS_FI_DMA_OUT, context, destination, TALUS_PAIR(row_bytes, rows));
}

/* --- memory layout unit: w0 destination, w1 source, w2 pair(source pitch, destination pitch)
 * ------- */
TALUS_INLINE void talus_mlu_copy(unsigned context, uint32_t row_bytes, uint32_t rows) {
    TALUS_CP_ENQUEUE(TALUS_MLU_COPY, context, TALUS_PAIR(row_bytes, rows), 0);
}
TALUS_INLINE void talus_mlu_transpose(unsigned context, uint32_t columns, uint32_t rows,
                                      uint32_t element_bits) {
    TALUS_CP_ENQUEUE(TALUS_MLU_TRANSPOSE, context, TALUS_PAIR(columns, rows), element_bits);
}
/* and w3 second source, w4 pair(second source pitch, 0) */
TALUS_INLINE void talus_mlu_concat(unsigned context, uint32_t first_columns,
                                   uint32_t second_columns, uint32_t rows, uint32_t element_bits) {
    TALUS_CP_ENQUEUE(TALUS_MLU_CONCAT, context, TALUS_PAIR(first_columns, rows),
                     TALUS_PAIR(second_columns, element_bits));
}
TALUS_INLINE void talus_mlu_reshape(unsigned context, uint32_t columns, uint32_t rows,
                                    uint32_t new_columns, uint32_t element_bits) {
    TALUS_CP_ENQUEUE(TALUS_MLU_RESHAPE, context, TALUS_PAIR(columns, rows),
                     TALUS_PAIR(new_columns, element_bits));
}
TALUS_INLINE void talus_mlu_fill(unsigned context, uint32_t row_bytes, uint32_t rows,
                                 uint8_t value) {
    TALUS_CP_ENQUEUE(TALUS_MLU_FILL, context, TALUS_PAIR(row_bytes, rows), value);
}

/* --- dot product and reduction engines
 * ------------------------------------------------------------- */
/* w0 A (m rows of k), w1 B (n rows of k), w2 pair(A pitch, B pitch) */
TALUS_INLINE void talus_dpe_matmul(unsigned context, uint32_t m, uint32_t n, uint32_t k,
                                   uint32_t bank, uint32_t accumulate, enum talus_cp_type type) {
    TALUS_CP_ENQUEUE(TALUS_DPE_MATMUL, context, TALUS_PAIR(m | n << 16, k),
                     bank | accumulate << 8 | (uint32_t)type << 16);
}
TALUS_INLINE void talus_dpe_matmul_sequence(unsigned context, uint32_t m, uint32_t n, uint32_t k,
                                            uint32_t bank, uint32_t accumulate,
                                            enum talus_cp_type type) {
    TALUS_CP_ENQUEUE_SEQUENCE(TALUS_DPE_MATMUL, context, TALUS_PAIR(m | n << 16, k),
                              bank | accumulate << 8 | (uint32_t)type << 16);
}
/* the same with B in the 2:4 format; k a multiple of 4 */
TALUS_INLINE void talus_dpe_matmul_sparse(unsigned context, uint32_t m, uint32_t n, uint32_t k,
                                          uint32_t bank, uint32_t accumulate,
                                          enum talus_cp_type type) {
    TALUS_CP_ENQUEUE(TALUS_DPE_MATMUL_SPARSE, context, TALUS_PAIR(m | n << 16, k),
                     bank | accumulate << 8 | (uint32_t)type << 16);
}

#define TALUS_RE_LOAD_ZERO 0u
#define TALUS_RE_LOAD_ROW 1u  /* one row of n values for all rows */
#define TALUS_RE_LOAD_ROWS 2u /* m rows */
/* w1 source (not for zero), w2 pair(source pitch, 0) */
TALUS_INLINE void talus_re_load(unsigned context, uint32_t m, uint32_t n, uint32_t bank,
                                uint32_t mode) {
    TALUS_CP_ENQUEUE(TALUS_RE_LOAD, context, TALUS_PAIR(m | n << 16, 0), bank | mode << 8);
}
/* w0 destination, w2 pair(0, destination pitch); range = TALUS_RE_RANGE_* */
TALUS_INLINE void talus_re_store_ranged(unsigned context, uint32_t m, uint32_t n, uint32_t bank,
                                        enum talus_se_function function, enum talus_cp_type type,
                                        uint32_t range) {
    TALUS_CP_ENQUEUE(TALUS_RE_STORE, context, TALUS_PAIR(m | n << 16, 0),
                     bank | (uint32_t)function << 8 | (uint32_t)type << 16 | range << 24);
}
TALUS_INLINE void talus_re_store(unsigned context, uint32_t m, uint32_t n, uint32_t bank,
                                 enum talus_se_function function, enum talus_cp_type type) {
    talus_re_store_ranged(context, m, n, bank, function, type, TALUS_RE_RANGE_OFF);
}
/* and w1 row scales, w3 column scales */
TALUS_INLINE void talus_re_store_dequantized(unsigned context, uint32_t m, uint32_t n,
                                             uint32_t bank, enum talus_se_function function,
                                             enum talus_cp_type type, uint32_t range) {
    TALUS_CP_ENQUEUE(TALUS_RE_STORE_DEQUANTIZED, context, TALUS_PAIR(m | n << 16, 0),
                     bank | (uint32_t)function << 8 | (uint32_t)type << 16 | range << 24);
}
/* w1 source, w2 pair(source pitch, 0); rows up to 32; range = START or WIDEN */
TALUS_INLINE void talus_re_range(unsigned context, uint32_t elements, uint32_t rows, uint32_t bank,
                                 enum talus_cp_type type, uint32_t range) {
    TALUS_CP_ENQUEUE(TALUS_RE_RANGE, context, TALUS_PAIR(elements, rows),
                     bank | range << 8 | (uint32_t)type << 16);
}
/* w0 destination: m talus_row_range */
TALUS_INLINE void talus_re_range_store(unsigned context, uint32_t m, uint32_t bank) {
    TALUS_CP_ENQUEUE(TALUS_RE_RANGE_STORE, context, TALUS_PAIR(m, 0), bank);
}
/* Reduction network; no operands, so any context. direction = TALUS_RE_DOWN or TALUS_RE_RIGHT */
TALUS_INLINE void talus_re_send_sums(unsigned context, uint32_t m, uint32_t n, uint32_t bank,
                                     uint32_t direction) {
    TALUS_CP_ENQUEUE(TALUS_RE_SEND, context, TALUS_PAIR(m | n << 16, 0),
                     bank | TALUS_RE_SUMS << 8 | direction << 16);
}
TALUS_INLINE void talus_re_receive_sums(unsigned context, uint32_t m, uint32_t n, uint32_t bank,
                                        uint32_t direction, enum talus_cp_type type) {
    TALUS_CP_ENQUEUE(TALUS_RE_RECEIVE, context, TALUS_PAIR(m | n << 16, 0),
                     bank | TALUS_RE_SUMS << 8 | direction << 16 | (uint32_t)type << 24);
}
TALUS_INLINE void talus_re_send_ranges(unsigned context, uint32_t m, uint32_t bank,
                                       uint32_t direction) {
    TALUS_CP_ENQUEUE(TALUS_RE_SEND, context, TALUS_PAIR(m | 1u << 16, 0),
                     bank | TALUS_RE_RANGES << 8 | direction << 16);
}
TALUS_INLINE void talus_re_receive_ranges(unsigned context, uint32_t m, uint32_t bank,
                                          uint32_t direction) {
    TALUS_CP_ENQUEUE(TALUS_RE_RECEIVE, context, TALUS_PAIR(m | 1u << 16, 0),
                     bank | TALUS_RE_RANGES << 8 | direction << 16);
}

/* --- SIMD engine: w0 destination, w1 source, w2 pair(source pitch, destination pitch)
 * --------------- */
TALUS_INLINE void talus_se_unary(unsigned context, uint32_t elements, uint32_t rows,
                                 enum talus_se_function function, enum talus_cp_type source,
                                 enum talus_cp_type destination) {
    TALUS_CP_ENQUEUE(TALUS_SE_UNARY, context, TALUS_PAIR(elements, rows),
                     (uint32_t)function | (uint32_t)source << 8 | (uint32_t)destination << 16);
}
/* and w3 second source, w4 pair(second source pitch, 0) */
TALUS_INLINE void talus_se_binary(unsigned context, uint32_t elements, uint32_t rows,
                                  enum talus_se_operation operation, enum talus_cp_type source,
                                  enum talus_cp_type destination) {
    TALUS_CP_ENQUEUE(TALUS_SE_BINARY, context, TALUS_PAIR(elements, rows),
                     (uint32_t)operation | (uint32_t)source << 8 | (uint32_t)destination << 16);
}
/* and w3 pair(scale, offset), FP32 bit patterns */
TALUS_INLINE void talus_se_scale(unsigned context, uint32_t elements, uint32_t rows,
                                 enum talus_cp_type source, enum talus_cp_type destination) {
    TALUS_CP_ENQUEUE(TALUS_SE_SCALE, context, TALUS_PAIR(elements, rows),
                     (uint32_t)source << 8 | (uint32_t)destination << 16);
}
/* and w3 row scales, one talus_row_scale per row */
TALUS_INLINE void talus_se_quantize(unsigned context, uint32_t elements, uint32_t rows,
                                    enum talus_cp_type source, enum talus_cp_type destination) {
    TALUS_CP_ENQUEUE(TALUS_SE_QUANTIZE, context, TALUS_PAIR(elements, rows),
                     (uint32_t)source << 8 | (uint32_t)destination << 16);
}
TALUS_INLINE void talus_se_dequantize(unsigned context, uint32_t elements, uint32_t rows,
                                      enum talus_cp_type source, enum talus_cp_type destination) {
    TALUS_CP_ENQUEUE(TALUS_SE_DEQUANTIZE, context, TALUS_PAIR(elements, rows),
                     (uint32_t)source << 8 | (uint32_t)destination << 16);
}
/* w0 destination row, w1 source rows, w2 pair(source pitch, 0); pool = TALUS_SE_POOL_* */
TALUS_INLINE void talus_se_row_accumulate(unsigned context, uint32_t elements, uint32_t rows,
                                          uint32_t pool, enum talus_cp_type source,
                                          uint32_t accumulate) {
    TALUS_CP_ENQUEUE(TALUS_SE_ROW_ACCUMULATE, context, TALUS_PAIR(elements, rows),
                     pool | (uint32_t)source << 8 | accumulate << 24);
}

/* --- circular buffers, from the core
 * ---------------------------------------------------------------- */
/* base: offset in local memory; base and depth: multiples of 64; depth 0 frees the CB */
TALUS_INLINE void talus_cb_config(uint32_t cb, uint32_t base, uint32_t depth) {
    TALUS_CP_SYNC(TALUS_CB_CONFIG, cb, TALUS_PAIR(base, depth));
}
/* Waits for data and returns the head. */
TALUS_INLINE void* talus_cb_wait_data(uint32_t cb, uint32_t bytes) {
    uint64_t address;
    TALUS_CP_SYNC_READ(TALUS_CB_WAIT_DATA, address, cb, bytes);
    return (void*)address;
}
TALUS_INLINE void talus_cb_pop(uint32_t cb, uint32_t bytes) {
    TALUS_CP_SYNC(TALUS_CB_POP, cb, bytes);
}
/* Waits for space and returns the tail. */
TALUS_INLINE void* talus_cb_wait_space(uint32_t cb, uint32_t bytes) {
    uint64_t address;
    TALUS_CP_SYNC_READ(TALUS_CB_WAIT_SPACE, address, cb, bytes);
    return (void*)address;
}
TALUS_INLINE void talus_cb_push(uint32_t cb, uint32_t bytes) {
    TALUS_CP_SYNC(TALUS_CB_PUSH, cb, bytes);
}
TALUS_INLINE uint32_t talus_cb_occupancy(uint32_t cb) {
    uint64_t bytes;
    TALUS_CP_SYNC_READ(TALUS_CB_OCCUPANCY, bytes, cb, 0);
    return (uint32_t)bytes;
}

/* --- semaphores and drain
 * ----------------------------------------------------------------------------- */
TALUS_INLINE void talus_sem_wait(uint32_t semaphore, uint32_t value) {
    TALUS_CP_SYNC(TALUS_SEM_WAIT, semaphore, value);
}
/* To the PE at (row, col) of the sub-grid; the own one included. */
TALUS_INLINE void talus_sem_post(uint32_t semaphore, uint32_t row, uint32_t col, uint32_t value) {
    TALUS_CP_SYNC(TALUS_SEM_POST, semaphore | row << 8 | col << 16, value);
}
/* To every PE of the sub-grid, the own one included. */
TALUS_INLINE void talus_sem_post_all(uint32_t semaphore, uint32_t value) {
    talus_sem_post(semaphore, 0xff, 0xff, value);
}
TALUS_INLINE uint32_t talus_sem_read(uint32_t semaphore) {
    uint64_t value;
    TALUS_CP_SYNC_READ(TALUS_SEM_READ, value, semaphore, 0);
    return (uint32_t)value;
}

#define TALUS_ALL_UNITS ((1u << TALUS_UNIT_COUNT) - 1u)
/* Waits until this core's commands on the units of the mask (1 << enum talus_unit) are complete. */
TALUS_INLINE void talus_drain(uint32_t units) {
    TALUS_CP_SYNC(TALUS_CP_DRAIN, units, 0);
}

TALUS_INLINE uint32_t talus_core(void) {
    uint64_t core;
    TALUS_CP_SYNC_READ(TALUS_CP_CORE, core, 0, 0);
    return (uint32_t)core;
}

#endif
