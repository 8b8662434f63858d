#include "grid.h"

#include "../common/memory.h"
#include "../common/mmio.h"
#include "talus/hw/registers.h"

uint32_t grid_code(struct grid_rect rect) {
    return rect.row0 | (uint32_t)rect.col0 << 8 | (uint32_t)rect.rows << 16 |
           (uint32_t)rect.cols << 24;
}

struct grid_area grid_area_of(struct grid_rect rect) {
    struct grid_area area = {.rect = rect, .code = grid_code(rect)};
    const uint64_t columns = ((1ull << rect.cols) - 1) << rect.col0;
    area.first = rect.row0 / 4u;
    area.last = (rect.row0 + rect.rows - 1u) / 4u;
    for (unsigned row = rect.row0; row < rect.row0 + (unsigned)rect.rows; ++row)
        area.pes.word[row / 4] |= columns << 16 * (row % 4);
    return area;
}

void grid_init(struct grid* grid, uint64_t base, uint32_t rows, uint32_t cols, uint64_t pe_entry) {
    memset(grid, 0, sizeof(*grid));
    grid->base = base;
    grid->rows = (uint8_t)rows;
    grid->cols = (uint8_t)cols;
    grid->latest_domain = GRID_NO_DOMAIN;
    mmio_write64(base + GRID_PE_VECTOR, pe_entry);
}

bool grid_valid(const struct grid* grid, struct grid_rect rect) {
    return rect.rows != 0 && rect.cols != 0 && rect.row0 + rect.rows <= grid->rows &&
           rect.col0 + rect.cols <= grid->cols;
}

bool grid_occupy(struct grid* grid, const struct grid_area* area) {
    uint64_t taken = 0;
    for (unsigned i = area->first; i <= area->last; ++i)
        taken |= area->pes.word[i] & (grid->busy.word[i] | grid->reserved.word[i]);
    struct grid_set* set = taken == 0 ? &grid->busy : &grid->reserved;
    for (unsigned i = area->first; i <= area->last; ++i)
        set->word[i] |= area->pes.word[i];
    return taken == 0;
}

void grid_release(struct grid* grid, const struct grid_area* area) {
    for (unsigned i = area->first; i <= area->last; ++i)
        grid->busy.word[i] &= ~area->pes.word[i];
}

void grid_clear_reservations(struct grid* grid) {
    memset(&grid->reserved, 0, sizeof(grid->reserved));
}

/* PEs of the area have worked for other domains. */
__attribute__((cold, noinline)) static void evict(struct grid* grid, const struct grid_area* area) {
    grid_restart(grid, area->code);
    for (unsigned i = area->first; i <= area->last; ++i) {
        for (unsigned domain = 1; domain < TALUS_MAX_DOMAINS; ++domain)
            grid->domain[domain].word[i] &= ~area->pes.word[i];
        grid->claimed.word[i] &= ~area->pes.word[i];
    }
}

/* Another area or domain than the time before. */
__attribute__((noinline)) static void claim_anew(struct grid* grid, const struct grid_area* area,
                                                 uint8_t domain) {
    struct grid_set* own = &grid->domain[domain];
    uint64_t foreign = 0;
    for (unsigned i = area->first; i <= area->last; ++i)
        foreign |= area->pes.word[i] & grid->claimed.word[i] & ~own->word[i];
    if (foreign != 0)
        evict(grid, area);
    for (unsigned i = area->first; domain != 0 && i <= area->last; ++i) {
        own->word[i] |= area->pes.word[i];
        grid->claimed.word[i] |= area->pes.word[i];
    }
    grid->latest = area->code;
    grid->latest_domain = domain;
}

void grid_claim(struct grid* grid, const struct grid_area* area, uint8_t domain) {
    if (domain != grid->latest_domain || area->code != grid->latest)
        claim_anew(grid, area, domain);
}

void grid_vacate(struct grid* grid, uint8_t domain) {
    struct grid_set* set = &grid->domain[domain];
    for (uint8_t row = 0; row < grid->rows; ++row) {
        const uint64_t columns = set->word[row / 4u] >> 16 * (row % 4u) & 0xffffu;
        /* Mostly none: the end of a controller visits all domains. */
        for (uint8_t col = 0; columns >> col != 0; ++col) {
            uint8_t cols = 0;
            while ((columns >> (col + cols) & 1) != 0)
                ++cols;
            if (cols != 0)
                grid_restart(grid, grid_code((struct grid_rect){row, col, 1, cols}));
            col += cols;
        }
    }
    for (unsigned i = 0; i < GRID_WORDS; ++i)
        grid->claimed.word[i] &= ~set->word[i];
    memset(set, 0, sizeof(*set));
    grid->latest_domain = GRID_NO_DOMAIN;
}

void grid_revoke_record(const struct grid* grid, uint32_t job) {
    mmio_write32(grid->base + GRID_JOB_REVOKE, job);
}

void grid_launch(const struct grid* grid, const struct grid_area* area, uint64_t descriptor) {
    mmio_write32(grid->base + GRID_LAUNCH_RECT, area->code);
    mmio_write64(grid->base + GRID_LAUNCH, descriptor);
}

void grid_sample(const struct grid* grid, const struct grid_area* area, uint64_t from, uint64_t to,
                 uint8_t domain) {
    mmio_write32(grid->base + GRID_LAUNCH_RECT, area->code);
    mmio_write64(grid->base + GRID_PERF_FROM, from);
    mmio_write32(grid->base + GRID_PERF_DOMAIN, domain);
    mmio_write64(grid->base + GRID_PERF_TO, to);
}

void grid_restart(const struct grid* grid, uint32_t code) {
    mmio_write32(grid->base + GRID_LAUNCH_RECT, code);
    mmio_write32(grid->base + GRID_PE_RESET, 1);
    mmio_write32(grid->base + GRID_PE_RESET, 0);
}

uint64_t grid_local_memory(const struct grid* grid, struct grid_rect rect, uint32_t row,
                           uint32_t col) {
    const uint32_t pe = (rect.row0 + row) * grid->cols + rect.col0 + col;
    return TALUS_PE_WINDOW_BASE + pe * TALUS_PE_WINDOW_STRIDE;
}
