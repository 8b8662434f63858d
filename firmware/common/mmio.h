/* The one road to registers and to memory that others share. On the device these are volatile
 * accesses; the host build of the tests supplies functions that expect an exact sequence. */
#ifndef TALUS_FIRMWARE_MMIO_H
#define TALUS_FIRMWARE_MMIO_H

#include <stddef.h>
#include <stdint.h>

#if defined(__riscv)

static inline uint32_t mmio_read32(uint64_t address) {
    return *(const volatile uint32_t*)address;
}
static inline uint64_t mmio_read64(uint64_t address) {
    return *(const volatile uint64_t*)address;
}
static inline void mmio_write32(uint64_t address, uint32_t value) {
    *(volatile uint32_t*)address = value;
}
static inline void mmio_write64(uint64_t address, uint64_t value) {
    *(volatile uint64_t*)address = value;
}

/* Memory at a device address, for bulk access. */
static inline void* bus_pointer(uint64_t address) {
    return (void*)address;
}

/* Device clock. */
static inline uint64_t clock_now(void) {
    uint64_t now;
    __asm__ volatile("rdtime %0" : "=r"(now) : : "memory");
    return now;
}

/* Earlier memory accesses are visible to other units before later ones, registers included. */
static inline void bus_fence(void) {
    __asm__ volatile("fence" : : : "memory");
}

/* Other units see the range as this core left it: its cache has none of it any more. */
static inline void bus_flush(uint64_t address, uint64_t bytes) {
    for (uint64_t line = address & ~63ull; line < address + bytes; line += 64)
        __asm__ volatile("cbo.flush 0(%0)" : : "r"(line) : "memory");
    __asm__ volatile("fence" : : : "memory");
}

/* Sleeps until an interrupt that mie enables is pending; mstatus.MIE stays off, so none is taken.
 */
static inline void wait_for_interrupt(void) {
    __asm__ volatile("wfi" : : : "memory");
}

#else

uint32_t mmio_read32(uint64_t address);
uint64_t mmio_read64(uint64_t address);
void mmio_write32(uint64_t address, uint32_t value);
void mmio_write64(uint64_t address, uint64_t value);
void* bus_pointer(uint64_t address);
uint64_t clock_now(void);
static inline void bus_fence(void) {}
static inline void bus_flush(uint64_t address, uint64_t bytes) {
    (void)address;
    (void)bytes;
}
void wait_for_interrupt(void);

#endif

#endif
