/* Dynamic INT8 on the grid, core B: scales and zero points of rows. op.hpp has the definition. */
#include <riscv_vector.h>

#include "kernels/fc_int8/pipeline.h"

void fc_int8_scales(const struct talus_row_range* ranges, uint32_t count,
                    struct talus_row_scale* quantize, struct talus_row_scale* dequantize) {
    for (uint32_t done = 0; done < count;) {
        const size_t vl = __riscv_vsetvl_e32m1(count - done);
        const vfloat32m1x2_t range = __riscv_vlseg2e32_v_f32m1x2((const float*)(ranges + done), vl);
        const vfloat32m1_t least = __riscv_vget_v_f32m1x2_f32m1(range, 0);
        const vfloat32m1_t greatest = __riscv_vget_v_f32m1x2_f32m1(range, 1);
        /* NaN and infinite rows: neither compares below infinity. */
        const vbool32_t finite = __riscv_vmand_mm_b32(
            __riscv_vmflt_vf_f32m1_b32(__riscv_vfabs_v_f32m1(least, vl), __builtin_inff(), vl),
            __riscv_vmflt_vf_f32m1_b32(__riscv_vfabs_v_f32m1(greatest, vl), __builtin_inff(), vl),
            vl);
        const vfloat32m1_t low = __riscv_vfmin_vf_f32m1(least, 0.0f, vl);
        const vfloat32m1_t high = __riscv_vfmax_vf_f32m1(greatest, 0.0f, vl);
        vfloat32m1_t scale =
            __riscv_vfdiv_vf_f32m1(__riscv_vfsub_vv_f32m1(high, low, vl), 255.0f, vl);
        scale = __riscv_vfmax_vf_f32m1(scale, 0x1p-126f, vl);
        scale =
            __riscv_vfmerge_vfm_f32m1(scale, 1.0f, __riscv_vmfeq_vv_f32m1_b32(high, low, vl), vl);
        const vfloat32m1_t factor = __riscv_vfrdiv_vf_f32m1(scale, 1.0f, vl);
        vint32m1_t zero = __riscv_vfcvt_x_f_v_i32m1(
            __riscv_vfmul_vv_f32m1(__riscv_vfneg_v_f32m1(low, vl), factor, vl), vl);
        zero = __riscv_vmin_vx_i32m1(__riscv_vmax_vx_i32m1(zero, 0, vl), 255, vl);
        zero = __riscv_vsub_vx_i32m1(zero, 128, vl);
        const vfloat32m1_t undo = __riscv_vfmerge_vfm_f32m1(scale, __builtin_nanf(""),
                                                            __riscv_vmnot_m_b32(finite, vl), vl);

        const vint32m1x2_t forward =
            __riscv_vcreate_v_i32m1x2(__riscv_vreinterpret_v_f32m1_i32m1(factor), zero);
        const vint32m1x2_t back =
            __riscv_vcreate_v_i32m1x2(__riscv_vreinterpret_v_f32m1_i32m1(undo), zero);
        __riscv_vsseg2e32_v_i32m1x2((int32_t*)(quantize + done), forward, vl);
        __riscv_vsseg2e32_v_i32m1x2((int32_t*)(dequantize + done), back, vl);
        done += (uint32_t)vl;
    }
}
