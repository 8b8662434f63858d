#include "launch.h"

#include "../common/memory.h"
#include "../common/mmio.h"
#include "commands.h"
#include "control.h"
#include "talus/hw/interrupts.h"
#include "talus/hw/perf.h"
#include "talus/hw/registers.h"

#define ALIGNMENT 64u /* of argument blocks and performance records */

TALUS_STATIC_ASSERT(TALUS_MAX_JOBS >= TALUS_MAX_QUEUES, "a job record for every queue");

static uint64_t record_address(uint32_t job) {
    return TALUS_CONTROL_SRAM_BASE + TALUS_JOBS_OFFSET + job * sizeof(struct talus_job_record);
}

static volatile struct talus_job_record* record_of(uint32_t job) {
    return bus_pointer(record_address(job));
}

void launch_init(struct jobs* jobs) {
    memset(jobs, 0, sizeof(*jobs));
    for (unsigned i = 0; i < TALUS_MAX_QUEUES; ++i) {
        jobs->deadline[i] = LAUNCH_NO_DEADLINE;
        jobs->area[i] = grid_area_of((struct grid_rect){0, 0, 1, 1});
    }
}

/* The counters of a job before its launch, kept in control SRAM, and their difference after its
 * end. Cold: launches without a record must not pay for those that have one. */
#define COLD __attribute__((cold, noinline))

static uint64_t sample_address(uint32_t job) {
    return TALUS_CONTROL_SRAM_BASE + TALUS_PERF_OFFSET + job * TALUS_PERF_RECORD_BYTES;
}

COLD static uint16_t check_record(const struct control* control, uint32_t domain, uint64_t perf) {
    if (perf % ALIGNMENT != 0)
        return TALUS_BAD_FIELD;
    return command_memory_allowed(control, domain, perf, TALUS_PERF_RECORD_BYTES,
                                  TALUS_WINDOW_WRITE)
               ? TALUS_OK
               : TALUS_DEVICE_ACCESS;
}

COLD static void begin_record(struct control* control, uint32_t job, uint64_t perf,
                              uint8_t domain) {
    control->jobs.recorded |= 1ull << job;
    control->jobs.perf[job] = perf;
    control->jobs.domain[job] = domain;
    grid_sample(&control->grid, &control->jobs.area[job], 0, sample_address(job), 0);
}

COLD static void end_record(struct control* control, uint32_t job) {
    control->jobs.recorded &= ~(1ull << job);
    grid_sample(&control->grid, &control->jobs.area[job], sample_address(job),
                control->jobs.perf[job], control->jobs.domain[job]);
}

/* `area`: the queue's, which is made the launch's. */
static uint16_t check(const struct control* control, const struct command* command,
                      struct grid_area* area) {
    const struct talus_sqe_launch* launch = &command->sqe.u.launch;
    const struct grid_rect rect = {launch->row0, launch->col0, launch->rows, launch->cols};
    if (launch->reserved0 != 0 || !command_words_zero(launch->reserved, 2))
        return TALUS_BAD_FIELD;
    if (launch->entry % 2 != 0 || (launch->args == 0) != (launch->args_bytes == 0) ||
        launch->args % ALIGNMENT != 0)
        return TALUS_BAD_FIELD;
    if (launch->args_bytes > TALUS_MAX_ARGS_BYTES)
        return TALUS_BAD_SIZE;
    if (grid_code(rect) != area->code) {
        if (!grid_valid(&control->grid, rect))
            return TALUS_BAD_SUBGRID;
        *area = grid_area_of(rect);
    }
    if (!command_memory_allowed(control, command->domain, launch->entry, 2, TALUS_WINDOW_READ) ||
        (launch->args != 0 && !command_memory_allowed(control, command->domain, launch->args,
                                                      launch->args_bytes, TALUS_WINDOW_READ)))
        return TALUS_DEVICE_ACCESS;
    return launch->perf == 0 ? TALUS_OK : check_record(control, command->domain, launch->perf);
}

static void fill_record(struct control* control, uint32_t job,
                        const struct talus_sqe_launch* launch, uint8_t domain) {
    volatile struct talus_job_record* record = record_of(job);
    record->work.entry = launch->entry;
    record->work.args = launch->args;
    record->work.args_bytes = launch->args_bytes;
    record->work.job = job;
    record->work.row0 = launch->row0;
    record->work.col0 = launch->col0;
    record->work.rows = launch->rows;
    record->work.cols = launch->cols;
    record->work.generation = ++control->jobs.generation;
    record->work.record = record_address(job);
    record->work.domain = domain;
    record->pending = (uint32_t)launch->rows * launch->cols;
    record->fault_claim = 0;
    record->started = 0;
    record->result = 0;
    record->fault.valid = 0;
}

/* The smaller of two limits of which 0 is none. */
static uint32_t tighter(uint32_t a, uint32_t b) {
    return a != 0 && (b == 0 || a < b) ? a : b;
}

static enum progress handle_launch(struct control* control, struct queue* queue,
                                   const struct command* command, struct outcome* outcome) {
    const struct talus_sqe_launch* launch = &command->sqe.u.launch;
    struct jobs* jobs = &control->jobs;
    struct grid_area* area = &jobs->area[queue->qid];
    const uint16_t status = check(control, command, area);
    if (status != TALUS_OK)
        return command_refuse(outcome, status);
    if (!grid_occupy(&control->grid, area))
        return PROGRESS_BLOCKED;
    if (launch->perf != 0)
        begin_record(control, queue->qid, launch->perf, command->domain);
    grid_claim(&control->grid, area, command->domain);
    fill_record(control, queue->qid, launch, command->domain);
    bus_fence(); /* the work-queue engines read the record when they see the broadcast */
    grid_launch(&control->grid, area, record_address(queue->qid));
    jobs->running |= 1ull << queue->qid;
    const uint32_t timeout_us = tighter(launch->timeout_us, queue->launch_limit_us);
    if (timeout_us != 0)
        jobs->deadline[queue->qid] =
            clock_now() + (uint64_t)timeout_us * control->chip.clock_khz / 1000;
    return PROGRESS_STARTED;
}

const struct command_entry launch_commands[] = {{TALUS_IO_LAUNCH, handle_launch}, {0, 0}};

static void release(struct control* control, uint32_t job) {
    struct jobs* jobs = &control->jobs;
    jobs->running &= ~(1ull << job);
    jobs->deadline[job] = LAUNCH_NO_DEADLINE;
    grid_release(&control->grid, &jobs->area[job]);
    control->queues.resource_freed = true;
}

/* The job's PEs start anew; it leaves no record. */
static void kill(struct control* control, uint32_t job) {
    control->jobs.recorded &= ~(1ull << job);
    grid_restart(&control->grid, control->jobs.area[job].code);
    release(control, job);
}

/* Copies the PE's log ring to the device log. The ring is in memory that a kernel may have damaged.
 */
static void copy_pe_log(struct control* control, uint32_t job, uint32_t row, uint32_t col) {
    const uint64_t address =
        grid_local_memory(&control->grid, control->jobs.area[job].rect, row, col) +
        TALUS_LOCAL_DATA_OFFSET;
    const volatile struct talus_pe_log* log = bus_pointer(address);
    char text[256];
    if (log->magic != TALUS_LOG_MAGIC || log->written == 0)
        return;
    uint64_t count = log->written < sizeof(text) ? log->written : sizeof(text);
    uint64_t at = log->written - count;
    for (uint64_t i = 0; i < count; ++i, ++at)
        text[i] = log->text[at % TALUS_PE_LOG_TEXT_BYTES];
    log_line(&control->log, "log of PE (%u, %u), last %u bytes:", row, col, (uint32_t)count);
    log_write(&control->log, text, (uint32_t)count);
    if (text[count - 1] != '\n')
        log_write(&control->log, "\n", 1);
}

/* Ends a job that failed: its PEs start anew, the fault record is kept for GET_FAULT. `record` says
 * what happened, in the fields that the one who saw it knows. */
static void fail(struct control* control, uint32_t job, struct talus_fault_record* fault) {
    struct queue* queue = &control->queues.queue[job];
    const struct command* command = queues_current(control, queue);
    const volatile struct talus_job_record* record = record_of(job);
    fault->valid = TALUS_FAULT_VALID;
    fault->qid = queue->qid;
    fault->cid = command != 0 ? command->sqe.cid : 0;
    fault->job = job;
    fault->kernel_entry = record->work.entry;
    fault->cycle = clock_now();
    queue->fault = *fault;
    log_line(&control->log,
             "job of queue %u command %u failed: status 0x%x PE (%u, %u) core %u cause %u pc 0x%X "
             "(entry + 0x%X) tval 0x%X",
             fault->qid, fault->cid, fault->status, fault->row, fault->col, fault->core,
             fault->cause, fault->pc, fault->pc - fault->kernel_entry, fault->tval);
    if (fault->core != TALUS_FAULT_CONTROL)
        copy_pe_log(control, job, fault->row, fault->col);
    kill(control, job);
    const struct outcome outcome = {.status = fault->status | TALUS_STATUS_MORE};
    queues_finish(control, queue, &outcome);
}

static void fail_from_control(struct control* control, uint32_t job, uint16_t status) {
    struct talus_fault_record fault;
    memset(&fault, 0, sizeof(fault));
    fault.status = status;
    fault.core = TALUS_FAULT_CONTROL;
    fail(control, job, &fault);
}

/* A PE's record, with what does not make sense replaced: kernels can write to it. */
static void read_fault(const struct control* control, uint32_t job,
                       struct talus_fault_record* fault) {
    const struct grid_rect rect = control->jobs.area[job].rect;
    const volatile struct talus_fault_record* from = &record_of(job)->fault;
    memset(fault, 0, sizeof(*fault));
    fault->status = TALUS_STATUS_BASE(from->status) == TALUS_KERNEL_ERROR ? TALUS_KERNEL_ERROR
                    : from->cause == TALUS_CAUSE_HARDWARE_ERROR           ? TALUS_MEMORY_ERROR
                                                                          : TALUS_KERNEL_FAULT;
    fault->row = from->row < rect.rows ? from->row : 0;
    fault->col = from->col < rect.cols ? from->col : 0;
    fault->core = from->core == TALUS_CORE_B ? TALUS_CORE_B : TALUS_CORE_A;
    fault->cause = from->cause;
    fault->pc = from->pc;
    fault->tval = from->tval;
    for (unsigned i = 0; i < 4; ++i)
        fault->detail[i] = from->detail[i];
}

static void succeed(struct control* control, uint32_t job) {
    struct queue* queue = &control->queues.queue[job];
    const volatile struct talus_job_record* record = record_of(job);
    const uint64_t started = record->started;
    if ((control->jobs.recorded >> job & 1) != 0)
        end_record(control, job);
    const struct outcome outcome = {
        .status = TALUS_OK,
        .result = record->result,
        .detail = started > queue->start ? (uint32_t)(started - queue->start) : 0,
    };
    release(control, job);
    queues_finish(control, queue, &outcome);
}

void launch_poll(struct control* control) {
    for (uint64_t left = control->jobs.running; left != 0; left &= left - 1) {
        const uint32_t job = (uint32_t)__builtin_ctzll(left);
        const volatile struct talus_job_record* record = record_of(job);
        if (record->fault.valid == TALUS_FAULT_VALID) {
            struct talus_fault_record fault;
            read_fault(control, job, &fault);
            fail(control, job, &fault);
        } else if (record->pending == 0) {
            succeed(control, job);
        }
    }
}

void launch_expire(struct control* control, uint64_t now) {
    for (uint64_t left = control->jobs.running; left != 0; left &= left - 1) {
        const uint32_t job = (uint32_t)__builtin_ctzll(left);
        if (now >= control->jobs.deadline[job])
            fail_from_control(control, job, TALUS_KERNEL_TIMEOUT);
    }
}

uint64_t launch_next_deadline(const struct control* control) {
    uint64_t next = LAUNCH_NO_DEADLINE;
    for (uint64_t left = control->jobs.running; left != 0; left &= left - 1) {
        const uint64_t deadline = control->jobs.deadline[__builtin_ctzll(left)];
        next = deadline < next ? deadline : next;
    }
    return next;
}

void launch_deadlock(struct control* control) {
    const uint32_t job = mmio_read32(control->grid.base + GRID_DEADLOCK_JOB);
    if (job < TALUS_MAX_QUEUES && (control->jobs.running >> job & 1) != 0)
        fail_from_control(control, job, TALUS_KERNEL_DEADLOCK);
}

/* The running job that has the PE, or TALUS_MAX_QUEUES. */
static uint32_t job_on(const struct control* control, struct grid_rect pe) {
    for (uint64_t left = control->jobs.running; left != 0; left &= left - 1) {
        const uint32_t job = (uint32_t)__builtin_ctzll(left);
        const struct grid_rect rect = control->jobs.area[job].rect;
        if (pe.row0 >= rect.row0 && pe.row0 < rect.row0 + rect.rows && pe.col0 >= rect.col0 &&
            pe.col0 < rect.col0 + rect.cols)
            return job;
    }
    return TALUS_MAX_QUEUES;
}

bool launch_runs_on(const struct control* control, struct grid_rect pe) {
    return job_on(control, pe) != TALUS_MAX_QUEUES;
}

void launch_lose_pe(struct control* control, struct grid_rect pe) {
    const uint32_t job = job_on(control, pe);
    if (job != TALUS_MAX_QUEUES)
        fail_from_control(control, job, TALUS_MEMORY_ERROR);
}

void launch_lose_record(struct control* control, uint64_t address) {
    const uint32_t job =
        (uint32_t)((address - record_address(0)) / sizeof(struct talus_job_record));
    volatile uint64_t* words = bus_pointer(record_address(job));
    for (unsigned i = 0; i < sizeof(struct talus_job_record) / sizeof(uint64_t); ++i)
        words[i] = 0;
    if ((control->jobs.running >> job & 1) != 0)
        fail_from_control(control, job, TALUS_MEMORY_ERROR);
}

void launch_lose_arguments(struct control* control, uint64_t address) {
    for (uint64_t left = control->jobs.running; left != 0; left &= left - 1) {
        const uint32_t job = (uint32_t)__builtin_ctzll(left);
        const volatile struct talus_work* work = &record_of(job)->work;
        const uint64_t first = work->args & ~7ull; /* of words */
        if (address >= first && address < work->args + work->args_bytes)
            fail_from_control(control, job, TALUS_MEMORY_ERROR);
    }
}

bool launch_abort(struct control* control, struct queue* queue) {
    if ((control->jobs.running >> queue->qid & 1) == 0)
        return false;
    kill(control, queue->qid);
    const struct outcome outcome = {.status = TALUS_ABORTED};
    queues_finish(control, queue, &outcome);
    return true;
}

void launch_drop_all(struct control* control) {
    for (uint64_t left = control->jobs.running; left != 0; left &= left - 1) {
        const uint32_t job = (uint32_t)__builtin_ctzll(left);
        kill(control, job);
    }
}
