/* Keeps one unit of every PE busy with operands that are in local memory. */
#include <talus/device/kernel.h>

#include "tests/bench/paper/peak_args.h"

enum { A_AT = 0, B_AT = 64 * 1024, TO_AT = 128 * 1024, OPERAND = 64 * 1024 };
enum { FILL, WORK }; /* contexts */

/* Bytes of 0x44: small numbers of every type, and positions 0 and 1 of a group of four. */
static void fill(uint32_t at) {
    talus_context_set01(FILL, talus_direct_operand(at), 0);
    talus_context_set(FILL, 2, TALUS_PAIR(0, 256));
    talus_mlu_fill(FILL, 256, OPERAND / 256, 0x44);
}

TALUS_KERNEL void kernel_main(const struct talus_launch* launch) {
    const struct talus_peak_args* args = launch->args;
    if (launch->core == TALUS_CORE_A)
        return;
    const enum talus_cp_type type = (enum talus_cp_type)args->type;
    const uint32_t element = type == TALUS_CP_INT8 ? 1 : 2;
    const uint32_t row = TALUS_PEAK_K * element;
    fill(A_AT);
    fill(B_AT);
    talus_drain(TALUS_ALL_UNITS);
    if (args->what == TALUS_PEAK_SIMD) {
        talus_context_set01(WORK, talus_direct_operand(TO_AT), talus_direct_operand(A_AT));
        talus_context_set23(WORK, TALUS_PAIR(0, 0), talus_direct_operand(B_AT));
        talus_context_set(WORK, 4, TALUS_PAIR(0, 0));
    } else {
        talus_context_set01(WORK, talus_direct_operand(A_AT), talus_direct_operand(B_AT));
        talus_context_set(WORK, 2, TALUS_PAIR(row, row));
        for (uint32_t bank = 0; bank < 4; ++bank)
            talus_re_load(WORK, 32, 32, bank, TALUS_RE_LOAD_ZERO);
    }
    for (uint32_t i = 0; i < args->commands; ++i) {
        if (args->what == TALUS_PEAK_SIMD)
            talus_se_binary(WORK, TALUS_PEAK_ELEMENTS, 1, TALUS_SE_ADD, type, type);
        else if (args->what == TALUS_PEAK_SPARSE)
            talus_dpe_matmul_sparse(WORK, TALUS_PEAK_BLOCK, TALUS_PEAK_BLOCK, TALUS_PEAK_K, 0, 1,
                                    type);
        else
            talus_dpe_matmul(WORK, TALUS_PEAK_BLOCK, TALUS_PEAK_BLOCK, TALUS_PEAK_K, 0, 1, type);
    }
    talus_drain(TALUS_ALL_UNITS);
}
