/* INT8 dot products: a 256x256 matrix times vectors, requantised, as a scalar core does what is
   left over by the DPE. */
#include "program.h"

enum { ROWS = 256, DEPTH = 256, ROUNDS = 400 };

static int8_t weights[ROWS][DEPTH], input[DEPTH];
static int32_t sums[ROWS];

uint64_t work(void) {
    uint64_t state = 0x123456789abcdefu, hash = 0;
    for (unsigned r = 0; r < ROWS; r++)
        for (unsigned k = 0; k < DEPTH; k++)
            weights[r][k] = (int8_t)next_random(&state);
    for (unsigned k = 0; k < DEPTH; k++)
        input[k] = (int8_t)next_random(&state);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned r = 0; r < ROWS; r++) {
            int32_t sum = 0;
            for (unsigned k = 0; k < DEPTH; k++)
                sum += weights[r][k] * input[k];
            sums[r] = sum;
        }
        for (unsigned r = 0; r < ROWS; r++) {
            const int32_t scaled = (int32_t)(((int64_t)sums[r] * 1518500250) >> 38);
            input[r] = (int8_t)(scaled < -128 ? -128 : scaled > 127 ? 127 : scaled);
            hash = hash * 31 + (uint32_t)sums[r];
        }
        input[round % DEPTH] ^= (int8_t)round;
    }
    return hash;
}
