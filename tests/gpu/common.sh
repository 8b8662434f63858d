# Shared by run and status; sourced.

# The operators that have a CUDA implementation, one a line.
cuda_operators() {
    (cd "$1/kernels" && for file in */cuda.cu; do dirname "$file"; done | LC_ALL=C sort)
}

# First 16 digits of SHA-256 over what an operator's CUDA code is made of: its own sources and the
# shared ones, in name order.
operator_hash() { # root operator
    (cd "$1/kernels" && LC_ALL=C ls "$2"/cuda.cu "$2"/*.hpp "$2"/cublaslt.cpp common/*.cu \
        common/cuda_*.hpp common/types.hpp common/half.hpp common/scalar.hpp common/strided.hpp \
        common/element.hpp common/error_record.h common/target.hpp 2>/dev/null | LC_ALL=C sort -u |
        xargs sha256sum | sha256sum | cut -c1-16)
}
