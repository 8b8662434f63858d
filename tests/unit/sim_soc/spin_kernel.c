/* Both cores of every PE run for ever: the job ends by its time limit only. */
#include <talus/device/kernel.h>

TALUS_KERNEL void kernel_main(const struct talus_launch* launch) {
    (void)launch;
    for (;;)
        __asm__ volatile("");
}
