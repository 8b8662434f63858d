/* Reads a range once, as fast as the memory gives it: piece after piece goes to PE after PE, and
 * nothing is done with what was read. */
#include <talus/device/barrier.h>
#include <talus/device/kernel.h>

#include "tests/bench/paper/stream_args.h"

TALUS_KERNEL void kernel_main(const struct talus_launch* launch) {
    const struct talus_stream_args* args = launch->args;
    const uint32_t depth = 256u * 1024;
    if (launch->core == TALUS_CORE_A)
        talus_cb_config(0, 0, depth);
    talus_core_barrier(launch);
    const uint64_t step = talus_pe_count(launch);
    if (launch->core == TALUS_CORE_A) {
        talus_context_set01(0, talus_cb_operand(0, 0, args->piece), TALUS_PAIR(0, 0));
        for (uint64_t i = talus_pe_index(launch); i < args->pieces; i += step)
            talus_dma_in(0, args->source + i * args->piece, args->piece, 1);
    } else {
        for (uint64_t i = talus_pe_index(launch); i < args->pieces; i += step) {
            (void)talus_cb_wait_data(0, args->piece);
            talus_cb_pop(0, args->piece);
        }
    }
}
