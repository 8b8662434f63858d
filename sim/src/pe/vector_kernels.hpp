// Values of the units' heavy commands, vectorised for the host at run time. The results are those
// of the scalar definitions on every host.
#ifndef TALUS_SIM_PE_VECTOR_KERNELS_HPP
#define TALUS_SIM_PE_VECTOR_KERNELS_HPP

#include <cstddef>
#include <cstdint>

namespace talus::sim {

/// One TALUS_DPE_MATMUL: bank[i * 32 + j] for i < m, j < n (m, n <= 32). FP32 or INT32 bit
/// patterns. A row of A or B may have any alignment.
struct Matmul {
    const std::uint8_t* a = nullptr;
    std::size_t a_pitch = 0; ///< bytes
    const std::uint8_t* b = nullptr;
    std::size_t b_pitch = 0;
    std::uint32_t m = 0;
    std::uint32_t n = 0;
    std::uint32_t k = 0;
    unsigned type = 0; ///< TALUS_CP_FP16, TALUS_CP_BF16 or TALUS_CP_INT8
    bool accumulate = false;
    std::uint32_t* bank = nullptr;
};
void dpe_matmul(const Matmul& args);
/// Several, as if one after the other. Neighbours that share operands are done faster together.
void dpe_matmul_batch(const Matmul* batch, std::size_t count);
/// One TALUS_DPE_MATMUL_SPARSE: rows of B in the 2:4 format of instructions.h, positions ascending.
void dpe_matmul_sparse(const Matmul& args);

/// FP32 values of `count` FP16 or BF16 elements (bit patterns, any alignment). NaNs stay NaNs.
void fp16_to_fp32_row(const std::uint8_t* source, std::size_t count, float* destination);
void bf16_to_fp32_row(const std::uint8_t* source, std::size_t count, float* destination);

/// accumulator[i] += source[i], one rounding each; NaNs stay NaNs.
void add_row(const float* source, std::size_t count, float* accumulator);

} // namespace talus::sim

#endif
