/* Table-batched embedding on the grid, core A: fetches rows by index, pools them, writes them out.
 *
 * Pooling is bit-exact whatever the batch: the SE adds the rows of a bag in the order of its
 * indices to one FP32 accumulator, starting from +0 (or takes the maximum, starting from -inf), and
 * a chunk's end inside a bag only splits the command. The mean multiplies by 1 / length. An empty
 * bag is +0. */
#include "kernels/tbe/pipeline.h"

enum { ROWS, POOL, CONVERT, OUT }; /* contexts */

/* Runs ahead of the pooling by up to two chunks, across items. */
struct fetch {
    uint64_t item; /* index among the PE's items; its lengths have been read */
    uint32_t left; /* indices of it that are still to be fetched */
    uint64_t chunks;
};

static const struct tbe_summary* summary_of(const struct tbe_plan* plan, uint64_t index) {
    return talus_local_pointer(plan->lengths_at + (uint32_t)(index % RING) * plan->lengths_slot);
}

static uint32_t total_of(const struct talus_tbe_args* args, const struct tbe_plan* plan,
                         uint64_t index, uint64_t oldest) {
    if (args->offsets == 0)
        return tbe_item_at(args, plan, index).samples * args->fixed;
    talus_cb_wait_data(CB_LENGTHS, (uint32_t)(index - oldest + 1) * plan->lengths_slot);
    return summary_of(plan, index)->total;
}

static void fetch_chunk(const struct talus_tbe_args* args, const struct tbe_plan* plan,
                        struct fetch* fetch) {
    const struct talus_tbe_table* table =
        tbe_table(plan, tbe_item_at(args, plan, fetch->item).table);
    const uint32_t rows = tbe_smaller(args->chunk, fetch->left);
    talus_context_set(ROWS, 1, TALUS_PAIR(table->pitch, args->row_slot));
    talus_context_set(ROWS, 3, table->rows);
    talus_dma_in_indexed(ROWS, args->packed + table->offset,
                         table->width * (table->type == TALUS_CP_FP32 ? 4 : 2), rows);
    fetch->left -= rows;
    ++fetch->chunks;
}

/* Fetches until two chunks are under way, or the work or the ring of lengths ends. */
static void fetch_ahead(const struct talus_tbe_args* args, const struct tbe_plan* plan,
                        struct fetch* fetch, uint64_t pooled_chunks, uint64_t oldest) {
    while (fetch->chunks < pooled_chunks + 2) {
        if (fetch->left != 0) {
            fetch_chunk(args, plan, fetch);
            continue;
        }
        if (fetch->item + 1 >= plan->count || fetch->item + 1 - oldest >= RING)
            return;
        ++fetch->item;
        fetch->left = total_of(args, plan, fetch->item, oldest);
    }
}

static void send_item(const struct talus_tbe_args* args, const struct tbe_plan* plan,
                      const struct tbe_item* item, const struct talus_tbe_table* table,
                      const uint32_t* lengths) {
    const uint32_t element = args->y_type == TALUS_CP_FP32 ? 4 : 2;
    const uint32_t out_row = table->width * element;
    const uint32_t sum_row = table->width * 4;
    if (args->pooling != TALUS_TBE_MEAN) {
        talus_context_set01(CONVERT, talus_cb_operand(CB_OUT, 0, plan->out_slot),
                            talus_direct_operand(plan->sums_at));
        talus_context_set(CONVERT, 2, TALUS_PAIR(sum_row, out_row));
        talus_se_unary(CONVERT, table->width, item->samples, TALUS_SE_NONE, TALUS_CP_FP32,
                       (enum talus_cp_type)args->y_type);
    } else {
        for (uint32_t s = 0; s < item->samples; ++s) {
            const uint32_t length = lengths != 0 ? lengths[s] : args->fixed;
            const float scale = length > 1 ? 1.0f / (float)length : 1.0f;
            uint32_t bits;
            __builtin_memcpy(&bits, &scale, sizeof bits);
            talus_context_set01(
                CONVERT,
                talus_cb_operand(CB_OUT, s * out_row, s + 1 == item->samples ? plan->out_slot : 0),
                talus_direct_operand(plan->sums_at + s * sum_row));
            talus_context_set23(CONVERT, TALUS_PAIR(sum_row, out_row), TALUS_PAIR(bits, 0));
            talus_se_scale(CONVERT, table->width, 1, TALUS_CP_FP32,
                           (enum talus_cp_type)args->y_type);
        }
    }
    talus_context_set(OUT, 1, TALUS_PAIR(out_row, args->y_pitch));
    talus_dma_out(
        OUT, args->y + (uint64_t)item->sample * args->y_pitch + (uint64_t)table->column * element,
        out_row, item->samples);
}

/* Bags of one index each: their rows become the sums as they are. */
static void take_rows(const struct talus_tbe_args* args, const struct tbe_plan* plan,
                      const struct talus_tbe_table* table, uint32_t sum, uint32_t row,
                      uint32_t rows, int pop) {
    talus_context_set01(POOL, talus_direct_operand(sum),
                        talus_cb_operand(CB_ROWS, row * args->row_slot, pop ? plan->rows_slot : 0));
    talus_context_set(POOL, 2, TALUS_PAIR(args->row_slot, table->width * 4));
    talus_se_unary(POOL, table->width, rows, TALUS_SE_NONE, (enum talus_cp_type)table->type,
                   TALUS_CP_FP32);
}

/* Pools what of a bag of `length` indices is in the chunk: up to `rows` rows from `row` on.
 * `pooled` counts across chunks and is 0 again when the bag is complete. Returns the rows taken. */
static uint32_t pool_part(const struct talus_tbe_args* args, const struct tbe_plan* plan,
                          const struct talus_tbe_table* table, uint32_t sum, uint32_t length,
                          uint32_t* pooled, uint32_t row, uint32_t rows, uint32_t in_chunk) {
    const uint32_t pool = args->pooling == TALUS_TBE_MAX ? TALUS_SE_POOL_MAX : TALUS_SE_POOL_SUM;
    talus_context_set(POOL, 2, TALUS_PAIR(args->row_slot, 0));
    if (length == 0) {
        talus_context_set01(POOL, talus_direct_operand(sum), talus_direct_operand(sum));
        talus_se_row_accumulate(POOL, table->width, 0, TALUS_SE_POOL_SUM, TALUS_CP_FP32, 0);
        return 0;
    }
    const uint32_t taken = tbe_smaller(length - *pooled, rows);
    talus_context_set01(POOL, talus_direct_operand(sum),
                        talus_cb_operand(CB_ROWS, row * args->row_slot,
                                         row + taken == in_chunk ? plan->rows_slot : 0));
    talus_se_row_accumulate(POOL, table->width, taken, pool, (enum talus_cp_type)table->type,
                            *pooled != 0);
    *pooled = *pooled + taken == length ? 0 : *pooled + taken;
    return taken;
}

static void pool_rows(const struct talus_tbe_args* args, const struct tbe_plan* plan) {
    struct fetch fetch = {0, total_of(args, plan, 0, 0), 0};
    uint64_t pooled_chunks = 0;
    uint32_t pooled = 0; /* indices of the current bag that are in its sum */
    talus_context_set(ROWS, 0, talus_cb_operand(CB_ROWS, 0, plan->rows_slot));
    talus_context_set(ROWS, 2, talus_cb_operand(CB_LIST, 0, plan->list_slot));
    talus_context_set(ROWS, 4, TALUS_CP_INT32);
    talus_context_set(OUT, 0, talus_cb_operand(CB_OUT, 0, plan->out_slot));

    for (uint64_t i = 0; i < plan->count; ++i) {
        const struct tbe_item item = tbe_item_at(args, plan, i);
        const struct talus_tbe_table* table = tbe_table(plan, item.table);
        fetch_ahead(args, plan, &fetch, pooled_chunks, i);
        const uint32_t* lengths = 0;
        uint32_t left = item.samples * args->fixed; /* indices still to be pooled */
        int single = args->fixed == 1;
        if (args->offsets != 0) { /* fetch_ahead has waited for them */
            const struct tbe_summary* summary = summary_of(plan, i);
            lengths = (const uint32_t*)(summary + 1);
            left = summary->total;
            single = summary->single != 0;
        }
        uint32_t row = 0; /* within the chunk */
        for (uint32_t s = 0; s < item.samples;) {
            const uint32_t sum = plan->sums_at + s * table->width * 4;
            const uint32_t in_chunk = tbe_smaller(args->chunk, row + left);
            uint32_t rows = in_chunk - row;
            if (single) {
                take_rows(args, plan, table, sum, row, rows, row + rows == in_chunk);
                s += rows;
            } else {
                rows = pool_part(args, plan, table, sum, lengths != 0 ? lengths[s] : args->fixed,
                                 &pooled, row, rows, in_chunk);
                if (pooled == 0)
                    ++s;
            }
            left -= rows;
            row += rows;
            if (row == in_chunk && rows != 0) {
                row = 0;
                ++pooled_chunks;
                fetch_ahead(args, plan, &fetch, pooled_chunks, i);
            }
        }
        send_item(args, plan, &item, table, lengths);
        if (args->offsets != 0)
            talus_cb_pop(CB_LENGTHS, plan->lengths_slot);
    }
}

/* Bags of one index and rows of Y's type: the item's rows are its output. */
static void copy_rows(const struct talus_tbe_args* args, const struct tbe_plan* plan) {
    const uint32_t element = args->y_type == TALUS_CP_FP32 ? 4 : 2;
    talus_context_set(ROWS, 0, talus_cb_operand(CB_ROWS, 0, plan->rows_slot));
    talus_context_set(ROWS, 2, talus_cb_operand(CB_LIST, 0, plan->list_slot));
    talus_context_set(ROWS, 4, TALUS_CP_INT32);
    talus_context_set01(OUT, talus_cb_operand(CB_ROWS, 0, plan->rows_slot),
                        TALUS_PAIR(args->row_slot, args->y_pitch));
    for (uint64_t i = 0; i < plan->count; ++i) {
        const struct tbe_item item = tbe_item_at(args, plan, i);
        const struct talus_tbe_table* table = tbe_table(plan, item.table);
        talus_context_set(ROWS, 1, TALUS_PAIR(table->pitch, args->row_slot));
        talus_context_set(ROWS, 3, table->rows);
        talus_dma_in_indexed(ROWS, args->packed + table->offset, table->width * element,
                             item.samples);
        talus_dma_out(OUT,
                      args->y + (uint64_t)item.sample * args->y_pitch +
                          (uint64_t)table->column * element,
                      table->width * element, item.samples);
    }
}

static void load_tables(const struct talus_tbe_args* args, const struct tbe_plan* plan) {
    talus_context_set01(ROWS, talus_direct_operand(plan->tables_at), TALUS_PAIR(0, 0));
    talus_dma_in(ROWS, args->packed, args->tables * (uint32_t)sizeof(struct talus_tbe_table), 1);
    talus_drain(1u << TALUS_UNIT_FI_IN);
}

TALUS_KERNEL void kernel_main(const struct talus_launch* launch) {
    const struct talus_tbe_args* args = launch->args;
    const struct tbe_plan plan = tbe_make_plan(launch, args);
    if (plan.count == 0)
        return;
    if (launch->core == TALUS_CORE_A) {
        load_tables(args, &plan);
        talus_core_barrier(launch);
        if (args->copy != 0)
            copy_rows(args, &plan);
        else
            pool_rows(args, &plan);
    } else {
        talus_core_barrier(launch);
        tbe_resolve_indices(args, &plan);
    }
}
