/* What the two cores of the interaction kernel share. A PE takes a run of samples. Core A moves T
 * and the dense vector in and multiplies T by its transpose, tile by tile of the lower triangle;
 * core B gathers the triangle into a row of Y and sends it out. */
#ifndef TALUS_KERNELS_INTERACTION_PIPELINE_H
#define TALUS_KERNELS_INTERACTION_PIPELINE_H

#include "kernels/interaction/args.h"
#include "talus/device/barrier.h"
#include "talus/device/memory.h"

enum {
    CB_T,     /* fabric -> DPE: a sample's features */
    CB_DENSE, /* fabric -> core B: a sample's dense vector */
    CB_TILE,  /* RE -> core B: one tile of products, in Y's type */
    CB_ROW    /* core B -> FI out: a row of Y */
};

struct interaction_plan {
    uint32_t t_slot, dense_slot, tile_slot, row_slot; /* bytes */
    uint32_t tile_row;                                /* bytes from row to row of a tile */
    uint32_t y_element;
    uint32_t tiles; /* per side */
    uint64_t first, count;
};

TALUS_INLINE uint32_t interaction_align(uint32_t bytes) {
    return (bytes + 63u) & ~63u;
}
TALUS_INLINE uint32_t interaction_tile(uint32_t features, uint32_t tile) {
    const uint32_t left = features - tile * TALUS_INTERACTION_TILE;
    return left < TALUS_INTERACTION_TILE ? left : TALUS_INTERACTION_TILE;
}

TALUS_INLINE struct interaction_plan
interaction_make_plan(const struct talus_launch* launch,
                      const struct talus_interaction_args* args) {
    struct interaction_plan plan;
    struct talus_local local = talus_local_all(launch);
    plan.y_element = args->y_type == TALUS_CP_FP32 ? 4 : 2;
    plan.tile_row = TALUS_INTERACTION_TILE * plan.y_element;
    plan.t_slot = interaction_align(args->features * args->width * 2);
    plan.dense_slot = interaction_align(args->dense_columns * 2);
    plan.tile_slot = TALUS_INTERACTION_TILE * plan.tile_row;
    plan.row_slot = interaction_align((args->dense_columns + args->pairs) * plan.y_element);
    plan.tiles = (args->features + TALUS_INTERACTION_TILE - 1) / TALUS_INTERACTION_TILE;
    if (launch->core == TALUS_CORE_A) {
        talus_cb_config(CB_T, talus_local_alloc(&local, 2 * plan.t_slot, 64), 2 * plan.t_slot);
        if (args->dense_columns != 0)
            talus_cb_config(CB_DENSE, talus_local_alloc(&local, 4 * plan.dense_slot, 64),
                            4 * plan.dense_slot);
        talus_cb_config(CB_TILE, talus_local_alloc(&local, 4 * plan.tile_slot, 64),
                        4 * plan.tile_slot);
        talus_cb_config(CB_ROW, talus_local_alloc(&local, 2 * plan.row_slot, 64),
                        2 * plan.row_slot);
    }
    talus_split(args->batch, talus_pe_count(launch), talus_pe_index(launch), &plan.first,
                &plan.count);
    return plan;
}

/* Core B (vector.c). */
void interaction_gather(const struct talus_interaction_args* args,
                        const struct interaction_plan* plan);

#endif
