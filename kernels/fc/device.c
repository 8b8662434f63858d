/* Fully connected layer on the grid: Y = act(X W^T + bias), FP16 operands, FP32 accumulation with k
 * ascending, seeded with the bias. Large products go by grid.h; what follows here is the schedule
 * TALUS_FC_BLOCKS.
 *
 * Y is cut into blocks of one or 2 x 2 tiles of 32 x 32; a PE takes a run of consecutive blocks,
 * column block by column block, so that neighbouring blocks share their weights. Core A moves X, W
 * and bias into circular buffers; core B seeds the RE banks, multiplies and drains. Where all of k
 * fits, a column block's weights are read once and stay at the head of their buffer until its last
 * use; otherwise both operands stream in chunks of k.
 *
 * Bit-exact for every batch, schedule, block size and chunk: an element of Y is one chain of fma
 * over its own row of X and row of W, whichever PE and bank compute it. Tails of m, n and k are
 * skipped by the DPE, so neither padding nor what earlier jobs left in local memory is ever read.
 */
#include "kernels/fc/args.h"
#include "talus/device/barrier.h"
#include "talus/device/memory.h"

enum { CB_X, CB_W, CB_BIAS, CB_Y };
#define PREFETCH 4u /* context of core A beside the buffers' */
#define SLOTS 2u    /* of bias and Y: one in use, one in flight */

static uint32_t ceil_divide(uint32_t value, uint32_t by) {
    return (value + by - 1) / by;
}
static uint32_t smaller(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}
static void configure(struct talus_local* local, uint32_t cb, uint32_t slot, uint32_t slots) {
    talus_cb_config(cb, talus_local_alloc(local, slots * slot, 64), slots * slot);
}

#include "kernels/fc/grid.h"

struct plan {
    uint32_t blocks_m, blocks_n; /* blocks of Y */
    uint32_t side;               /* rows and columns of a block */
    uint32_t chunks;             /* of k */
    uint32_t x_slot, w_slot;     /* bytes; rows at `pitch` */
    uint32_t pitch;
    uint32_t y_slot, y_row; /* bytes of a block and of one of its rows */
    uint64_t first, count;  /* the PE's blocks */
};

static struct plan make_plan(const struct talus_launch* launch, const struct talus_fc_args* args) {
    struct plan plan;
    plan.side = args->block * TALUS_FC_TILE;
    plan.blocks_m = ceil_divide(args->batch, plan.side);
    plan.blocks_n = ceil_divide(args->n, plan.side);
    plan.chunks = ceil_divide(args->k, args->chunk);
    plan.pitch = args->chunk * 2;
    plan.x_slot = plan.side * plan.pitch;
    plan.w_slot = plan.side * plan.pitch;
    plan.y_row = plan.side * (args->y_type == TALUS_CP_FP32 ? 4 : 2);
    plan.y_slot = plan.side * plan.y_row;
    talus_split((uint64_t)plan.blocks_m * plan.blocks_n, talus_pe_count(launch),
                talus_pe_index(launch), &plan.first, &plan.count);
    return plan;
}

static void configure_buffers(const struct talus_launch* launch, const struct talus_fc_args* args,
                              const struct plan* plan) {
    struct talus_local local = talus_local_all(launch);
    configure(&local, CB_X, plan->x_slot, args->x_slots);
    configure(&local, CB_W, plan->w_slot, args->w_slots);
    configure(&local, CB_BIAS, plan->side * 4, SLOTS);
    configure(&local, CB_Y, plan->y_slot, SLOTS);
}

/* Slices before the last one of a chunk that begins at `k` and has `elements`, and the last one's
 * elements and pitch in W. */
struct slices {
    uint32_t full, tail, pitch;
};
static struct slices slices_of(const struct talus_fc_args* args, uint32_t k, uint32_t elements) {
    struct slices slices;
    slices.full = talus_fc_full_slices(elements);
    slices.tail = talus_fc_tail(elements);
    slices.pitch = k + elements == args->k ? talus_fc_tail_pitch(args->k) : TALUS_FC_SLICE_BYTES;
    return slices;
}

/* `columns` rows of W from `n` on: slice after slice, dense. A block never straddles two groups. */
static void move_weights(const struct talus_fc_args* args, const struct plan* plan, uint32_t n,
                         uint32_t columns, uint32_t k, uint32_t elements) {
    const struct slices slices = slices_of(args, k, elements);
    const uint32_t group = n / TALUS_FC_GROUP * TALUS_FC_GROUP;
    const uint32_t group_rows = smaller(TALUS_FC_GROUP, args->n - group);
    const uint64_t from =
        args->weights + group * talus_fc_row_bytes(args->k) + (uint64_t)k * 2 * group_rows;
    if (slices.full != 0) {
        talus_context_set01(
            CB_W, talus_cb_operand(CB_W, 0, 0),
            TALUS_PAIR(group_rows * TALUS_FC_SLICE_BYTES, columns * TALUS_FC_SLICE_BYTES));
        talus_dma_in(CB_W, from + (n - group) * TALUS_FC_SLICE_BYTES,
                     columns * TALUS_FC_SLICE_BYTES, slices.full);
    }
    talus_context_set01(
        CB_W, talus_cb_operand(CB_W, slices.full * columns * TALUS_FC_SLICE_BYTES, plan->w_slot),
        TALUS_PAIR(0, 0));
    talus_dma_in(CB_W,
                 from + (uint64_t)slices.full * group_rows * TALUS_FC_SLICE_BYTES +
                     (n - group) * slices.pitch,
                 columns * slices.pitch, 1);
}

static void move_data(const struct talus_fc_args* args, const struct plan* plan) {
    talus_context_set01(CB_X, talus_cb_operand(CB_X, 0, plan->x_slot),
                        TALUS_PAIR(args->x_pitch, plan->pitch));
    talus_context_set01(CB_BIAS, talus_cb_operand(CB_BIAS, 0, plan->side * 4), TALUS_PAIR(0, 0));

    uint32_t block_n = (uint32_t)(plan->first / plan->blocks_m);
    uint32_t block_m = (uint32_t)(plan->first % plan->blocks_m);
    for (uint64_t i = 0; i < plan->count; ++i) {
        const uint32_t m = block_m * plan->side;
        const uint32_t n = block_n * plan->side;
        const uint32_t rows = smaller(plan->side, args->batch - m);
        const uint32_t columns = smaller(plan->side, args->n - n);
        const int new_columns = i == 0 || block_m == 0;
        if (new_columns)
            talus_dma_in(CB_BIAS, args->bias + (uint64_t)n * 4, columns * 4, 1);
        for (uint32_t c = 0; c < plan->chunks; ++c) {
            const uint32_t k = c * args->chunk;
            const uint32_t elements = smaller(args->chunk, args->k - k);
            if (new_columns || args->resident == 0)
                move_weights(args, plan, n, columns, k, elements);
            talus_dma_in(CB_X, args->x + (uint64_t)m * args->x_pitch + (uint64_t)k * 2,
                         elements * 2, rows);
        }
        if (++block_m == plan->blocks_m) {
            block_m = 0;
            ++block_n;
        }
    }
}

/* Blocks of one tile rotate through the four banks, blocks of 2 x 2 take all: a drain overlaps with
 * the next product either way. */
static void compute(const struct talus_fc_args* args, const struct plan* plan) {
    const uint32_t y_element = args->y_type == TALUS_CP_FP32 ? 4 : 2;
    enum { MULTIPLY, SEED, DRAIN, OUT };
    talus_context_set(SEED, 2, TALUS_PAIR(0, 0));
    talus_context_set(DRAIN, 2, TALUS_PAIR(0, plan->y_row));
    talus_context_set(DRAIN, 0, talus_cb_operand(CB_Y, 0, plan->y_slot));
    talus_context_set01(OUT, talus_cb_operand(CB_Y, 0, plan->y_slot),
                        TALUS_PAIR(plan->y_row, args->y_pitch));

    uint32_t block_n = (uint32_t)(plan->first / plan->blocks_m);
    uint32_t block_m = (uint32_t)(plan->first % plan->blocks_m);
    uint32_t bank = 0;
    for (uint64_t i = 0; i < plan->count; ++i) {
        const uint32_t m = block_m * plan->side;
        const uint32_t n = block_n * plan->side;
        const uint32_t rows = smaller(plan->side, args->batch - m);
        const uint32_t columns = smaller(plan->side, args->n - n);
        const int last_use = block_m + 1 == plan->blocks_m || i + 1 == plan->count;

        talus_context_set(SEED, 1, talus_cb_operand(CB_BIAS, 0, last_use ? plan->side * 4 : 0));
        talus_re_load(SEED, rows, columns, bank, TALUS_RE_LOAD_ROW);
        for (uint32_t c = 0; c < plan->chunks; ++c) {
            const uint32_t k = c * args->chunk;
            const struct slices slices = slices_of(args, k, smaller(args->chunk, args->k - k));
            const uint32_t step = columns * TALUS_FC_SLICE_BYTES;
            /* Weights that go are popped chunk by chunk, so the next is always at the head. */
            const int pops_w = args->resident == 0 || last_use;
            const uint32_t w_at = pops_w ? 0 : c * plan->w_slot;
            if (slices.full != 0) {
                talus_context_set01(MULTIPLY, talus_cb_operand(CB_X, 0, 0),
                                    talus_cb_operand(CB_W, w_at, 0));
                talus_context_set(MULTIPLY, 2, TALUS_PAIR(plan->pitch, TALUS_FC_SLICE_BYTES));
                talus_context_sequence(MULTIPLY, slices.full, 0, TALUS_FC_SLICE_BYTES, 0, step, 0);
                talus_dpe_matmul_sequence(MULTIPLY, rows, columns, TALUS_FC_SLICE, bank, 1,
                                          TALUS_CP_FP16);
            }
            talus_context_set01(
                MULTIPLY, talus_cb_operand(CB_X, slices.full * TALUS_FC_SLICE_BYTES, plan->x_slot),
                talus_cb_operand(CB_W, w_at + slices.full * step, pops_w ? plan->w_slot : 0));
            talus_context_set(MULTIPLY, 2, TALUS_PAIR(plan->pitch, slices.pitch));
            talus_dpe_matmul(MULTIPLY, rows, columns, slices.tail, bank, 1, TALUS_CP_FP16);
        }
        talus_re_store(DRAIN, rows, columns, bank, (enum talus_se_function)args->activation,
                       (enum talus_cp_type)args->y_type);
        talus_dma_out(OUT, args->y + (uint64_t)m * args->y_pitch + (uint64_t)n * y_element,
                      columns * y_element, rows);
        bank = (bank + tiles_of(rows, columns)) & 3;
        if (++block_m == plan->blocks_m) {
            block_m = 0;
            ++block_n;
        }
    }
}

TALUS_KERNEL void kernel_main(const struct talus_launch* launch) {
    const struct talus_fc_args* args = launch->args;
    if (args->schedule == TALUS_FC_GRID) {
        const struct grid grid = grid_plan(launch, args);
        if (launch->core == TALUS_CORE_A) {
            grid_configure(launch, args, &grid);
            talus_core_barrier(launch);
            grid_move(args, &grid);
        } else {
            talus_core_barrier(launch);
            grid_compute(args, &grid);
        }
        return;
    }
    const struct plan plan = make_plan(launch, args);
    if (plan.count == 0)
        return;
    if (launch->core == TALUS_CORE_A) {
        configure_buffers(launch, args, &plan);
        talus_core_barrier(launch);
        move_data(args, &plan);
    } else {
        talus_core_barrier(launch);
        compute(args, &plan);
    }
}
