/* Device side of the control firmware: the event loop, the way back to the ROM, panic. */
#include "../common/csr.h"
#include "../common/mmio.h"
#include "../common/post_codes.h"
#include "control.h"
#include "talus/hw/interrupts.h"
#include "talus/hw/registers.h"
#include "talus/hw/status.h"

struct trap_frame {
    uint64_t x[32]; /* x[0] unused */
};

void control_main(const struct talus_image_header* image);
void control_panic(const struct trap_frame* frame);

static struct control g_control;

/* The end: the host sees why, and that nothing works any more. */
static void tell_panic(uint16_t why) {
    mmio_write32(CONTROL_BLOCK(HOSTIF) + HOSTIF_POST_CODE, POST_CONTROL_PANIC);
    mmio_write32(CONTROL_BLOCK(HOSTIF) + HOSTIF_FAIL_CODE, why);
    mmio_write32(CONTROL_BLOCK(HOSTIF) + HOSTIF_CTRL_STATUS, TALUS_STATUS_FATAL);
    mmio_write32(CONTROL_BLOCK(HOSTIF) + HOSTIF_BOOT_STATE, TALUS_BOOT_PANIC);
    CSR_WRITE(mie, 0);
}

void control_main(const struct talus_image_header* image) {
    control_init(&g_control, image);
    CSR_WRITE(mie, MIP_MSIP | MIP_MTIP | MIP_MEIP);
    control_step(&g_control, 0);
    /* mstatus.MIE stays 0: interrupts end the sleep and are never taken, so nothing runs beside the
     * loop. */
    while (!g_control.back_to_rom) {
        wait_for_interrupt();
        control_step(&g_control, CSR_READ(mip));
        if (g_control.memory_lost) {
            tell_panic(TALUS_MEMORY_ERROR);
            log_line(&g_control.log, "panic: the firmware's own memory is damaged");
            log_drain(&g_control.log);
            for (;;)
                wait_for_interrupt();
        }
    }
    CSR_WRITE(mie, 0);
    ((void (*)(void))TALUS_ROM_BASE)();
}

/* A trap in the control firmware is a defect, or memory that it needs has gone bad. Leave
 * everything as it is for a debugger, say what is known, and stop. */
void control_panic(const struct trap_frame* frame) {
    static const char* const names[32] = {"",   "ra", "sp",  "gp",  "tp", "t0", "t1", "t2",
                                          "s0", "s1", "a0",  "a1",  "a2", "a3", "a4", "a5",
                                          "a6", "a7", "s2",  "s3",  "s4", "s5", "s6", "s7",
                                          "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6"};
    struct log* log = &g_control.log;
    tell_panic(CSR_READ(mcause) == TALUS_CAUSE_HARDWARE_ERROR ? TALUS_MEMORY_ERROR
                                                              : TALUS_CONTROL_PANIC);
    if (log->capacity != 0) {
        for (unsigned i = 1; i < 29; i += 4)
            log_line(log, "%s 0x%X %s 0x%X %s 0x%X %s 0x%X", names[i], frame->x[i], names[i + 1],
                     frame->x[i + 1], names[i + 2], frame->x[i + 2], names[i + 3], frame->x[i + 3]);
        log_line(log, "%s 0x%X %s 0x%X %s 0x%X", names[29], frame->x[29], names[30], frame->x[30],
                 names[31], frame->x[31]);
        /* Last, because drivers show the last line. */
        log_line(log, "panic: cause %U pc 0x%X tval 0x%X", CSR_READ(mcause), CSR_READ(mepc),
                 CSR_READ(mtval));
        log_drain(log);
    }
    for (;;)
        wait_for_interrupt();
}
