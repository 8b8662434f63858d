#include "kernels/fc/cublaslt.hpp"

#include <cublasLt.h>
#include <dlfcn.h>

#include <cstdio>
#include <map>
#include <mutex>
#include <tuple>

namespace talus::kernels {
namespace {

// The functions used, by the types that cublasLt.h declares.
#define TALUS_CUBLASLT_FUNCTIONS(X)                                                                \
    X(cublasLtCreate)                                                                              \
    X(cublasLtDestroy)                                                                             \
    X(cublasLtGetVersion)                                                                          \
    X(cublasLtMatmulDescCreate)                                                                    \
    X(cublasLtMatmulDescDestroy)                                                                   \
    X(cublasLtMatmulDescSetAttribute)                                                              \
    X(cublasLtMatrixLayoutCreate)                                                                  \
    X(cublasLtMatrixLayoutDestroy)                                                                 \
    X(cublasLtMatmulPreferenceCreate)                                                              \
    X(cublasLtMatmulPreferenceDestroy)                                                             \
    X(cublasLtMatmulPreferenceSetAttribute)                                                        \
    X(cublasLtMatmulAlgoGetHeuristic)                                                              \
    X(cublasLtMatmul)

struct Functions {
// NOLINTNEXTLINE(bugprone-macro-parentheses): a declarator
#define TALUS_MEMBER(name) decltype(&::name) name = nullptr;
    TALUS_CUBLASLT_FUNCTIONS(TALUS_MEMBER)
#undef TALUS_MEMBER
};

// Assigns the address of a symbol; false, with the name in `missing`, if there is none.
template <typename Function>
bool find(void* library, const char* name, Function& function, const char*& missing) {
    function = reinterpret_cast<Function>(dlsym(library, name));
    if (function == nullptr && missing == nullptr)
        missing = name;
    return function != nullptr;
}

} // namespace

struct Blas::Implementation {
    // Descriptors and the chosen algorithm of one shape.
    struct Plan {
        cublasLtMatmulDesc_t product = nullptr;
        cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr;
        cublasLtMatmulAlgo_t algorithm{};
        bool usable = false;
    };
    using Key = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, int64_t>;

    Functions lt;
    cublasLtHandle_t handle = nullptr;
    std::mutex mutex; // guards plans
    std::map<Key, Plan> plans;

    ~Implementation() {
        for (auto& [key, plan] : plans) {
            if (plan.product != nullptr)
                lt.cublasLtMatmulDescDestroy(plan.product);
            for (const auto layout : {plan.a, plan.b, plan.c})
                if (layout != nullptr)
                    lt.cublasLtMatrixLayoutDestroy(layout);
        }
        if (handle != nullptr)
            lt.cublasLtDestroy(handle);
    }

    // cuBLASLt counts columns first: our row-major C[m, n] is its C'[n, m] = op(B') * A' with B'
    // the k x n view of B[n, k], transposed.
    Plan make_plan(const Key& key) {
        const auto [m, n, k, lda, ldb, ldc] = key;
        Plan plan;
        const cublasOperation_t transposed = CUBLAS_OP_T;
        // CUBLAS_COMPUTE_32F is FP32 arithmetic; TF32 would be CUBLAS_COMPUTE_32F_FAST_TF32.
        bool ok = lt.cublasLtMatmulDescCreate(&plan.product, CUBLAS_COMPUTE_32F, CUDA_R_32F) ==
                      CUBLAS_STATUS_SUCCESS &&
                  lt.cublasLtMatmulDescSetAttribute(plan.product, CUBLASLT_MATMUL_DESC_TRANSA,
                                                    &transposed,
                                                    sizeof transposed) == CUBLAS_STATUS_SUCCESS;
        auto layout = [&](cublasLtMatrixLayout_t& to, int64_t rows, int64_t columns, int64_t ld) {
            ok = ok && lt.cublasLtMatrixLayoutCreate(&to, CUDA_R_32F, static_cast<uint64_t>(rows),
                                                     static_cast<uint64_t>(columns),
                                                     ld) == CUBLAS_STATUS_SUCCESS;
        };
        layout(plan.b, k, n, ldb);
        layout(plan.a, k, m, lda);
        layout(plan.c, n, m, ldc);
        cublasLtMatmulPreference_t preference = nullptr;
        const size_t workspace = 0;
        ok = ok && lt.cublasLtMatmulPreferenceCreate(&preference) == CUBLAS_STATUS_SUCCESS &&
             lt.cublasLtMatmulPreferenceSetAttribute(
                 preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                 sizeof workspace) == CUBLAS_STATUS_SUCCESS;
        // Rows of activations may start at any element: algorithms must not assume more.
        const uint32_t alignment = sizeof(float);
        for (const auto attribute : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
                                     CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                                     CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                                     CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
            ok = ok &&
                 lt.cublasLtMatmulPreferenceSetAttribute(preference, attribute, &alignment,
                                                         sizeof alignment) == CUBLAS_STATUS_SUCCESS;
        cublasLtMatmulHeuristicResult_t result{};
        int found = 0;
        ok = ok &&
             lt.cublasLtMatmulAlgoGetHeuristic(handle, plan.product, plan.b, plan.a, plan.c, plan.c,
                                               preference, 1, &result,
                                               &found) == CUBLAS_STATUS_SUCCESS &&
             found == 1 && result.state == CUBLAS_STATUS_SUCCESS;
        if (preference != nullptr)
            lt.cublasLtMatmulPreferenceDestroy(preference);
        plan.algorithm = result.algo;
        plan.usable = ok;
        return plan;
    }
};

Blas::Blas(std::unique_ptr<Implementation> implementation)
    : implementation_(std::move(implementation)) {}

Blas::~Blas() = default;

std::unique_ptr<Blas> Blas::load(char* message, size_t message_bytes) {
    void* library = nullptr;
    for (const char* name : {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"})
        if (library == nullptr)
            library = dlopen(name, RTLD_NOW | RTLD_LOCAL); // stays loaded until the process ends
    if (library == nullptr) {
        std::snprintf(message, message_bytes, "%s", dlerror());
        return nullptr;
    }
    auto implementation = std::make_unique<Implementation>();
    const char* missing = nullptr;
#define TALUS_FIND(name) find(library, #name, implementation->lt.name, missing);
    TALUS_CUBLASLT_FUNCTIONS(TALUS_FIND)
#undef TALUS_FIND
    if (missing != nullptr) {
        std::snprintf(message, message_bytes, "libcublasLt lacks %s", missing);
        return nullptr;
    }
    if (implementation->lt.cublasLtCreate(&implementation->handle) != CUBLAS_STATUS_SUCCESS) {
        implementation->handle = nullptr;
        std::snprintf(message, message_bytes, "cublasLtCreate failed");
        return nullptr;
    }
    return std::unique_ptr<Blas>(new Blas(std::move(implementation)));
}

size_t Blas::version() const {
    return implementation_->lt.cublasLtGetVersion();
}

bool Blas::multiply(cudaStream_t stream, int64_t m, int64_t n, int64_t k, const float* a,
                    int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc) {
    Implementation& blas = *implementation_;
    const Implementation::Key key{m, n, k, lda, ldb, ldc};
    Implementation::Plan plan;
    {
        const std::lock_guard lock(blas.mutex);
        auto at = blas.plans.find(key);
        if (at == blas.plans.end())
            at = blas.plans.emplace(key, blas.make_plan(key)).first;
        plan = at->second; // descriptors are shared, and only read from here on
    }
    if (!plan.usable)
        return false;
    const float one = 1.0F;
    const float zero = 0.0F;
    return blas.lt.cublasLtMatmul(blas.handle, plan.product, &one, b, plan.b, a, plan.a, &zero, c,
                                  plan.c, c, plan.c, &plan.algorithm, nullptr, 0,
                                  stream) == CUBLAS_STATUS_SUCCESS;
}

} // namespace talus::kernels
