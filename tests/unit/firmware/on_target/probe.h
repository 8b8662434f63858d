/* What the probe kernel is asked to do. Shared by the kernel and the test. */
#ifndef TALUS_TESTS_FIRMWARE_PROBE_H
#define TALUS_TESTS_FIRMWARE_PROBE_H

#include <stdint.h>

enum probe_mode {
    PROBE_RETURN,      /* nothing */
    PROBE_ABI,         /* every core reports what it was given, to out + 64 * (2 * PE + core) */
    PROBE_EXIT,        /* talus_exit() from a call, with a stack frame and interrupts as they are */
    PROBE_FAIL,        /* talus_fail() on PE `value` core B */
    PROBE_LOG_ILLEGAL, /* PE `value` core A writes to its log, then runs into an illegal instruction
                        */
    PROBE_BAD_LOAD,    /* PE `value` core B loads from an address where nothing is */
    PROBE_UNIT_FAULT, /* PE `value` core A: a DMA from nowhere, while the core waits for its data */
    PROBE_CB_MISUSE,  /* PE `value` core A pops an empty circular buffer */
    PROBE_BARRIER,    /* `value` rounds; clocks of arrival and departure to out, 16 B each */
    PROBE_SPIN,       /* for ever */
    PROBE_STUCK,      /* waits for a semaphore that nobody posts */
    PROBE_VECTOR,     /* core B sums value + i for i < 1000 with V into the result */
    PROBE_LITTER,     /* leaves circular buffers, semaphores and contexts behind */
    PROBE_CLEAN,      /* adds what it finds of them to the result */
    PROBE_DEEP,       /* PE `value` core A uses 4.5 KiB of its 4 KiB stack */
    PROBE_LOCAL_MEMORY, /* asks for more than there is */
    PROBE_CACHE_STORE, /* core A stores to out, DMA reads it, into the result; value: cleans between
                        */
    PROBE_CACHE_LOAD,  /* core A loads from out, DMA writes it, core A loads again, into the result;
                        * value: invalidates between */
};

struct probe_args {
    uint32_t mode;
    uint32_t value;
    uint64_t out;
    uint8_t padding[48];
    uint32_t pattern[256]; /* ABI: i * 0x9e3779b9 */
};

struct probe_report {
    uint32_t pattern_errors;
    uint32_t args_bytes;
    uint8_t core, row, col, rows, cols;
    uint8_t hart_core; /* by TALUS_CP_CORE */
    uint16_t physical; /* from mhartid */
    uint32_t job;
    uint32_t local_bytes;
    uint64_t record;
    uint64_t stack_pointer;
    uint64_t mstatus;
    uint64_t args;
    uint64_t reserved;
};
#ifdef __cplusplus
static_assert(sizeof(probe_report) == 64, "one report a slot");
#else
_Static_assert(sizeof(struct probe_report) == 64, "one report a slot");
#endif

#endif
