/* Conversion on the grid: core A issues DMA in, SE and DMA out for one block after another; the
 * queues and two circular buffers overlap them. Core B has nothing to do. */
#include "kernels/common/row_items.h"
#include "kernels/convert/args.h"

enum { CB_IN, CB_OUT };
enum { IN, CONVERT, OUT }; /* contexts */
#define SLOTS 4u

static uint32_t slot_bytes(const struct talus_convert_args* args, uint32_t element) {
    return (args->row_block * args->column_block * element + 63u) & ~63u;
}

TALUS_KERNEL void kernel_main(const struct talus_launch* launch) {
    const struct talus_convert_args* args = launch->args;
    if (launch->core != TALUS_CORE_A)
        return;
    const struct row_items items =
        row_items_of(launch, args->rows, args->columns, args->row_block, args->column_block);
    const uint32_t in_slot = slot_bytes(args, args->x_bytes);
    const uint32_t out_slot = slot_bytes(args, args->y_bytes);
    struct talus_local local = talus_local_all(launch);
    talus_cb_config(CB_IN, talus_local_alloc(&local, SLOTS * in_slot, 64), SLOTS * in_slot);
    talus_cb_config(CB_OUT, talus_local_alloc(&local, SLOTS * out_slot, 64), SLOTS * out_slot);
    talus_context_set(IN, 0, talus_cb_operand(CB_IN, 0, in_slot));
    talus_context_set01(CONVERT, talus_cb_operand(CB_OUT, 0, out_slot),
                        talus_cb_operand(CB_IN, 0, in_slot));
    talus_context_set(OUT, 0, talus_cb_operand(CB_OUT, 0, out_slot));
    for (uint64_t i = 0; i < items.count; ++i) {
        const struct row_item item = row_item_at(&items, i);
        const uint32_t in_row = item.columns * args->x_bytes;
        const uint32_t out_row = item.columns * args->y_bytes;
        talus_context_set(IN, 1, TALUS_PAIR(args->x_pitch, in_row));
        talus_dma_in(IN,
                     args->x + (uint64_t)item.row * args->x_pitch +
                         (uint64_t)item.column * args->x_bytes,
                     in_row, item.rows);
        talus_context_set(CONVERT, 2, TALUS_PAIR(in_row, out_row));
        talus_se_unary(CONVERT, item.columns, item.rows, TALUS_SE_NONE,
                       (enum talus_cp_type)args->x_type, (enum talus_cp_type)args->y_type);
        talus_context_set(OUT, 1, TALUS_PAIR(out_row, args->y_pitch));
        talus_dma_out(OUT,
                      args->y + (uint64_t)item.row * args->y_pitch +
                          (uint64_t)item.column * args->y_bytes,
                      out_row, item.rows);
    }
}
