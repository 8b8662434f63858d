/* The PE runtime: what both cores of a PE share, in the PE's own local memory. */
#ifndef TALUS_FIRMWARE_PE_RUNTIME_H
#define TALUS_FIRMWARE_PE_RUNTIME_H

#include <stdint.h>

#include "talus/hw/address_map.h"
#include "talus/hw/registers.h"
#include "talus/hw/work.h"

struct runtime {
    struct talus_launch launch[TALUS_CORES_PER_PE]; /* of the job that runs */
    uint64_t entry;
    uint64_t record; /* of the job that runs; 0: none */
};

extern struct runtime g_runtime;

/* Per core: where the exit of a kernel returns to (start.S). */
extern uint64_t g_saved_sp[TALUS_CORES_PER_PE];

/* start.S: calls kernel_main with interrupts on; returns when it returns or exits. */
void runtime_call_kernel(uint64_t entry, const struct talus_launch* launch, uint64_t* saved_sp);

/* Entered by start.S, on the core's stack. */
_Noreturn void runtime_core_a(void);
_Noreturn void runtime_core_b(void);
_Noreturn void runtime_trap(void);
_Noreturn void runtime_fail(uint32_t code, uint64_t word0, uint64_t word1, uint64_t word2,
                            uint64_t word3);
/* The kernel of this core wrote to the last word of its stack at `address`, or beyond it. */
_Noreturn void runtime_stack_overflow(uint64_t address);
void runtime_log(const char* text, uint64_t bytes);

/* Empties the PE's log. */
void runtime_log_init(void);

#define PE_REGISTER(name) (TALUS_PE_REGS_BASE + (name))
#define CONTROL_MSIP (TALUS_SYSTEM_BASE + TALUS_SYS_CLINT + CLINT_MSIP)

#endif
