/* Argument block of the dynamic INT8 fully connected kernel, its packed constants and its
 * workspace. C11: packed by talus.cpp, read by device.c. Addresses are device physical; pitches in
 * bytes. */
#ifndef TALUS_KERNELS_FC_INT8_ARGS_H
#define TALUS_KERNELS_FC_INT8_ARGS_H

#include "talus/hw/common.h"

#define TALUS_FC_INT8_TILE 32u /* rows and columns of an RE bank */

/* Packed constants: a talus_column_scale per column, N rounded up to a multiple of 32; then, at a
 * multiple of 64 bytes, W, N rows of K at `pitch`. Workspace: a talus_row_scale per row of X, to a
 * multiple of 64 bytes; then X quantised, as INT8 (q - 128), `batch` rows of K at `pitch`. */
struct talus_fc_int8_args {
    uint64_t x;         /* FP16 [batch, k] */
    uint64_t y;         /* FP16 or FP32 [batch, n] */
    uint64_t weights;   /* INT8 [n, k] */
    uint64_t columns;   /* talus_column_scale [n] */
    uint64_t quantized; /* INT8 [batch, k] */
    uint64_t rows;      /* talus_row_scale [batch] */
    uint32_t x_pitch, y_pitch, pitch;
    uint32_t batch, n, k;
    uint32_t row_block;  /* rows that are quantised at a time */
    uint32_t row_slots;  /* such blocks of X in local memory */
    uint32_t chunk;      /* elements of k that one command moves and multiplies; a multiple of 64 */
    uint32_t strip;      /* tiles of rows that meet one tile of columns: 1, 2 or 4 */
    uint32_t x_slots;    /* chunks of a strip in local memory */
    uint32_t w_slots;    /* chunks of a tile of columns */
    uint32_t resident;   /* 1: x_slots hold all of k, and a strip stays for all of its columns */
    uint32_t activation; /* enum talus_se_function */
    uint32_t y_type;     /* enum talus_cp_type: FP16 or FP32 */
    uint32_t reserved;
};
TALUS_ASSERT_SIZE(talus_fc_int8_args, 112);
TALUS_ASSERT_OFFSET(talus_fc_int8_args, x_pitch, 48);
TALUS_ASSERT_OFFSET(talus_fc_int8_args, row_block, 72);
TALUS_ASSERT_OFFSET(talus_fc_int8_args, y_type, 104);

#endif
