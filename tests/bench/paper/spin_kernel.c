/* Returns at once, or with any argument block runs for ever on both cores of every PE. */
#include <talus/device/kernel.h>

TALUS_KERNEL void kernel_main(const struct talus_launch* launch) {
    while (launch->args != 0)
        __asm__ volatile("");
}
