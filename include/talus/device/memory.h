/* Memory from the cores: the local-memory budget, copies, fences and cache maintenance. */
#ifndef TALUS_DEVICE_MEMORY_H
#define TALUS_DEVICE_MEMORY_H

#include "kernel.h"

/* A budget of local memory: hands out [next, end) from the bottom, never takes back. Each core of a
 * PE lays out the same memory by making the same calls. */
struct talus_local {
    uint32_t next;
    uint32_t end;
};

TALUS_INLINE struct talus_local talus_local_all(const struct talus_launch* launch) {
    const struct talus_local all = {0, launch->local_bytes};
    return all;
}

/* Takes `bytes` at a multiple of `alignment` (a power of two) and returns the offset in local
 * memory; a budget that does not suffice fails the job with TALUS_ERROR_LOCAL_MEMORY. */
TALUS_INLINE uint32_t talus_local_alloc(struct talus_local* local, uint32_t bytes,
                                        uint32_t alignment) {
    const uint64_t base = ((uint64_t)local->next + alignment - 1) & ~(uint64_t)(alignment - 1);
    if (base + bytes > local->end)
        talus_fail(TALUS_ERROR_LOCAL_MEMORY, bytes, local->end - local->next, 0, 0);
    local->next = (uint32_t)(base + bytes);
    return (uint32_t)base;
}

/* The core's pointer to an offset in the own local memory, and back. */
TALUS_INLINE void* talus_local_pointer(uint32_t offset) {
    return (void*)(TALUS_LOCAL_BASE + offset);
}
TALUS_INLINE uint32_t talus_local_offset(const void* pointer) {
    return (uint32_t)((uint64_t)pointer - TALUS_LOCAL_BASE);
}

/* Copies and fills by the core, for small pieces; ranges must not overlap. Large ones belong to the
 * MLU. */
TALUS_INLINE void talus_copy(void* destination, const void* source, uint64_t bytes) {
    uint8_t* to = destination;
    const uint8_t* from = source;
    if ((((uint64_t)to | (uint64_t)from) & 7) == 0) {
        for (; bytes >= 8; bytes -= 8, to += 8, from += 8)
            *(uint64_t*)to = *(const uint64_t*)from;
    }
    for (; bytes != 0; --bytes)
        *to++ = *from++;
}
TALUS_INLINE void talus_fill(void* destination, uint8_t value, uint64_t bytes) {
    uint8_t* to = destination;
    const uint64_t pattern = value * 0x0101010101010101ull;
    for (; bytes != 0 && ((uint64_t)to & 7) != 0; --bytes)
        *to++ = value;
    for (; bytes >= 8; bytes -= 8, to += 8)
        *(uint64_t*)to = pattern;
    for (; bytes != 0; --bytes)
        *to++ = value;
}

/* Orders the core's own loads and stores to the fabric (LLS, DRAM, other PEs). */
TALUS_INLINE void talus_fence(void) {
    __asm__ volatile("fence" : : : "memory");
}

#define TALUS_CACHE_LINE 64u
/* Core caches are not coherent with DMA. Writes dirty lines of the range back and drops them:
 * before another unit reads what this core stored. */
TALUS_INLINE void talus_cache_flush(const void* start, uint64_t bytes) {
    const uint64_t end = (uint64_t)start + bytes;
    for (uint64_t line = (uint64_t)start & ~(uint64_t)(TALUS_CACHE_LINE - 1); line < end;
         line += TALUS_CACHE_LINE)
        __asm__ volatile("cbo.flush 0(%0)" : : "r"(line) : "memory");
}
/* Drops the range's lines: before this core loads what another unit wrote. The range must hold no
 * dirty line of this core. */
TALUS_INLINE void talus_cache_invalidate(const void* start, uint64_t bytes) {
    const uint64_t end = (uint64_t)start + bytes;
    for (uint64_t line = (uint64_t)start & ~(uint64_t)(TALUS_CACHE_LINE - 1); line < end;
         line += TALUS_CACHE_LINE)
        __asm__ volatile("cbo.inval 0(%0)" : : "r"(line) : "memory");
}

/* The compiler may call these for structure copies; a freestanding image brings its own. */
__attribute__((weak)) void* memcpy(void* restrict destination, const void* restrict source,
                                   size_t bytes);
__attribute__((weak)) void* memset(void* destination, int value, size_t bytes);
__attribute__((weak)) void* memcpy(void* restrict destination, const void* restrict source,
                                   size_t bytes) {
    talus_copy(destination, source, bytes);
    return destination;
}
__attribute__((weak)) void* memset(void* destination, int value, size_t bytes) {
    talus_fill(destination, (uint8_t)value, bytes);
    return destination;
}

#endif
