// What an operator is, whoever executes it. Each kernels/<op>/op.hpp defines, in namespace
// talus::kernels::<op>, a plain struct `Attributes` and one `constexpr Operator kOperator`; CMake
// collects them into the registry (kernels/common/registry.hpp).
#pragma once

#include "kernels/common/types.hpp"

namespace talus::kernels {

struct Operator {
    const char* name;
    size_t attributes_bytes;
    // A bit per input that must be a constant when the node is compiled (weights, biases): these
    // are what `prepack` reads and what `launch` no longer looks at.
    uint32_t constant_inputs;

    // Checks arity, types, shapes and attributes, and sets the outputs' shape, dense strides and,
    // if the caller left it kUndefined, dtype. Never touches data. Thread-safe.
    Status (*infer)(const Node& node, Diagnostic* diagnostic);

    // Computes the outputs in binary64 from host data, element by element and in index order, with
    // no code shared with any target. Outputs may be float64 or the declared type (rounded once).
    // For tests and comparisons, not for speed.
    Status (*reference)(const Node& node, Diagnostic* diagnostic);
};

} // namespace talus::kernels
