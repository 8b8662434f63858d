// cuBLASLt, loaded at run time, for one thing: a row-major FP32 matrix product without TF32.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <memory>

namespace talus::kernels {

class Blas {
  public:
    // Null, with the reason in `message`, if the library or one of its functions is missing.
    static std::unique_ptr<Blas> load(char* message, size_t message_bytes);
    ~Blas();
    Blas(const Blas&) = delete;
    Blas& operator=(const Blas&) = delete;

    // C[m, n] = A[m, k] * B[n, k]^T, row-major with the given distances between rows, FP32
    // throughout. Returns false if the library has no algorithm for the shape or fails.
    // Thread-safe; asynchronous.
    bool multiply(cudaStream_t stream, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda,
                  const float* b, int64_t ldb, float* c, int64_t ldc);

    // The library's version, e.g. 130002.
    size_t version() const;

  private:
    struct Implementation;
    explicit Blas(std::unique_ptr<Implementation> implementation);
    std::unique_ptr<Implementation> implementation_;
};

} // namespace talus::kernels
