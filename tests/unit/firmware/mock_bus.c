#include "mock_bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "talus/hw/address_map.h"
#include "talus/hw/registers.h"

enum access { READ32, READ64, WRITE32, WRITE64 };
static const char* const kAccessNames[] = {"read32", "read64", "write32", "write64"};

struct expectation {
    enum access access;
    uint64_t address;
    uint64_t value;
};

struct memory {
    uint64_t base;
    uint64_t size;
    uint8_t* bytes;
};

#define MAX_EXPECTED 512
#define MAX_WRITES 65536
#define MAX_REGISTERS 4096

static struct expectation g_expected[MAX_EXPECTED];
static unsigned g_expected_count;
static unsigned g_expected_next;
static struct {
    uint64_t address;
    uint64_t value;
} g_registers[MAX_REGISTERS];
static unsigned g_register_count;
static uint64_t g_writes[MAX_WRITES];
static unsigned g_write_count;
static uint64_t g_clock;

static struct memory g_memory[] = {
    {TALUS_CONTROL_SRAM_BASE, TALUS_CONTROL_SRAM_SIZE, NULL},
    {TALUS_LLS_BASE, TALUS_LLS_FIRMWARE_SIZE, NULL},
    {TALUS_STAGING_BASE, TALUS_STAGING_SIZE, NULL},
    {TALUS_PE_WINDOW_BASE, 64 * TALUS_PE_WINDOW_STRIDE, NULL},
};
#define MEMORY_COUNT (sizeof(g_memory) / sizeof(g_memory[0]))

void bus_reset(void) {
    g_expected_count = g_expected_next = 0;
    g_register_count = 0;
    g_write_count = 0;
    g_clock = 0;
    for (unsigned i = 0; i < MEMORY_COUNT; ++i) {
        free(g_memory[i].bytes);
        g_memory[i].bytes = calloc(1, g_memory[i].size);
        assert_non_null(g_memory[i].bytes);
    }
}

void* bus_pointer(uint64_t address) {
    for (unsigned i = 0; i < MEMORY_COUNT; ++i) {
        if (address >= g_memory[i].base && address - g_memory[i].base < g_memory[i].size)
            return g_memory[i].bytes + (address - g_memory[i].base);
    }
    fail_msg("no memory at 0x%llx", (unsigned long long)address);
    return NULL;
}

void* bus_memory(uint64_t address) {
    return bus_pointer(address);
}

static void expect(enum access access, uint64_t address, uint64_t value) {
    assert_true(g_expected_count < MAX_EXPECTED);
    const struct expectation expectation = {access, address, value};
    g_expected[g_expected_count++] = expectation;
}
void expect_read32(uint64_t address, uint32_t value) {
    expect(READ32, address, value);
}
void expect_read64(uint64_t address, uint64_t value) {
    expect(READ64, address, value);
}
void expect_write32(uint64_t address, uint32_t value) {
    expect(WRITE32, address, value);
}
void expect_write64(uint64_t address, uint64_t value) {
    expect(WRITE64, address, value);
}

void bus_done(void) {
    if (g_expected_next != g_expected_count)
        fail_msg("%s of 0x%llx did not come (%u of %u accesses came)",
                 kAccessNames[g_expected[g_expected_next].access],
                 (unsigned long long)g_expected[g_expected_next].address, g_expected_next,
                 g_expected_count);
    g_expected_count = g_expected_next = 0;
}

/* In strict mode: the next expectation, checked against the access. */
static const struct expectation* next_expected(enum access access, uint64_t address) {
    if (g_expected_count == 0)
        return NULL;
    if (g_expected_next == g_expected_count)
        fail_msg("%s of 0x%llx after the last expected access", kAccessNames[access],
                 (unsigned long long)address);
    const struct expectation* expectation = &g_expected[g_expected_next++];
    if (expectation->access != access || expectation->address != address)
        fail_msg("access %u: %s of 0x%llx instead of %s of 0x%llx", g_expected_next - 1,
                 kAccessNames[access], (unsigned long long)address,
                 kAccessNames[expectation->access], (unsigned long long)expectation->address);
    return expectation;
}

static uint64_t* register_at(uint64_t address) {
    for (unsigned i = 0; i < g_register_count; ++i) {
        if (g_registers[i].address == address)
            return &g_registers[i].value;
    }
    assert_true(g_register_count < MAX_REGISTERS);
    g_registers[g_register_count].address = address;
    g_registers[g_register_count].value = 0;
    return &g_registers[g_register_count++].value;
}

void bus_set(uint64_t address, uint64_t value) {
    *register_at(address) = value;
}
uint64_t bus_get(uint64_t address) {
    return *register_at(address);
}

static uint64_t read(enum access access, uint64_t address) {
    const struct expectation* expectation = next_expected(access, address);
    return expectation != NULL ? expectation->value : *register_at(address);
}

static void write(enum access access, uint64_t address, uint64_t value) {
    const struct expectation* expectation = next_expected(access, address);
    if (expectation != NULL) {
        if (expectation->value != value)
            fail_msg("access %u: %s of 0x%llx with 0x%llx instead of 0x%llx", g_expected_next - 1,
                     kAccessNames[access], (unsigned long long)address, (unsigned long long)value,
                     (unsigned long long)expectation->value);
        return;
    }
    assert_true(g_write_count < MAX_WRITES);
    g_writes[g_write_count++] = address;
    if (address == TALUS_SYSTEM_BASE + TALUS_SYS_INTC + INTC_PENDING)
        *register_at(address) &= ~value;
    else if (address == TALUS_SYSTEM_BASE + TALUS_SYS_ECC + ECC_NEXT)
        *register_at(TALUS_SYSTEM_BASE + TALUS_SYS_ECC + ECC_RECORD) = 0;
    else
        *register_at(address) = value;
}

unsigned bus_writes_to(uint64_t address) {
    unsigned count = 0;
    for (unsigned i = 0; i < g_write_count; ++i)
        count += g_writes[i] == address;
    return count;
}

int bus_last_write(uint64_t address) {
    for (unsigned i = g_write_count; i != 0; --i) {
        if (g_writes[i - 1] == address)
            return (int)(i - 1);
    }
    return -1;
}

void bus_forget_writes(void) {
    g_write_count = 0;
}

void bus_set_clock(uint64_t now) {
    g_clock = now;
}
uint64_t clock_now(void) {
    return g_clock;
}
void wait_for_interrupt(void) {}

uint32_t mmio_read32(uint64_t address) {
    return (uint32_t)read(READ32, address);
}
uint64_t mmio_read64(uint64_t address) {
    return read(READ64, address);
}
void mmio_write32(uint64_t address, uint32_t value) {
    write(WRITE32, address, value);
}
void mmio_write64(uint64_t address, uint64_t value) {
    write(WRITE64, address, value);
}
