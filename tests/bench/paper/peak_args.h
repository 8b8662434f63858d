/* Arguments of peak_kernel.c. */
#ifndef TALUS_PAPER_PEAK_ARGS_H
#define TALUS_PAPER_PEAK_ARGS_H

#include "talus/hw/common.h"

/* What a command does: */
#define TALUS_PEAK_DENSE 0u  /* multiplies PEAK_BLOCK rows by PEAK_BLOCK columns of PEAK_K */
#define TALUS_PEAK_SPARSE 1u /* the same, columns in the 2:4 format */
#define TALUS_PEAK_SIMD 2u   /* adds PEAK_ELEMENTS pairs */
#define TALUS_PEAK_BLOCK 64u
#define TALUS_PEAK_K 128u
#define TALUS_PEAK_ELEMENTS 8192u

struct talus_peak_args {
    uint32_t what;
    uint32_t type;     /* enum talus_cp_type of the operands */
    uint32_t commands; /* of each PE */
    uint32_t reserved[13];
};
TALUS_ASSERT_SIZE(talus_peak_args, 64);

#endif
