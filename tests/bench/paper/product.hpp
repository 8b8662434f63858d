// Matrix products by the fully connected kernel.
#pragma once

#include <cstdint>

#include "card.hpp"

namespace talus::paper {

struct Product {
    std::int64_t m = 0, n = 0, k = 0;
    talus_drv_memory weights = TALUS_DRV_LLS; // X and Y are in LLS
};

struct ProductResult {
    std::uint64_t cycles = 0; // the launch alone, from the control core's receipt to its end
    double clock_hz = 0;
    double peak_share = 0;        // of 1024 FP16 or 2048 INT8 multiply-accumulates per PE and clock
    double weights_bytes = 0;     // as packed
    double simulator_seconds = 0; // CPU, from the start of the process to the end of the launch
    double launch_seconds = 0;    // CPU of the simulator for the launch alone
};

// Y = X W^T in FP16 with pseudo-random operands. Some elements of Y, spread over all PEs, are
// compared bit by bit with a chain of fma in the order that the hardware documents. Throws
// std::runtime_error.
ProductResult run_product(const Product& product, const Settings& settings);

// The same in dynamic INT8, quantisation of X and dequantisation of Y included. Some elements are
// compared with the operator's FP64 reference.
ProductResult run_int8_product(const Product& product, const Settings& settings);

} // namespace talus::paper
