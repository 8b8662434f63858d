/* Dynamic INT8 fully connected layer on the grid, in two passes with a barrier between them.
 *
 * Quantisation: each PE takes a run of rows of X. The RE finds their ranges, core B's vector unit
 * makes scales and zero points of them, the SE quantises; rows and scales go to the workspace.
 *
 * Product: Y is cut into strips of 1, 2 or 4 tiles of 32 rows; an item is a strip by 32 columns,
 * and a PE takes a run of items, strip by strip. Where all of k fits, a strip stays in local memory
 * for its run while weights stream past it; otherwise both stream in chunks of k. Core A moves
 * data, core B multiplies. Every tile of a strip has its own RE bank, so that one drains (through
 * zero points, scales, bias and activation) while the others multiply.
 *
 * Bit-exact for every batch and split: the sums are exact, and the rest depends on one row and one
 * column alone. */
#include "kernels/fc_int8/args.h"
#include "kernels/fc_int8/pipeline.h"
#include "talus/device/barrier.h"
#include "talus/device/memory.h"

/* Of the two passes; their buffers share local memory. */
enum { CB_IN, CB_RANGES, CB_FACTORS, CB_QUANTIZED, CB_SCALES };
enum { CB_X = 8, CB_W, CB_ROWS, CB_COLUMNS, CB_Y };
#define SLOTS 2u /* one in use, one in flight */

static uint32_t ceil_divide(uint32_t value, uint32_t by) {
    return (value + by - 1) / by;
}
static uint32_t smaller(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}
static uint32_t align64(uint32_t bytes) {
    return (bytes + 63u) & ~63u;
}
static void configure(struct talus_local* local, uint32_t cb, uint32_t slot, uint32_t slots) {
    talus_cb_config(cb, talus_local_alloc(local, slots * slot, 64), slots * slot);
}

/* --- quantisation -------------------------------------------------------------------------------
 */
struct row_plan {
    uint64_t first, count;    /* the PE's rows */
    uint32_t x_row, x_slot;   /* bytes of a row and of a block of X */
    uint32_t quantized_slot;  /* bytes of a quantised block, rows at the workspace's pitch */
    uint32_t parameters_slot; /* bytes of 8 per row */
};

static struct row_plan plan_rows(const struct talus_launch* launch,
                                 const struct talus_fc_int8_args* args) {
    struct row_plan plan;
    talus_split(args->batch, talus_pe_count(launch), talus_pe_index(launch), &plan.first,
                &plan.count);
    plan.x_row = align64(args->k * 2);
    plan.x_slot = args->row_block * plan.x_row;
    plan.quantized_slot = args->row_block * args->pitch;
    plan.parameters_slot = align64(args->row_block * 8);
    return plan;
}

static void configure_rows(const struct talus_launch* launch, const struct talus_fc_int8_args* args,
                           const struct row_plan* plan) {
    struct talus_local local = talus_local_all(launch);
    configure(&local, CB_IN, plan->x_slot, args->row_slots);
    configure(&local, CB_QUANTIZED, plan->quantized_slot, SLOTS);
    configure(&local, CB_RANGES, plan->parameters_slot, SLOTS);
    configure(&local, CB_FACTORS, plan->parameters_slot, SLOTS);
    configure(&local, CB_SCALES, plan->parameters_slot, SLOTS);
}

static void move_rows(const struct talus_fc_int8_args* args, const struct row_plan* plan) {
    talus_context_set01(CB_IN, talus_cb_operand(CB_IN, 0, plan->x_slot),
                        TALUS_PAIR(args->x_pitch, plan->x_row));
    for (uint64_t row = 0; row < plan->count; row += args->row_block)
        talus_dma_in(CB_IN, args->x + (plan->first + row) * args->x_pitch, args->k * 2,
                     smaller(args->row_block, (uint32_t)(plan->count - row)));
}

/* Core B is the consumer of CB_IN: both engines read a block by its address, and it is popped when
 * the later one, the SE, is done; by then the RE is at the next. */
static void quantize_rows(const struct talus_fc_int8_args* args, const struct row_plan* plan) {
    enum { RANGE, RANGE_STORE, QUANTIZE, OUT, OUT_SCALES };
    const uint32_t parameters = plan->parameters_slot;
    talus_context_set(RANGE, 2, TALUS_PAIR(plan->x_row, 0));
    talus_context_set(RANGE_STORE, 0, talus_cb_operand(CB_RANGES, 0, parameters));
    talus_context_set(QUANTIZE, 0, talus_cb_operand(CB_QUANTIZED, 0, plan->quantized_slot));
    talus_context_set23(QUANTIZE, TALUS_PAIR(plan->x_row, args->pitch),
                        talus_cb_operand(CB_FACTORS, 0, parameters));
    talus_context_set01(OUT, talus_cb_operand(CB_QUANTIZED, 0, plan->quantized_slot),
                        TALUS_PAIR(args->pitch, args->pitch));
    talus_context_set01(OUT_SCALES, talus_cb_operand(CB_SCALES, 0, parameters), TALUS_PAIR(0, 0));
    uint32_t before = 0; /* bytes of the block at the head that the SE still reads */
    uint32_t at = 0;     /* of the block in CB_IN */
    const uint32_t base = talus_local_offset(talus_cb_wait_data(CB_IN, 0));
    for (uint64_t row = 0; row < plan->count; row += args->row_block) {
        const uint32_t rows = smaller(args->row_block, (uint32_t)(plan->count - row));
        const uint64_t first = plan->first + row;
        talus_cb_wait_data(CB_IN, before + plan->x_slot);
        const uint64_t source = talus_direct_operand(base + at * plan->x_slot);
        talus_context_set(RANGE, 1, source);
        talus_re_range(RANGE, args->k, rows, (uint32_t)(first & 3), TALUS_CP_FP16,
                       TALUS_RE_RANGE_START);
        talus_re_range_store(RANGE_STORE, rows, (uint32_t)(first & 3));
        if (before != 0) {
            talus_drain(1u << TALUS_UNIT_SE);
            talus_cb_pop(CB_IN, before);
        }
        const struct talus_row_range* ranges = talus_cb_wait_data(CB_RANGES, parameters);
        struct talus_row_scale* factors = talus_cb_wait_space(CB_FACTORS, parameters);
        struct talus_row_scale* scales = talus_cb_wait_space(CB_SCALES, parameters);
        fc_int8_scales(ranges, rows, factors, scales);
        talus_cb_pop(CB_RANGES, parameters);
        talus_cb_push(CB_FACTORS, parameters);
        talus_cb_push(CB_SCALES, parameters);
        talus_context_set(QUANTIZE, 1, source);
        talus_se_quantize(QUANTIZE, args->k, rows, TALUS_CP_FP16, TALUS_CP_INT8);
        talus_dma_out(OUT_SCALES, args->rows + first * sizeof(struct talus_row_scale),
                      rows * (uint32_t)sizeof(struct talus_row_scale), 1);
        talus_dma_out(OUT, args->quantized + first * args->pitch, args->k, rows);
        before = plan->x_slot;
        at = at + 1 == args->row_slots ? 0 : at + 1;
    }
    talus_drain(TALUS_ALL_UNITS);
}

/* --- product ------------------------------------------------------------------------------------
 */
struct item_plan {
    uint32_t tiles_n;        /* tiles of columns */
    uint32_t strip_rows;     /* rows of a strip */
    uint32_t chunks;         /* of k */
    uint32_t x_slot, w_slot; /* bytes; rows at `chunk` */
    uint32_t y_row, y_slot;  /* bytes */
    uint64_t first, count;   /* the PE's items */
};

struct item {
    uint32_t strip, tile_n;
};

static struct item_plan plan_items(const struct talus_launch* launch,
                                   const struct talus_fc_int8_args* args) {
    struct item_plan plan;
    plan.tiles_n = ceil_divide(args->n, TALUS_FC_INT8_TILE);
    plan.strip_rows = args->strip * TALUS_FC_INT8_TILE;
    plan.chunks = ceil_divide(args->k, args->chunk);
    plan.x_slot = plan.strip_rows * args->chunk;
    plan.w_slot = TALUS_FC_INT8_TILE * args->chunk;
    plan.y_row = TALUS_FC_INT8_TILE * (args->y_type == TALUS_CP_FP32 ? 4 : 2);
    plan.y_slot = plan.strip_rows * plan.y_row;
    talus_split((uint64_t)ceil_divide(args->batch, plan.strip_rows) * plan.tiles_n,
                talus_pe_count(launch), talus_pe_index(launch), &plan.first, &plan.count);
    return plan;
}

#define COLUMNS_BYTES (TALUS_FC_INT8_TILE * (uint32_t)sizeof(struct talus_column_scale))

static uint32_t rows_bytes(const struct item_plan* plan) {
    return plan->strip_rows * (uint32_t)sizeof(struct talus_row_scale);
}

static void configure_items(const struct talus_launch* launch,
                            const struct talus_fc_int8_args* args, const struct item_plan* plan) {
    struct talus_local local = talus_local_all(launch);
    configure(&local, CB_X, plan->x_slot, args->x_slots);
    configure(&local, CB_W, plan->w_slot, args->w_slots);
    configure(&local, CB_ROWS, rows_bytes(plan), SLOTS);
    configure(&local, CB_COLUMNS, COLUMNS_BYTES, SLOTS);
    configure(&local, CB_Y, plan->y_slot, SLOTS);
}

static struct item first_item(const struct item_plan* plan) {
    const struct item item = {(uint32_t)(plan->first / plan->tiles_n),
                              (uint32_t)(plan->first % plan->tiles_n)};
    return item;
}
static void next_item(const struct item_plan* plan, struct item* item) {
    if (++item->tile_n == plan->tiles_n) {
        item->tile_n = 0;
        ++item->strip;
    }
}

static void move_items(const struct talus_fc_int8_args* args, const struct item_plan* plan) {
    talus_context_set01(CB_X, talus_cb_operand(CB_X, 0, plan->x_slot),
                        TALUS_PAIR(args->pitch, args->chunk));
    talus_context_set01(CB_W, talus_cb_operand(CB_W, 0, plan->w_slot),
                        TALUS_PAIR(args->pitch, args->chunk));
    talus_context_set01(CB_ROWS, talus_cb_operand(CB_ROWS, 0, rows_bytes(plan)), TALUS_PAIR(0, 0));
    talus_context_set01(CB_COLUMNS, talus_cb_operand(CB_COLUMNS, 0, COLUMNS_BYTES),
                        TALUS_PAIR(0, 0));
    struct item item = first_item(plan);
    for (uint64_t i = 0; i < plan->count; ++i) {
        const uint32_t m = item.strip * plan->strip_rows;
        const uint32_t n = item.tile_n * TALUS_FC_INT8_TILE;
        const uint32_t rows = smaller(plan->strip_rows, args->batch - m);
        const uint32_t columns = smaller(TALUS_FC_INT8_TILE, args->n - n);
        const int new_strip = i == 0 || item.tile_n == 0;
        for (uint32_t c = 0; c < plan->chunks; ++c) {
            const uint32_t k = c * args->chunk;
            const uint32_t bytes = smaller(args->chunk, args->k - k);
            if (new_strip || args->resident == 0)
                talus_dma_in(CB_X, args->quantized + (uint64_t)m * args->pitch + k, bytes, rows);
            talus_dma_in(CB_W, args->weights + (uint64_t)n * args->pitch + k, bytes, columns);
        }
        if (new_strip)
            talus_dma_in(CB_ROWS, args->rows + (uint64_t)m * sizeof(struct talus_row_scale),
                         rows * (uint32_t)sizeof(struct talus_row_scale), 1);
        talus_dma_in(CB_COLUMNS, args->columns + (uint64_t)n * sizeof(struct talus_column_scale),
                     columns * (uint32_t)sizeof(struct talus_column_scale), 1);
        next_item(plan, &item);
    }
}

static void multiply_items(const struct talus_fc_int8_args* args, const struct item_plan* plan) {
    enum { MULTIPLY, DRAIN, OUT };
    const uint32_t tile_bytes = TALUS_FC_INT8_TILE * args->chunk;
    talus_context_set(MULTIPLY, 2, TALUS_PAIR(args->chunk, args->chunk));
    talus_context_set(DRAIN, 2, TALUS_PAIR(0, plan->y_row));
    talus_context_set01(OUT, talus_cb_operand(CB_Y, 0, plan->y_slot),
                        TALUS_PAIR(plan->y_row, args->y_pitch));
    struct item item = first_item(plan);
    uint32_t bank = 0;
    for (uint64_t i = 0; i < plan->count; ++i) {
        const uint32_t m = item.strip * plan->strip_rows;
        const uint32_t n = item.tile_n * TALUS_FC_INT8_TILE;
        const uint32_t rows = smaller(plan->strip_rows, args->batch - m);
        const uint32_t columns = smaller(TALUS_FC_INT8_TILE, args->n - n);
        const uint32_t tiles = ceil_divide(rows, TALUS_FC_INT8_TILE);
        const int last_use = item.tile_n + 1 == plan->tiles_n || i + 1 == plan->count;
        const int pops_x = args->resident == 0 || last_use;

        for (uint32_t c = 0; c < plan->chunks; ++c) {
            const uint32_t k = smaller(args->chunk, args->k - c * args->chunk);
            /* A strip that goes is popped chunk by chunk, so the next is always at the head. */
            const uint32_t x_at = pops_x ? 0 : c * plan->x_slot;
            for (uint32_t t = 0; t < tiles; ++t) {
                const int last = t + 1 == tiles;
                talus_context_set01(MULTIPLY,
                                    talus_cb_operand(CB_X, x_at + t * tile_bytes,
                                                     last && pops_x ? plan->x_slot : 0),
                                    talus_cb_operand(CB_W, 0, last ? plan->w_slot : 0));
                talus_dpe_matmul(MULTIPLY,
                                 smaller(TALUS_FC_INT8_TILE, rows - t * TALUS_FC_INT8_TILE),
                                 columns, k, (bank + t) & 3, c != 0, TALUS_CP_INT8);
            }
        }
        for (uint32_t t = 0; t < tiles; ++t) {
            const int last = t + 1 == tiles;
            talus_context_set01(
                DRAIN,
                talus_cb_operand(CB_Y, t * TALUS_FC_INT8_TILE * plan->y_row,
                                 last ? plan->y_slot : 0),
                talus_cb_operand(CB_ROWS,
                                 t * TALUS_FC_INT8_TILE * (uint32_t)sizeof(struct talus_row_scale),
                                 last && last_use ? rows_bytes(plan) : 0));
            talus_context_set(DRAIN, 3, talus_cb_operand(CB_COLUMNS, 0, last ? COLUMNS_BYTES : 0));
            talus_re_store_dequantized(
                DRAIN, smaller(TALUS_FC_INT8_TILE, rows - t * TALUS_FC_INT8_TILE), columns,
                (bank + t) & 3, (enum talus_se_function)args->activation,
                (enum talus_cp_type)args->y_type, TALUS_RE_RANGE_OFF);
        }
        const uint32_t y_element = args->y_type == TALUS_CP_FP32 ? 4 : 2;
        talus_dma_out(OUT, args->y + (uint64_t)m * args->y_pitch + (uint64_t)n * y_element,
                      columns * y_element, rows);
        bank += tiles;
        next_item(plan, &item);
    }
}

TALUS_KERNEL void kernel_main(const struct talus_launch* launch) {
    const struct talus_fc_int8_args* args = launch->args;
    const struct row_plan rows = plan_rows(launch, args);
    const struct item_plan items = plan_items(launch, args);
    if (launch->core == TALUS_CORE_A) {
        if (rows.count != 0)
            configure_rows(launch, args, &rows);
        if (items.count != 0)
            configure_items(launch, args, &items);
        talus_core_barrier(launch);
        move_rows(args, &rows);
        talus_core_barrier(launch); /* all rows are quantised */
        move_items(args, &items);
    } else {
        talus_core_barrier(launch);
        if (rows.count != 0)
            quantize_rows(args, &rows);
        talus_barrier(launch);
        talus_core_barrier(launch);
        multiply_items(args, &items);
    }
}
