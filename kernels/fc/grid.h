/* The schedule TALUS_FC_GRID: a large product over the whole grid.
 *
 * Rows of Y are cut into strips of up to 64, as many for every row of PEs, and differing by one row
 * at most; columns into panels of 64, which go to the columns of PEs in turn. A PE computes the
 * blocks strip by strip, panel by panel, each in the four RE banks. All PEs of a row need the same
 * slices of X at the same time, all of a column the same of W: both are broadcast reads. Where a
 * strip of X fits, it stays in local memory for all panels, and the next strip's slices take the
 * place of those that the last panel has used.
 *
 * All requests of a PE go through one queue, in an order that is the same for everyone who shares
 * them: members of a row and of a column could otherwise wait for each other in a circle. */
#ifndef TALUS_KERNELS_FC_GRID_H
#define TALUS_KERNELS_FC_GRID_H

#include "kernels/fc/args.h"
#include "talus/device/barrier.h"
#include "talus/device/memory.h"

#define GRID_SLOT (TALUS_FC_PANEL * TALUS_FC_SLICE_BYTES) /* of a slice in local memory */
#define GRID_BIAS_SLOT (TALUS_FC_PANEL * 4u)
#define GRID_STAGGER 4096u /* bytes that lie in one bank group of each channel of DRAM */

struct grid {
    uint32_t strips;                   /* per row of PEs */
    uint32_t all_strips;               /* of Y */
    uint32_t first_strip;              /* this PE's */
    uint32_t col, cols;                /* of PEs; this PE's panels are col, col + cols, ... */
    uint32_t panel_count;              /* this PE's */
    uint32_t slices, tail, tail_pitch; /* of k */
    uint32_t y_row;                    /* bytes of a row of a block of Y */
    int prefetches;                    /* this PE asks for W ahead, for its column */
};

/* A slice of W, or what is used with it. */
struct grid_place {
    uint32_t strip, panel, slice; /* the how manieth of the PE's */
};
static void grid_next(const struct grid* grid, struct grid_place* place) {
    if (++place->slice == grid->slices) {
        place->slice = 0;
        if (++place->panel == grid->panel_count) {
            place->panel = 0;
            ++place->strip;
        }
    }
}

static struct grid grid_plan(const struct talus_launch* launch, const struct talus_fc_args* args) {
    struct grid grid;
    const uint32_t strips = (args->batch + TALUS_FC_PANEL - 1) / TALUS_FC_PANEL;
    grid.strips = (strips + launch->rows - 1) / launch->rows;
    grid.all_strips = grid.strips * launch->rows;
    grid.first_strip = grid.strips * launch->row;
    const uint32_t panels = (args->n + TALUS_FC_PANEL - 1) / TALUS_FC_PANEL;
    grid.col = launch->col;
    grid.cols = launch->cols;
    grid.panel_count = (panels - launch->col + launch->cols - 1) / launch->cols;
    grid.slices = talus_fc_full_slices(args->k) + 1;
    grid.tail = talus_fc_tail(args->k);
    grid.tail_pitch = talus_fc_tail_pitch(args->k);
    grid.prefetches = args->prefetch != 0 && launch->row == launch->col % launch->rows;
    grid.y_row = TALUS_FC_PANEL * (args->y_type == TALUS_CP_FP32 ? 4 : 2);
    return grid;
}

static void grid_configure(const struct talus_launch* launch, const struct talus_fc_args* args,
                           const struct grid* grid) {
    struct talus_local local = talus_local_all(launch);
    configure(&local, CB_X, GRID_SLOT, args->x_slots);
    configure(&local, CB_W, GRID_SLOT, args->w_slots);
    configure(&local, CB_BIAS, GRID_BIAS_SLOT, SLOTS);
    configure(&local, CB_Y, TALUS_FC_PANEL * grid->y_row, SLOTS);
}

static void strip_rows(const struct talus_fc_args* args, const struct grid* grid, uint32_t strip,
                       uint32_t* first, uint32_t* rows) {
    uint64_t from, count;
    talus_split(args->batch, grid->all_strips, grid->first_strip + strip, &from, &count);
    *first = (uint32_t)from;
    *rows = (uint32_t)count;
}
/* The panel of W that is the `index`-th of this PE's. */
static uint32_t grid_panel(const struct grid* grid, uint32_t index) {
    return grid->col + index * grid->cols;
}
static uint32_t panel_columns(const struct talus_fc_args* args, uint32_t panel) {
    return smaller(TALUS_FC_PANEL, args->n - panel * TALUS_FC_PANEL);
}

static void grid_move_x(const struct talus_fc_args* args, const struct grid* grid, uint32_t strip,
                        uint32_t slice) {
    uint32_t first, rows;
    strip_rows(args, grid, strip, &first, &rows);
    const uint64_t from =
        args->x + (uint64_t)first * args->x_pitch + (uint64_t)slice * TALUS_FC_SLICE_BYTES;
    const uint32_t bytes = slice + 1 < grid->slices ? TALUS_FC_SLICE_BYTES : grid->tail * 2;
    if (args->x_broadcast)
        talus_broadcast(CB_X, from, bytes, rows);
    else
        talus_dma_in(CB_X, from, bytes, rows);
}

static uint64_t grid_slice_of_w(const struct talus_fc_args* args, const struct grid* grid,
                                const struct grid_place* place, uint32_t* bytes) {
    const uint32_t panel = grid_panel(grid, place->panel);
    const uint32_t n = panel * TALUS_FC_PANEL;
    const uint32_t group = n / TALUS_FC_GROUP * TALUS_FC_GROUP;
    const uint32_t group_rows = smaller(TALUS_FC_GROUP, args->n - group);
    const int tail = place->slice + 1 == grid->slices;
    const uint32_t pitch = tail ? grid->tail_pitch : TALUS_FC_SLICE_BYTES;
    *bytes = panel_columns(args, panel) * pitch;
    return args->weights + group * talus_fc_row_bytes(args->k) +
           (uint64_t)place->slice * group_rows * TALUS_FC_SLICE_BYTES + (n - group) * pitch;
}

/* By one PE of a column alone: DRAM then sees its slices in order. Every column begins elsewhere in
 * its slice, or all would ask a channel for the same bank group at a time. */
static void grid_prefetch_w(const struct talus_fc_args* args, const struct grid* grid,
                            struct grid_place* ahead) {
    if (!grid->prefetches || ahead->strip == grid->strips)
        return;
    uint32_t bytes;
    const uint64_t from = grid_slice_of_w(args, grid, ahead, &bytes);
    const uint32_t begin = grid->col * GRID_STAGGER % bytes;
    talus_prefetch(PREFETCH, from + begin, bytes - begin, 1);
    if (begin != 0)
        talus_prefetch(PREFETCH, from, begin, 1);
    grid_next(grid, ahead);
}

/* Slices of W are numbered through strips and panels. With X resident, the next strip's slice that
 * replaces one of X goes right before the slice of W that replaces the one used together with it.
 */
static void grid_move(const struct talus_fc_args* args, const struct grid* grid) {
    talus_context_set01(CB_X, talus_cb_operand(CB_X, 0, GRID_SLOT),
                        TALUS_PAIR(args->x_pitch, TALUS_FC_SLICE_BYTES));
    talus_context_set(CB_X, 2, TALUS_BROADCAST_ROW);
    talus_context_set01(CB_W, talus_cb_operand(CB_W, 0, GRID_SLOT), TALUS_PAIR(0, 0));
    talus_context_set(CB_W, 2, TALUS_BROADCAST_COLUMN);
    talus_context_set01(CB_BIAS, talus_cb_operand(CB_BIAS, 0, GRID_BIAS_SLOT), TALUS_PAIR(0, 0));

    talus_context_set(PREFETCH, 1, TALUS_PAIR(0, 0));

    /* The slice of W to move, the one that is used when it finds room, and the one to ask for. */
    struct grid_place move = {0, 0, 0}, used = {0, 0, 0}, asked = {0, 0, 0};
    for (uint32_t i = 0; i < args->prefetch; ++i)
        grid_prefetch_w(args, grid, &asked);
    uint32_t ahead = args->w_slots;
    while (used.strip < grid->strips) {
        const int more = move.strip < grid->strips;
        if (more && move.slice == 0)
            talus_dma_in(CB_BIAS,
                         args->bias + (uint64_t)grid_panel(grid, move.panel) * GRID_BIAS_SLOT,
                         panel_columns(args, grid_panel(grid, move.panel)) * 4, 1);
        if (more && (!args->resident || (move.strip == 0 && move.panel == 0)))
            grid_move_x(args, grid, move.strip, move.slice);
        if (ahead != 0) {
            --ahead;
        } else {
            if (args->resident && used.panel + 1 == grid->panel_count &&
                used.strip + 1 < grid->strips)
                grid_move_x(args, grid, used.strip + 1, used.slice);
            grid_next(grid, &used);
        }
        if (!more)
            continue;
        grid_prefetch_w(args, grid, &asked);
        uint32_t bytes;
        const uint64_t from = grid_slice_of_w(args, grid, &move, &bytes);
        talus_broadcast(CB_W, from, bytes, 1);
        grid_next(grid, &move);
    }
}

enum { GRID_SLICES, GRID_TAIL, GRID_SEED, GRID_DRAIN, GRID_OUT };

static uint32_t tiles_of(uint32_t rows, uint32_t columns) {
    return ceil_divide(rows, TALUS_FC_TILE) * ceil_divide(columns, TALUS_FC_TILE);
}

static void grid_seed(uint32_t rows, uint32_t columns, uint32_t tile) {
    const uint32_t across = ceil_divide(columns, TALUS_FC_TILE);
    const uint32_t m = tile / across * TALUS_FC_TILE;
    const uint32_t n = tile % across * TALUS_FC_TILE;
    const uint32_t pop = tile + 1 == tiles_of(rows, columns) ? GRID_BIAS_SLOT : 0;
    talus_context_set(GRID_SEED, 1, talus_cb_operand(CB_BIAS, n * 4, pop));
    talus_re_load(GRID_SEED, smaller(TALUS_FC_TILE, rows - m), smaller(TALUS_FC_TILE, columns - n),
                  tile, TALUS_RE_LOAD_ROW);
}

static void grid_drain(const struct talus_fc_args* args, const struct grid* grid, uint32_t rows,
                       uint32_t columns, uint32_t tile) {
    const uint32_t element = args->y_type == TALUS_CP_FP32 ? 4 : 2;
    const uint32_t across = ceil_divide(columns, TALUS_FC_TILE);
    const uint32_t m = tile / across * TALUS_FC_TILE;
    const uint32_t n = tile % across * TALUS_FC_TILE;
    const uint32_t push = tile + 1 == tiles_of(rows, columns) ? TALUS_FC_PANEL * grid->y_row : 0;
    talus_context_set(GRID_DRAIN, 0, talus_cb_operand(CB_Y, m * grid->y_row + n * element, push));
    talus_re_store(GRID_DRAIN, smaller(TALUS_FC_TILE, rows - m),
                   smaller(TALUS_FC_TILE, columns - n), tile,
                   (enum talus_se_function)args->activation, (enum talus_cp_type)args->y_type);
}

/* A bank is drained and seeded for the next block while the product goes on in the others. */
static void grid_compute(const struct talus_fc_args* args, const struct grid* grid) {
    const uint32_t element = args->y_type == TALUS_CP_FP32 ? 4 : 2;
    const uint32_t full = grid->slices - 1;
    talus_context_set(GRID_SLICES, 2, TALUS_PAIR(TALUS_FC_SLICE_BYTES, TALUS_FC_SLICE_BYTES));
    talus_context_set(GRID_TAIL, 2, TALUS_PAIR(TALUS_FC_SLICE_BYTES, grid->tail_pitch));
    talus_context_set(GRID_SEED, 2, TALUS_PAIR(0, 0));
    talus_context_set(GRID_DRAIN, 2, TALUS_PAIR(0, grid->y_row));
    talus_context_set01(GRID_OUT, talus_cb_operand(CB_Y, 0, TALUS_FC_PANEL * grid->y_row),
                        TALUS_PAIR(grid->y_row, args->y_pitch));

    uint32_t first, rows, next_first, next_rows;
    strip_rows(args, grid, 0, &first, &rows);
    uint32_t panel = 0;
    uint32_t columns = panel_columns(args, grid_panel(grid, panel));
    for (uint32_t tile = 0; tile < tiles_of(rows, columns); ++tile)
        grid_seed(rows, columns, tile);
    for (uint32_t strip = 0; strip < grid->strips;) {
        const int last_panel = panel + 1 == grid->panel_count;
        const int keeps_x = args->resident && !last_panel;
        const uint32_t x_pop = keeps_x ? 0 : GRID_SLOT;
        if (full != 0) {
            talus_context_set01(GRID_SLICES, talus_cb_operand(CB_X, 0, x_pop),
                                talus_cb_operand(CB_W, 0, GRID_SLOT));
            talus_context_sequence(GRID_SLICES, full, 0, keeps_x ? GRID_SLOT : 0, 0, 0, 0);
            talus_dpe_matmul_sequence(GRID_SLICES, rows, columns, TALUS_FC_SLICE, 0, 1,
                                      TALUS_CP_FP16);
        }
        talus_context_set01(GRID_TAIL,
                            talus_cb_operand(CB_X, keeps_x ? full * GRID_SLOT : 0, x_pop),
                            talus_cb_operand(CB_W, 0, GRID_SLOT));
        talus_dpe_matmul(GRID_TAIL, rows, columns, grid->tail, 0, 1, TALUS_CP_FP16);

        const uint32_t next_panel = last_panel ? 0 : panel + 1;
        const uint32_t next_strip = strip + (last_panel ? 1 : 0);
        const uint32_t next_columns = panel_columns(args, grid_panel(grid, next_panel));
        next_first = first;
        next_rows = rows;
        if (last_panel && next_strip < grid->strips)
            strip_rows(args, grid, next_strip, &next_first, &next_rows);
        const uint32_t drains = tiles_of(rows, columns);
        const uint32_t seeds = next_strip < grid->strips ? tiles_of(next_rows, next_columns) : 0;
        for (uint32_t tile = 0; tile < drains || tile < seeds; ++tile) {
            if (tile < drains)
                grid_drain(args, grid, rows, columns, tile);
            if (tile < seeds)
                grid_seed(next_rows, next_columns, tile);
        }
        talus_dma_out(GRID_OUT,
                      args->y + (uint64_t)first * args->y_pitch +
                          (uint64_t)grid_panel(grid, panel) * TALUS_FC_PANEL * element,
                      columns * element, rows);
        strip = next_strip;
        panel = next_panel;
        columns = next_columns;
        first = next_first;
        rows = next_rows;
    }
}

#endif
