/* The grid of PEs: who occupies which, broadcasts, reset. */
#ifndef TALUS_FIRMWARE_GRID_H
#define TALUS_FIRMWARE_GRID_H

#include <stdbool.h>
#include <stdint.h>

#include "talus/hw/address_map.h"

struct grid_rect {
    uint8_t row0, col0, rows, cols;
};

/* A set of PEs: bit 16 * (row % 4) + column of word row / 4. Few words, because a launch looks at
 * them. */
#define GRID_WORDS (TALUS_MAX_ROWS * TALUS_MAX_COLS / 64u)
struct grid_set {
    uint64_t word[GRID_WORDS];
};

struct grid {
    uint64_t base; /* register block */
    uint8_t rows, cols;
    struct grid_set busy;     /* a job runs there */
    struct grid_set reserved; /* a queue that came earlier waits for it */
};

void grid_init(struct grid* grid, uint64_t base, uint32_t rows, uint32_t cols, uint64_t pe_entry);

/* A non-empty rectangle within the grid. */
bool grid_valid(const struct grid* grid, struct grid_rect rect);

/* Occupies the rectangle, or reserves it for a later try and returns false. */
bool grid_occupy(struct grid* grid, struct grid_rect rect);
void grid_release(struct grid* grid, struct grid_rect rect);

/* Before the waiting queues are tried again, in order. */
void grid_clear_reservations(struct grid* grid);

/* Sends the address of a work descriptor to the rectangle's work-queue engines. */
void grid_launch(const struct grid* grid, struct grid_rect rect, uint64_t descriptor);

/* Stores the rectangle's performance counters (perf.h talus_perf_record) at device address `to`,
 * less the sample at `from` (0: as they are). */
void grid_sample(const struct grid* grid, struct grid_rect rect, uint64_t from, uint64_t to);

/* Resets the rectangle's PEs and lets them start anew. */
void grid_restart(const struct grid* grid, struct grid_rect rect);

/* Device address of local memory of the PE at (row, col) of the rectangle. */
uint64_t grid_local_memory(const struct grid* grid, struct grid_rect rect, uint32_t row,
                           uint32_t col);

#endif
