/* COPY commands, and the transfers of admin commands: everything that a DMA engine does. */
#ifndef TALUS_FIRMWARE_COPY_H
#define TALUS_FIRMWARE_COPY_H

#include "dma.h"
#include "queues.h"

/* Starts a transfer as the queue's current command; BLOCKED if every channel is busy. */
enum progress copy_start(struct control* control, struct queue* queue,
                         const struct dma_request* request);

/* TALUS_IRQ_DMA0 + channel. */
void copy_interrupt(struct control* control, unsigned channel);

#endif
