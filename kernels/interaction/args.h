/* Argument block of the pairwise dot interaction kernel. C11: packed by talus.cpp, read by device.c
 * and vector.c. Addresses are device physical; pitches in bytes. */
#ifndef TALUS_KERNELS_INTERACTION_ARGS_H
#define TALUS_KERNELS_INTERACTION_ARGS_H

#include "talus/hw/common.h"

#define TALUS_INTERACTION_TILE 32u
#define TALUS_INTERACTION_MAX_FEATURES 256u

struct talus_interaction_args {
    uint64_t t;             /* FP16 [batch, features, width] */
    uint64_t dense;         /* FP16 [batch, dense_columns] */
    uint64_t y;             /* FP16 or FP32 [batch, dense_columns + pairs] */
    uint32_t t_pitch;       /* from sample to sample */
    uint32_t feature_pitch; /* from feature to feature */
    uint32_t dense_pitch, y_pitch;
    uint32_t batch, features, width;
    uint32_t dense_columns; /* 0: no dense vector */
    uint32_t pairs;
    uint32_t diagonal; /* 1: with the diagonal */
    uint32_t y_type;   /* enum talus_cp_type: FP16 or FP32 */
    uint32_t reserved;
};
TALUS_ASSERT_SIZE(talus_interaction_args, 72);
TALUS_ASSERT_OFFSET(talus_interaction_args, batch, 40);
TALUS_ASSERT_OFFSET(talus_interaction_args, y_type, 64);

#endif
