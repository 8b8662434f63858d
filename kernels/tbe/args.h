/* Argument block of the table-batched embedding kernel, and the layout of its packed constants.
 * C11: packed by talus.cpp, read by device.c and vector.c. Addresses are device physical; pitches
 * and strides in bytes. */
#ifndef TALUS_KERNELS_TBE_ARGS_H
#define TALUS_KERNELS_TBE_ARGS_H

#include "talus/hw/common.h"

/* Packed constants: one descriptor per table, then the rows. */
struct talus_tbe_table {
    uint64_t offset; /* of row 0 from the start of the packed constants */
    uint64_t rows;
    uint32_t width;  /* elements */
    uint32_t pitch;  /* from row to row */
    uint32_t column; /* of Y, in elements */
    uint32_t type;   /* enum talus_cp_type: FP32 or FP16 */
};
TALUS_ASSERT_SIZE(talus_tbe_table, 32);
TALUS_ASSERT_OFFSET(talus_tbe_table, width, 16);

#define TALUS_TBE_MAX_TABLES 1024u
#define TALUS_TBE_MAX_WIDTH 8192u

enum talus_tbe_pooling { TALUS_TBE_SUM = 0, TALUS_TBE_MEAN = 1, TALUS_TBE_MAX = 2 };

struct talus_tbe_args {
    uint64_t packed;
    uint64_t indices;
    uint64_t offsets;                     /* 0: every bag has `fixed` indices */
    uint64_t y;                           /* FP16 or FP32 [batch, columns] */
    uint64_t count;                       /* with offsets: number of indices */
    uint64_t table_stride, sample_stride; /* without offsets: from bag to bag in `indices` */
    uint32_t y_pitch;
    uint32_t y_type; /* enum talus_cp_type */
    uint32_t tables, batch;
    uint32_t fixed;
    uint32_t pooling;                   /* enum talus_tbe_pooling */
    uint32_t negative;                  /* 1: -rows .. -1 count from the end */
    uint32_t index_bytes, offset_bytes; /* 4 or 8 */
    uint32_t block;                     /* samples of one table that are a work item */
    uint32_t chunk;                     /* rows that one indexed DMA fetches */
    uint32_t row_slot;                  /* bytes of a row in local memory; a multiple of 64 */
    uint32_t widest;                    /* elements of the widest row */
    uint32_t copy; /* 1: bags of one index whose rows have Y's type go out as they are */
    uint32_t reserved[2];
};
TALUS_ASSERT_SIZE(talus_tbe_args, 120);
TALUS_ASSERT_OFFSET(talus_tbe_args, y_pitch, 56);
TALUS_ASSERT_OFFSET(talus_tbe_args, block, 92);

#endif
