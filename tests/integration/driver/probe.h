/* What probe_kernel.c does. */
#ifndef TALUS_TESTS_PROBE_H
#define TALUS_TESTS_PROBE_H

#include <stdint.h>

enum probe_way {
    PROBE_LOAD,
    PROBE_STORE,
    PROBE_AMO,
    PROBE_FETCH, /* jumps there */
    PROBE_FLUSH, /* of a cache line */
    PROBE_DMA_IN,
    PROBE_DMA_OUT,
    PROBE_RECTANGLE, /* tries to enlarge its sub-grid, and reads local memory of PE (1, 1) */
    PROBE_LEAVE,     /* a word in local memory, */
    PROBE_FIND,      /* which this reads */
    PROBE_OUTLIVE,   /* ends its job, and goes on storing */
};

struct probe_args {
    uint32_t way; /* enum probe_way */
    uint32_t reserved;
    uint64_t address;
    uint64_t value;
};

#endif
