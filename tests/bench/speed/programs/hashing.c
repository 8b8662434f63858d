/* CRC-32 by table, FNV-1a and a multiplying 64-bit hash over 16 KiB. */
#include "program.h"

enum { BYTES = 16384, ROUNDS = 500 };

static uint8_t data[BYTES];
static uint32_t table[256];

static uint32_t crc32(uint32_t crc) {
    crc = ~crc;
    for (unsigned i = 0; i < BYTES; i++)
        crc = table[(crc ^ data[i]) & 255] ^ crc >> 8;
    return ~crc;
}

static uint32_t fnv1a(uint32_t hash) {
    for (unsigned i = 0; i < BYTES; i++)
        hash = (hash ^ data[i]) * 16777619u;
    return hash;
}

static uint64_t mix(uint64_t hash) {
    const uint64_t* words = (const uint64_t*)(const void*)data;
    for (unsigned i = 0; i < BYTES / 8; i++) {
        hash ^= words[i] * 0x9e3779b97f4a7c15u;
        hash = (hash << 31 | hash >> 33) * 0xbf58476d1ce4e5b9u;
    }
    return hash ^ hash >> 32;
}

uint64_t work(void) {
    uint64_t state = 0x123456789abcdefu;
    for (unsigned i = 0; i < 256; i++) {
        uint32_t entry = i;
        for (unsigned bit = 0; bit < 8; bit++)
            entry = entry >> 1 ^ (0xedb88320u & (0u - (entry & 1)));
        table[i] = entry;
    }
    for (unsigned i = 0; i < BYTES; i++)
        data[i] = (uint8_t)next_random(&state);
    uint64_t hash = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        hash = mix(hash + crc32((uint32_t)hash)) ^ fnv1a((uint32_t)round);
        data[round % BYTES] ^= (uint8_t)hash;
    }
    return hash;
}
