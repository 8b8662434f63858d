/* Dispatch: core A takes work descriptors from the PE's work queue, both cores run the kernel, core
 * A joins and reports. The cores wake each other by PE_PEER_INTERRUPT: A sets B's bit to start, B
 * sets A's bit when it is done. The two alternate strictly, so each writes the whole register. */
#include "runtime.h"

#include "../common/csr.h"
#include "../common/mmio.h"
#include "talus/device/cp.h"
#include "talus/hw/interrupts.h"
#include "talus/hw/queue.h"

#define MIP_WORK (1ull << TALUS_LIRQ_WORK)
#define MIP_CP_FAULT (1ull << TALUS_LIRQ_CP_FAULT)
#define MIP_PEER (1ull << TALUS_LIRQ_PEER)

#define WAKE_A (1u << TALUS_CORE_A)
#define WAKE_B (1u << TALUS_CORE_B)

struct runtime g_runtime;
uint64_t g_saved_sp[TALUS_CORES_PER_PE];

/* Sleeps until the local interrupt is pending. */
static void sleep_until(uint64_t interrupt) {
    CSR_WRITE(mie, interrupt);
    while ((CSR_READ(mip) & interrupt) == 0)
        wait_for_interrupt();
}

static const struct talus_wq_slot* slot_at(uint32_t index) {
    return (const struct talus_wq_slot*)(TALUS_LOCAL_BASE + TALUS_LOCAL_WQ_OFFSET +
                                         (uint64_t)(index % TALUS_WQ_SLOTS) * TALUS_WQ_SLOT_BYTES);
}

static void build_launch(const struct talus_wq_slot* slot) {
    const uint32_t position = mmio_read32(PE_REGISTER(PE_POSITION));
    struct runtime* runtime = &g_runtime;
    const struct talus_launch launch = {
        .args = slot->work.args_bytes == 0 ? 0 : (const uint8_t*)slot + TALUS_WQ_ARGS_OFFSET,
        .args_bytes = slot->work.args_bytes,
        .core = TALUS_CORE_A,
        .row = (uint8_t)position,
        .col = (uint8_t)(position >> 8),
        .rows = slot->work.rows,
        .cols = slot->work.cols,
        .job = slot->work.job,
        .local_bytes = TALUS_LOCAL_KERNEL_BYTES,
        .record = slot->work.record,
    };
    runtime->launch[TALUS_CORE_A] = launch;
    runtime->launch[TALUS_CORE_B] = launch;
    runtime->launch[TALUS_CORE_B].core = TALUS_CORE_B;
    runtime->entry = slot->work.entry;
    runtime->record = slot->work.record;
}

/* The last word of each core's stack keeps a mark. It tells of an overflow after the fact: memory
 * protection would tell at once, but the stacks lie between memory that kernels use all the time.
 */
#define STACK_MARK 0x4b434154534c5554ull
static const uint32_t kStackEnd[TALUS_CORES_PER_PE] = {TALUS_LOCAL_STACK_A_TOP - 0x1000u,
                                                       TALUS_LOCAL_STACK_B_TOP - 0x2000u};

static volatile uint64_t* stack_mark(uint32_t core) {
    return (volatile uint64_t*)(TALUS_LOCAL_BASE + kStackEnd[core]);
}

/* The kernel on this core, until its commands are complete. A command's fault interrupts at any
 * point. */
static void run_kernel(uint32_t core) {
    CSR_WRITE(mie, MIP_CP_FAULT);
    CSR_WRITE(fcsr, 0);
    runtime_call_kernel(g_runtime.entry, &g_runtime.launch[core], &g_saved_sp[core]);
    /* After an exit the interrupts are off as in a trap handler. */
    __asm__ volatile("csrsi mstatus, 8" : : : "memory");
    talus_drain(TALUS_ALL_UNITS);
    __asm__ volatile("csrci mstatus, 8" : : : "memory");
    if (*stack_mark(core) != STACK_MARK)
        runtime_stack_overflow((uint64_t)stack_mark(core));
}

/* The job's text was pushed by DMA since this core last fetched from there. */
static void forget_text(void) {
    __asm__ volatile("fence.i" : : : "memory");
}

static void report_end(uint64_t record_address) {
    struct talus_job_record* record = (struct talus_job_record*)record_address;
    if (__atomic_fetch_sub(&record->pending, 1, __ATOMIC_ACQ_REL) == 1)
        mmio_write32(CONTROL_MSIP, 1);
}

static void run_job(uint32_t index) {
    const struct talus_wq_slot* slot = slot_at(index);
    const uint64_t record = slot->work.record;
    build_launch(slot);
    mmio_write32(PE_REGISTER(PE_PEER_INTERRUPT), WAKE_B);
    forget_text();
    if (g_runtime.launch[TALUS_CORE_A].row == 0 && g_runtime.launch[TALUS_CORE_A].col == 0)
        mmio_write64(record + offsetof(struct talus_job_record, started), clock_now());
    run_kernel(TALUS_CORE_A);
    sleep_until(MIP_PEER);
    mmio_write32(PE_REGISTER(PE_PEER_INTERRUPT), 0);
    /* The next kernel finds a clean CP. Before the report: the next job may follow at once. */
    g_runtime.record = 0;
    mmio_write32(PE_REGISTER(PE_CP_RESET), 1);
    mmio_write32(PE_REGISTER(PE_WQ_HEAD), index + 1);
    bus_fence();
    report_end(record);
}

static void report_start(void) {
    struct talus_pe_boot* boot =
        (struct talus_pe_boot*)(TALUS_CONTROL_SRAM_BASE + TALUS_PE_BOOT_OFFSET);
    mmio_write32((uint64_t)&boot->alive[mmio_read32(PE_REGISTER(PE_ID))], TALUS_PE_ALIVE);
    bus_fence();
    if (__atomic_fetch_sub(&boot->waiting, 1, __ATOMIC_ACQ_REL) == 1)
        mmio_write32(CONTROL_MSIP, 1);
}

_Noreturn void runtime_core_a(void) {
    runtime_log_init();
    *stack_mark(TALUS_CORE_A) = STACK_MARK;
    *stack_mark(TALUS_CORE_B) = STACK_MARK;
    mmio_write32(PE_REGISTER(PE_PEER_INTERRUPT), WAKE_B); /* out of start.S */
    sleep_until(MIP_PEER);                                /* core B is up */
    mmio_write32(PE_REGISTER(PE_PEER_INTERRUPT), 0);
    report_start();
    mmio_write32(PE_REGISTER(PE_WQ_READY),
                 1); /* nothing out of a domain's reach is used from here on */
    for (uint32_t index = mmio_read32(PE_REGISTER(PE_WQ_HEAD));; ++index) {
        sleep_until(MIP_WORK);
        run_job(index);
    }
}

_Noreturn void runtime_core_b(void) {
    for (;;) {
        mmio_write32(PE_REGISTER(PE_PEER_INTERRUPT), WAKE_A);
        sleep_until(MIP_PEER);
        mmio_write32(PE_REGISTER(PE_PEER_INTERRUPT), 0);
        forget_text();
        CSR_WRITE(vcsr, 0);
        run_kernel(TALUS_CORE_B);
    }
}
