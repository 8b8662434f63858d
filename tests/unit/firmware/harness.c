#include "harness.h"

#include <string.h>

#include "../../../firmware/common/csr.h"
#include "talus/hw/interrupts.h"
#include "talus/hw/registers.h"

struct control g_control;
struct talus_image_header g_image;
static uint32_t g_taken;
static uint16_t g_sq_head[TALUS_MAX_QUEUES];

void interrupt(uint32_t source) {
    bus_set(SYS(INTC) + INTC_PENDING, bus_get(SYS(INTC) + INTC_PENDING) | 1u << source);
    control_step(&g_control, MIP_MEIP);
}

void software_interrupt(void) {
    bus_set(SYS(CLINT) + CLINT_MSIP, 1);
    control_step(&g_control, MIP_MSIP);
    assert_int_equal(bus_get(SYS(CLINT) + CLINT_MSIP), 0);
}

void timer(uint64_t now) {
    bus_set_clock(now);
    control_step(&g_control, MIP_MTIP);
}

void boot(void) {
    memset(&g_image, 0, sizeof(g_image));
    g_image.version[0] = 3;
    g_image.version[1] = 2;
    g_image.version[2] = 1;
    g_image.segment_count = 2;
    g_image.segments[0].kind = TALUS_SEGMENT_CONTROL;
    g_image.segments[1].kind = TALUS_SEGMENT_PE;
    g_image.segments[1].entry = TALUS_LLS_BASE + 64;
    bus_set(SYS(INFO) + INFO_GENERATION, 2);
    bus_set(SYS(INFO) + INFO_ROWS, 8);
    bus_set(SYS(INFO) + INFO_COLS, 8);
    bus_set(SYS(INFO) + INFO_CLOCK_KHZ, 1350000);
    bus_set(SYS(INFO) + INFO_LLS_BYTES_LO, 0x08000000);
    bus_set(SYS(INFO) + INFO_DRAM_BYTES_HI, 0x10);
    bus_set(SYS(INFO) + INFO_SERIAL_LO, 0x89abcdef);
    bus_set(SYS(INFO) + INFO_SERIAL_HI, 0x01234567);
    bus_set(SYS(UART) + UART_STATUS, 1);
    control_init(&g_control, &g_image);
}

void enable(void) {
    struct talus_pe_boot* pes = bus_memory(TALUS_CONTROL_SRAM_BASE + TALUS_PE_BOOT_OFFSET);
    assert_int_equal(pes->waiting, 64);
    pes->waiting = 0;
    software_interrupt();
    assert_int_equal(bus_get(SYS(HOSTIF) + HOSTIF_BOOT_STATE), TALUS_BOOT_READY);
    bus_set(SYS(HOSTIF) + HOSTIF_ASQ, 0x10000);
    bus_set(SYS(HOSTIF) + HOSTIF_ACQ, 0x20000);
    bus_set(SYS(HOSTIF) + HOSTIF_AQ_ENTRIES, 64);
    bus_set(SYS(HOSTIF) + HOSTIF_CTRL_ENABLE, 1);
    interrupt(TALUS_IRQ_CONTROLLER);
    assert_int_equal(bus_get(SYS(HOSTIF) + HOSTIF_CTRL_STATUS), TALUS_STATUS_RDY);
}

int boot_and_enable(void** state) {
    (void)state;
    bus_reset();
    g_taken = 0;
    memset(g_sq_head, 0, sizeof(g_sq_head));
    boot();
    timer(0); /* the first heartbeat */
    enable();
    return 0;
}

void submit(uint16_t qid, const struct talus_sqe* sqe) {
    const uint32_t tail = (uint32_t)bus_get(SYS(QE) + QE_INBOX_TAIL);
    struct talus_inbox_slot* slots = bus_memory(TALUS_CONTROL_SRAM_BASE + TALUS_INBOX_OFFSET);
    struct talus_inbox_slot slot = {.sqe = *sqe, .admitted = 1000 + tail, .qid = qid};
    if (qid < TALUS_MAX_QUEUES)
        slot.sq_head = ++g_sq_head[qid];
    slots[tail % TALUS_INBOX_SLOTS] = slot;
    bus_set(SYS(QE) + QE_INBOX_TAIL, tail + 1);
}

void deliver(void) {
    interrupt(TALUS_IRQ_INBOX);
    assert_int_equal(bus_get(SYS(QE) + QE_INBOX_HEAD), bus_get(SYS(QE) + QE_INBOX_TAIL));
}

unsigned completions(void) {
    return (uint32_t)bus_get(SYS(QE) + QE_OUTBOX_TAIL) - g_taken;
}

struct talus_outbox_slot completion(void) {
    const struct talus_outbox_slot* slots =
        bus_memory(TALUS_CONTROL_SRAM_BASE + TALUS_OUTBOX_OFFSET);
    if (completions() == 0)
        fail_msg("no completion was posted");
    return slots[g_taken++ % TALUS_OUTBOX_SLOTS];
}

uint16_t run(uint16_t qid, struct talus_sqe sqe) {
    sqe.flags |= TALUS_SQE_BATCH_END;
    submit(qid, &sqe);
    deliver();
    const struct talus_outbox_slot slot = completion();
    assert_int_equal(slot.cqe.qid, qid);
    assert_int_equal(slot.cqe.cid, sqe.cid);
    assert_int_equal(completions(), 0);
    return TALUS_STATUS_BASE(slot.cqe.status >> 1);
}

void create_queue(uint16_t qid) {
    struct talus_sqe sqe = {.opcode = TALUS_ADMIN_CREATE_QUEUE, .cid = qid};
    sqe.u.create_queue.qid = qid;
    sqe.u.create_queue.sq_iova = 0x100000;
    sqe.u.create_queue.cq_iova = 0x200000;
    sqe.u.create_queue.entries = 256;
    g_sq_head[qid] = 0;
    assert_int_equal(run(TALUS_QUEUE_ADMIN, sqe), TALUS_OK);
}

void finish_dma(unsigned channel, uint16_t status) {
    bus_set(SYS(DMA) + channel * DMA_STRIDE + DMA_STATUS, TALUS_DMA_DONE | (uint32_t)status << 16);
    interrupt(TALUS_IRQ_DMA0 + channel);
    bus_set(SYS(DMA) + channel * DMA_STRIDE + DMA_STATUS, TALUS_DMA_BUSY);
}

volatile struct talus_job_record* record(unsigned job) {
    return (struct talus_job_record*)bus_memory(TALUS_CONTROL_SRAM_BASE + TALUS_JOBS_OFFSET) + job;
}

unsigned launches(void) {
    return bus_writes_to(SYS(GRID) + GRID_LAUNCH);
}

struct talus_sqe sqe_nop(uint16_t cid) {
    const struct talus_sqe sqe = {.opcode = TALUS_IO_NOP, .cid = cid};
    return sqe;
}

struct talus_sqe sqe_copy(uint16_t cid) {
    struct talus_sqe sqe = {.opcode = TALUS_IO_COPY, .cid = cid};
    sqe.u.copy.host = 0x7000;
    sqe.u.copy.device = TALUS_DRAM_BASE + 0x100;
    sqe.u.copy.bytes = 333;
    sqe.u.copy.kind = TALUS_COPY_H2D;
    return sqe;
}

struct talus_sqe sqe_launch(uint16_t cid, uint8_t row0, uint8_t col0, uint8_t rows, uint8_t cols) {
    struct talus_sqe sqe = {.opcode = TALUS_IO_LAUNCH, .cid = cid};
    sqe.u.launch.entry = TALUS_LLS_BASE + TALUS_LLS_FIRMWARE_SIZE + 0x40;
    sqe.u.launch.args = TALUS_DRAM_BASE + 0x1000;
    sqe.u.launch.args_bytes = 100;
    sqe.u.launch.row0 = row0;
    sqe.u.launch.col0 = col0;
    sqe.u.launch.rows = rows;
    sqe.u.launch.cols = cols;
    return sqe;
}
