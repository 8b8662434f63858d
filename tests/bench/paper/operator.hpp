// What the measurements of single operators share.
#pragma once

#include <cstdint>
#include <stdexcept>

#include "kernels/common/operator.hpp"

namespace talus::paper {

inline void check(kernels::Status status, const kernels::Diagnostic& diagnostic) {
    if (status != kernels::Status::kOk) {
        throw std::runtime_error(diagnostic.text);
    }
}

// A device address where the operators' interface has a pointer.
inline void* pointer_of(std::uint64_t address) {
    return reinterpret_cast<void*>(address); // NOLINT(performance-no-int-to-ptr)
}

} // namespace talus::paper
