#include "controller.h"

#include "../common/mmio.h"
#include "../common/post_codes.h"
#include "control.h"
#include "talus/hw/registers.h"

#define PAGE_BYTES 4096u

static void set_status(const struct control* control, uint32_t status) {
    (void)control;
    mmio_write32(CONTROL_BLOCK(HOSTIF) + HOSTIF_CTRL_STATUS, status);
}

static bool admin_config_valid(const struct queue_config* config) {
    return config->entries >= 2 && config->entries <= TALUS_MAX_QUEUE_ENTRIES &&
           (config->entries & (config->entries - 1)) == 0 && config->vector < TALUS_MSIX_VECTORS &&
           config->sq_iova % PAGE_BYTES == 0 && config->cq_iova % PAGE_BYTES == 0;
}

static void enable(struct control* control) {
    const uint64_t hostif = CONTROL_BLOCK(HOSTIF);
    const struct queue_config config = {
        .sq_iova = mmio_read64(hostif + HOSTIF_ASQ),
        .cq_iova = mmio_read64(hostif + HOSTIF_ACQ),
        .entries = mmio_read32(hostif + HOSTIF_AQ_ENTRIES),
        .vector = mmio_read32(hostif + HOSTIF_AQ_VECTOR),
        .domain = 0,
        .irq_enable = 1,
    };
    if (!admin_config_valid(&config)) {
        log_line(&control->log, "admin queue refused: %u entries at 0x%X, 0x%X, vector %u",
                 config.entries, config.sq_iova, config.cq_iova, config.vector);
        set_status(control, TALUS_STATUS_FATAL);
        return;
    }
    queues_open(control, TALUS_QUEUE_ADMIN, &config, 0);
    control->controller = CONTROLLER_ON;
    control_set_state(control, TALUS_BOOT_READY, POST_CONTROL_ENABLED);
    set_status(control, TALUS_STATUS_RDY);
}

/* Stops all work; the end of it waits for the DMA engines. */
static void stop(struct control* control) {
    queue_engine_set_shadow(&control->engine, 0, 0);
    launch_drop_all(control);
    dma_orphan_all(&control->dma);
    queues_drop_all(control);
    windows_close(&control->windows, &control->engine);
    control->controller = CONTROLLER_STOPPING;
}

void controller_settle(struct control* control) {
    if (control->controller != CONTROLLER_STOPPING || !dma_idle(&control->dma))
        return;
    queue_engine_init(&control->engine, control->engine.base, control->engine.inbox,
                      control->engine.outbox);
    control->controller = CONTROLLER_OFF;
    control_set_state(control, TALUS_BOOT_READY, POST_CONTROL_READY);
    set_status(control, 0);
    controller_interrupt(control); /* the host may have asked to enable again meanwhile */
}

void controller_interrupt(struct control* control) {
    const uint32_t wanted = mmio_read32(CONTROL_BLOCK(HOSTIF) + HOSTIF_CTRL_ENABLE) & 1u;
    if (wanted != 0 && control->controller == CONTROLLER_OFF &&
        control->boot_state == TALUS_BOOT_READY)
        enable(control);
    else if (wanted == 0 && control->controller == CONTROLLER_ON)
        stop(control);
    else if (wanted == 0 && control->controller == CONTROLLER_OFF)
        set_status(control, 0); /* clears a refused enable */
}

void controller_reset(struct control* control) {
    log_line(&control->log, "function-level reset");
    if (control->controller == CONTROLLER_ON)
        stop(control);
}
