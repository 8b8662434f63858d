#ifndef DEBUG_KERNEL_H
#define DEBUG_KERNEL_H

#include <stdint.h>

#define DEBUG_BUFFER 0x10000u   /* local memory: the bytes */
#define DEBUG_PROGRESS 0x20000u /* local memory: how many are done, 64 bits */
#define DEBUG_BLOCK 256u
#define DEBUG_NOWHERE 0x4242u   /* an address with nothing behind it */

struct debug_args {
    uint64_t source;
    uint32_t bytes; /* per PE; a multiple of DEBUG_BLOCK, at most 64 KiB */
    uint32_t fault_col; /* core B of PE (0, fault_col) stores to DEBUG_NOWHERE; UINT32_MAX: none */
};

/* Sum of `bytes` bytes, on core B. */
uint64_t block_sum(const uint8_t* data, uint32_t bytes);

#endif
