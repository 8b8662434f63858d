/* memcpy, memmove, memset and a search for the end of strings, in plain C, on 32 KiB. */
#include "program.h"

enum { BYTES = 32768, ROUNDS = 1000 };

static uint8_t from[BYTES + 16], to[BYTES + 16];

/* The compiler must not make calls of itself of them. */
#define PLAIN __attribute__((noinline, no_builtin))

PLAIN static void copy_words(void* d, const void* s, unsigned n) {
    uint64_t* dw = d;
    const uint64_t* sw = s;
    for (unsigned i = 0; i < n / 8; i += 4) {
        const uint64_t w0 = sw[i], w1 = sw[i + 1], w2 = sw[i + 2], w3 = sw[i + 3];
        dw[i] = w0;
        dw[i + 1] = w1;
        dw[i + 2] = w2;
        dw[i + 3] = w3;
    }
}
PLAIN static void copy_bytes(uint8_t* d, const uint8_t* s, unsigned n) {
    for (unsigned i = 0; i < n; i++)
        d[i] = s[i];
}
PLAIN static void fill(uint8_t* d, uint8_t value, unsigned n) {
    uint64_t* dw = (uint64_t*)(void*)d;
    for (unsigned i = 0; i < n / 8; i++)
        dw[i] = value * 0x0101010101010101u;
}
PLAIN static unsigned length(const uint8_t* s) {
    unsigned n = 0;
    while (s[n])
        n++;
    return n;
}

uint64_t work(void) {
    uint64_t state = 0x123456789abcdefu, hash = 0;
    for (unsigned i = 0; i < BYTES; i++)
        from[i] = (uint8_t)(next_random(&state) | 1);
    for (unsigned round = 0; round < ROUNDS; round++) {
        from[2048 + round] = 0;
        copy_words(to, from, BYTES);
        hash = hash * 31 + length(to);
        copy_bytes(to + 1, from + 3, 4096);
        hash = hash * 31 + to[round];
        fill(to, (uint8_t)round, BYTES);
        copy_words(to + 8192, to, 8192);
        hash = hash * 31 + to[9000];
        from[2048 + round] = 1;
    }
    return hash;
}
