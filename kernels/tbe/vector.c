/* Table-batched embedding on the grid, core B: reads offsets and indices, checks all of them, and
 * hands row numbers and bag lengths to core A. */
#include <riscv_vector.h>

#include "kernels/common/error_record.h"
#include "kernels/tbe/pipeline.h"

enum { OFFSETS, RAW }; /* contexts */

/* Reads ahead of the check: offsets by up to RING items, indices by up to RING - 1 chunks. */
struct reader {
    uint64_t items;  /* items whose offsets have been asked for */
    uint64_t item;   /* item whose indices are being asked for */
    uint64_t chunks; /* chunks asked for */
    uint64_t begin;  /* with offsets: of the item's next chunk, in indices */
    uint32_t left;   /* indices of the item still to be asked for */
    uint32_t asked;  /* indices of the item asked for */
};

static uint32_t shift_of(uint32_t bytes) {
    return bytes == 8 ? 3 : 2;
}

/* One 64-bit value per element, from INT32 or INT64. */
static vint64m8_t load_wide(const void* data, uint32_t bytes, uint64_t first, size_t vl) {
    if (bytes == 8)
        return __riscv_vle64_v_i64m8((const int64_t*)data + first, vl);
    return __riscv_vsext_vf2_i64m8(__riscv_vle32_v_i32m4((const int32_t*)data + first, vl), vl);
}

static int64_t load_one(const void* data, uint32_t bytes, uint64_t at) {
    return bytes == 8 ? ((const int64_t*)data)[at] : ((const int32_t*)data)[at];
}

static const void* offsets_of(const struct tbe_plan* plan, uint64_t index) {
    return talus_local_pointer(plan->offsets_at + (uint32_t)(index % RING) * plan->offsets_slot);
}

static void ask_offsets(const struct talus_tbe_args* args, const struct tbe_plan* plan,
                        struct reader* reader) {
    const struct tbe_item item = tbe_item_at(args, plan, reader->items++);
    const uint64_t bag = (uint64_t)item.table * args->batch + item.sample;
    talus_dma_in(OFFSETS, args->offsets + (bag << shift_of(args->offset_bytes)),
                 (item.samples + 1) << shift_of(args->offset_bytes), 1);
}

/* Waits for the item's offsets, checks them, and returns the number of its indices. */
static uint32_t check_offsets(const struct talus_tbe_args* args, const struct tbe_plan* plan,
                              uint64_t index, uint64_t oldest, uint64_t* begin) {
    const struct tbe_item item = tbe_item_at(args, plan, index);
    talus_cb_wait_data(CB_OFFSETS, (uint32_t)(index - oldest + 1) * plan->offsets_slot);
    const void* offsets = offsets_of(plan, index);
    for (uint32_t done = 0; done < item.samples;) {
        const size_t vl = __riscv_vsetvl_e64m8(item.samples - done);
        const vint64m8_t from = load_wide(offsets, args->offset_bytes, done, vl);
        const vint64m8_t to = load_wide(offsets, args->offset_bytes, done + 1, vl);
        vbool8_t bad = __riscv_vmslt_vx_i64m8_b8(from, 0, vl);
        bad = __riscv_vmor_mm_b8(bad, __riscv_vmslt_vv_i64m8_b8(to, from, vl), vl);
        bad = __riscv_vmor_mm_b8(bad, __riscv_vmsgt_vx_i64m8_b8(to, (int64_t)args->count, vl), vl);
        const long first = __riscv_vfirst_m_b8(bad, vl);
        if (first >= 0) {
            const uint64_t at = done + (uint64_t)first;
            const int64_t low = load_one(offsets, args->offset_bytes, at);
            talus_fail(TALUS_KERNEL_OFFSET_OUT_OF_RANGE, item.table, item.sample + at, 0,
                       (uint64_t)(low < 0 ? low : load_one(offsets, args->offset_bytes, at + 1)));
        }
        done += (uint32_t)vl;
    }
    *begin = (uint64_t)load_one(offsets, args->offset_bytes, 0);
    return (uint32_t)((uint64_t)load_one(offsets, args->offset_bytes, item.samples) - *begin);
}

static void ask_chunk(const struct talus_tbe_args* args, const struct tbe_plan* plan,
                      struct reader* reader) {
    const uint32_t count = tbe_smaller(args->chunk, reader->left);
    const uint32_t shift = shift_of(args->index_bytes);
    if (args->offsets != 0 || args->fixed != 1) { /* consecutive */
        uint64_t source = args->indices;
        if (args->offsets != 0) {
            source += reader->begin << shift;
            reader->begin += count;
        } else {
            const struct tbe_item item = tbe_item_at(args, plan, reader->item);
            source += item.table * args->table_stride + item.sample * args->sample_stride +
                      ((uint64_t)reader->asked << shift);
        }
        talus_dma_in(RAW, source, count << shift, 1);
    } else { /* one index per bag, bags apart */
        const struct tbe_item item = tbe_item_at(args, plan, reader->item);
        talus_dma_in(RAW,
                     args->indices + item.table * args->table_stride +
                         (item.sample + reader->asked) * args->sample_stride,
                     1u << shift, count);
    }
    reader->asked += count;
    reader->left -= count;
    ++reader->chunks;
}

static void start_item(const struct talus_tbe_args* args, const struct tbe_plan* plan,
                       struct reader* reader, uint64_t oldest) {
    reader->asked = 0;
    if (args->offsets != 0)
        reader->left = check_offsets(args, plan, reader->item, oldest, &reader->begin);
    else
        reader->left = tbe_item_at(args, plan, reader->item).samples * args->fixed;
}

static void read_ahead(const struct talus_tbe_args* args, const struct tbe_plan* plan,
                       struct reader* reader, uint64_t checked_chunks, uint64_t oldest) {
    if (args->offsets != 0)
        while (reader->items < plan->count && reader->items - oldest < RING)
            ask_offsets(args, plan, reader);
    while (reader->chunks < checked_chunks + RING - 1) {
        if (reader->left != 0) {
            ask_chunk(args, plan, reader);
            continue;
        }
        if (reader->item + 1 >= plan->count || reader->item + 1 - oldest >= RING)
            return;
        ++reader->item;
        start_item(args, plan, reader, oldest);
    }
}

static void send_lengths(const struct talus_tbe_args* args, const struct tbe_plan* plan,
                         const struct tbe_item* item, uint64_t index, uint32_t total) {
    const void* offsets = offsets_of(plan, index);
    struct tbe_summary* summary = talus_cb_wait_space(CB_LENGTHS, plan->lengths_slot);
    int32_t* lengths = (int32_t*)(summary + 1);
    summary->total = total;
    summary->single = 1;
    for (uint32_t done = 0; done < item->samples;) {
        const size_t vl = __riscv_vsetvl_e64m8(item->samples - done);
        const vint64m8_t length =
            __riscv_vsub_vv_i64m8(load_wide(offsets, args->offset_bytes, done + 1, vl),
                                  load_wide(offsets, args->offset_bytes, done, vl), vl);
        __riscv_vse32_v_i32m4(lengths + done, __riscv_vncvt_x_x_w_i32m4(length, vl), vl);
        if (__riscv_vfirst_m_b8(__riscv_vmsne_vx_i64m8_b8(length, 1, vl), vl) >= 0)
            summary->single = 0;
        done += (uint32_t)vl;
    }
    talus_cb_push(CB_LENGTHS, plan->lengths_slot);
}

/* The fault of the item's list position `at`. */
_Noreturn static void fail_index(const struct talus_tbe_args* args, const struct tbe_plan* plan,
                                 const struct tbe_item* item, uint64_t index, uint32_t at,
                                 int64_t value) {
    uint32_t sample = 0;
    if (args->offsets == 0) {
        sample = at / args->fixed;
        at %= args->fixed;
    } else {
        const void* offsets = offsets_of(plan, index);
        const int64_t wanted = load_one(offsets, args->offset_bytes, 0) + at;
        while (load_one(offsets, args->offset_bytes, sample + 1) <= wanted)
            ++sample;
        at = (uint32_t)(wanted - load_one(offsets, args->offset_bytes, sample));
    }
    talus_fail(TALUS_KERNEL_INDEX_OUT_OF_RANGE, item->table, item->sample + sample, at,
               (uint64_t)value);
}

static void check_chunk(const struct talus_tbe_args* args, const struct tbe_plan* plan,
                        const struct tbe_item* item, uint64_t index, uint32_t first_position,
                        uint32_t count) {
    const int64_t rows = (int64_t)tbe_table(plan, item->table)->rows;
    const void* raw = talus_cb_wait_data(CB_RAW, plan->raw_slot);
    int32_t* list = talus_cb_wait_space(CB_LIST, plan->list_slot);
    for (uint32_t done = 0; done < count;) {
        const size_t vl = __riscv_vsetvl_e64m8(count - done);
        vint64m8_t value = load_wide(raw, args->index_bytes, done, vl);
        if (args->negative != 0) {
            const vbool8_t below = __riscv_vmslt_vx_i64m8_b8(value, 0, vl);
            value = __riscv_vadd_vx_i64m8_mu(below, value, value, rows, vl);
        }
        const vbool8_t bad = __riscv_vmsgeu_vx_u64m8_b8(__riscv_vreinterpret_v_i64m8_u64m8(value),
                                                        (uint64_t)rows, vl);
        const long first = __riscv_vfirst_m_b8(bad, vl);
        if (first >= 0)
            fail_index(args, plan, item, index, first_position + done + (uint32_t)first,
                       load_one(raw, args->index_bytes, done + (uint64_t)first));
        __riscv_vse32_v_i32m4(list + done, __riscv_vncvt_x_x_w_i32m4(value, vl), vl);
        done += (uint32_t)vl;
    }
    talus_cb_push(CB_LIST, plan->list_slot);
    talus_cb_pop(CB_RAW, plan->raw_slot);
}

void tbe_resolve_indices(const struct talus_tbe_args* args, const struct tbe_plan* plan) {
    talus_context_set01(OFFSETS, talus_cb_operand(CB_OFFSETS, 0, plan->offsets_slot),
                        TALUS_PAIR(0, 0));
    talus_context_set01(RAW, talus_cb_operand(CB_RAW, 0, plan->raw_slot),
                        TALUS_PAIR(args->sample_stride, args->index_bytes));
    struct reader reader = {0};
    if (args->offsets != 0)
        ask_offsets(args, plan, &reader);
    start_item(args, plan, &reader, 0);
    uint64_t checked_chunks = 0;
    for (uint64_t i = 0; i < plan->count; ++i) {
        const struct tbe_item item = tbe_item_at(args, plan, i);
        read_ahead(args, plan, &reader, checked_chunks, i);
        uint32_t total = item.samples * args->fixed;
        if (args->offsets != 0) {
            const void* offsets = offsets_of(plan, i);
            total = (uint32_t)(load_one(offsets, args->offset_bytes, item.samples) -
                               load_one(offsets, args->offset_bytes, 0));
            send_lengths(args, plan, &item, i, total);
        }
        for (uint32_t done = 0; done < total; done += args->chunk) {
            read_ahead(args, plan, &reader, checked_chunks, i);
            check_chunk(args, plan, &item, i, done, tbe_smaller(args->chunk, total - done));
            ++checked_chunks;
        }
        if (args->offsets != 0)
            talus_cb_pop(CB_OFFSETS, plan->offsets_slot);
    }
}
