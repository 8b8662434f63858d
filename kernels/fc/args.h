/* Argument block of the fully connected kernel, and the layout of its packed constants. C11: packed
 * by talus.cpp, read by device.c. Addresses are device physical; pitches in bytes. */
#ifndef TALUS_KERNELS_FC_ARGS_H
#define TALUS_KERNELS_FC_ARGS_H

#include "talus/hw/common.h"

#define TALUS_FC_TILE 32u /* rows and columns of an RE bank */

/* Packed constants: bias as FP32, one value per column padded with zeros to a multiple of 32; then,
 * at a multiple of 64 bytes, W as FP16, N rows of K at `weights_pitch`. */
struct talus_fc_args {
    uint64_t x;       /* FP16 [batch, k] */
    uint64_t y;       /* FP16 or FP32 [batch, n] */
    uint64_t weights; /* FP16 [n, k] */
    uint64_t bias;    /* FP32 [n] */
    uint32_t x_pitch, y_pitch, weights_pitch;
    uint32_t batch, n, k;
    uint32_t chunk;      /* elements of k that one command moves and multiplies; a multiple of 32 */
    uint32_t block;      /* tiles per side of one PE's block of Y: 1 or 2 */
    uint32_t activation; /* enum talus_se_function */
    uint32_t y_type;     /* enum talus_cp_type: FP16 or FP32 */
    uint32_t x_slots;    /* chunks of X in local memory */
    uint32_t w_slots;    /* chunks of W in local memory */
    uint32_t resident;   /* 1: w_slots hold all of k, and W stays for all blocks of its columns */
    uint32_t reserved;
};
TALUS_ASSERT_SIZE(talus_fc_args, 88);
TALUS_ASSERT_OFFSET(talus_fc_args, x_pitch, 32);
TALUS_ASSERT_OFFSET(talus_fc_args, batch, 44);
TALUS_ASSERT_OFFSET(talus_fc_args, chunk, 56);
TALUS_ASSERT_OFFSET(talus_fc_args, y_type, 68);
TALUS_ASSERT_OFFSET(talus_fc_args, resident, 80);

#endif
