#include "copy.h"

#include "commands.h"
#include "control.h"

/* What a kind of copy needs of its fields. */
struct copy_rule {
    uint8_t kind;
    bool list;           /* `host` names a scatter list */
    bool host_is_device; /* `host` is a device address */
};

static const struct copy_rule kRules[] = {
    {TALUS_COPY_H2D, false, false},
    {TALUS_COPY_D2H, false, false},
    {TALUS_COPY_D2D, false, true},
    {TALUS_COPY_H2D | TALUS_COPY_SGL, true, false},
    {TALUS_COPY_D2H | TALUS_COPY_SGL, true, false},
    {TALUS_COPY_H2D | TALUS_COPY_GZIP, false, false},
    {TALUS_COPY_H2D | TALUS_COPY_SGL | TALUS_COPY_GZIP, true, false},
};

static const struct copy_rule* find_rule(uint8_t kind) {
    for (unsigned i = 0; i < sizeof(kRules) / sizeof(kRules[0]); ++i) {
        if (kRules[i].kind == kind)
            return &kRules[i];
    }
    return 0;
}

static uint16_t check(const struct control* control, const struct command* command) {
    const struct talus_sqe_copy* copy = &command->sqe.u.copy;
    const struct copy_rule* rule = find_rule(copy->kind);
    const bool gzip = (copy->kind & TALUS_COPY_GZIP) != 0;
    if (rule == 0 || (copy->reserved0[0] | copy->reserved0[1] | copy->reserved0[2]) != 0 ||
        !command_words_zero(copy->reserved, 2) || (!gzip && copy->gzip_bytes != 0))
        return TALUS_BAD_FIELD;
    if (copy->bytes == 0 || (gzip && copy->gzip_bytes == 0))
        return TALUS_BAD_SIZE;
    if (rule->list ? copy->sgl_count == 0 || copy->sgl_count > TALUS_MAX_SGL : copy->sgl_count != 0)
        return TALUS_BAD_SIZE;
    const bool to_host = (copy->kind & ~(TALUS_COPY_SGL | TALUS_COPY_GZIP)) == TALUS_COPY_D2H;
    if (!command_memory_allowed(control, command->domain, copy->device, copy->bytes,
                                to_host ? TALUS_WINDOW_READ : TALUS_WINDOW_WRITE))
        return TALUS_DEVICE_ACCESS;
    if (rule->host_is_device && !command_memory_allowed(control, command->domain, copy->host,
                                                        copy->bytes, TALUS_WINDOW_READ))
        return TALUS_DEVICE_ACCESS;
    const uint64_t host_bytes = gzip ? copy->gzip_bytes : copy->bytes;
    if (!rule->host_is_device && !rule->list && copy->host + (host_bytes - 1) < copy->host)
        return TALUS_BAD_FIELD;
    return TALUS_OK;
}

static enum progress handle_copy(struct control* control, struct queue* queue,
                                 const struct command* command, struct outcome* outcome) {
    const struct talus_sqe_copy* copy = &command->sqe.u.copy;
    const uint16_t status = check(control, command);
    if (status != TALUS_OK)
        return command_refuse(outcome, status);
    const struct dma_request request = {
        .host = copy->host,
        .device = copy->device,
        .bytes = copy->bytes,
        .gzip_bytes = copy->gzip_bytes,
        .sgl_count = copy->sgl_count,
        .kind = copy->kind,
        .domain = command->domain,
    };
    return copy_start(control, queue, &request);
}

const struct command_entry copy_commands[] = {{TALUS_IO_COPY, handle_copy}, {0, 0}};

enum progress copy_start(struct control* control, struct queue* queue,
                         const struct dma_request* request) {
    return dma_start(&control->dma, queue->qid, request) == DMA_NO_CHANNEL ? PROGRESS_BLOCKED
                                                                           : PROGRESS_STARTED;
}

void copy_interrupt(struct control* control, unsigned channel) {
    uint16_t owner;
    uint16_t status;
    if (!dma_finish(&control->dma, channel, &owner, &status))
        return;
    control->queues.resource_freed = true;
    if (owner == DMA_NO_OWNER)
        return;
    struct queue* queue = &control->queues.queue[owner];
    const struct command* command = queues_current(control, queue);
    struct outcome outcome = {.status = status};
    if (status == TALUS_OK && owner != TALUS_QUEUE_ADMIN) {
        const struct talus_sqe_copy* copy = &command->sqe.u.copy;
        outcome.result =
            (copy->kind & TALUS_COPY_GZIP) != 0 ? dma_written(&control->dma, channel) : copy->bytes;
    }
    queues_finish(control, queue, &outcome);
}
