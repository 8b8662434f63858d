/* What every program of the instruction benchmark is: one function whose result depends on all that
   it did. */
#ifndef TALUS_BENCH_PROGRAM_H
#define TALUS_BENCH_PROGRAM_H

#include <stdint.h>

uint64_t work(void);

static inline uint64_t next_random(uint64_t* state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

#endif
