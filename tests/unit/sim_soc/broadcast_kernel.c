/* Every PE reads the same bytes by a broadcast over its row, adds them up, and adds the sum to the
 * job's result word; unless PE (0, 0) does what `mode` says. */
#include <talus/device/barrier.h>
#include <talus/device/kernel.h>
#include <talus/device/memory.h>

enum { ALL, ABSENT, DIFFERENT, LATE };
#define BYTES 4096u

struct broadcast_args {
    uint64_t source;
    uint32_t mode;
    uint32_t reserved[13];
};

TALUS_KERNEL void kernel_main(const struct talus_launch* launch) {
    const struct broadcast_args* args = launch->args;
    if (launch->core == TALUS_CORE_B)
        return;
    const int odd_one = launch->row == 0 && launch->col == 0;
    if (odd_one && args->mode == ABSENT)
        return;
    while (odd_one && args->mode == LATE)
        __asm__ volatile("");
    talus_context_set01(0, talus_direct_operand(0), 0);
    talus_context_set(0, 2, TALUS_BROADCAST_ROW);
    talus_broadcast(0, args->source + (odd_one && args->mode == DIFFERENT ? 64 : 0), BYTES, 1);
    talus_drain(1u << TALUS_UNIT_FI_IN);
    const uint8_t* data = talus_local_pointer(0);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < BYTES; ++i)
        sum += data[i];
    talus_result_add(launch, sum);
}
