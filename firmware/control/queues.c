#include "queues.h"

#include "../common/memory.h"
#include "../common/mmio.h"
#include "commands.h"
#include "control.h"
#include "launch.h"

static struct command* command_at(const struct queues* queues, uint16_t index) {
    return &queues->pool[index];
}

static uint16_t pool_take(struct queues* queues) {
    uint16_t index = queues->free;
    if (index != NO_COMMAND)
        queues->free = command_at(queues, index)->next;
    else if (queues->pool_used < queues->pool_size)
        index = (uint16_t)queues->pool_used++;
    return index;
}

static void pool_return(struct queues* queues, uint16_t index) {
    command_at(queues, index)->next = queues->free;
    queues->free = index;
}

static void reset_queue(struct queue* queue, uint16_t qid) {
    memset(queue, 0, sizeof(*queue));
    queue->qid = qid;
    queue->head = NO_COMMAND;
    queue->tail = NO_COMMAND;
    queue->current = NO_COMMAND;
}

void queues_init(struct queues* queues, struct command* pool, uint32_t pool_size) {
    memset(queues, 0, sizeof(*queues));
    queues->pool = pool;
    queues->pool_size = pool_size;
    queues->free = NO_COMMAND;
    for (unsigned i = 0; i < TALUS_MAX_QUEUES; ++i)
        reset_queue(&queues->queue[i], (uint16_t)i);
}

const struct command* queues_current(const struct control* control, const struct queue* queue) {
    return queue->current == NO_COMMAND ? 0 : command_at(&control->queues, queue->current);
}

static uint32_t saturate32(uint64_t value) {
    return value > 0xffffffffull ? 0xffffffffu : (uint32_t)value;
}

static bool try_post(struct control* control, struct queue* queue) {
    /* All entries received so far were copied by the engine, so their slots are free again. */
    struct queue* submitted_to = &control->queues.queue[queue->posting.cqe.qid];
    queue->posting.cqe.sq_head = submitted_to->sq_head;
    return queue_engine_post(&control->engine, &queue->posting);
}

/* Posts the completion, or parks it until the outbox has room. */
static void post(struct control* control, struct queue* queue) {
    if (try_post(control, queue)) {
        queue->phase = PHASE_IDLE;
    } else {
        queue->phase = PHASE_POSTING;
        ++control->queues.posting_count;
    }
}

/* Ends `current`: applies the batch rule and leaves its completion in `posting`. */
static void retire(struct control* control, struct queue* queue, const struct outcome* outcome) {
    struct command* command = command_at(&control->queues, queue->current);
    const uint64_t now = clock_now();
    if ((command->sqe.flags & TALUS_SQE_BATCH_END) != 0)
        queue->batch_failed = false;
    else if (TALUS_STATUS_BASE(outcome->status) != TALUS_OK)
        queue->batch_failed = true;
    const struct talus_outbox_slot slot = {
        .cqe = {.exec_cycles = saturate32(now - queue->start),
                .detail = outcome->detail,
                .result = outcome->result,
                .qid = queue->qid,
                .cid = command->sqe.cid,
                .status = (uint16_t)(outcome->status << 1)},
        .admitted = command->admitted,
    };
    queue->posting = slot;
    queue->idle_since = now;
    pool_return(&control->queues, queue->current);
    queue->current = NO_COMMAND;
}

/* Runs the handler of `current`. */
static void execute(struct control* control, struct queue* queue) {
    struct command* command = command_at(&control->queues, queue->current);
    struct outcome outcome = {.status = command->verdict};
    enum progress progress = PROGRESS_DONE;
    if (command->verdict == TALUS_OK && queue->batch_failed)
        outcome.status = TALUS_ABORTED;
    if (outcome.status == TALUS_OK)
        progress = command_dispatch(control, queue, command, &outcome);
    if (queue->owes_post) {
        queue->owes_post = false;
        post(control, queue);
    }
    switch (progress) {
    case PROGRESS_DONE:
        retire(control, queue, &outcome);
        post(control, queue);
        break;
    case PROGRESS_STARTED:
        queue->phase = PHASE_RUNNING;
        break;
    case PROGRESS_BLOCKED:
        queue->phase = PHASE_WAITING;
        control->queues.waiting[control->queues.waiting_count++] = (uint8_t)queue->qid;
        break;
    case PROGRESS_DETACHED:
        pool_return(&control->queues, queue->current);
        queue->current = NO_COMMAND;
        break;
    }
}

/* Begins commands until one does not complete at once. */
static void advance(struct control* control, struct queue* queue) {
    struct queues* queues = &control->queues;
    while (queue->phase == PHASE_IDLE && queue->head != NO_COMMAND &&
           (queue->state == QUEUE_ACTIVE || queue->state == QUEUE_DELETING)) {
        queue->current = queue->head;
        struct command* command = command_at(queues, queue->current);
        queue->head = command->next;
        if (queue->head == NO_COMMAND)
            queue->tail = NO_COMMAND;
        queue->start = command->receipt > queue->idle_since ? command->receipt : queue->idle_since;
        execute(control, queue);
    }
}

static void append(struct queues* queues, struct queue* queue, uint16_t index) {
    command_at(queues, index)->next = NO_COMMAND;
    if (queue->tail == NO_COMMAND)
        queue->head = index;
    else
        command_at(queues, queue->tail)->next = index;
    queue->tail = index;
}

void queues_receive(struct control* control) {
    struct queues* queues = &control->queues;
    const struct talus_inbox_slot* slot = queue_engine_peek(&control->engine);
    if (slot == 0)
        return;
    const uint64_t now = clock_now();
    queues->inbox_stalled = false;
    for (; slot != 0; slot = queue_engine_peek(&control->engine)) {
        struct queue* queue =
            slot->qid < TALUS_MAX_QUEUES ? &queues->queue[slot->qid] : &queues->queue[0];
        /* Slots that the engine wrote before it stopped a queue belong to nobody. */
        const bool wanted = slot->qid < TALUS_MAX_QUEUES &&
                            (queue->state == QUEUE_ACTIVE || queue->state == QUEUE_DELETING);
        if (wanted) {
            const uint16_t index = pool_take(queues);
            if (index == NO_COMMAND) {
                queues->inbox_stalled = true;
                break;
            }
            struct command* command = command_at(queues, index);
            command->sqe = slot->sqe;
            command->admitted = slot->admitted;
            command->receipt = now;
            command->domain = slot->domain;
            command->verdict = queue->state == QUEUE_DELETING ? TALUS_QUEUE_DELETED : TALUS_OK;
            queue->sq_head = slot->sq_head;
            append(queues, queue, index);
        }
        queue_engine_take(&control->engine);
        if (wanted)
            advance(control, queue);
    }
    queue_engine_give_back(&control->engine);
}

void queues_finish(struct control* control, struct queue* queue, const struct outcome* outcome) {
    if (queue->phase != PHASE_RUNNING)
        return;
    retire(control, queue, outcome);
    /* The next command begins before the completion of this one is written, so that PEs do not idle
     * meanwhile. I/O handlers never post, so the room is still there afterwards; a queue whose command
     * runs is active or deleting, so the next one does begin. */
    queue->owes_post = queue->qid != TALUS_QUEUE_ADMIN && queue->head != NO_COMMAND &&
                       queue_engine_has_room(&control->engine);
    if (queue->owes_post)
        queue->phase = PHASE_IDLE;
    else
        post(control, queue);
    advance(control, queue);
}

static void try_waiting(struct control* control) {
    struct queues* queues = &control->queues;
    uint8_t order[TALUS_MAX_QUEUES];
    const uint32_t count = queues->waiting_count;
    queues->resource_freed = false;
    memcpy(order, queues->waiting, count);
    queues->waiting_count = 0;
    grid_clear_reservations(&control->grid);
    for (uint32_t i = 0; i < count; ++i) {
        struct queue* queue = &queues->queue[order[i]];
        queue->phase = PHASE_IDLE;
        execute(control, queue);
        advance(control, queue);
    }
}

static void post_pending(struct control* control) {
    struct queues* queues = &control->queues;
    for (unsigned i = 0; i < TALUS_MAX_QUEUES && queues->posting_count != 0; ++i) {
        struct queue* queue = &queues->queue[i];
        if (queue->phase != PHASE_POSTING)
            continue;
        if (!try_post(control, queue))
            return;
        --queues->posting_count;
        queue->phase = PHASE_IDLE;
        advance(control, queue);
    }
}

void queues_outbox_drained(struct control* control) {
    post_pending(control);
}

static bool domain_in_use(const struct queues* queues, uint8_t domain) {
    for (unsigned i = 0; i < TALUS_MAX_QUEUES; ++i) {
        if (queues->queue[i].state != QUEUE_FREE && queues->queue[i].domain == domain)
            return true;
    }
    return false;
}

/* DELETING and idle -> DRAINING -> FREE, with the admin command's completion. */
static void reap(struct control* control) {
    struct queues* queues = &control->queues;
    for (unsigned i = 1; i < TALUS_MAX_QUEUES && queues->leaving_count != 0; ++i) {
        struct queue* queue = &queues->queue[i];
        if (queue->state == QUEUE_DELETING && queue->phase == PHASE_IDLE &&
            queue->head == NO_COMMAND) {
            queue_engine_stop(&control->engine, i);
            queue->drain_to = queue_engine_inbox_tail(&control->engine);
            queue->state = QUEUE_DRAINING;
        }
        if (queue->state != QUEUE_DRAINING || queue->phase != PHASE_IDLE)
            continue;
        if ((int32_t)(queue->drain_to - control->engine.inbox_head) > 0)
            continue;
        const struct talus_outbox_slot slot = {
            .cqe = {.qid = TALUS_QUEUE_ADMIN, .cid = queue->delete_cid},
            .admitted = queue->delete_admitted,
        };
        const uint8_t domain = queue->domain;
        reset_queue(queue, (uint16_t)i);
        --queues->leaving_count;
        grid_revoke_record(&control->grid, i);
        if (!domain_in_use(queues, domain))
            grid_vacate(&control->grid, domain);
        queue->posting = slot;
        post(control, queue);
    }
}

void queues_settle(struct control* control) {
    struct queues* queues = &control->queues;
    if (queues->posting_count != 0)
        post_pending(control);
    while (queues->resource_freed)
        try_waiting(control);
    if (queues->inbox_stalled)
        queues_receive(control);
    if (queues->leaving_count != 0) {
        reap(control);
        queues_receive(control);
        reap(control);
    }
}

void queues_open(struct control* control, uint32_t qid, const struct queue_config* config,
                 uint32_t launch_limit_us) {
    struct queue* queue = &control->queues.queue[qid];
    reset_queue(queue, (uint16_t)qid);
    queue->state = QUEUE_ACTIVE;
    queue->domain = (uint8_t)config->domain;
    queue->launch_limit_us = launch_limit_us;
    queue_engine_start(&control->engine, qid, config);
}

void queues_delete(struct control* control, struct queue* queue, const struct command* command) {
    queue->state = QUEUE_DELETING;
    queue->delete_cid = command->sqe.cid;
    queue->delete_admitted = command->admitted;
    ++control->queues.leaving_count;
}

/* What has begun: a command that moves data goes on to its end. */
static bool abort_current(struct control* control, struct queue* queue) {
    struct queues* queues = &control->queues;
    if (queue->phase == PHASE_WAITING) {
        command_at(queues, queue->current)->verdict = TALUS_ABORTED;
        queues->resource_freed = true;
        return true;
    }
    return launch_abort(control, queue);
}

bool queues_abort(struct control* control, struct queue* queue, uint16_t cid) {
    struct queues* queues = &control->queues;
    for (uint16_t i = queue->head; i != NO_COMMAND; i = command_at(queues, i)->next) {
        if (command_at(queues, i)->sqe.cid == cid) {
            command_at(queues, i)->verdict = TALUS_ABORTED;
            return true;
        }
    }
    if (queue->current == NO_COMMAND || command_at(queues, queue->current)->sqe.cid != cid)
        return false;
    return abort_current(control, queue);
}

void queues_abort_all(struct control* control, struct queue* queue) {
    for (uint16_t i = queue->head; i != NO_COMMAND; i = command_at(&control->queues, i)->next)
        command_at(&control->queues, i)->verdict = TALUS_ABORTED;
    if (queue->current != NO_COMMAND)
        abort_current(control, queue);
}

void queues_drop_all(struct control* control) {
    struct queues* queues = &control->queues;
    for (unsigned i = 0; i < TALUS_MAX_QUEUES; ++i) {
        if (queues->queue[i].state != QUEUE_FREE)
            queue_engine_stop(&control->engine, i);
    }
    queues_init(queues, queues->pool, queues->pool_size);
    for (uint8_t domain = 1; domain < TALUS_MAX_DOMAINS; ++domain)
        grid_vacate(&control->grid, domain);
    grid_clear_reservations(&control->grid);
}
