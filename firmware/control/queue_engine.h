/* Driver of the queue engine: inbox, outbox, per-queue registers, shadow pages, windows. */
#ifndef TALUS_FIRMWARE_QUEUE_ENGINE_H
#define TALUS_FIRMWARE_QUEUE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "talus/hw/queue.h"

struct queue_engine {
    uint64_t base;        /* register block */
    uint64_t inbox;       /* device address of the inbox slots */
    uint64_t outbox;      /* of the outbox slots */
    uint32_t inbox_head;  /* slots taken; free-running */
    uint32_t inbox_tail;  /* last value read */
    uint32_t outbox_tail; /* slots posted; free-running */
    uint32_t outbox_head; /* last value read */
};

struct queue_config {
    uint64_t sq_iova;
    uint64_t cq_iova;
    uint32_t entries;
    uint32_t vector;
    uint32_t domain;
    uint32_t irq_enable;
};

/* Takes over the engine as it stands; what is in the inbox is dropped. */
void queue_engine_init(struct queue_engine* engine, uint64_t base, uint64_t inbox, uint64_t outbox);

/* The oldest slot that was not taken yet, or null. Reads the tail register only when all slots
 * known so far are taken. */
const struct talus_inbox_slot* queue_engine_peek(struct queue_engine* engine);

/* Takes the slot that peek returned. The engine learns of it by queue_engine_give_back. */
void queue_engine_take(struct queue_engine* engine);

/* Lets the engine reuse the slots taken so far. */
void queue_engine_give_back(struct queue_engine* engine);

/* Slots that the engine has written, read now. */
uint32_t queue_engine_inbox_tail(const struct queue_engine* engine);

/* The outbox can take one more completion. */
bool queue_engine_has_room(struct queue_engine* engine);

/* Posts a completion; false if the outbox is full (TALUS_IRQ_OUTBOX tells of room). */
bool queue_engine_post(struct queue_engine* engine, const struct talus_outbox_slot* slot);

void queue_engine_start(struct queue_engine* engine, uint32_t qid,
                        const struct queue_config* config);
void queue_engine_stop(struct queue_engine* engine, uint32_t qid);

/* Whether a queue that was started goes on. The engine itself stops one whose host broke the rules of the
 * indices, or whose rings it cannot reach; nothing more is fetched or posted then. */
bool queue_engine_runs(const struct queue_engine* engine, uint32_t qid);

void queue_engine_set_shadow(struct queue_engine* engine, uint64_t shadow, uint64_t event);
void queue_engine_set_window(struct queue_engine* engine, uint32_t index, uint64_t iova,
                             uint64_t length, uint32_t access);

#endif
