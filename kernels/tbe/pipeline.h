/* What the two cores of the embedding kernel share: the buffers between them and the walk over the
 * work.
 *
 * A work item is a block of consecutive samples of one table; its indices, bag after bag, are one
 * list that is cut into chunks. Items are ordered table by table, and a PE takes a run of them.
 *
 *   offsets, indices --FI--> core B: checks, resolves, narrows --LIST--> FI, indexed: rows
 *                            core B --LENGTHS--> core A: pools the rows with the SE, sends them out
 *
 * Core B knows of every fault before a row is touched, and names table, sample and position. */
#ifndef TALUS_KERNELS_TBE_PIPELINE_H
#define TALUS_KERNELS_TBE_PIPELINE_H

#include "kernels/tbe/args.h"
#include "talus/device/barrier.h"
#include "talus/device/memory.h"

enum {
    CB_OFFSETS, /* fabric -> core B: a block's offsets */
    CB_RAW,     /* fabric -> core B: a chunk of indices as the caller has them */
    CB_LIST,    /* core B -> FI of core A: a chunk of INT32 rows */
    CB_LENGTHS, /* core B -> core A: a block's bag lengths, INT32, behind a tbe_summary */
    CB_ROWS,    /* fabric -> SE (or FI out): a chunk of rows */
    CB_OUT      /* SE -> FI out: a block of pooled rows in Y's type */
};
#define RING 4u /* slots of the small buffers; CB_ROWS has 3, CB_OUT 2 */

struct tbe_plan {
    uint32_t tables_at; /* local offsets: descriptors */
    uint32_t sums_at;   /* one FP32 row per sample of a block */
    uint32_t offsets_at, lengths_at;
    uint32_t offsets_slot, raw_slot, list_slot, lengths_slot, rows_slot, out_slot; /* bytes */
    uint32_t blocks;                                                               /* per table */
    uint64_t first, count;                                                         /* items */
};

struct tbe_summary {
    uint32_t total;  /* indices of the item */
    uint32_t single; /* 1: every bag has one */
    uint32_t reserved[14];
};
_Static_assert(sizeof(struct tbe_summary) == 64, "lengths stay on a 64-byte line of their own");

struct tbe_item {
    uint32_t table;
    uint32_t sample; /* the first */
    uint32_t samples;
};

TALUS_INLINE uint32_t tbe_align(uint32_t bytes) {
    return (bytes + 63u) & ~63u;
}
TALUS_INLINE uint32_t tbe_smaller(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

TALUS_INLINE struct tbe_plan tbe_make_plan(const struct talus_launch* launch,
                                           const struct talus_tbe_args* args) {
    struct tbe_plan plan;
    struct talus_local local = talus_local_all(launch);
    plan.offsets_slot = tbe_align((args->block + 1) * 8);
    plan.raw_slot = tbe_align(args->chunk * 8);
    plan.list_slot = tbe_align(args->chunk * 4);
    plan.lengths_slot = tbe_align((uint32_t)sizeof(struct tbe_summary) + args->block * 4);
    plan.rows_slot = args->chunk * args->row_slot;
    plan.out_slot = tbe_align(args->block * args->widest * 4);
    plan.tables_at =
        talus_local_alloc(&local, args->tables * (uint32_t)sizeof(struct talus_tbe_table), 64);
    plan.sums_at = talus_local_alloc(&local, args->block * args->widest * 4, 64);
    plan.offsets_at = talus_local_alloc(&local, RING * plan.offsets_slot, 64);
    plan.lengths_at = talus_local_alloc(&local, RING * plan.lengths_slot, 64);
    if (launch->core == TALUS_CORE_A) {
        talus_cb_config(CB_OFFSETS, plan.offsets_at, RING * plan.offsets_slot);
        talus_cb_config(CB_LENGTHS, plan.lengths_at, RING * plan.lengths_slot);
        talus_cb_config(CB_RAW, talus_local_alloc(&local, RING * plan.raw_slot, 64),
                        RING * plan.raw_slot);
        talus_cb_config(CB_LIST, talus_local_alloc(&local, RING * plan.list_slot, 64),
                        RING * plan.list_slot);
        talus_cb_config(CB_ROWS, talus_local_alloc(&local, 3 * plan.rows_slot, 64),
                        3 * plan.rows_slot);
        talus_cb_config(CB_OUT, talus_local_alloc(&local, 2 * plan.out_slot, 64),
                        2 * plan.out_slot);
    }
    plan.blocks = (args->batch + args->block - 1) / args->block;
    talus_split((uint64_t)plan.blocks * args->tables, talus_pe_count(launch),
                talus_pe_index(launch), &plan.first, &plan.count);
    return plan;
}

TALUS_INLINE struct tbe_item tbe_item_at(const struct talus_tbe_args* args,
                                         const struct tbe_plan* plan, uint64_t index) {
    struct tbe_item item;
    const uint64_t at = plan->first + index;
    item.table = (uint32_t)(at / plan->blocks);
    item.sample = (uint32_t)(at % plan->blocks) * args->block;
    item.samples = tbe_smaller(args->block, args->batch - item.sample);
    return item;
}

TALUS_INLINE const struct talus_tbe_table* tbe_table(const struct tbe_plan* plan, uint32_t table) {
    return (const struct talus_tbe_table*)talus_local_pointer(plan->tables_at) + table;
}

/* Core B (vector.c). */
void tbe_resolve_indices(const struct talus_tbe_args* args, const struct tbe_plan* plan);

#endif
