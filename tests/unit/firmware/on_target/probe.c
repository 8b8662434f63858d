/* A kernel that exercises the PE runtime and the kernel API. */
#include "probe.h"

#include "talus/device/barrier.h"
#include "talus/device/kernel.h"
#include "talus/device/memory.h"

uint64_t probe_vector_sum(uint32_t base);

static void probe(const struct talus_launch* launch);

TALUS_KERNEL void kernel_main(const struct talus_launch* launch) {
    probe(launch);
}

/* Offsets in local memory */
#define REPORT 0x1000u
#define STAMPS 0x2000u

static void report_abi(const struct talus_launch* launch, const struct probe_args* args) {
    struct probe_report* report =
        talus_local_pointer(REPORT + launch->core * (uint32_t)sizeof(struct probe_report));
    uint64_t sp;
    uint64_t hart;
    uint64_t mstatus;
    __asm__ volatile("mv %0, sp" : "=r"(sp));
    __asm__ volatile("csrr %0, mhartid" : "=r"(hart));
    __asm__ volatile("csrr %0, mstatus" : "=r"(mstatus));
    report->pattern_errors = 0;
    for (uint32_t i = 0; i < 256; ++i)
        report->pattern_errors += args->pattern[i] != i * 0x9e3779b9u;
    report->args_bytes = launch->args_bytes;
    report->core = launch->core;
    report->row = launch->row;
    report->col = launch->col;
    report->rows = launch->rows;
    report->cols = launch->cols;
    report->hart_core = (uint8_t)talus_core();
    report->physical = (uint16_t)((hart - TALUS_CONTROL_HARTS) / TALUS_CORES_PER_PE);
    report->job = launch->job;
    report->local_bytes = launch->local_bytes;
    report->record = launch->record;
    report->stack_pointer = sp;
    report->mstatus = mstatus;
    report->args = (uint64_t)launch->args;
    report->reserved = 0;
    const uint64_t out =
        args->out + (talus_pe_index(launch) * 2 + launch->core) * sizeof(struct probe_report);
    talus_context_set01(
        1, talus_direct_operand(REPORT + launch->core * (uint32_t)sizeof(struct probe_report)),
        TALUS_PAIR(64, 64));
    talus_dma_out(1, out, sizeof(struct probe_report), 1);
    /* Not drained here: the runtime waits for what a kernel leaves under way. */
    talus_result_add(launch, 1);
}

static void __attribute__((noinline)) leave(volatile uint32_t* depth) {
    volatile uint32_t frame[16];
    frame[*depth % 16] = 1;
    if (--*depth != 0)
        leave(depth);
    talus_exit();
}

static void __attribute__((noinline)) use_stack(void) {
    volatile uint8_t frame[4608];
    for (uint32_t i = 0; i < sizeof(frame); ++i)
        frame[i] = 0x77;
}

static void run_barrier(const struct talus_launch* launch, const struct probe_args* args) {
    uint64_t* stamps = talus_local_pointer(STAMPS);
    const uint32_t index = talus_pe_index(launch);
    if (launch->core != TALUS_CORE_A)
        return;
    for (uint32_t round = 0; round < args->value; ++round) {
        /* Someone else is late each round. */
        for (volatile uint32_t spin = (index * 7 + round * 13) % 64 * 10; spin != 0; --spin)
            ;
        stamps[2 * round] = talus_clock();
        talus_barrier(launch);
        stamps[2 * round + 1] = talus_clock();
    }
    talus_context_set01(0, talus_direct_operand(STAMPS), 0);
    talus_dma_out(0, args->out + (uint64_t)index * args->value * 16, args->value * 16, 1);
}

#define CACHED 0x1234567890abcdefull

static void cache_store(const struct talus_launch* launch, const struct probe_args* args) {
    volatile uint64_t* word = (volatile uint64_t*)args->out;
    *word = CACHED;
    if (args->value != 0)
        talus_cache_flush((const void*)args->out, 8);
    talus_fence(); /* a fence orders, but does not clean */
    talus_context_set01(0, talus_direct_operand(REPORT), TALUS_PAIR(64, 64));
    talus_dma_in(0, args->out, 64, 1);
    talus_drain(TALUS_ALL_UNITS);
    talus_result_add(launch, *(volatile uint64_t*)talus_local_pointer(REPORT));
}

static void cache_load(const struct talus_launch* launch, const struct probe_args* args) {
    volatile uint64_t* word = (volatile uint64_t*)args->out;
    *(volatile uint64_t*)talus_local_pointer(REPORT) = CACHED;
    talus_cache_invalidate((const void*)args->out, 8);
    talus_result_add(launch, 0 * *word);
    talus_context_set01(0, talus_direct_operand(REPORT), TALUS_PAIR(64, 64));
    talus_dma_out(0, args->out, 64, 1);
    talus_drain(TALUS_ALL_UNITS);
    if (args->value != 0)
        talus_cache_invalidate((const void*)args->out, 8);
    talus_result_add(launch, *word);
}

static void litter(const struct talus_launch* launch) {
    const uint32_t cb = launch->core * 16u;
    talus_cb_config(cb, launch->core * 0x8000u, 4096);
    (void)talus_cb_wait_space(cb, 1024);
    talus_cb_push(cb, 1024);
    for (uint32_t i = launch->core; i < TALUS_SEM_COUNT; i += 2)
        talus_sem_post(i, launch->row, launch->col, 5 + i);
    while (talus_sem_read(launch->core + 30u) == 0)
        ;
}

static uint64_t count_litter(const struct talus_launch* launch) {
    uint64_t found = 0;
    if (launch->core != TALUS_CORE_A)
        return 0;
    for (uint32_t i = 0; i < TALUS_SEM_COUNT; ++i)
        found += talus_sem_read(i);
    /* A CB that is in use can't be configured to another place: the CP would fault. */
    talus_cb_config(0, 0x4000, 128);
    talus_cb_config(16, 0x4080, 128);
    found += talus_cb_occupancy(0) + talus_cb_occupancy(16);
    return found;
}

static void probe(const struct talus_launch* launch) {
    const struct probe_args* args = launch->args;
    if (args == 0)
        return;
    const int chosen = talus_pe_index(launch) == args->value;
    struct talus_local local = talus_local_all(launch);
    switch ((enum probe_mode)args->mode) {
    case PROBE_RETURN:
        break;
    case PROBE_ABI:
        report_abi(launch, args);
        break;
    case PROBE_EXIT: {
        volatile uint32_t depth = 5;
        talus_result_add(launch, 1);
        leave(&depth);
        talus_result_add(launch, 1000); /* never */
        break;
    }
    case PROBE_FAIL:
        if (chosen && launch->core == TALUS_CORE_B)
            talus_fail(0x1234, 11, 22, 33, 0xffffffffffffull);
        break;
    case PROBE_LOG_ILLEGAL:
        if (chosen && launch->core == TALUS_CORE_A) {
            talus_log("probe was here\n", 15);
            __asm__ volatile("unimp");
        }
        break;
    case PROBE_BAD_LOAD:
        if (chosen && launch->core == TALUS_CORE_B)
            (void)*(volatile uint32_t*)0x5555000;
        break;
    case PROBE_UNIT_FAULT:
        if (chosen && launch->core == TALUS_CORE_A) {
            talus_cb_config(2, 0, 4096);
            talus_context_set01(3, talus_cb_operand(2, 0, 64), TALUS_PAIR(64, 64));
            talus_dma_in(3, 0x7700000000ull, 64, 1);
            (void)talus_cb_wait_data(2, 64);
        }
        break;
    case PROBE_CB_MISUSE:
        if (chosen && launch->core == TALUS_CORE_A) {
            talus_cb_config(9, 0, 4096);
            talus_cb_pop(9, 64);
        }
        break;
    case PROBE_BARRIER:
        run_barrier(launch, args);
        break;
    case PROBE_SPIN:
        for (;;)
            __asm__ volatile("" : : : "memory");
    case PROBE_STUCK:
        if (launch->core == TALUS_CORE_B)
            talus_sem_wait(3, 1);
        break;
    case PROBE_VECTOR:
        if (launch->core == TALUS_CORE_B)
            talus_result_add(launch, probe_vector_sum(args->value));
        break;
    case PROBE_LITTER:
        litter(launch);
        break;
    case PROBE_CLEAN:
        talus_result_add(launch, count_litter(launch));
        break;
    case PROBE_DEEP:
        if (chosen && launch->core == TALUS_CORE_A)
            use_stack();
        break;
    case PROBE_LOCAL_MEMORY:
        (void)talus_local_alloc(&local, 1000, 64);
        (void)talus_local_alloc(&local, TALUS_LOCAL_KERNEL_BYTES, 64);
        break;
    case PROBE_CACHE_STORE:
        if (launch->core == TALUS_CORE_A)
            cache_store(launch, args);
        break;
    case PROBE_CACHE_LOAD:
        if (launch->core == TALUS_CORE_A)
            cache_load(launch, args);
        break;
    }
}
