/* What the compiler may call in freestanding code. */
#include "memory.h"

#include <stdint.h>

void* memcpy(void* restrict destination, const void* restrict source, size_t bytes) {
    uint8_t* to = destination;
    const uint8_t* from = source;
    if ((((uintptr_t)to | (uintptr_t)from) & 7) == 0) {
        for (; bytes >= 8; bytes -= 8, to += 8, from += 8)
            *(uint64_t*)(void*)to = *(const uint64_t*)(const void*)from;
    }
    for (; bytes != 0; --bytes)
        *to++ = *from++;
    return destination;
}

void* memset(void* destination, int value, size_t bytes) {
    uint8_t* to = destination;
    const uint64_t pattern = (uint8_t)value * 0x0101010101010101ull;
    for (; bytes != 0 && ((uintptr_t)to & 7) != 0; --bytes)
        *to++ = (uint8_t)value;
    for (; bytes >= 8; bytes -= 8, to += 8)
        *(uint64_t*)(void*)to = pattern;
    for (; bytes != 0; --bytes)
        *to++ = (uint8_t)value;
    return destination;
}

int memcmp(const void* left, const void* right, size_t bytes) {
    const uint8_t* a = left;
    const uint8_t* b = right;
    for (size_t i = 0; i < bytes; ++i) {
        if (a[i] != b[i])
            return a[i] < b[i] ? -1 : 1;
    }
    return 0;
}
