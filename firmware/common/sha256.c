#include "sha256.h"

static const uint32_t kRound[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate_right(uint32_t value, unsigned count) {
    return value >> count | value << (32 - count);
}

static uint32_t load_be32(const uint8_t* bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void compress(struct sha256* hash, const uint8_t* block) {
    uint32_t w[64];
    for (unsigned t = 0; t < 16; ++t)
        w[t] = load_be32(block + 4 * t);
    for (unsigned t = 16; t < 64; ++t) {
        const uint32_t s0 =
            rotate_right(w[t - 15], 7) ^ rotate_right(w[t - 15], 18) ^ (w[t - 15] >> 3);
        const uint32_t s1 =
            rotate_right(w[t - 2], 17) ^ rotate_right(w[t - 2], 19) ^ (w[t - 2] >> 10);
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    uint32_t v[8];
    for (unsigned i = 0; i < 8; ++i)
        v[i] = hash->state[i];
    for (unsigned t = 0; t < 64; ++t) {
        const uint32_t s1 = rotate_right(v[4], 6) ^ rotate_right(v[4], 11) ^ rotate_right(v[4], 25);
        const uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
        const uint32_t t1 = v[7] + s1 + choice + kRound[t] + w[t];
        const uint32_t s0 = rotate_right(v[0], 2) ^ rotate_right(v[0], 13) ^ rotate_right(v[0], 22);
        const uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
        v[7] = v[6];
        v[6] = v[5];
        v[5] = v[4];
        v[4] = v[3] + t1;
        v[3] = v[2];
        v[2] = v[1];
        v[1] = v[0];
        v[0] = t1 + s0 + majority;
    }
    for (unsigned i = 0; i < 8; ++i)
        hash->state[i] += v[i];
}

void sha256_init(struct sha256* hash) {
    static const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    for (unsigned i = 0; i < 8; ++i)
        hash->state[i] = initial[i];
    hash->bytes = 0;
}

void sha256_update(struct sha256* hash, const void* data, size_t bytes) {
    const uint8_t* from = data;
    size_t used = hash->bytes % sizeof(hash->block);
    hash->bytes += bytes;
    if (used != 0) {
        while (bytes != 0 && used < sizeof(hash->block)) {
            hash->block[used++] = *from++;
            --bytes;
        }
        if (used < sizeof(hash->block))
            return;
        compress(hash, hash->block);
    }
    for (; bytes >= sizeof(hash->block); bytes -= sizeof(hash->block)) {
        compress(hash, from);
        from += sizeof(hash->block);
    }
    for (size_t i = 0; i < bytes; ++i)
        hash->block[i] = from[i];
}

void sha256_final(struct sha256* hash, uint8_t digest[SHA256_DIGEST_BYTES]) {
    const uint64_t bits = hash->bytes * 8;
    size_t used = hash->bytes % sizeof(hash->block);
    hash->block[used++] = 0x80;
    if (used > 56) {
        while (used < sizeof(hash->block))
            hash->block[used++] = 0;
        compress(hash, hash->block);
        used = 0;
    }
    while (used < 56)
        hash->block[used++] = 0;
    for (unsigned i = 0; i < 8; ++i)
        hash->block[56 + i] = (uint8_t)(bits >> (56 - 8 * i));
    compress(hash, hash->block);
    for (unsigned i = 0; i < SHA256_DIGEST_BYTES; ++i)
        digest[i] = (uint8_t)(hash->state[i / 4] >> (24 - 8 * (i % 4)));
}

void sha256_of(const void* data, size_t bytes, uint8_t digest[SHA256_DIGEST_BYTES]) {
    struct sha256 hash;
    sha256_init(&hash);
    sha256_update(&hash, data, bytes);
    sha256_final(&hash, digest);
}
