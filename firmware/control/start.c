#include "start.h"

#include "../common/mmio.h"
#include "../common/post_codes.h"
#include "control.h"
#include "mailbox.h"
#include "talus/hw/registers.h"
#include "talus/hw/status.h"
#include "talus/hw/work.h"

static volatile struct talus_pe_boot* boot_area(void) {
    return bus_pointer(TALUS_CONTROL_SRAM_BASE + TALUS_PE_BOOT_OFFSET);
}

static uint64_t pe_entry_of(const struct talus_image_header* image) {
    for (unsigned i = 0; i < image->segment_count; ++i) {
        if (image->segments[i].kind == TALUS_SEGMENT_PE && image->segments[i].entry != 0)
            return image->segments[i].entry;
    }
    return 0; /* the ROM refuses such an image */
}

void start_pes(struct control* control, const struct talus_image_header* image) {
    volatile struct talus_pe_boot* boot = boot_area();
    const uint32_t count = control->chip.rows * control->chip.cols;
    const struct grid_rect all = {0, 0, (uint8_t)control->chip.rows, (uint8_t)control->chip.cols};
    boot->waiting = count;
    for (uint32_t pe = 0; pe < count; ++pe)
        boot->alive[pe] = 0;
    grid_init(&control->grid, CONTROL_BLOCK(GRID), control->chip.rows, control->chip.cols,
              pe_entry_of(image));
    control->boot_deadline = clock_now() + (uint64_t)PE_START_US * control->chip.clock_khz / 1000;
    bus_fence();
    control_set_state(control, TALUS_BOOT_STARTING, POST_CONTROL_PES);
    grid_restart(&control->grid, grid_code(all));
}

void start_poll(struct control* control) {
    if (control->boot_state != TALUS_BOOT_STARTING || boot_area()->waiting != 0)
        return;
    control_set_state(control, TALUS_BOOT_READY, POST_CONTROL_READY);
    log_line(&control->log, "ready");
    mailbox_poll(control);
}

void start_expire(struct control* control, uint64_t now) {
    const volatile struct talus_pe_boot* boot = boot_area();
    if (control->boot_state != TALUS_BOOT_STARTING || now < control->boot_deadline)
        return;
    for (uint32_t pe = 0; pe < control->chip.rows * control->chip.cols; ++pe) {
        if (boot->alive[pe] != TALUS_PE_ALIVE)
            log_line(&control->log, "PE %u did not start", pe);
    }
    mmio_write32(CONTROL_BLOCK(HOSTIF) + HOSTIF_FAIL_CODE, TALUS_PE_BOOT);
    control_set_state(control, TALUS_BOOT_FAILED, POST_CONTROL_PE_BOOT);
    mailbox_poll(control);
}
