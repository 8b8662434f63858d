/* Core B's part of the probe: compiled with V. */
#include <riscv_vector.h>
#include <stdint.h>

uint64_t probe_vector_sum(uint32_t base);

uint64_t probe_vector_sum(uint32_t base) {
    vuint32m1_t sum = __riscv_vmv_v_x_u32m1(0, 1);
    for (uint32_t i = 0; i < 1000;) {
        const size_t vl = __riscv_vsetvl_e32m4(1000 - i);
        const vuint32m4_t values = __riscv_vadd_vx_u32m4(__riscv_vid_v_u32m4(vl), base + i, vl);
        sum = __riscv_vredsum_vs_u32m4_u32m1(values, sum, vl);
        i += (uint32_t)vl;
    }
    return __riscv_vmv_x_s_u32m1_u32(sum);
}
