/* Every PE copies its share of a buffer from DRAM to DRAM through local memory, `rounds` times,
 * while core B sums what passed. Its time depends on DRAM banks, refresh and the NoC: a good
 * witness for determinism. */
#include <talus/device/barrier.h>
#include <talus/device/kernel.h>
#include <talus/device/memory.h>

struct busy_args {
    uint64_t source;
    uint64_t destination;
    uint32_t bytes; /* per PE; at most 64 KiB */
    uint32_t rounds;
};

TALUS_KERNEL void kernel_main(const struct talus_launch* launch) {
    const struct busy_args* args = launch->args;
    const uint64_t share = ((uint64_t)launch->row * launch->cols + launch->col) * args->bytes;
    const uint32_t buffer = 0x10000;
    if (launch->core == TALUS_CORE_A) {
        for (uint32_t round = 0; round < args->rounds; ++round) {
            talus_context_set01(0, talus_direct_operand(buffer), 0);
            talus_dma_in(0, args->source + share, args->bytes, 1);
            talus_drain(1u << TALUS_UNIT_FI_IN);
            talus_dma_out(0, args->destination + share, args->bytes, 1);
            talus_drain(1u << TALUS_UNIT_FI_OUT);
        }
    }
    talus_core_barrier(launch);
    if (launch->core == TALUS_CORE_B) {
        const uint8_t* data = talus_local_pointer(buffer);
        uint64_t sum = 0;
        for (uint32_t i = 0; i < args->bytes; ++i)
            sum += data[i];
        uint64_t* result =
            (uint64_t*)(launch->record + __builtin_offsetof(struct talus_job_record, result));
        __atomic_fetch_add(result, sum, __ATOMIC_RELAXED);
    }
}
