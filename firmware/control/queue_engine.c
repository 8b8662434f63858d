#include "queue_engine.h"

#include "../common/memory.h"
#include "../common/mmio.h"
#include "talus/hw/registers.h"

static uint64_t queue_base(const struct queue_engine* engine, uint32_t qid) {
    return engine->base + QE_QUEUE + (uint64_t)qid * QE_QUEUE_STRIDE;
}

void queue_engine_init(struct queue_engine* engine, uint64_t base, uint64_t inbox,
                       uint64_t outbox) {
    engine->base = base;
    engine->inbox = inbox;
    engine->outbox = outbox;
    engine->inbox_tail = mmio_read32(base + QE_INBOX_TAIL);
    engine->inbox_head = engine->inbox_tail;
    mmio_write32(base + QE_INBOX_HEAD, engine->inbox_head);
    engine->outbox_tail = mmio_read32(base + QE_OUTBOX_TAIL);
    engine->outbox_head = mmio_read32(base + QE_OUTBOX_HEAD);
}

uint32_t queue_engine_inbox_tail(const struct queue_engine* engine) {
    return mmio_read32(engine->base + QE_INBOX_TAIL);
}

const struct talus_inbox_slot* queue_engine_peek(struct queue_engine* engine) {
    if (engine->inbox_head == engine->inbox_tail) {
        engine->inbox_tail = queue_engine_inbox_tail(engine);
        if (engine->inbox_head == engine->inbox_tail)
            return 0;
    }
    const uint32_t index = engine->inbox_head % TALUS_INBOX_SLOTS;
    return bus_pointer(engine->inbox + index * sizeof(struct talus_inbox_slot));
}

void queue_engine_take(struct queue_engine* engine) {
    ++engine->inbox_head;
}

void queue_engine_give_back(struct queue_engine* engine) {
    mmio_write32(engine->base + QE_INBOX_HEAD, engine->inbox_head);
}

bool queue_engine_has_room(struct queue_engine* engine) {
    if (engine->outbox_tail - engine->outbox_head == TALUS_OUTBOX_SLOTS)
        engine->outbox_head = mmio_read32(engine->base + QE_OUTBOX_HEAD);
    return engine->outbox_tail - engine->outbox_head != TALUS_OUTBOX_SLOTS;
}

bool queue_engine_post(struct queue_engine* engine, const struct talus_outbox_slot* slot) {
    if (!queue_engine_has_room(engine))
        return false;
    const uint32_t index = engine->outbox_tail % TALUS_OUTBOX_SLOTS;
    struct talus_outbox_slot* target = bus_pointer(engine->outbox + index * sizeof(*target));
    *target = *slot;
    /* The engine reads the slot as soon as it sees the tail. */
    bus_fence();
    ++engine->outbox_tail;
    mmio_write32(engine->base + QE_OUTBOX_TAIL, engine->outbox_tail);
    return true;
}

void queue_engine_start(struct queue_engine* engine, uint32_t qid,
                        const struct queue_config* config) {
    const uint64_t queue = queue_base(engine, qid);
    mmio_write64(queue + QEQ_SQ_IOVA, config->sq_iova);
    mmio_write64(queue + QEQ_CQ_IOVA, config->cq_iova);
    mmio_write32(queue + QEQ_ENTRIES, config->entries);
    mmio_write32(queue + QEQ_VECTOR, config->vector);
    mmio_write32(queue + QEQ_DOMAIN, config->domain);
    mmio_write32(queue + QEQ_IRQ_ENABLE, config->irq_enable);
    mmio_write32(queue + QEQ_ENABLE, 1);
}

void queue_engine_stop(struct queue_engine* engine, uint32_t qid) {
    mmio_write32(queue_base(engine, qid) + QEQ_ENABLE, 0);
}

bool queue_engine_runs(const struct queue_engine* engine, uint32_t qid) {
    return (mmio_read32(queue_base(engine, qid) + QEQ_ENABLE) & 1) != 0;
}

void queue_engine_set_shadow(struct queue_engine* engine, uint64_t shadow, uint64_t event) {
    /* The shadow page switches the mode on, so the event page is in place before it. */
    mmio_write32(engine->base + QE_EVENT_LO, (uint32_t)event);
    mmio_write32(engine->base + QE_EVENT_HI, (uint32_t)(event >> 32));
    mmio_write32(engine->base + QE_SHADOW_HI, (uint32_t)(shadow >> 32));
    mmio_write32(engine->base + QE_SHADOW_LO, (uint32_t)shadow);
}

void queue_engine_set_window(struct queue_engine* engine, uint32_t index, uint64_t iova,
                             uint64_t length, uint32_t access) {
    mmio_write32(engine->base + QE_WINDOW_INDEX, index);
    mmio_write64(engine->base + QE_WINDOW_IOVA, iova);
    mmio_write64(engine->base + QE_WINDOW_LENGTH, length);
    mmio_write32(engine->base + QE_WINDOW_ACCESS, access); /* commits */
}
