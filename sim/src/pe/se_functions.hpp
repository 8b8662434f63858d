// Functions of the SIMD engine: tables with quadratic interpolation (instructions.h gives the
// bounds). The tables come from double arithmetic of the four basic operations alone, which IEEE
// 754 fixes on every host, and never from a maths library; so do the results.
#ifndef TALUS_SIM_PE_SE_FUNCTIONS_HPP
#define TALUS_SIM_PE_SE_FUNCTIONS_HPP

namespace talus::sim {

/// `function` is an enum talus_se_function below TALUS_SE_GELU + 1. NaN gives the canonical NaN.
float se_function(unsigned function, float x);

float se_sigmoid(float x);
float se_tanh(float x);
float se_exp(float x);
float se_gelu(float x);

} // namespace talus::sim

#endif
