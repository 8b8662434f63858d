/* Pairwise dot interaction on the grid, core A: FP16 features, FP32 accumulation with d ascending
 * from +0, one rounding to Y's type. Bit-exact whatever the batch, since every sample is computed
 * alone. */
#include "kernels/interaction/pipeline.h"

enum { IN_T, IN_DENSE, MULTIPLY, DRAIN }; /* contexts */

static void multiply_samples(const struct talus_interaction_args* args,
                             const struct interaction_plan* plan) {
    const uint32_t feature_bytes = args->width * 2;
    const int packed = args->feature_pitch == feature_bytes;
    talus_context_set01(IN_T, talus_cb_operand(CB_T, 0, plan->t_slot),
                        TALUS_PAIR(args->feature_pitch, feature_bytes));
    talus_context_set01(IN_DENSE, talus_cb_operand(CB_DENSE, 0, plan->dense_slot),
                        TALUS_PAIR(0, 0));
    talus_context_set(MULTIPLY, 2, TALUS_PAIR(feature_bytes, feature_bytes));
    talus_context_set(DRAIN, 0, talus_cb_operand(CB_TILE, 0, plan->tile_slot));
    talus_context_set(DRAIN, 2, TALUS_PAIR(0, plan->tile_row));
    uint32_t bank = 0;
    for (uint64_t i = 0; i < plan->count; ++i) {
        const uint64_t sample = plan->first + i;
        const uint64_t t = args->t + sample * args->t_pitch;
        talus_dma_in(IN_T, t, packed ? args->features * feature_bytes : feature_bytes,
                     packed ? 1 : args->features);
        if (args->dense_columns != 0)
            talus_dma_in(IN_DENSE, args->dense + sample * args->dense_pitch,
                         args->dense_columns * 2, 1);
        for (uint32_t r = 0; r < plan->tiles; ++r) {
            const uint32_t rows = interaction_tile(args->features, r);
            for (uint32_t c = 0; c <= r; ++c) {
                const uint32_t columns = interaction_tile(args->features, c);
                const int last = r + 1 == plan->tiles && c == r;
                talus_context_set01(
                    MULTIPLY, talus_cb_operand(CB_T, r * TALUS_INTERACTION_TILE * feature_bytes, 0),
                    talus_cb_operand(CB_T, c * TALUS_INTERACTION_TILE * feature_bytes,
                                     last ? plan->t_slot : 0));
                talus_dpe_matmul(MULTIPLY, rows, columns, args->width, bank, 0, TALUS_CP_FP16);
                talus_re_store(DRAIN, rows, columns, bank, TALUS_SE_NONE,
                               (enum talus_cp_type)args->y_type);
                bank = (bank + 1) & 3;
            }
        }
    }
}

TALUS_KERNEL void kernel_main(const struct talus_launch* launch) {
    const struct talus_interaction_args* args = launch->args;
    const struct interaction_plan plan = interaction_make_plan(launch, args);
    if (plan.count == 0)
        return;
    if (launch->core == TALUS_CORE_A) {
        talus_core_barrier(launch);
        multiply_samples(args, &plan);
    } else {
        talus_core_barrier(launch);
        interaction_gather(args, &plan);
    }
}
