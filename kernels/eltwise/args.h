/* Argument block of the element-wise kernel. C11: packed by talus.cpp, read by device.c. Addresses
 * are device physical; pitches in bytes. */
#ifndef TALUS_KERNELS_ELTWISE_ARGS_H
#define TALUS_KERNELS_ELTWISE_ARGS_H

#include "talus/hw/common.h"

enum talus_eltwise_kind {
    TALUS_ELTWISE_UNARY = 0,  /* operation: enum talus_se_function */
    TALUS_ELTWISE_BINARY = 1, /* operation: enum talus_se_operation */
    TALUS_ELTWISE_SCALE = 2   /* y = fma(a, scale, offset) */
};

struct talus_eltwise_args {
    uint64_t a, b, y;
    uint32_t a_pitch, y_pitch;
    uint32_t b_pitch; /* 0: one row for all */
    uint32_t rows, columns;
    uint32_t row_block, column_block; /* of a work item */
    uint32_t kind;                    /* enum talus_eltwise_kind */
    uint32_t operation;
    uint32_t type, y_type;   /* enum talus_cp_type: of a and b, of y */
    uint32_t bytes, y_bytes; /* of an element */
    uint32_t scale, offset;  /* FP32 bit patterns */
    uint32_t reserved;
};
TALUS_ASSERT_SIZE(talus_eltwise_args, 88);
TALUS_ASSERT_OFFSET(talus_eltwise_args, rows, 36);
TALUS_ASSERT_OFFSET(talus_eltwise_args, scale, 76);

#endif
