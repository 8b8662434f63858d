/* Concatenation on the grid: every piece is copied through local memory, in blocks, by core A. Core
 * B has nothing to do. */
#include "kernels/common/row_items.h"
#include "kernels/concat/args.h"

enum { CB_BLOCK };
enum { IN, OUT }; /* contexts */
#define SLOTS 4u

TALUS_KERNEL void kernel_main(const struct talus_launch* launch) {
    const struct talus_concat_args* args = launch->args;
    if (launch->core != TALUS_CORE_A)
        return;
    const uint32_t slot = (args->row_block * args->column_block + 63u) & ~63u;
    struct talus_local local = talus_local_all(launch);
    talus_cb_config(CB_BLOCK, talus_local_alloc(&local, SLOTS * slot, 64), SLOTS * slot);
    talus_context_set(IN, 0, talus_cb_operand(CB_BLOCK, 0, slot));
    talus_context_set(OUT, 0, talus_cb_operand(CB_BLOCK, 0, slot));
    for (uint32_t p = 0; p < args->pieces; ++p) {
        const struct talus_concat_piece* piece = &args->piece[p];
        const struct row_items items = row_items_of(launch, piece->rows, piece->row_bytes,
                                                    args->row_block, args->column_block);
        for (uint64_t i = 0; i < items.count; ++i) {
            const struct row_item item = row_item_at(&items, i);
            talus_context_set(IN, 1, TALUS_PAIR(piece->x_pitch, item.columns));
            talus_dma_in(IN, piece->x + (uint64_t)item.row * piece->x_pitch + item.column,
                         item.columns, item.rows);
            talus_context_set(OUT, 1, TALUS_PAIR(item.columns, piece->y_pitch));
            talus_dma_out(OUT, piece->y + (uint64_t)item.row * piece->y_pitch + item.column,
                          item.columns, item.rows);
        }
    }
}
