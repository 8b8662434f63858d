/* The grid of PEs: who occupies which, broadcasts, reset. */
#ifndef TALUS_FIRMWARE_GRID_H
#define TALUS_FIRMWARE_GRID_H

#include <stdbool.h>
#include <stdint.h>

#include "talus/hw/address_map.h"
#include "talus/hw/queue.h"

struct grid_rect {
    uint8_t row0, col0, rows, cols;
};

/* A set of PEs: bit 16 * (row % 4) + column of word row / 4. Few words, because a launch looks at
 * them. */
#define GRID_WORDS (TALUS_MAX_ROWS * TALUS_MAX_COLS / 64u)
struct grid_set {
    uint64_t word[GRID_WORDS];
};

/* A valid rectangle and its PEs, worked out once: launches repeat their rectangle. */
struct grid_area {
    struct grid_rect rect;
    uint32_t code;        /* as the hardware has it */
    uint32_t first, last; /* words of `pes` that hold any */
    struct grid_set pes;
};

struct grid {
    uint64_t base; /* register block */
    uint8_t rows, cols;
    struct grid_set busy;     /* a job runs there */
    struct grid_set reserved; /* a queue that came earlier waits for it */
    /* Which PEs have run a job of which domain since their reset, and of any; of domain 0 nothing
     * is kept. */
    struct grid_set domain[TALUS_MAX_DOMAINS];
    struct grid_set claimed;
    uint32_t latest;        /* code of the area that was claimed last, */
    uint32_t latest_domain; /* for this domain; GRID_NO_DOMAIN: none */
};
#define GRID_NO_DOMAIN 0xffu

void grid_init(struct grid* grid, uint64_t base, uint32_t rows, uint32_t cols, uint64_t pe_entry);

/* A non-empty rectangle within the grid. */
bool grid_valid(const struct grid* grid, struct grid_rect rect);

/* As grid_area.code. */
uint32_t grid_code(struct grid_rect rect);
struct grid_area grid_area_of(struct grid_rect rect);

/* Occupies the area, or reserves it for a later try and returns false. */
bool grid_occupy(struct grid* grid, const struct grid_area* area);
void grid_release(struct grid* grid, const struct grid_area* area);

/* Before the waiting queues are tried again, in order. */
void grid_clear_reservations(struct grid* grid);

/* Prepares an area that is occupied for a job of `domain`: PEs that worked for another one start
 * anew, so that nothing of it is left in them. */
void grid_claim(struct grid* grid, const struct grid_area* area, uint8_t domain);

/* The domain has no queue any more: the PEs that worked for it start anew, whatever their kernels
 * left running. */
void grid_vacate(struct grid* grid, uint8_t domain);

/* Job `job`'s record is not for PEs of a domain until its next launch. */
void grid_revoke_record(const struct grid* grid, uint32_t job);

/* Sends the address of a work descriptor to the rectangle's work-queue engines. */
void grid_launch(const struct grid* grid, const struct grid_area* area, uint64_t descriptor);

/* Stores the rectangle's performance counters (perf.h talus_perf_record) at device address `to`,
 * less the sample at `from` (0: as they are). `to` must be in a window of `domain`. */
void grid_sample(const struct grid* grid, const struct grid_area* area, uint64_t from, uint64_t to,
                 uint8_t domain);

/* Resets the PEs of the area with this code and lets them start anew. */
void grid_restart(const struct grid* grid, uint32_t code);

/* Device address of local memory of the PE at (row, col) of the rectangle. */
uint64_t grid_local_memory(const struct grid* grid, struct grid_rect rect, uint32_t row,
                           uint32_t col);

#endif
