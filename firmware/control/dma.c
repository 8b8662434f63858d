#include "dma.h"

#include "../common/mmio.h"
#include "talus/hw/queue.h"

static uint64_t channel_base(const struct dma* dma, unsigned channel) {
    return dma->base + (uint64_t)channel * DMA_STRIDE;
}

void dma_init(struct dma* dma, uint64_t base) {
    dma->base = base;
    for (unsigned i = 0; i < TALUS_DMA_CHANNELS; ++i) {
        dma->channel[i].busy = false;
        dma->channel[i].owner = DMA_NO_OWNER;
    }
}

int dma_start(struct dma* dma, uint16_t owner, const struct dma_request* request) {
    for (unsigned i = 0; i < TALUS_DMA_CHANNELS; ++i) {
        if (dma->channel[i].busy)
            continue;
        const uint64_t base = channel_base(dma, i);
        dma->channel[i].busy = true;
        dma->channel[i].owner = owner;
        mmio_write64(base + DMA_HOST, request->host);
        mmio_write64(base + DMA_DEVICE, request->device);
        mmio_write64(base + DMA_BYTES, request->bytes);
        if ((request->kind & TALUS_COPY_GZIP) != 0)
            mmio_write64(base + DMA_GZIP_BYTES, request->gzip_bytes);
        mmio_write32(base + DMA_SGL_COUNT, request->sgl_count);
        mmio_write32(base + DMA_KIND, request->kind);
        mmio_write32(base + DMA_DOMAIN, request->domain);
        mmio_write32(base + DMA_START, 1);
        return (int)i;
    }
    return DMA_NO_CHANNEL;
}

bool dma_finish(struct dma* dma, unsigned channel, uint16_t* owner, uint16_t* status) {
    if (!dma->channel[channel].busy)
        return false;
    const uint32_t value = mmio_read32(channel_base(dma, channel) + DMA_STATUS);
    if ((value & TALUS_DMA_DONE) == 0)
        return false;
    *owner = dma->channel[channel].owner;
    *status = (uint16_t)(value >> 16);
    dma->channel[channel].busy = false;
    dma->channel[channel].owner = DMA_NO_OWNER;
    return true;
}

uint64_t dma_written(const struct dma* dma, unsigned channel) {
    return mmio_read64(channel_base(dma, channel) + DMA_WRITTEN);
}

void dma_orphan_all(struct dma* dma) {
    for (unsigned i = 0; i < TALUS_DMA_CHANNELS; ++i)
        dma->channel[i].owner = DMA_NO_OWNER;
}

bool dma_idle(const struct dma* dma) {
    for (unsigned i = 0; i < TALUS_DMA_CHANNELS; ++i) {
        if (dma->channel[i].busy)
            return false;
    }
    return true;
}
