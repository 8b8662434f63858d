/* Argument block of the fully connected kernel, and the layout of its packed constants. C11: packed
 * by talus.cpp, read by device.c. Addresses are device physical; pitches in bytes. */
#ifndef TALUS_KERNELS_FC_ARGS_H
#define TALUS_KERNELS_FC_ARGS_H

#include "talus/hw/common.h"

#define TALUS_FC_TILE 32u /* rows and columns of an RE bank */

/* Packed constants: bias as FP32, one value per column padded with zeros to a multiple of 64; then
 * W as FP16.
 *
 * W is cut into groups of TALUS_FC_GROUP rows (columns of Y; the last group may have fewer), a
 * group into slices of TALUS_FC_SLICE elements of k. A slice is contiguous, row after row, so that
 * what a PE reads at a time is one long burst of DRAM, and what the columns of a grid read at the
 * same time lies side by side, in the same rows of DRAM's banks. Rows of the last slice have the
 * pitch talus_fc_tail_pitch(k). A group of `rows` rows takes rows * talus_fc_row_bytes(k) bytes. */
#define TALUS_FC_PANEL 64u  /* rows that a PE reads and uses at a time */
#define TALUS_FC_GROUP 512u /* eight panels, one for every column of PEs */
#define TALUS_FC_SLICE 128u
#define TALUS_FC_SLICE_BYTES (TALUS_FC_SLICE * 2u) /* of one row of a slice */

/* Slices before the last, which has talus_fc_tail(k) elements, 1..TALUS_FC_SLICE. */
static inline uint32_t talus_fc_full_slices(uint32_t k) {
    return (k - 1) / TALUS_FC_SLICE;
}
static inline uint32_t talus_fc_tail(uint32_t k) {
    return k - talus_fc_full_slices(k) * TALUS_FC_SLICE;
}
static inline uint32_t talus_fc_tail_pitch(uint32_t k) {
    return (talus_fc_tail(k) * 2 + 63) / 64 * 64;
}
static inline uint64_t talus_fc_row_bytes(uint32_t k) {
    return (uint64_t)talus_fc_full_slices(k) * TALUS_FC_SLICE_BYTES + talus_fc_tail_pitch(k);
}

/* `schedule`: which of device.c's two ways to walk over Y. */
#define TALUS_FC_BLOCKS 0u /* a PE takes a run of blocks of Y and reads by itself */
#define TALUS_FC_GRID 1u   /* rows of PEs share rows of X, columns of PEs columns of W */

struct talus_fc_args {
    uint64_t x;       /* FP16 [batch, k] */
    uint64_t y;       /* FP16 or FP32 [batch, n] */
    uint64_t weights; /* FP16, packed */
    uint64_t bias;    /* FP32 [n] */
    uint32_t x_pitch, y_pitch;
    uint32_t batch, n, k;
    uint32_t schedule;
    uint32_t chunk; /* BLOCKS: elements of k that are moved at a time; a multiple of a slice, or
                       all of k */
    uint32_t block; /* BLOCKS: tiles per side of a block of Y, 1 or 2 */
    uint32_t activation; /* enum talus_se_function */
    uint32_t y_type;     /* enum talus_cp_type: FP16 or FP32 */
    uint32_t x_slots;    /* chunks (BLOCKS) or slices (GRID) of X in local memory */
    uint32_t w_slots;    /* the same of W */
    uint32_t resident; /* BLOCKS: w_slots hold all of k, and W stays for all blocks of its columns;
                          GRID: x_slots hold all of k, and X stays for all columns of its rows */
    uint32_t x_broadcast; /* GRID: X is read for the PEs of a row at once */
    uint32_t prefetch;    /* GRID: slices of W that the shared SRAM's cache is asked for ahead */
    uint32_t reserved;
};
TALUS_ASSERT_SIZE(talus_fc_args, 96);
TALUS_ASSERT_OFFSET(talus_fc_args, x_pitch, 32);
TALUS_ASSERT_OFFSET(talus_fc_args, batch, 40);
TALUS_ASSERT_OFFSET(talus_fc_args, chunk, 56);
TALUS_ASSERT_OFFSET(talus_fc_args, y_type, 68);
TALUS_ASSERT_OFFSET(talus_fc_args, resident, 80);

#endif
