#include <riscv_vector.h>

#include "debug_kernel.h"

uint64_t block_sum(const uint8_t* data, uint32_t bytes) {
    vuint32m1_t total = __riscv_vmv_s_x_u32m1(0, 1);
    while (bytes != 0) {
        const size_t n = __riscv_vsetvl_e8m1(bytes);
        const vuint8m1_t values = __riscv_vle8_v_u8m1(data, n);
        const vuint16m1_t partial =
            __riscv_vwredsumu_vs_u8m1_u16m1(values, __riscv_vmv_s_x_u16m1(0, 1), n);
        total = __riscv_vadd_vx_u32m1(total, __riscv_vmv_x_s_u16m1_u16(partial), 1);
        data += n;
        bytes -= (uint32_t)n;
    }
    return __riscv_vmv_x_s_u32m1_u32(total);
}
