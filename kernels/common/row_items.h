/* Element-wise kernels see tensors as rows at a pitch. A work item is a block of rows by columns
 * that fits a slot of local memory; a PE takes a run of items, row block by row block. C11, device
 * only. */
#ifndef TALUS_KERNELS_ROW_ITEMS_H
#define TALUS_KERNELS_ROW_ITEMS_H

#include "talus/device/memory.h"

struct row_items {
    uint32_t rows, columns;           /* of the tensor */
    uint32_t row_block, column_block; /* of an item */
    uint32_t column_blocks;           /* items per row block */
    uint64_t first, count;            /* this PE's items */
};

struct row_item {
    uint32_t row, column; /* the first */
    uint32_t rows, columns;
};

TALUS_INLINE struct row_items row_items_of(const struct talus_launch* launch, uint32_t rows,
                                           uint32_t columns, uint32_t row_block,
                                           uint32_t column_block) {
    struct row_items items = {rows, columns, row_block, column_block, 0, 0, 0};
    items.column_blocks = (columns + column_block - 1) / column_block;
    talus_split((uint64_t)((rows + row_block - 1) / row_block) * items.column_blocks,
                talus_pe_count(launch), talus_pe_index(launch), &items.first, &items.count);
    return items;
}

TALUS_INLINE struct row_item row_item_at(const struct row_items* items, uint64_t index) {
    const uint64_t at = items->first + index;
    struct row_item item;
    item.row = (uint32_t)(at / items->column_blocks) * items->row_block;
    item.column = (uint32_t)(at % items->column_blocks) * items->column_block;
    item.rows =
        items->rows - item.row < items->row_block ? items->rows - item.row : items->row_block;
    item.columns = items->columns - item.column < items->column_block ? items->columns - item.column
                                                                      : items->column_block;
    return item;
}

#endif
