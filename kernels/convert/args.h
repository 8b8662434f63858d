/* Argument block of the conversion kernel. C11: packed by talus.cpp, read by device.c. Addresses
 * are device physical; pitches in bytes. */
#ifndef TALUS_KERNELS_CONVERT_ARGS_H
#define TALUS_KERNELS_CONVERT_ARGS_H

#include "talus/hw/common.h"

struct talus_convert_args {
    uint64_t x, y;
    uint32_t x_pitch, y_pitch;
    uint32_t rows, columns;
    uint32_t row_block, column_block; /* of a work item */
    uint32_t x_type, y_type;          /* enum talus_cp_type */
    uint32_t x_bytes, y_bytes;        /* of an element */
    uint32_t reserved[2];
};
TALUS_ASSERT_SIZE(talus_convert_args, 64);
TALUS_ASSERT_OFFSET(talus_convert_args, rows, 24);
TALUS_ASSERT_OFFSET(talus_convert_args, y_bytes, 52);

#endif
