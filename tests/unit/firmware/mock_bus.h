/* The bus of the host build of the firmware (firmware/common/mmio.h).
 *
 * Strict mode, from the first expect_*() on: register accesses must come exactly as expected, in
 * order, until bus_done(). Model mode otherwise: registers keep what is written (INTC_PENDING is
 * write-one-to-clear, ECC_NEXT clears ECC_RECORD), and every write is recorded for bus_writes_to(). Memory is plain in both.
 */
#ifndef TALUS_TESTS_FIRMWARE_MOCK_BUS_H
#define TALUS_TESTS_FIRMWARE_MOCK_BUS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../../firmware/common/mmio.h"

/* Forgets registers, memory, expectations and time. */
void bus_reset(void);

void expect_read32(uint64_t address, uint32_t value);
void expect_read64(uint64_t address, uint64_t value);
void expect_write32(uint64_t address, uint32_t value);
void expect_write64(uint64_t address, uint64_t value);
/* Fails unless every expected access has come; back to model mode. */
void bus_done(void);

/* Model mode: sets and reads registers from outside the firmware. */
void bus_set(uint64_t address, uint64_t value);
uint64_t bus_get(uint64_t address);
/* Number of recorded writes to the register, and the index of the last in the order of all writes
 * (-1: none). */
unsigned bus_writes_to(uint64_t address);
int bus_last_write(uint64_t address);
void bus_forget_writes(void);

void bus_set_clock(uint64_t now);

/* The pool that the firmware is known to leave alone or fill: device memory by address. */
void* bus_memory(uint64_t address);

#endif
