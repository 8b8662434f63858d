#include "grid.h"

#include "../common/memory.h"
#include "../common/mmio.h"
#include "talus/hw/registers.h"

static uint32_t encode(struct grid_rect rect) {
    return rect.row0 | (uint32_t)rect.col0 << 8 | (uint32_t)rect.rows << 16 |
           (uint32_t)rect.cols << 24;
}

/* The PEs of a valid rectangle. */
static struct grid_set set_of(struct grid_rect rect) {
    struct grid_set set;
    const uint64_t columns = (((1ull << rect.cols) - 1) << rect.col0) * 0x0001000100010001ull;
    const unsigned end = (rect.row0 + rect.rows) * 16u;
    for (unsigned i = 0; i < GRID_WORDS; ++i) {
        const unsigned first = i * 64;
        const unsigned from = rect.row0 * 16u > first ? rect.row0 * 16u - first : 0;
        const unsigned to = end < first + 64 ? end - first : 64;
        const bool any = rect.row0 * 16u < first + 64 && end > first;
        const uint64_t rows =
            any ? (to == 64 ? ~0ull : (1ull << to) - 1) & ~((1ull << from) - 1) : 0;
        set.word[i] = columns & rows;
    }
    return set;
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
    const struct grid_set set = set_of(rect);
    uint64_t taken = 0;
    for (unsigned i = 0; i < GRID_WORDS; ++i)
        taken |= set.word[i] & (grid->busy.word[i] | grid->reserved.word[i]);
    struct grid_set* target = taken == 0 ? &grid->busy : &grid->reserved;
    for (unsigned i = 0; i < GRID_WORDS; ++i)
        target->word[i] |= set.word[i];
    return taken == 0;
}

void grid_release(struct grid* grid, struct grid_rect rect) {
    const struct grid_set set = set_of(rect);
    for (unsigned i = 0; i < GRID_WORDS; ++i)
        grid->busy.word[i] &= ~set.word[i];
}

void grid_clear_reservations(struct grid* grid) {
    memset(&grid->reserved, 0, sizeof(grid->reserved));
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
