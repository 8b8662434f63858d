// Plain data that the operators, their targets and the SDK's runtime share: element types, tensor
// views, nodes, status. Everything here is trivially copyable, so that it crosses the boundary of a
// library loaded with dlopen; nothing here allocates.
#pragma once

#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>

#if defined(__CUDACC__)
#define TALUS_HOST_DEVICE __host__ __device__
#else
#define TALUS_HOST_DEVICE
#endif

namespace talus::kernels {

// ONNX's TensorProto.DataType numbers.
enum class DType : int32_t {
    kUndefined = 0,
    kFloat32 = 1,
    kUint8 = 2,
    kInt8 = 3,
    kUint16 = 4,
    kInt16 = 5,
    kInt32 = 6,
    kInt64 = 7,
    kBool = 9,
    kFloat16 = 10,
    kFloat64 = 11,
    kUint32 = 12,
    kUint64 = 13,
    kBfloat16 = 16,
};

// Bytes of one element; 0 for an unknown type.
TALUS_HOST_DEVICE constexpr size_t size_of(DType type) {
    switch (type) {
    case DType::kUint8:
    case DType::kInt8:
    case DType::kBool:
        return 1;
    case DType::kUint16:
    case DType::kInt16:
    case DType::kFloat16:
    case DType::kBfloat16:
        return 2;
    case DType::kFloat32:
    case DType::kInt32:
    case DType::kUint32:
        return 4;
    case DType::kInt64:
    case DType::kUint64:
    case DType::kFloat64:
        return 8;
    case DType::kUndefined:
        break;
    }
    return 0;
}

constexpr const char* name_of(DType type) {
    switch (type) {
    case DType::kFloat32:
        return "float32";
    case DType::kUint8:
        return "uint8";
    case DType::kInt8:
        return "int8";
    case DType::kUint16:
        return "uint16";
    case DType::kInt16:
        return "int16";
    case DType::kInt32:
        return "int32";
    case DType::kInt64:
        return "int64";
    case DType::kBool:
        return "bool";
    case DType::kFloat16:
        return "float16";
    case DType::kFloat64:
        return "float64";
    case DType::kUint32:
        return "uint32";
    case DType::kUint64:
        return "uint64";
    case DType::kBfloat16:
        return "bfloat16";
    case DType::kUndefined:
        break;
    }
    return "undefined";
}

constexpr int32_t kMaxRank = 6;

// A typed window on memory that somebody else owns. Strides are in elements and may describe a view
// into a larger tensor (a column range of a concatenation, a transposed matrix). The innermost
// dimension comes last. `data` is an address in the memory of the target that executes the node
// (host for cpu, device for cuda, device physical for talus); null where only the type and shape
// matter, and for constants that were prepacked. An absent optional input has DType::kUndefined.
struct TensorView {
    void* data = nullptr;
    DType dtype = DType::kUndefined;
    int32_t rank = 0;
    int64_t shape[kMaxRank] = {};
    int64_t strides[kMaxRank] = {};

    TALUS_HOST_DEVICE constexpr bool present() const { return dtype != DType::kUndefined; }
    TALUS_HOST_DEVICE constexpr int64_t elements() const {
        int64_t count = 1;
        for (int32_t d = 0; d < rank; ++d)
            count *= shape[d];
        return count;
    }
    // True if the elements lie in row-major order without gaps (dimensions of size 1 do not count).
    TALUS_HOST_DEVICE constexpr bool contiguous() const {
        int64_t expected = 1;
        for (int32_t d = rank - 1; d >= 0; --d) {
            if (shape[d] != 1 && strides[d] != expected)
                return false;
            expected *= shape[d];
        }
        return true;
    }
    template <typename T>
    TALUS_HOST_DEVICE constexpr T* as() const {
        return static_cast<T*>(data);
    }
};

// A dense row-major view over `data`.
inline TensorView make_view(void* data, DType dtype, const int64_t* shape, int32_t rank) {
    TensorView view;
    view.data = data;
    view.dtype = dtype;
    view.rank = rank;
    int64_t stride = 1;
    for (int32_t d = rank - 1; d >= 0; --d) {
        view.shape[d] = shape[d];
        view.strides[d] = stride;
        stride *= shape[d];
    }
    return view;
}

template <size_t N>
TensorView make_view(void* data, DType dtype, const int64_t (&shape)[N]) {
    static_assert(N <= static_cast<size_t>(kMaxRank));
    return make_view(data, dtype, shape, static_cast<int32_t>(N));
}

enum class Status : int32_t {
    kOk = 0,
    kUnsupported = 1,     // the target cannot run this node; the diagnostic says why
    kBadArgument = 2,     // the node breaks its operator's signature
    kIndexOutOfRange = 3, // an index or offset of this request's data is out of range
    kOutOfMemory = 4,
    kDeviceError = 5, // driver or device failed; the stream is unusable afterwards
    kUnavailable = 6, // no such device, driver or library on this machine
    kDeviceLost = 7,  // the device is gone: nothing of this opened device works any more
    kTimedOut = 8,    // the work did not end and was ended by force; what else the device has lives
};

// Text for people, filled in whenever a function returns something other than kOk.
struct Diagnostic {
    char text[512] = {};
};

// Fills in the diagnostic (which may be null) and returns `status`.
__attribute__((format(printf, 3, 4))) inline Status fail(Diagnostic* diagnostic, Status status,
                                                         const char* format, ...) {
    if (diagnostic != nullptr) {
        va_list arguments;
        va_start(arguments, format);
        std::vsnprintf(diagnostic->text, sizeof diagnostic->text, format, arguments);
        va_end(arguments);
    }
    return status;
}

// One operator call. Attributes point to the operator's `Attributes` struct (kernels/<op>/op.hpp)
// and, like the views, live as long as the caller keeps the node.
struct Node {
    const char* op = nullptr; // the folder's name, e.g. "fc"
    const void* attributes = nullptr;
    const TensorView* inputs = nullptr;
    int32_t input_count = 0;
    TensorView* outputs = nullptr;
    int32_t output_count = 0;

    const TensorView& input(int32_t i) const { return inputs[i]; }
    bool has_input(int32_t i) const { return i < input_count && inputs[i].present(); }
    TensorView& output(int32_t i = 0) const { return outputs[i]; }
    template <typename T>
    const T& as() const {
        return *static_cast<const T*>(attributes);
    }
};

} // namespace talus::kernels
