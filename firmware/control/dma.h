/* Driver of the DMA engines. */
#ifndef TALUS_FIRMWARE_DMA_H
#define TALUS_FIRMWARE_DMA_H

#include <stdbool.h>
#include <stdint.h>

#include "talus/hw/registers.h"

#define DMA_NO_OWNER 0xffffu /* what a channel moves has no command any more */
#define DMA_NO_CHANNEL (-1)

struct dma_request {
    uint64_t host; /* IOVA of data or list; D2D: source device address */
    uint64_t device;
    uint64_t bytes;
    uint64_t gzip_bytes; /* of the member; with TALUS_COPY_GZIP only */
    uint32_t sgl_count;
    uint32_t kind; /* TALUS_COPY_* */
    uint32_t domain;
};

struct dma {
    uint64_t base; /* register block */
    struct {
        bool busy;
        uint16_t owner; /* queue, or DMA_NO_OWNER */
    } channel[TALUS_DMA_CHANNELS];
};

void dma_init(struct dma* dma, uint64_t base);

/* Starts a transfer for queue `owner` on a free channel and returns it, or DMA_NO_CHANNEL. */
int dma_start(struct dma* dma, uint16_t owner, const struct dma_request* request);

/* If the channel's transfer has finished: frees the channel, gives its owner and status, returns
 * true. */
bool dma_finish(struct dma* dma, unsigned channel, uint16_t* owner, uint16_t* status);

/* Bytes that the transfer that has just finished on `channel` has written. */
uint64_t dma_written(const struct dma* dma, unsigned channel);

/* The transfers in flight lose their owners; their ends will be ignored. */
void dma_orphan_all(struct dma* dma);

bool dma_idle(const struct dma* dma);

#endif
