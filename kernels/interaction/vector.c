/* Pairwise dot interaction on the grid, core B: the dense vector, then the lower triangle row by
 * row, into one row of Y. */
#include <riscv_vector.h>

#include "kernels/interaction/pipeline.h"

enum { OUT }; /* context */

/* `count` elements of 16 or 32 bits; up to 256 or 128 at once. */
static void copy_elements(uint8_t* to, const uint8_t* from, uint32_t count, uint32_t element) {
    while (count != 0) {
        size_t vl;
        if (element == 2) {
            vl = __riscv_vsetvl_e16m8(count);
            __riscv_vse16_v_u16m8((uint16_t*)to, __riscv_vle16_v_u16m8((const uint16_t*)from, vl),
                                  vl);
        } else {
            vl = __riscv_vsetvl_e32m8(count);
            __riscv_vse32_v_u32m8((uint32_t*)to, __riscv_vle32_v_u32m8((const uint32_t*)from, vl),
                                  vl);
        }
        to += vl * element;
        from += vl * element;
        count -= (uint32_t)vl;
    }
}

static void widen_halves(uint8_t* to, const uint8_t* from, uint32_t count) {
    for (uint32_t done = 0; done < count;) {
        const size_t vl = __riscv_vsetvl_e16m4(count - done);
        const vfloat16m4_t half = __riscv_vle16_v_f16m4((const _Float16*)from + done, vl);
        __riscv_vse32_v_f32m8((float*)to + done, __riscv_vfwcvt_f_f_v_f32m8(half, vl), vl);
        done += (uint32_t)vl;
    }
}

/* The lower triangle of a tile of FP16 whose rows have 32 elements: 8 rows at a time, packed by a
 * mask of the elements at and below (or below) the diagonal. */
#define CHUNK_ROWS 8u

static vbool2_t chunk_mask(uint32_t chunk, uint32_t diagonal) {
    const size_t vl = CHUNK_ROWS * TALUS_INTERACTION_TILE;
    const vuint16m8_t index = __riscv_vid_v_u16m8(vl);
    const vuint16m8_t column = __riscv_vand_vx_u16m8(index, TALUS_INTERACTION_TILE - 1, vl);
    const vuint16m8_t row = __riscv_vadd_vx_u16m8(__riscv_vsrl_vx_u16m8(index, 5, vl),
                                                  (uint16_t)(chunk * CHUNK_ROWS + diagonal), vl);
    return __riscv_vmsltu_vv_u16m8_b2(column, row, vl);
}

/* Elements of the triangle in the first `rows` rows. */
static uint32_t triangle_elements(uint32_t rows, uint32_t diagonal) {
    return diagonal != 0 ? rows * (rows + 1) / 2 : rows * (rows - 1) / 2;
}

/* Packs one chunk to its place; rows beyond the tile's are left out. */
static void pack_chunk(uint16_t* to, const uint16_t* tile, uint32_t chunk, uint32_t rows,
                       uint32_t diagonal, vbool2_t mask) {
    const uint32_t first = chunk * CHUNK_ROWS;
    if (first >= rows)
        return;
    const uint32_t last = rows - first < CHUNK_ROWS ? rows : first + CHUNK_ROWS;
    const size_t vl = (last - first) * TALUS_INTERACTION_TILE;
    const uint32_t before = triangle_elements(first, diagonal);
    const uint32_t count = triangle_elements(last, diagonal) - before;
    const vuint16m8_t all = __riscv_vle16_v_u16m8(tile + first * TALUS_INTERACTION_TILE, vl);
    if (count != 0)
        __riscv_vse16_v_u16m8(to + before, __riscv_vcompress_vm_u16m8(all, mask, vl), count);
}

static void pack_triangle(uint8_t* to, const uint8_t* tile, uint32_t rows, uint32_t diagonal,
                          vbool2_t mask0, vbool2_t mask1, vbool2_t mask2, vbool2_t mask3) {
    pack_chunk((uint16_t*)to, (const uint16_t*)tile, 0, rows, diagonal, mask0);
    pack_chunk((uint16_t*)to, (const uint16_t*)tile, 1, rows, diagonal, mask1);
    pack_chunk((uint16_t*)to, (const uint16_t*)tile, 2, rows, diagonal, mask2);
    pack_chunk((uint16_t*)to, (const uint16_t*)tile, 3, rows, diagonal, mask3);
}

static void gather_tile(const struct talus_interaction_args* args,
                        const struct interaction_plan* plan, uint8_t* pairs, const uint8_t* tile,
                        uint32_t r, uint32_t c) {
    const uint32_t rows = interaction_tile(args->features, r);
    const uint32_t columns = interaction_tile(args->features, c);
    const uint32_t diagonal = args->diagonal != 0 ? 1 : 0;
    for (uint32_t k = 0; k < rows; ++k) {
        /* Row f of the triangle starts after the f rows above it. */
        const uint32_t f = r * TALUS_INTERACTION_TILE + k;
        const uint32_t count = c < r ? columns : k + diagonal;
        if (count != 0) /* f = 0 has none without the diagonal */
            copy_elements(pairs + (triangle_elements(f, diagonal) + c * TALUS_INTERACTION_TILE) *
                                      plan->y_element,
                          tile + k * plan->tile_row, count, plan->y_element);
    }
}

void interaction_gather(const struct talus_interaction_args* args,
                        const struct interaction_plan* plan) {
    const uint32_t row_bytes = (args->dense_columns + args->pairs) * plan->y_element;
    const uint32_t diagonal = args->diagonal != 0 ? 1 : 0;
    const int packs = plan->tiles == 1 && plan->y_element == 2;
    const vbool2_t mask0 = chunk_mask(0, diagonal);
    const vbool2_t mask1 = chunk_mask(1, diagonal);
    const vbool2_t mask2 = chunk_mask(2, diagonal);
    const vbool2_t mask3 = chunk_mask(3, diagonal);
    talus_context_set01(OUT, talus_cb_operand(CB_ROW, 0, plan->row_slot), TALUS_PAIR(0, 0));
    for (uint64_t i = 0; i < plan->count; ++i) {
        uint8_t* row = talus_cb_wait_space(CB_ROW, plan->row_slot);
        if (args->dense_columns != 0) {
            const uint8_t* dense = talus_cb_wait_data(CB_DENSE, plan->dense_slot);
            if (plan->y_element == 2)
                copy_elements(row, dense, args->dense_columns, 2);
            else
                widen_halves(row, dense, args->dense_columns);
            talus_cb_pop(CB_DENSE, plan->dense_slot);
        }
        uint8_t* pairs = row + args->dense_columns * plan->y_element;
        for (uint32_t r = 0; r < plan->tiles; ++r) {
            for (uint32_t c = 0; c <= r; ++c) {
                const uint8_t* tile = talus_cb_wait_data(CB_TILE, plan->tile_slot);
                if (packs)
                    pack_triangle(pairs, tile, args->features, diagonal, mask0, mask1, mask2,
                                  mask3);
                else
                    gather_tile(args, plan, pairs, tile, r, c);
                talus_cb_pop(CB_TILE, plan->tile_slot);
            }
        }
        talus_cb_push(CB_ROW, plan->row_slot);
        talus_dma_out(OUT, args->y + (plan->first + i) * args->y_pitch, row_bytes, 1);
    }
}
