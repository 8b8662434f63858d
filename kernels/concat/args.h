/* Argument block of the concatenation kernel. C11: packed by talus.cpp, read by device.c. Addresses
 * are device physical; all extents in bytes. */
#ifndef TALUS_KERNELS_CONCAT_ARGS_H
#define TALUS_KERNELS_CONCAT_ARGS_H

#include "talus/hw/common.h"

#define TALUS_CONCAT_MAX_PIECES 96u

struct talus_concat_piece {
    uint64_t x;
    uint64_t y; /* where its first row goes */
    uint32_t rows, row_bytes;
    uint32_t x_pitch, y_pitch;
};
TALUS_ASSERT_SIZE(talus_concat_piece, 32);

struct talus_concat_args {
    uint32_t pieces;
    uint32_t row_block, column_block; /* of a work item: rows and bytes */
    uint32_t reserved;
    struct talus_concat_piece piece[TALUS_CONCAT_MAX_PIECES];
};
TALUS_ASSERT_SIZE(talus_concat_args, 3088);
TALUS_ASSERT_OFFSET(talus_concat_args, piece, 16);

#endif
