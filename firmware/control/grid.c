#include "grid.h"

#include "../common/memory.h"
#include "../common/mmio.h"
#include "talus/hw/registers.h"

static uint32_t encode(struct grid_rect rect) {
    return rect.row0 | (uint32_t)rect.col0 << 8 | (uint32_t)rect.rows << 16 |
           (uint32_t)rect.cols << 24;
}

/* The columns of a valid rectangle, for each of the 4 rows of a word. */
static uint64_t columns_of(struct grid_rect rect) {
    return (((1ull << rect.cols) - 1) << rect.col0) * 0x0001000100010001ull;
}

/* The rows of the rectangle in word `i`, one of [row0 / 4, (row0 + rows - 1) / 4]; all columns. */
static uint64_t rows_in_word(struct grid_rect rect, unsigned i) {
    const unsigned last = rect.row0 + rect.rows - 1u;
    uint64_t rows = ~0ull;
    if (i == rect.row0 / 4u)
        rows &= ~0ull << 16 * (rect.row0 % 4u);
    if (i == last / 4u)
        rows &= ~0ull >> 16 * (3 - last % 4u);
    return rows;
}

static void add(struct grid_set* set, struct grid_rect rect) {
    const uint64_t columns = columns_of(rect);
    for (unsigned i = rect.row0 / 4u; i <= (rect.row0 + rect.rows - 1u) / 4u; ++i)
        set->word[i] |= columns & rows_in_word(rect, i);
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
    const uint64_t columns = columns_of(rect);
    uint64_t taken = 0;
    for (unsigned i = rect.row0 / 4u; i <= (rect.row0 + rect.rows - 1u) / 4u; ++i)
        taken |= rows_in_word(rect, i) & (grid->busy.word[i] | grid->reserved.word[i]);
    taken &= columns;
    add(taken == 0 ? &grid->busy : &grid->reserved, rect);
    return taken == 0;
}

void grid_release(struct grid* grid, struct grid_rect rect) {
    const uint64_t columns = columns_of(rect);
    for (unsigned i = rect.row0 / 4u; i <= (rect.row0 + rect.rows - 1u) / 4u; ++i)
        grid->busy.word[i] &= ~(columns & rows_in_word(rect, i));
}

void grid_clear_reservations(struct grid* grid) {
    memset(&grid->reserved, 0, sizeof(grid->reserved));
}

void grid_launch(const struct grid* grid, struct grid_rect rect, uint64_t descriptor) {
    mmio_write32(grid->base + GRID_LAUNCH_RECT, encode(rect));
    mmio_write64(grid->base + GRID_LAUNCH, descriptor);
}

void grid_sample(const struct grid* grid, struct grid_rect rect, uint64_t from, uint64_t to) {
    mmio_write32(grid->base + GRID_LAUNCH_RECT, encode(rect));
    mmio_write64(grid->base + GRID_PERF_FROM, from);
    mmio_write64(grid->base + GRID_PERF_TO, to);
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
