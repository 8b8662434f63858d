/* What a developer would debug: a call chain, a loop, a variable in local memory, vector code. Core
 * B adds up bytes that core A has brought in; each PE adds its sum to the job's result. */
#include <talus/device/barrier.h>
#include <talus/device/kernel.h>
#include <talus/device/memory.h>

#include "debug_kernel.h"

__attribute__((noinline)) static uint64_t accumulate(const uint8_t* data, uint32_t bytes) {
    volatile uint64_t* progress = (volatile uint64_t*)talus_local_pointer(DEBUG_PROGRESS);
    *progress = 0;
    uint64_t sum = 0;
    for (uint32_t at = 0; at < bytes; at += DEBUG_BLOCK) {
        sum += block_sum(data + at, DEBUG_BLOCK);
        *progress = at + DEBUG_BLOCK;
    }
    return sum;
}

__attribute__((noinline)) static void store_nowhere(uint64_t value) {
    *(volatile uint64_t*)DEBUG_NOWHERE = value;
}

TALUS_KERNEL void kernel_main(const struct talus_launch* launch) {
    const struct debug_args* args = launch->args;
    const uint64_t share = ((uint64_t)launch->row * launch->cols + launch->col) * args->bytes;
    if (launch->core == TALUS_CORE_A) {
        talus_context_set01(0, talus_direct_operand(DEBUG_BUFFER), 0);
        talus_dma_in(0, args->source + share, args->bytes, 1);
        talus_drain(1u << TALUS_UNIT_FI_IN);
    }
    talus_core_barrier(launch);
    if (launch->core == TALUS_CORE_B) {
        const uint64_t sum = accumulate(talus_local_pointer(DEBUG_BUFFER), args->bytes);
        if (launch->row == 0 && launch->col == args->fault_col)
            store_nowhere(sum);
        uint64_t* result =
            (uint64_t*)(launch->record + __builtin_offsetof(struct talus_job_record, result));
        __atomic_fetch_add(result, sum, __ATOMIC_RELAXED);
    }
}
