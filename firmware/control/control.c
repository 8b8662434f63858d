#include "control.h"

#include "../common/csr.h"
#include "../common/memory.h"
#include "../common/mmio.h"
#include "../common/post_codes.h"
#include "controller.h"
#include "copy.h"
#include "ecc.h"
#include "mailbox.h"
#include "start.h"
#include "talus/hw/interrupts.h"
#include "talus/hw/registers.h"

#define TIMER_OFF (~0ull)

/* The command pool, between the image and the stacks; outside the image, because it needs no
 * clearing. */
#define POOL_OFFSET 0x200000u
#define STACK_OFFSET 0x3f0000u
TALUS_STATIC_ASSERT(POOL_OFFSET + COMMAND_POOL * sizeof(struct command) <= STACK_OFFSET,
                    "the command pool ends before the stacks");

static uint64_t read_pair(uint64_t low) {
    return mmio_read32(low) | (uint64_t)mmio_read32(low + 4) << 32;
}

static void read_chip(struct chip* chip, const struct talus_image_header* image) {
    const uint64_t info = CONTROL_BLOCK(INFO);
    chip->generation = mmio_read32(info + INFO_GENERATION);
    chip->rows = mmio_read32(info + INFO_ROWS);
    chip->cols = mmio_read32(info + INFO_COLS);
    chip->clock_khz = mmio_read32(info + INFO_CLOCK_KHZ);
    chip->lls_base = TALUS_LLS_BASE + TALUS_LLS_FIRMWARE_SIZE;
    chip->lls_bytes = read_pair(info + INFO_LLS_BYTES_LO) - TALUS_LLS_FIRMWARE_SIZE;
    chip->dram_base = TALUS_DRAM_BASE;
    chip->dram_bytes = read_pair(info + INFO_DRAM_BYTES_LO);
    chip->serial = read_pair(info + INFO_SERIAL_LO);
    for (unsigned i = 0; i < 3; ++i)
        chip->version[i] = image->version[i];
}

void control_set_state(struct control* control, enum talus_boot_state state, uint32_t post_code) {
    control->boot_state = state;
    mmio_write32(CONTROL_BLOCK(HOSTIF) + HOSTIF_POST_CODE, post_code);
    mmio_write32(CONTROL_BLOCK(HOSTIF) + HOSTIF_BOOT_STATE, state);
}

void control_init(struct control* control, const struct talus_image_header* image) {
    const uint64_t sram = TALUS_CONTROL_SRAM_BASE;
    memset(control, 0, sizeof(*control));
    windows_init(&control->windows);
    control->timer = TIMER_OFF;
    control_set_state(control, TALUS_BOOT_STARTING, POST_CONTROL_START);
    read_chip(&control->chip, image);
    log_init(&control->log, CONTROL_BLOCK(UART), CONTROL_BLOCK(HOSTIF),
             TALUS_STAGING_BASE + TALUS_STAGING_LOG_OFFSET, TALUS_STAGING_LOG_SIZE,
             control->chip.clock_khz);
    log_line(&control->log, "talus firmware %u.%u.%u, %u x %u PEs, %u kHz",
             (uint32_t)image->version[0], (uint32_t)image->version[1], (uint32_t)image->version[2],
             control->chip.rows, control->chip.cols, control->chip.clock_khz);
    queue_engine_init(&control->engine, CONTROL_BLOCK(QE), sram + TALUS_INBOX_OFFSET,
                      sram + TALUS_OUTBOX_OFFSET);
    dma_init(&control->dma, CONTROL_BLOCK(DMA));
    queues_init(&control->queues, bus_pointer(sram + POOL_OFFSET), COMMAND_POOL);
    launch_init(&control->jobs);
    heartbeat_init(&control->heartbeat, CONTROL_BLOCK(HOSTIF), control->chip.clock_khz,
                   clock_now());
    start_pes(control, image);
    mmio_write32(CONTROL_BLOCK(INTC) + INTC_ENABLE, (1u << TALUS_IRQ_COUNT) - 1u);
}

/* Sources of the interrupt controller. */
struct event_entry {
    uint32_t source;
    void (*handle)(struct control* control);
};

static void handle_dma0(struct control* control) {
    copy_interrupt(control, 0);
}
static void handle_dma1(struct control* control) {
    copy_interrupt(control, 1);
}
static void handle_dma2(struct control* control) {
    copy_interrupt(control, 2);
}
static void handle_dma3(struct control* control) {
    copy_interrupt(control, 3);
}

static void handle_uart(struct control* control) {
    (void)control;
    (void)mmio_read32(CONTROL_BLOCK(UART) + UART_RX); /* nothing listens; takes the level down */
}

/* In the order in which they are handled: a reset before what it resets, then new work first,
 * because its latency is what hosts feel. */
static const struct event_entry kEvents[] = {
    {TALUS_IRQ_FLR, controller_reset},
    {TALUS_IRQ_INBOX, queues_receive},
    {TALUS_IRQ_DMA0, handle_dma0},
    {TALUS_IRQ_DMA1, handle_dma1},
    {TALUS_IRQ_DMA2, handle_dma2},
    {TALUS_IRQ_DMA3, handle_dma3},
    {TALUS_IRQ_ECC, ecc_interrupt},
    {TALUS_IRQ_GRID, launch_deadlock},
    {TALUS_IRQ_CONTROLLER, controller_interrupt},
    {TALUS_IRQ_MAILBOX, mailbox_poll},
    {TALUS_IRQ_OUTBOX, queues_outbox_drained},
    {TALUS_IRQ_UART, handle_uart},
};

static void handle_external(struct control* control) {
    const uint64_t intc = CONTROL_BLOCK(INTC);
    const uint32_t pending = mmio_read32(intc + INTC_PENDING);
    /* Acknowledged before it is handled: what happens meanwhile raises it again. */
    mmio_write32(intc + INTC_PENDING, pending);
    for (unsigned i = 0; i < sizeof(kEvents) / sizeof(kEvents[0]); ++i) {
        if ((pending >> kEvents[i].source & 1) != 0)
            kEvents[i].handle(control);
    }
}

static void handle_timer(struct control* control) {
    const uint64_t now = clock_now();
    heartbeat_poll(&control->heartbeat, now);
    launch_expire(control, now);
    start_expire(control, now);
}

static void arm_timer(struct control* control) {
    uint64_t next = control->heartbeat.next;
    const uint64_t job = launch_next_deadline(control);
    next = job < next ? job : next;
    if (control->boot_state == TALUS_BOOT_STARTING && control->boot_deadline < next)
        next = control->boot_deadline;
    if (next != control->timer) {
        control->timer = next;
        mmio_write64(CONTROL_BLOCK(CLINT) + CLINT_MTIMECMP, next);
    }
}

void control_step(struct control* control, uint64_t mip) {
    if ((mip & MIP_MSIP) != 0) {
        mmio_write32(CONTROL_BLOCK(CLINT) + CLINT_MSIP, 0);
        launch_poll(control);
        start_poll(control);
    }
    if ((mip & MIP_MEIP) != 0)
        handle_external(control);
    if ((mip & MIP_MTIP) != 0)
        handle_timer(control);
    queues_settle(control);
    controller_settle(control);
    arm_timer(control);
    log_pump(&control->log);
}
