#include "grid.h"

#include "../common/memory.h"
#include "../common/mmio.h"
#include "talus/hw/registers.h"

static uint32_t encode(struct grid_rect rect) {
    return rect.row0 | (uint32_t)rect.col0 << 8 | (uint32_t)rect.rows << 16 |
           (uint32_t)rect.cols << 24;
}

static uint16_t column_mask(struct grid_rect rect) {
    return (uint16_t)(((1u << rect.cols) - 1u) << rect.col0);
}

void grid_init(struct grid* grid, uint64_t base, uint32_t rows, uint32_t cols, uint64_t pe_entry) {
    memset(grid, 0, sizeof(*grid));
    grid->base = base;
    grid->rows = (uint8_t)rows;
    grid->cols = (uint8_t)cols;
    mmio_write64(base + GRID_PE_VECTOR, pe_entry);
}

bool grid_valid(const struct grid* grid, struct grid_rect rect) {
    return rect.rows != 0 && rect.cols != 0 && rect.row0 + rect.rows <= grid->rows &&
           rect.col0 + rect.cols <= grid->cols;
}

bool grid_occupy(struct grid* grid, struct grid_rect rect) {
    const uint16_t mask = column_mask(rect);
    uint16_t taken = 0;
    for (unsigned row = rect.row0; row < rect.row0 + rect.rows; ++row)
        taken |= (uint16_t)((grid->busy[row] | grid->reserved[row]) & mask);
    uint16_t* rows = taken == 0 ? grid->busy : grid->reserved;
    for (unsigned row = rect.row0; row < rect.row0 + rect.rows; ++row)
        rows[row] |= mask;
    return taken == 0;
}

void grid_release(struct grid* grid, struct grid_rect rect) {
    const uint16_t mask = column_mask(rect);
    for (unsigned row = rect.row0; row < rect.row0 + rect.rows; ++row)
        grid->busy[row] &= (uint16_t)~mask;
}

void grid_clear_reservations(struct grid* grid) {
    memset(grid->reserved, 0, sizeof(grid->reserved));
}

void grid_launch(const struct grid* grid, struct grid_rect rect, uint64_t descriptor) {
    mmio_write32(grid->base + GRID_LAUNCH_RECT, encode(rect));
    mmio_write64(grid->base + GRID_LAUNCH, descriptor);
}

void grid_restart(const struct grid* grid, struct grid_rect rect) {
    mmio_write32(grid->base + GRID_LAUNCH_RECT, encode(rect));
    mmio_write32(grid->base + GRID_PE_RESET, 1);
    mmio_write32(grid->base + GRID_PE_RESET, 0);
}

uint64_t grid_local_memory(const struct grid* grid, struct grid_rect rect, uint32_t row,
                           uint32_t col) {
    const uint32_t pe = (rect.row0 + row) * grid->cols + rect.col0 + col;
    return TALUS_PE_WINDOW_BASE + pe * TALUS_PE_WINDOW_STRIDE;
}
