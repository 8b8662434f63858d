/* Admin commands. */
#include "../common/memory.h"
#include "../common/mmio.h"
#include "commands.h"
#include "control.h"
#include "copy.h"
#include "talus/hw/contract_hash.h"
#include "talus/hw/registers.h"

#define PAGE_BYTES 4096u

static enum progress done(struct outcome* outcome, uint64_t result) {
    outcome->status = TALUS_OK;
    outcome->result = result;
    return PROGRESS_DONE;
}

/* The queue that a command names, if it can be named now. */
static struct queue* active_queue(struct control* control, uint32_t qid) {
    if (qid == TALUS_QUEUE_ADMIN || qid >= TALUS_MAX_QUEUES ||
        control->queues.queue[qid].state != QUEUE_ACTIVE)
        return 0;
    return &control->queues.queue[qid];
}

/* Sends up to `bytes` of the admin buffer to the host. */
static enum progress send_buffer(struct control* control, struct queue* queue, uint64_t iova,
                                 uint32_t bytes) {
    const struct dma_request request = {
        .host = iova,
        .device = (uint64_t)(uintptr_t)control->admin_buffer,
        .bytes = bytes,
        .kind = TALUS_COPY_D2H,
        .domain = 0,
    };
    bus_fence();
    return copy_start(control, queue, &request);
}

static uint16_t check_buffer(const struct talus_sqe_buffer* buffer) {
    if (!command_words_zero(buffer->reserved, 5) || buffer->iova + buffer->bytes < buffer->iova)
        return TALUS_BAD_FIELD;
    return buffer->bytes == 0 ? TALUS_BAD_SIZE : TALUS_OK;
}

static void put_text(char* field, uint32_t bytes, const char* text) {
    for (uint32_t i = 0; i + 1 < bytes && text[i] != '\0'; ++i)
        field[i] = text[i];
}

static void put_hex(char* field, uint32_t digits, uint64_t value) {
    for (uint32_t i = 0; i < digits; ++i)
        field[i] = "0123456789abcdef"[value >> (4 * (digits - 1 - i)) & 15];
}

static void fill_identify(const struct control* control, struct talus_identify* identify) {
    const struct chip* chip = &control->chip;
    memset(identify, 0, sizeof(*identify));
    identify->struct_bytes = sizeof(*identify);
    identify->abi_version = TALUS_ABI_VERSION;
    identify->contract_hash = TALUS_CONTRACT_HASH;
    put_text(identify->product, sizeof(identify->product), "talus-t");
    identify->product[7] = (char)('0' + chip->generation % 10);
    /* The low 48 bits of the serial number are what differs between cards. */
    put_text(identify->serial, sizeof(identify->serial), "TL");
    put_hex(identify->serial + 2, 12, chip->serial);
    put_text(identify->firmware, sizeof(identify->firmware), TALUS_BUNDLE_VERSION_STRING);
    identify->generation = chip->generation;
    identify->rows = chip->rows;
    identify->cols = chip->cols;
    identify->clock_khz = chip->clock_khz;
    identify->local_bytes = TALUS_LOCAL_KERNEL_BYTES;
    identify->lls_base = chip->lls_base;
    identify->lls_bytes = chip->lls_bytes;
    identify->dram_base = chip->dram_base;
    identify->dram_bytes = chip->dram_bytes;
    identify->max_queues = TALUS_MAX_QUEUES;
    identify->max_queue_entries = TALUS_MAX_QUEUE_ENTRIES;
    identify->max_domains = TALUS_MAX_DOMAINS;
    identify->windows_per_domain = TALUS_WINDOWS_PER_DOMAIN;
    identify->max_args_bytes = TALUS_MAX_ARGS_BYTES;
    identify->max_sgl = TALUS_MAX_SGL;
}

static uint32_t smaller(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static enum progress handle_identify(struct control* control, struct queue* queue,
                                     const struct command* command, struct outcome* outcome) {
    const struct talus_sqe_buffer* buffer = &command->sqe.u.buffer;
    const uint16_t status = check_buffer(buffer);
    if (status != TALUS_OK)
        return command_refuse(outcome, status);
    if (buffer->qid != 0 || buffer->cid != 0)
        return command_refuse(outcome, TALUS_BAD_FIELD);
    fill_identify(control, (struct talus_identify*)(void*)control->admin_buffer);
    return send_buffer(control, queue, buffer->iova,
                       smaller(buffer->bytes, sizeof(struct talus_identify)));
}

static enum progress handle_get_fault(struct control* control, struct queue* queue,
                                      const struct command* command, struct outcome* outcome) {
    const struct talus_sqe_buffer* buffer = &command->sqe.u.buffer;
    const struct queue* target = active_queue(control, buffer->qid);
    const uint16_t status = check_buffer(buffer);
    if (status != TALUS_OK)
        return command_refuse(outcome, status);
    if (buffer->cid != 0)
        return command_refuse(outcome, TALUS_BAD_FIELD);
    if (target == 0)
        return command_refuse(outcome, TALUS_BAD_QUEUE);
    memcpy(control->admin_buffer, &target->fault, sizeof(target->fault));
    return send_buffer(control, queue, buffer->iova,
                       smaller(buffer->bytes, sizeof(struct talus_fault_record)));
}

static bool ring_valid(uint32_t entries, uint64_t sq_iova, uint64_t cq_iova) {
    return entries >= 2 && entries <= TALUS_MAX_QUEUE_ENTRIES && (entries & (entries - 1)) == 0 &&
           sq_iova % PAGE_BYTES == 0 && cq_iova % PAGE_BYTES == 0 &&
           sq_iova + entries * TALUS_SQE_BYTES > sq_iova &&
           cq_iova + entries * TALUS_CQE_BYTES > cq_iova;
}

static enum progress handle_create(struct control* control, struct queue* queue,
                                   const struct command* command, struct outcome* outcome) {
    const struct talus_sqe_create_queue* create = &command->sqe.u.create_queue;
    (void)queue;
    if (create->qid == TALUS_QUEUE_ADMIN || create->qid >= TALUS_MAX_QUEUES ||
        control->queues.queue[create->qid].state != QUEUE_FREE ||
        control->queues.queue[create->qid].phase != PHASE_IDLE)
        return command_refuse(outcome, TALUS_BAD_QUEUE);
    if (create->domain >= TALUS_MAX_DOMAINS)
        return command_refuse(outcome, TALUS_BAD_DOMAIN);
    if (!ring_valid(create->entries, create->sq_iova, create->cq_iova) ||
        create->vector >= TALUS_MSIX_VECTORS || create->irq_enable > 1 || create->reserved0 != 0 ||
        !command_words_zero(create->reserved, 3))
        return command_refuse(outcome, TALUS_BAD_FIELD);
    const struct queue_config config = {
        .sq_iova = create->sq_iova,
        .cq_iova = create->cq_iova,
        .entries = create->entries,
        .vector = create->vector,
        .domain = create->domain,
        .irq_enable = create->irq_enable,
    };
    queues_open(control, create->qid, &config, create->launch_limit_us);
    return done(outcome, 0);
}

static enum progress handle_delete(struct control* control, struct queue* queue,
                                   const struct command* command, struct outcome* outcome) {
    const struct talus_sqe_buffer* buffer = &command->sqe.u.buffer;
    struct queue* target = active_queue(control, buffer->qid);
    (void)queue;
    if (buffer->iova != 0 || buffer->bytes != 0 || buffer->cid > TALUS_DELETE_ABORT ||
        !command_words_zero(buffer->reserved, 5))
        return command_refuse(outcome, TALUS_BAD_FIELD);
    if (target == 0)
        return command_refuse(outcome, TALUS_BAD_QUEUE);
    /* The deletion completes when the queue's commands have; the admin queue goes on meanwhile, so
     * that an abort can follow. */
    queues_delete(control, target, command);
    if (buffer->cid == TALUS_DELETE_ABORT)
        queues_abort_all(control, target);
    return PROGRESS_DETACHED;
}

static enum progress handle_shadow(struct control* control, struct queue* queue,
                                   const struct command* command, struct outcome* outcome) {
    const struct talus_sqe_set_shadow* set = &command->sqe.u.set_shadow;
    (void)queue;
    if (set->shadow_iova % PAGE_BYTES != 0 || set->event_iova % PAGE_BYTES != 0 ||
        (set->shadow_iova == 0) != (set->event_iova == 0) || !command_words_zero(set->reserved, 5))
        return command_refuse(outcome, TALUS_BAD_FIELD);
    queue_engine_set_shadow(&control->engine, set->shadow_iova, set->event_iova);
    return done(outcome, 0);
}

static enum progress handle_window(struct control* control, struct queue* queue,
                                   const struct command* command, struct outcome* outcome) {
    const struct talus_sqe_set_window* set = &command->sqe.u.set_window;
    (void)queue;
    if (set->domain == 0 || set->domain >= TALUS_MAX_DOMAINS ||
        set->index >= TALUS_WINDOWS_PER_DOMAIN)
        return command_refuse(outcome, TALUS_BAD_DOMAIN);
    if ((set->access & ~(TALUS_WINDOW_READ | TALUS_WINDOW_WRITE | TALUS_WINDOW_DEVICE)) != 0 ||
        (set->length != 0 && set->iova + (set->length - 1) < set->iova) || set->reserved0 != 0 ||
        !command_words_zero(set->reserved, 4))
        return command_refuse(outcome, TALUS_BAD_FIELD);
    if ((set->access & TALUS_WINDOW_DEVICE) != 0 && set->length != 0) {
        if (set->iova % TALUS_WINDOW_ALIGNMENT != 0 || set->length % TALUS_WINDOW_ALIGNMENT != 0)
            return command_refuse(outcome, TALUS_BAD_FIELD);
        if (!command_memory_valid(control, set->iova, set->length))
            return command_refuse(outcome, TALUS_DEVICE_ACCESS);
    }
    if ((set->access & TALUS_WINDOW_DEVICE) != 0)
        windows_set(&control->windows, &control->engine, set);
    else
        queue_engine_set_window(&control->engine,
                                (uint32_t)set->domain * TALUS_WINDOWS_PER_DOMAIN + set->index,
                                set->iova, set->length, set->access);
    return done(outcome, 0);
}

/* Result 0: the command completes as aborted. 1: too late, it is unknown or a transfer moves its
 * data. BAD_QUEUE also of a queue whose completions come no more. */
static enum progress handle_abort(struct control* control, struct queue* queue,
                                  const struct command* command, struct outcome* outcome) {
    const struct talus_sqe_buffer* buffer = &command->sqe.u.buffer;
    struct queue* target = buffer->qid < TALUS_MAX_QUEUES && buffer->qid != TALUS_QUEUE_ADMIN
                               ? &control->queues.queue[buffer->qid]
                               : 0;
    (void)queue;
    if (buffer->iova != 0 || buffer->bytes != 0 || !command_words_zero(buffer->reserved, 5))
        return command_refuse(outcome, TALUS_BAD_FIELD);
    if (target == 0 || (target->state != QUEUE_ACTIVE && target->state != QUEUE_DELETING))
        return command_refuse(outcome, TALUS_BAD_QUEUE);
    const bool aborted = queues_abort(control, target, buffer->cid);
    /* A host that aborts wonders why nothing comes. It would wait for an aborted command's
     * completion as well. */
    if (target->state == QUEUE_ACTIVE && !queue_engine_runs(&control->engine, buffer->qid)) {
        log_line(&control->log,
                 "queue %u: stopped by the queue engine: senseless index or ring out of reach",
                 (uint32_t)buffer->qid);
        return command_refuse(outcome, TALUS_BAD_QUEUE);
    }
    return done(outcome, aborted ? 0 : 1);
}

const struct command_entry admin_commands[] = {
    {TALUS_ADMIN_IDENTIFY, handle_identify},   {TALUS_ADMIN_CREATE_QUEUE, handle_create},
    {TALUS_ADMIN_DELETE_QUEUE, handle_delete}, {TALUS_ADMIN_SET_SHADOW, handle_shadow},
    {TALUS_ADMIN_SET_WINDOW, handle_window},   {TALUS_ADMIN_GET_FAULT, handle_get_fault},
    {TALUS_ADMIN_ABORT, handle_abort},         {0, 0}};
