/* Element-wise functions on the grid: core A issues DMA in, SE and DMA out for one block after
 * another; the queues and circular buffers overlap them. Core B has nothing to do. */
#include "kernels/common/row_items.h"
#include "kernels/eltwise/args.h"

enum { CB_A, CB_B, CB_OUT };
enum { IN_A, IN_B, COMPUTE, OUT }; /* contexts */
#define SLOTS 4u

static void configure(struct talus_local* local, uint32_t cb, uint32_t slot) {
    talus_cb_config(cb, talus_local_alloc(local, SLOTS * slot, 64), SLOTS * slot);
}

TALUS_KERNEL void kernel_main(const struct talus_launch* launch) {
    const struct talus_eltwise_args* args = launch->args;
    if (launch->core != TALUS_CORE_A)
        return;
    const struct row_items items =
        row_items_of(launch, args->rows, args->columns, args->row_block, args->column_block);
    const uint32_t elements = args->row_block * args->column_block;
    const uint32_t slot = (elements * args->bytes + 63u) & ~63u;
    const uint32_t out_slot = (elements * args->y_bytes + 63u) & ~63u;
    const int binary = args->kind == TALUS_ELTWISE_BINARY;
    struct talus_local local = talus_local_all(launch);
    configure(&local, CB_A, slot);
    configure(&local, CB_OUT, out_slot);
    if (binary)
        configure(&local, CB_B, slot);
    talus_context_set(IN_A, 0, talus_cb_operand(CB_A, 0, slot));
    talus_context_set(IN_B, 0, talus_cb_operand(CB_B, 0, slot));
    talus_context_set01(COMPUTE, talus_cb_operand(CB_OUT, 0, out_slot),
                        talus_cb_operand(CB_A, 0, slot));
    talus_context_set(COMPUTE, 3,
                      binary ? talus_cb_operand(CB_B, 0, slot)
                             : TALUS_PAIR(args->scale, args->offset));
    talus_context_set(OUT, 0, talus_cb_operand(CB_OUT, 0, out_slot));
    for (uint64_t i = 0; i < items.count; ++i) {
        const struct row_item item = row_item_at(&items, i);
        const uint32_t row = item.columns * args->bytes;
        const uint32_t out_row = item.columns * args->y_bytes;
        const uint64_t column = (uint64_t)item.column * args->bytes;
        talus_context_set(IN_A, 1, TALUS_PAIR(args->a_pitch, row));
        talus_dma_in(IN_A, args->a + (uint64_t)item.row * args->a_pitch + column, row, item.rows);
        if (binary) {
            talus_context_set(IN_B, 1, TALUS_PAIR(args->b_pitch, row));
            talus_dma_in(IN_B, args->b + (uint64_t)item.row * args->b_pitch + column, row,
                         args->b_pitch != 0 ? item.rows : 1);
        }
        talus_context_set(COMPUTE, 2, TALUS_PAIR(row, out_row));
        const enum talus_cp_type type = (enum talus_cp_type)args->type;
        const enum talus_cp_type y_type = (enum talus_cp_type)args->y_type;
        if (binary) {
            talus_context_set(COMPUTE, 4, TALUS_PAIR(args->b_pitch != 0 ? row : 0, 0));
            talus_se_binary(COMPUTE, item.columns, item.rows,
                            (enum talus_se_operation)args->operation, type, y_type);
        } else if (args->kind == TALUS_ELTWISE_SCALE) {
            talus_se_scale(COMPUTE, item.columns, item.rows, type, y_type);
        } else {
            talus_se_unary(COMPUTE, item.columns, item.rows,
                           (enum talus_se_function)args->operation, type, y_type);
        }
        talus_context_set(OUT, 1, TALUS_PAIR(out_row, args->y_pitch));
        talus_dma_out(OUT,
                      args->y + (uint64_t)item.row * args->y_pitch +
                          (uint64_t)item.column * args->y_bytes,
                      out_row, item.rows);
    }
}
