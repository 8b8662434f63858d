/* What the device program and the host compute from the same source; the test compares. */
#ifndef TALUS_TESTS_ISA_WORKLOAD_H
#define TALUS_TESTS_ISA_WORKLOAD_H

#include <stdint.h>

enum { WORKLOAD_RESULTS = 32 };

struct workload_results {
    uint64_t value[WORKLOAD_RESULTS];
};

/* Fills results; the same on every conforming machine. Returns how many it set. */
unsigned compute(struct workload_results* results, unsigned rounds);

#endif
