/* Device side of the boot ROM: interrupts, the jump, and traps. */
#include "../common/csr.h"
#include "../common/mmio.h"
#include "../common/post_codes.h"
#include "rom.h"
#include "talus/hw/address_map.h"
#include "talus/hw/contract_hash.h"
#include "talus/hw/interrupts.h"
#include "talus/hw/registers.h"
#include "talus/hw/status.h"

#define HOSTIF (TALUS_SYSTEM_BASE + TALUS_SYS_HOSTIF)
#define INTC (TALUS_SYSTEM_BASE + TALUS_SYS_INTC)

void rom_main(void);
void rom_trap(void);

static struct rom g_rom;

void rom_main(void) {
    mmio_write32(HOSTIF + HOSTIF_POST_CODE, POST_ROM_START);
    mmio_write32(INTC + INTC_ENABLE, 1u << TALUS_IRQ_MAILBOX);
    CSR_WRITE(mie, MIP_MEIP);
    rom_init(&g_rom, HOSTIF, TALUS_CONTRACT_HASH);
    for (;;) {
        /* Acknowledge before looking: a command that arrives meanwhile raises the interrupt again.
         */
        mmio_write32(INTC + INTC_PENDING, 1u << TALUS_IRQ_MAILBOX);
        rom_poll(&g_rom);
        if (g_rom.jump != 0)
            break;
        wait_for_interrupt();
    }
    CSR_WRITE(mie, 0);
    mmio_write32(INTC + INTC_ENABLE, 0);
    bus_fence();
    __asm__ volatile("fence.i" : : : "memory");
    ((void (*)(const struct talus_image_header*))g_rom.jump)(&g_rom.header);
}

/* A bus error while the image is copied, or a defect of the ROM. Only a fundamental reset helps. */
void rom_trap(void) {
    mmio_write32(HOSTIF + HOSTIF_POST_CODE, POST_ROM_TRAP);
    mmio_write32(HOSTIF + HOSTIF_FAIL_CODE, TALUS_CONTROL_PANIC);
    mmio_write32(HOSTIF + HOSTIF_BOOT_STATE, TALUS_BOOT_PANIC);
    CSR_WRITE(mie, 0);
    for (;;)
        wait_for_interrupt();
}
