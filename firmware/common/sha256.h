/* SHA-256 (FIPS 180-4). No allocation, no global state; usable from ROM, firmware and host tools.
 */
#ifndef TALUS_FIRMWARE_SHA256_H
#define TALUS_FIRMWARE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SHA256_DIGEST_BYTES 32u

struct sha256 {
    uint32_t state[8];
    uint64_t bytes; /* hashed so far, those in `block` included */
    uint8_t block[64];
};

void sha256_init(struct sha256* hash);
void sha256_update(struct sha256* hash, const void* data, size_t bytes);
void sha256_final(struct sha256* hash, uint8_t digest[SHA256_DIGEST_BYTES]);

/* The three in one. */
void sha256_of(const void* data, size_t bytes, uint8_t digest[SHA256_DIGEST_BYTES]);

#ifdef __cplusplus
}
#endif

#endif
