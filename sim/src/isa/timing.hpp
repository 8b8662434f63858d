// The clocks of the hart's pipeline: one place for every number.
#ifndef TALUS_SIM_ISA_TIMING_HPP
#define TALUS_SIM_ISA_TIMING_HPP

namespace talus::sim {

/// An in-order single-issue pipeline of the 5-stage class issues one instruction per clock; these
/// are the exceptions. A *latency* is the number of clocks from issue until a dependent instruction
/// can issue; a *penalty* is added to the instruction's one clock. All are Talus's own (no
/// published source), of the size that open cores of this class have.
struct HartTiming {
    unsigned taken_branch_penalty = 2; ///< taken branch, jal, jalr: refill of the front end
    unsigned mul_latency = 3;
    unsigned div_penalty = 19;     ///< iterative; blocks the pipeline
    unsigned fp_latency = 4;       ///< add, sub, mul, fma, conversions
    unsigned fp_move_latency = 2;  ///< sign injection, min/max, compare, classify, fmv
    unsigned fp_div_penalty_h = 9; ///< iterative; blocks the pipeline
    unsigned fp_div_penalty_s = 14;
    unsigned fp_div_penalty_d = 27;
    unsigned csr_penalty = 2;        ///< CSR accesses drain the pipeline
    unsigned misaligned_penalty = 1; ///< a direct access that is not naturally aligned
    unsigned amo_penalty = 3;        ///< AMO, LR, SC on direct memory
    unsigned trap_penalty = 4;       ///< trap entry and mret
    unsigned fence_penalty = 2;
    unsigned fence_i_penalty = 8;

    // Vector unit: 512 bits per clock, one instruction at a time; scalar code runs on beside it.
    unsigned vector_lane_bits = 512; ///< bits of the destination produced per clock
    unsigned vector_startup = 2;     ///< clocks added once per instruction that produces a scalar
    unsigned vector_mul_factor = 1;  ///< chimes of integer and floating multiplies, times this
    unsigned vector_div_clocks = 8;  ///< clocks per 512-bit group of divide and square root
    unsigned vector_reduction_steps = 5;    ///< added to a reduction: the tree over the lanes
    unsigned vector_permute_factor = 2;     ///< vrgather, vcompress: times this
    unsigned vector_elements_per_clock = 4; ///< strided, indexed and segment memory accesses
    unsigned vector_to_scalar_latency = 3;  ///< vmv.x.s, vfmv.f.s, vcpop, vfirst

    /// No pipeline and no caches: loads from direct memory take a clock as well, and the port's
    /// fetches take none.
    bool functional = false;

    /// Every instruction takes one clock, and what it waits for outside of the hart.
    static constexpr HartTiming one_clock() {
        HartTiming t;
        t.functional = true;
        t.taken_branch_penalty = t.div_penalty = t.csr_penalty = t.misaligned_penalty = 0;
        t.amo_penalty = t.trap_penalty = t.fence_penalty = t.fence_i_penalty = 0;
        t.fp_div_penalty_h = t.fp_div_penalty_s = t.fp_div_penalty_d = 0;
        t.mul_latency = t.fp_latency = t.fp_move_latency = 1;
        t.vector_lane_bits = 1u << 30; // one chime whatever the length
        t.vector_startup = t.vector_div_clocks = t.vector_reduction_steps = 0;
        t.vector_mul_factor = t.vector_permute_factor = 1;
        t.vector_elements_per_clock = 1u << 20;
        t.vector_to_scalar_latency = 0;
        return t;
    }

    bool operator==(const HartTiming&) const = default;
};

} // namespace talus::sim

#endif
