/* Queues and jobs: order, batches, resources, faults, deadlines, abort, deletion. */
#include "harness.h"

#include <string.h>

#include "talus/hw/interrupts.h"
#include "talus/hw/perf.h"
#include "talus/hw/registers.h"

/* The PEs finish job `job`, or one of them faults. */
static void pes_finish(unsigned job, uint64_t started, uint64_t result) {
    record(job)->pending = 0;
    record(job)->started = started;
    record(job)->result = result;
    software_interrupt();
}

static void pe_faults(unsigned job, uint16_t status, uint32_t cause) {
    volatile struct talus_fault_record* fault = &record(job)->fault;
    record(job)->fault_claim = 1;
    fault->status = status;
    fault->row = 1;
    fault->col = 2;
    fault->core = TALUS_CORE_B;
    fault->cause = cause;
    fault->pc = 0x40100123;
    fault->tval = 0x55;
    fault->detail[3] = 99;
    fault->valid = TALUS_FAULT_VALID;
    software_interrupt();
}

static void submit_batch(uint16_t qid, struct talus_sqe* sqes, unsigned count) {
    sqes[count - 1].flags |= TALUS_SQE_BATCH_END;
    for (unsigned i = 0; i < count; ++i)
        submit(qid, &sqes[i]);
    deliver();
}

static void assert_completion(uint16_t qid, uint16_t cid, uint16_t status) {
    const struct talus_outbox_slot slot = completion();
    assert_int_equal(slot.cqe.qid, qid);
    assert_int_equal(slot.cqe.cid, cid);
    assert_int_equal(slot.cqe.status >> 1, status);
}

/* --- one job
 * ------------------------------------------------------------------------------------------- */

static void test_descriptor(void** state) {
    (void)state;
    create_queue(5);
    struct talus_sqe sqe = sqe_launch(3, 2, 4, 3, 2);
    bus_set_clock(100000);
    submit_batch(5, &sqe, 1);
    const uint64_t address =
        TALUS_CONTROL_SRAM_BASE + TALUS_JOBS_OFFSET + 5 * sizeof(struct talus_job_record);
    assert_int_equal(bus_get(SYS(GRID) + GRID_LAUNCH_RECT), 2 | 4 << 8 | 3 << 16 | 2 << 24);
    assert_int_equal(bus_get(SYS(GRID) + GRID_LAUNCH), address);
    assert_true(bus_last_write(SYS(GRID) + GRID_LAUNCH_RECT) <
                bus_last_write(SYS(GRID) + GRID_LAUNCH));
    const struct talus_work work = record(5)->work;
    assert_int_equal(work.entry, sqe.u.launch.entry);
    assert_int_equal(work.args, sqe.u.launch.args);
    assert_int_equal(work.args_bytes, 100);
    assert_int_equal(work.job, 5);
    assert_int_equal(work.row0, 2);
    assert_int_equal(work.col0, 4);
    assert_int_equal(work.rows, 3);
    assert_int_equal(work.cols, 2);
    assert_int_equal(work.record, address);
    assert_int_equal(record(5)->pending, 6);
    assert_int_equal(record(5)->fault_claim, 0);
    assert_int_equal(record(5)->result, 0);
    const uint32_t generation = work.generation;
    assert_int_equal(completions(), 0);
    software_interrupt(); /* of another job: nothing ends */
    assert_int_equal(completions(), 0);
    bus_set_clock(107000);
    pes_finish(5, 100900, 0xabcdef);
    const struct talus_outbox_slot slot = completion();
    assert_int_equal(slot.cqe.status, 0);
    assert_int_equal(slot.cqe.result, 0xabcdef);
    assert_int_equal(slot.cqe.detail, 900);
    assert_int_equal(slot.cqe.exec_cycles, 7000);
    assert_int_equal(slot.cqe.sq_head, 1);
    submit_batch(5, &sqe, 1);
    assert_int_not_equal(record(5)->work.generation, generation);
}

/* A job without arguments is a job. */
/* The counters are stored before the broadcast, and their difference when the PEs are done; not
 * when nobody asked, and not when the job failed. */
static void test_performance_record(void** state) {
    (void)state;
    const uint64_t sample =
        TALUS_CONTROL_SRAM_BASE + TALUS_PERF_OFFSET + 5 * TALUS_PERF_RECORD_BYTES;
    create_queue(5);
    struct talus_sqe sqe = sqe_launch(3, 2, 4, 3, 2);
    submit_batch(5, &sqe, 1);
    pes_finish(5, 0, 0);
    assert_completion(5, 3, TALUS_OK);
    assert_int_equal(bus_writes_to(SYS(GRID) + GRID_PERF_TO), 0);

    sqe.u.launch.perf = TALUS_DRAM_BASE + 0x1000;
    submit_batch(5, &sqe, 1);
    assert_int_equal(bus_get(SYS(GRID) + GRID_PERF_FROM), 0);
    assert_int_equal(bus_get(SYS(GRID) + GRID_PERF_TO), sample);
    assert_true(bus_last_write(SYS(GRID) + GRID_PERF_TO) < bus_last_write(SYS(GRID) + GRID_LAUNCH));
    pes_finish(5, 0, 0);
    assert_int_equal(bus_get(SYS(GRID) + GRID_LAUNCH_RECT), 2 | 4 << 8 | 3 << 16 | 2 << 24);
    assert_int_equal(bus_get(SYS(GRID) + GRID_PERF_FROM), sample);
    assert_int_equal(bus_get(SYS(GRID) + GRID_PERF_TO), TALUS_DRAM_BASE + 0x1000);
    assert_true(bus_last_write(SYS(GRID) + GRID_PERF_TO) <
                bus_last_write(SYS(QE) + QE_OUTBOX_TAIL));
    assert_completion(5, 3, TALUS_OK);

    submit_batch(5, &sqe, 1);
    const unsigned writes = bus_writes_to(SYS(GRID) + GRID_PERF_TO);
    pe_faults(5, TALUS_KERNEL_FAULT, 2);
    assert_completion(5, 3, TALUS_KERNEL_FAULT | TALUS_STATUS_MORE);
    sqe.u.launch.perf = 0; /* nor does what failed leave one for the next job */
    submit_batch(5, &sqe, 1);
    pes_finish(5, 0, 0);
    assert_completion(5, 3, TALUS_OK);
    assert_int_equal(bus_writes_to(SYS(GRID) + GRID_PERF_TO), writes);
}

static void test_no_arguments(void** state) {
    (void)state;
    create_queue(1);
    struct talus_sqe sqe = sqe_launch(3, 0, 0, 1, 1);
    sqe.u.launch.args = 0;
    sqe.u.launch.args_bytes = 0;
    submit_batch(1, &sqe, 1);
    assert_int_equal(launches(), 1);
}

/* --- order and batches
 * ----------------------------------------------------------------------------------- */

static void test_in_order(void** state) {
    (void)state;
    create_queue(1);
    struct talus_sqe batch[] = {sqe_copy(0), sqe_launch(1, 0, 0, 8, 8), sqe_nop(2), sqe_copy(3)};
    bus_set_clock(50);
    submit_batch(1, batch, 4);
    assert_int_equal(bus_writes_to(SYS(DMA) + DMA_START), 1);
    assert_int_equal(launches(), 0);
    bus_set_clock(1000);
    finish_dma(0, TALUS_OK);
    assert_completion(1, 0, TALUS_OK);
    assert_int_equal(launches(), 1);
    assert_int_equal(bus_writes_to(SYS(DMA) + DMA_START), 1);
    bus_set_clock(3000);
    pes_finish(1, 1600, 0);
    const struct talus_outbox_slot slot = completion();
    assert_int_equal(slot.cqe.cid, 1);
    /* Counted from the end of the command before, not from the receipt of the batch. */
    assert_int_equal(slot.cqe.detail, 600);
    assert_int_equal(slot.cqe.exec_cycles, 2000);
    assert_completion(1, 2, TALUS_OK);
    finish_dma(0, TALUS_OK);
    assert_completion(1, 3, TALUS_OK);
    assert_int_equal(completions(), 0);
}

static void test_failed_batch(void** state) {
    (void)state;
    create_queue(1);
    struct talus_sqe batch[] = {sqe_nop(0), sqe_copy(1), sqe_launch(2, 0, 0, 8, 8), sqe_nop(3)};
    submit_batch(1, batch, 4);
    struct talus_sqe next = sqe_nop(4);
    submit_batch(1, &next, 1);
    assert_completion(1, 0, TALUS_OK);
    finish_dma(0, TALUS_HOST_ACCESS);
    assert_completion(1, 1, TALUS_HOST_ACCESS);
    assert_completion(1, 2, TALUS_ABORTED);
    assert_completion(1, 3, TALUS_ABORTED);
    assert_completion(1, 4, TALUS_OK); /* the next batch executes */
    assert_int_equal(launches(), 0);
}

/* A batch whose rest arrives after the failure is aborted as well; its last entry may fail itself.
 */
static void test_failed_batch_arrives_late(void** state) {
    (void)state;
    create_queue(1);
    struct talus_sqe bad = sqe_copy(0);
    bad.u.copy.bytes = 0;
    submit(1, &bad);
    deliver();
    assert_completion(1, 0, TALUS_BAD_SIZE | TALUS_STATUS_DNR);
    struct talus_sqe rest[] = {sqe_nop(1), sqe_nop(2)};
    submit_batch(1, rest, 2);
    assert_completion(1, 1, TALUS_ABORTED);
    assert_completion(1, 2, TALUS_ABORTED);
    bad.flags = TALUS_SQE_BATCH_END;
    submit(1, &bad);
    deliver();
    assert_completion(1, 0, TALUS_BAD_SIZE | TALUS_STATUS_DNR);
    assert_int_equal(run(1, sqe_nop(5)), TALUS_OK);
}

/* --- several queues
 * ---------------------------------------------------------------------------------------- */

static void test_disjoint_jobs_run_side_by_side(void** state) {
    (void)state;
    create_queue(1);
    create_queue(2);
    struct talus_sqe left = sqe_launch(0, 0, 0, 8, 4);
    struct talus_sqe right = sqe_launch(0, 0, 4, 8, 4);
    submit_batch(1, &left, 1);
    submit_batch(2, &right, 1);
    assert_int_equal(launches(), 2);
    pes_finish(2, 1, 0);
    assert_completion(2, 0, TALUS_OK);
    pes_finish(1, 1, 0);
    assert_completion(1, 0, TALUS_OK);
}

/* Jobs on the same PEs run one after another, in the order in which they came; a later small one
 * does not overtake an earlier large one for ever. */
static void test_overlapping_jobs_wait(void** state) {
    (void)state;
    for (uint16_t qid = 1; qid <= 4; ++qid)
        create_queue(qid);
    struct talus_sqe left = sqe_launch(0, 0, 0, 8, 4);
    struct talus_sqe all = sqe_launch(0, 0, 0, 8, 8);
    struct talus_sqe right = sqe_launch(0, 0, 4, 8, 4);
    submit_batch(1, &left, 1);
    submit_batch(2, &all, 1);
    submit_batch(3, &right, 1);
    submit_batch(4, &left, 1);
    assert_int_equal(launches(), 1);
    pes_finish(1, 1, 0);
    assert_completion(1, 0, TALUS_OK);
    assert_int_equal(launches(), 2);
    assert_int_equal(record(2)->pending, 64);
    pes_finish(2, 1, 0);
    assert_completion(2, 0, TALUS_OK);
    assert_int_equal(launches(), 4);
    pes_finish(3, 1, 0);
    assert_completion(3, 0, TALUS_OK);
    pes_finish(4, 1, 0);
    assert_completion(4, 0, TALUS_OK);
}

static void test_more_copies_than_channels(void** state) {
    (void)state;
    struct talus_sqe copy = sqe_copy(0);
    for (uint16_t qid = 1; qid <= 6; ++qid) {
        create_queue(qid);
        submit_batch(qid, &copy, 1);
    }
    for (unsigned channel = 0; channel < TALUS_DMA_CHANNELS; ++channel)
        assert_int_equal(bus_writes_to(SYS(DMA) + channel * DMA_STRIDE + DMA_START), 1);
    finish_dma(2, TALUS_OK);
    assert_completion(3, 0, TALUS_OK);
    assert_int_equal(bus_writes_to(SYS(DMA) + 2 * DMA_STRIDE + DMA_START), 2); /* queue 5's */
    finish_dma(2, TALUS_OK);
    assert_completion(5, 0, TALUS_OK);
    finish_dma(2, TALUS_OK);
    assert_completion(6, 0, TALUS_OK);
}

/* --- failures
 * ------------------------------------------------------------------------------------------------
 */

static struct talus_fault_record get_fault(uint16_t qid) {
    struct talus_fault_record fault;
    struct talus_sqe sqe = {.opcode = TALUS_ADMIN_GET_FAULT, .flags = TALUS_SQE_BATCH_END};
    sqe.u.buffer.iova = 0x9000;
    sqe.u.buffer.bytes = sizeof(fault);
    sqe.u.buffer.qid = qid;
    submit(TALUS_QUEUE_ADMIN, &sqe);
    deliver();
    assert_int_equal(bus_get(SYS(DMA) + DMA_BYTES), sizeof(fault));
    memcpy(&fault, (const void*)(uintptr_t)bus_get(SYS(DMA) + DMA_DEVICE), sizeof(fault));
    finish_dma(0, TALUS_OK);
    assert_completion(TALUS_QUEUE_ADMIN, 0, TALUS_OK);
    return fault;
}

static void test_kernel_fault(void** state) {
    (void)state;
    create_queue(7);
    assert_int_equal(get_fault(7).valid, 0);
    struct talus_sqe batch[] = {sqe_launch(11, 4, 4, 2, 4), sqe_nop(12)};
    submit_batch(7, batch, 2);
    /* The PE left a word in its log. */
    struct talus_pe_log* log = bus_memory(
        TALUS_PE_WINDOW_BASE + (5 * 8 + 6) * TALUS_PE_WINDOW_STRIDE + TALUS_LOCAL_DATA_OFFSET);
    log->magic = TALUS_LOG_MAGIC;
    log->written = TALUS_PE_LOG_TEXT_BYTES + 3;
    memset(log->text, '.', sizeof(log->text));
    memcpy(log->text + TALUS_PE_LOG_TEXT_BYTES - 3, "why", 3);
    memcpy(log->text, "me?", 3);
    bus_set_clock(777);
    pe_faults(7, TALUS_KERNEL_FAULT, TALUS_TRAP_CB);
    assert_completion(7, 11, TALUS_KERNEL_FAULT | TALUS_STATUS_MORE);
    assert_completion(7, 12, TALUS_ABORTED);
    /* Its PEs start anew. */
    assert_int_equal(bus_get(SYS(GRID) + GRID_LAUNCH_RECT), 4 | 4 << 8 | 2 << 16 | 4 << 24);
    assert_int_equal(bus_writes_to(SYS(GRID) + GRID_PE_RESET), 4); /* boot: 2, now: 2 */
    assert_int_equal(bus_get(SYS(GRID) + GRID_PE_RESET), 0);
    const struct talus_fault_record fault = get_fault(7);
    assert_int_equal(fault.valid, TALUS_FAULT_VALID);
    assert_int_equal(fault.status, TALUS_KERNEL_FAULT);
    assert_int_equal(fault.row, 1);
    assert_int_equal(fault.col, 2);
    assert_int_equal(fault.core, TALUS_CORE_B);
    assert_int_equal(fault.cause, TALUS_TRAP_CB);
    assert_int_equal(fault.pc, 0x40100123);
    assert_int_equal(fault.tval, 0x55);
    assert_int_equal(fault.detail[3], 99);
    assert_int_equal(fault.qid, 7);
    assert_int_equal(fault.cid, 11);
    assert_int_equal(fault.job, 7);
    assert_int_equal(fault.kernel_entry, batch[0].u.launch.entry);
    assert_int_equal(fault.cycle, 777);
    const char* text =
        bus_memory(TALUS_STAGING_BASE + TALUS_STAGING_LOG_OFFSET + TALUS_LOG_TEXT_OFFSET);
    assert_non_null(strstr(text, "job of queue 7 command 11 failed"));
    assert_non_null(strstr(text, ".whyme?\n"));
    /* The PEs are free for the next job. */
    struct talus_sqe next = sqe_launch(13, 0, 0, 8, 8);
    submit_batch(7, &next, 1);
    pes_finish(7, 1000, 0);
    assert_completion(7, 13, TALUS_OK);
}

/* A record that a kernel filled with nonsense does not spread. */
static void test_hostile_fault_record(void** state) {
    (void)state;
    create_queue(1);
    struct talus_sqe sqe = sqe_launch(0, 0, 0, 1, 1);
    submit_batch(1, &sqe, 1);
    memset((void*)(uintptr_t)&record(1)->fault, 0xff, sizeof(struct talus_fault_record));
    record(1)->fault.valid = TALUS_FAULT_VALID;
    software_interrupt();
    assert_completion(1, 0, TALUS_KERNEL_FAULT | TALUS_STATUS_MORE);
    const struct talus_fault_record fault = get_fault(1);
    assert_int_equal(fault.row, 0);
    assert_int_equal(fault.col, 0);
    assert_int_equal(fault.qid, 1);
}

static void test_kernel_error(void** state) {
    (void)state;
    create_queue(1);
    struct talus_sqe sqe = sqe_launch(0, 0, 0, 8, 8);
    submit_batch(1, &sqe, 1);
    pe_faults(1, TALUS_KERNEL_ERROR, 42);
    assert_completion(1, 0, TALUS_KERNEL_ERROR | TALUS_STATUS_MORE);
    assert_int_equal(get_fault(1).cause, 42);
}

static void test_timeout(void** state) {
    (void)state;
    create_queue(1);
    struct talus_sqe sqe = sqe_launch(0, 0, 0, 8, 8);
    sqe.u.launch.timeout_us = 10;
    bus_set_clock(1000);
    submit_batch(1, &sqe, 1);
    const uint64_t deadline = 1000 + 13500;
    assert_int_equal(bus_get(SYS(CLINT) + CLINT_MTIMECMP), deadline);
    timer(deadline - 1);
    assert_int_equal(completions(), 0);
    timer(deadline);
    assert_completion(1, 0, TALUS_KERNEL_TIMEOUT | TALUS_STATUS_MORE);
    const struct talus_fault_record fault = get_fault(1);
    assert_int_equal(fault.status, TALUS_KERNEL_TIMEOUT);
    assert_int_equal(fault.core, TALUS_FAULT_CONTROL);
    assert_true(bus_get(SYS(CLINT) + CLINT_MTIMECMP) > deadline);
    software_interrupt(); /* a report that crossed the time-out */
    assert_int_equal(completions(), 0);
}

static void test_deadlock(void** state) {
    (void)state;
    create_queue(1);
    create_queue(2);
    struct talus_sqe sqe = sqe_launch(0, 0, 0, 1, 1);
    submit_batch(2, &sqe, 1);
    bus_set(SYS(GRID) + GRID_DEADLOCK_JOB, 1); /* no job of that number */
    interrupt(TALUS_IRQ_GRID);
    bus_set(SYS(GRID) + GRID_DEADLOCK_JOB, 0xffffffffu);
    interrupt(TALUS_IRQ_GRID);
    assert_int_equal(completions(), 0);
    bus_set(SYS(GRID) + GRID_DEADLOCK_JOB, 2);
    interrupt(TALUS_IRQ_GRID);
    assert_completion(2, 0, TALUS_KERNEL_DEADLOCK | TALUS_STATUS_MORE);
}

/* --- abort and deletion
 * ---------------------------------------------------------------------------------------- */

static uint64_t abort_command(uint16_t qid, uint16_t cid) {
    struct talus_sqe sqe = {.opcode = TALUS_ADMIN_ABORT, .cid = 60, .flags = TALUS_SQE_BATCH_END};
    sqe.u.buffer.qid = qid;
    sqe.u.buffer.cid = cid;
    submit(TALUS_QUEUE_ADMIN, &sqe);
    deliver();
    /* The aborted command's completion may come first. */
    struct talus_outbox_slot slot = completion();
    while (slot.cqe.qid != TALUS_QUEUE_ADMIN) {
        assert_int_equal(slot.cqe.status >> 1, TALUS_ABORTED);
        slot = completion();
    }
    assert_int_equal(slot.cqe.status >> 1, TALUS_OK);
    return slot.cqe.result;
}

/* The engine has stopped the queue: the job ends, but no completion would tell. */
static void test_abort_of_a_stopped_queue(void** state) {
    (void)state;
    create_queue(1);
    struct talus_sqe job = sqe_launch(5, 0, 0, 8, 8);
    submit_batch(1, &job, 1);
    bus_set(SYS(QE) + QE_QUEUE + QE_QUEUE_STRIDE + QEQ_ENABLE, 0);
    struct talus_sqe sqe = {.opcode = TALUS_ADMIN_ABORT, .cid = 60, .flags = TALUS_SQE_BATCH_END};
    sqe.u.buffer.qid = 1;
    sqe.u.buffer.cid = 5;
    const uint64_t before = g_control.log.written;
    submit(TALUS_QUEUE_ADMIN, &sqe);
    deliver();
    struct talus_outbox_slot slot = completion();
    if (slot.cqe.qid != TALUS_QUEUE_ADMIN)
        slot = completion();
    assert_int_equal(TALUS_STATUS_BASE(slot.cqe.status >> 1), TALUS_BAD_QUEUE);
    assert_true(g_control.log.written > before);
    assert_true(queues_current(&g_control, &g_control.queues.queue[1]) == 0);
    /* As long as it runs, abort says what became of the command. */
    bus_set(SYS(QE) + QE_QUEUE + QE_QUEUE_STRIDE + QEQ_ENABLE, 1);
    assert_int_equal(abort_command(1, 5), 1);
}

static void test_abort(void** state) {
    (void)state;
    create_queue(1);
    create_queue(2);
    assert_int_equal(abort_command(1, 5), 1); /* nothing to abort */
    /* A running job. */
    struct talus_sqe job = sqe_launch(5, 0, 0, 8, 8);
    submit_batch(1, &job, 1);
    struct talus_sqe other = sqe_launch(6, 0, 0, 1, 1);
    submit_batch(2, &other, 1);
    bus_forget_writes();
    assert_int_equal(abort_command(1, 5), 0);
    assert_int_equal(bus_writes_to(SYS(GRID) + GRID_PE_RESET), 2);
    assert_int_equal(launches(), 1); /* the other queue's job got the PEs */
    /* One that waits for PEs. */
    submit_batch(1, &job, 1);
    assert_int_equal(abort_command(1, 5), 0);
    assert_completion(1, 5, TALUS_ABORTED);
    /* A copy that moves data can't be stopped. */
    struct talus_sqe copy = sqe_copy(7);
    submit_batch(1, &copy, 1);
    assert_int_equal(abort_command(1, 7), 1);
    finish_dma(0, TALUS_OK);
    assert_completion(1, 7, TALUS_OK);
}

/* A command that waits in the list completes in its turn, and takes the rest of its batch along. */
static void test_abort_queued(void** state) {
    (void)state;
    create_queue(1);
    struct talus_sqe batch[] = {sqe_copy(1), sqe_nop(2), sqe_nop(3)};
    submit_batch(1, batch, 3);
    struct talus_sqe next = sqe_nop(4);
    submit_batch(1, &next, 1);
    assert_int_equal(abort_command(1, 2), 0);
    finish_dma(0, TALUS_OK);
    assert_completion(1, 1, TALUS_OK);
    assert_completion(1, 2, TALUS_ABORTED);
    assert_completion(1, 3, TALUS_ABORTED);
    assert_completion(1, 4, TALUS_OK);
}

static struct talus_sqe sqe_delete(uint16_t qid) {
    struct talus_sqe sqe = {
        .opcode = TALUS_ADMIN_DELETE_QUEUE, .cid = 50, .flags = TALUS_SQE_BATCH_END};
    sqe.u.buffer.qid = qid;
    return sqe;
}

static void test_delete(void** state) {
    (void)state;
    const uint64_t enable = SYS(QE) + QE_QUEUE + QE_QUEUE_STRIDE + QEQ_ENABLE;
    create_queue(1);
    assert_int_equal(run(TALUS_QUEUE_ADMIN, sqe_delete(2)), TALUS_BAD_QUEUE);
    assert_int_equal(run(TALUS_QUEUE_ADMIN, sqe_delete(0)), TALUS_BAD_QUEUE);
    struct talus_sqe batch[] = {sqe_copy(1), sqe_nop(2)};
    submit_batch(1, batch, 2);
    struct talus_sqe remove = sqe_delete(1);
    submit(TALUS_QUEUE_ADMIN, &remove);
    struct talus_sqe late = sqe_nop(3);
    submit(1, &late);
    deliver();
    assert_int_equal(completions(), 0); /* waits for the queue's commands */
    assert_int_equal(run(TALUS_QUEUE_ADMIN, sqe_delete(1)), TALUS_BAD_QUEUE);
    assert_int_equal(bus_get(enable), 1);
    finish_dma(0, TALUS_OK);
    assert_completion(1, 1, TALUS_OK);
    assert_completion(1, 2, TALUS_OK);
    assert_completion(1, 3, TALUS_QUEUE_DELETED);
    assert_completion(TALUS_QUEUE_ADMIN, 50, TALUS_OK);
    assert_int_equal(bus_get(enable), 0);
    /* Slots of the dead queue are dropped, and the number can be used again. */
    submit(1, &late);
    deliver();
    assert_int_equal(completions(), 0);
    create_queue(1);
    assert_int_equal(run(1, sqe_nop(8)), TALUS_OK);
}

/* A deletion that does not wait: what runs and waits is aborted, what moves data goes on to its end,
 * and a command that was still under way is refused. */
static void test_delete_aborts(void** state) {
    (void)state;
    create_queue(1);
    struct talus_sqe batch[] = {sqe_copy(1), sqe_launch(2, 0, 0, 8, 8), sqe_nop(3)};
    submit_batch(1, batch, 3);
    struct talus_sqe remove = sqe_delete(1);
    remove.u.buffer.cid = TALUS_DELETE_ABORT;
    submit(TALUS_QUEUE_ADMIN, &remove);
    struct talus_sqe late = sqe_nop(4);
    submit(1, &late);
    deliver();
    assert_int_equal(completions(), 0);
    finish_dma(0, TALUS_OK);
    assert_completion(1, 1, TALUS_OK);
    assert_completion(1, 2, TALUS_ABORTED);
    assert_completion(1, 3, TALUS_ABORTED);
    assert_completion(1, 4, TALUS_QUEUE_DELETED);
    assert_completion(TALUS_QUEUE_ADMIN, 50, TALUS_OK);
    create_queue(1);
    struct talus_sqe hung = sqe_launch(5, 0, 0, 8, 8);
    hung.flags = TALUS_SQE_BATCH_END;
    submit(1, &hung);
    deliver();
    assert_int_equal(completions(), 0);
    submit(TALUS_QUEUE_ADMIN, &remove);
    deliver();
    assert_completion(1, 5, TALUS_ABORTED);
    assert_completion(TALUS_QUEUE_ADMIN, 50, TALUS_OK);
    remove.u.buffer.cid = TALUS_DELETE_ABORT + 1;
    create_queue(1);
    assert_int_equal(run(TALUS_QUEUE_ADMIN, remove), TALUS_BAD_FIELD);
}

/* --- limits
 * ---------------------------------------------------------------------------------------------------
 */

/* A host that takes no completions stops its queues; nothing is lost and nobody waits in the
 * firmware. */
static void test_outbox_full(void** state) {
    (void)state;
    create_queue(1);
    create_queue(2);
    const uint32_t posted = (uint32_t)bus_get(SYS(QE) + QE_OUTBOX_TAIL);
    const unsigned before = completions();
    for (unsigned i = 0; i < 2 * TALUS_OUTBOX_SLOTS; ++i) {
        struct talus_sqe sqe = sqe_nop((uint16_t)i);
        sqe.flags = TALUS_SQE_BATCH_END;
        submit((uint16_t)(1 + i % 2), &sqe);
        if (i % 16 == 15)
            deliver();
    }
    assert_int_equal(completions() - before, TALUS_OUTBOX_SLOTS - posted);
    unsigned next[2] = {0, 1};
    for (unsigned taken = 0; taken < 2 * TALUS_OUTBOX_SLOTS;) {
        while (completions() != 0) {
            const struct talus_outbox_slot slot = completion();
            assert_int_equal(slot.cqe.cid, next[slot.cqe.qid - 1]);
            next[slot.cqe.qid - 1] += 2;
            ++taken;
        }
        bus_set(SYS(QE) + QE_OUTBOX_HEAD, bus_get(SYS(QE) + QE_OUTBOX_TAIL));
        interrupt(TALUS_IRQ_OUTBOX);
    }
    assert_int_equal(completions(), 0);
}

/* A queue's next job is launched before the completion of the last is written; what completes at
 * once is still written after it. */
static void test_replacement_comes_before_the_completion(void** state) {
    (void)state;
    create_queue(1);
    struct talus_sqe sqes[] = {sqe_launch(0, 0, 0, 8, 8), sqe_launch(1, 0, 0, 8, 8), sqe_nop(2)};
    submit_batch(1, sqes, 3);
    pes_finish(1, 0, 77);
    assert_true(bus_last_write(SYS(GRID) + GRID_LAUNCH) < bus_last_write(SYS(QE) + QE_OUTBOX_TAIL));
    assert_int_equal(completions(), 1);
    const struct talus_outbox_slot slot = completion();
    assert_int_equal(slot.cqe.cid, 0);
    assert_int_equal(slot.cqe.result, 77);
    pes_finish(1, 0, 0);
    assert_completion(1, 1, TALUS_OK);
    assert_completion(1, 2, TALUS_OK);
}

/* With the outbox full, the next job waits: its completion could have no place before the last
 * one's. */
static void test_no_replacement_before_a_full_outbox(void** state) {
    (void)state;
    create_queue(1);
    create_queue(2);
    struct talus_sqe jobs[] = {sqe_launch(0, 0, 0, 8, 8), sqe_launch(1, 0, 0, 8, 8)};
    submit_batch(1, jobs, 2);
    const uint32_t tail = (uint32_t)bus_get(SYS(QE) + QE_OUTBOX_TAIL);
    for (unsigned i = tail; i < TALUS_OUTBOX_SLOTS; ++i) {
        struct talus_sqe nop = sqe_nop((uint16_t)i);
        submit_batch(2, &nop, 1);
        completion();
    }
    const int launches = bus_last_write(SYS(GRID) + GRID_LAUNCH);
    pes_finish(1, 0, 0);
    assert_int_equal(completions(), 0);
    assert_int_equal(bus_last_write(SYS(GRID) + GRID_LAUNCH), launches);
    bus_set(SYS(QE) + QE_OUTBOX_HEAD, bus_get(SYS(QE) + QE_OUTBOX_TAIL));
    interrupt(TALUS_IRQ_OUTBOX);
    assert_completion(1, 0, TALUS_OK);
    assert_true(bus_last_write(SYS(GRID) + GRID_LAUNCH) > launches);
    pes_finish(1, 0, 0);
    assert_completion(1, 1, TALUS_OK);
}

/* When the pool of commands is used up, entries stay in the inbox and are taken later. */
static void test_pool_exhausted(void** state) {
    (void)state;
    create_queue(1);
    g_control.queues.pool_size = g_control.queues.pool_used + 3;
    struct talus_sqe copy = sqe_copy(0);
    const uint32_t start = (uint32_t)bus_get(SYS(QE) + QE_INBOX_TAIL);
    for (unsigned i = 0; i < 10; ++i) {
        copy.cid = (uint16_t)i;
        submit(1, &copy);
    }
    interrupt(TALUS_IRQ_INBOX);
    assert_true(bus_get(SYS(QE) + QE_INBOX_HEAD) - start < 10);
    for (unsigned i = 0; i < 10; ++i) {
        finish_dma(0, TALUS_OK);
        assert_completion(1, (uint16_t)i, TALUS_OK);
    }
    assert_int_equal(bus_get(SYS(QE) + QE_INBOX_HEAD), start + 10);
}

/* A slot that names a queue outside the contract is dropped. */
static void test_bad_queue_id(void** state) {
    (void)state;
    struct talus_sqe sqe = sqe_nop(1);
    submit(0xffff, &sqe);
    submit(17, &sqe);
    deliver();
    assert_int_equal(completions(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_descriptor, boot_and_enable),
        cmocka_unit_test_setup(test_performance_record, boot_and_enable),
        cmocka_unit_test_setup(test_no_arguments, boot_and_enable),
        cmocka_unit_test_setup(test_in_order, boot_and_enable),
        cmocka_unit_test_setup(test_failed_batch, boot_and_enable),
        cmocka_unit_test_setup(test_failed_batch_arrives_late, boot_and_enable),
        cmocka_unit_test_setup(test_disjoint_jobs_run_side_by_side, boot_and_enable),
        cmocka_unit_test_setup(test_overlapping_jobs_wait, boot_and_enable),
        cmocka_unit_test_setup(test_more_copies_than_channels, boot_and_enable),
        cmocka_unit_test_setup(test_kernel_fault, boot_and_enable),
        cmocka_unit_test_setup(test_hostile_fault_record, boot_and_enable),
        cmocka_unit_test_setup(test_kernel_error, boot_and_enable),
        cmocka_unit_test_setup(test_timeout, boot_and_enable),
        cmocka_unit_test_setup(test_deadlock, boot_and_enable),
        cmocka_unit_test_setup(test_abort, boot_and_enable),
        cmocka_unit_test_setup(test_abort_of_a_stopped_queue, boot_and_enable),
        cmocka_unit_test_setup(test_abort_queued, boot_and_enable),
        cmocka_unit_test_setup(test_delete, boot_and_enable),
        cmocka_unit_test_setup(test_delete_aborts, boot_and_enable),
        cmocka_unit_test_setup(test_outbox_full, boot_and_enable),
        cmocka_unit_test_setup(test_replacement_comes_before_the_completion, boot_and_enable),
        cmocka_unit_test_setup(test_no_replacement_before_a_full_outbox, boot_and_enable),
        cmocka_unit_test_setup(test_pool_exhausted, boot_and_enable),
        cmocka_unit_test_setup(test_bad_queue_id, boot_and_enable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
