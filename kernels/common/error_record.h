/* What a kernel writes when a request's own data is at fault, such as an embedding index beyond its
 * table. C11: written by device.c and cuda.cu, read by the host.
 *
 * On the accelerator a kernel reports through talus_fail(code, table, sample, position, value): the
 * fault record's cause is the code, its detail words are the rest, and the first PE to fail wins.
 */
#ifndef TALUS_KERNELS_ERROR_RECORD_H
#define TALUS_KERNELS_ERROR_RECORD_H

#include <stdint.h>

enum talus_kernel_error_code {
    TALUS_KERNEL_OK = 0,
    TALUS_KERNEL_INDEX_OUT_OF_RANGE = 1,  /* index < 0 (or < -rows) or >= rows */
    TALUS_KERNEL_OFFSET_OUT_OF_RANGE = 2, /* bag's offsets negative, decreasing or past the end */
};

struct talus_kernel_error {
    uint32_t code; /* enum talus_kernel_error_code */
    uint32_t table;
    uint64_t sample;
    uint64_t position; /* within the bag */
    int64_t value;     /* the index, or the offset */
    int64_t limit;     /* rows of the table, or the number of indices */
};

#ifdef __cplusplus
static_assert(sizeof(struct talus_kernel_error) == 40, "talus_kernel_error is part of the bundle");
#else
_Static_assert(sizeof(struct talus_kernel_error) == 40, "talus_kernel_error is part of the bundle");
#endif

#endif
