// What the C ABI's opaque handles stand for, and the bracket around every call.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <string>

#include "sdk/common/error.hpp"
#include "sdk/runtime/live_model.hpp"
#include "sdk/runtime/request.hpp"
#include "sdk/runtime/stream.hpp"

struct talus_device {
    talus::runtime::DevicePtr device;
};

struct talus_model {
    std::shared_ptr<talus::runtime::LiveModel> model;
};

struct talus_buffer {
    talus::runtime::DevicePtr device;
    void* memory = nullptr;
    std::size_t bytes = 0;
};

struct talus_stream {
    talus::runtime::Stream stream;
};

struct talus_event {
    std::shared_ptr<talus::runtime::Marker> marker; // null: never recorded
};

struct talus_request {
    explicit talus_request(std::shared_ptr<talus::runtime::LiveModel> over)
        : model(std::move(over)),
          request(std::make_unique<talus::runtime::Request>(model->current())) {}

    std::shared_ptr<talus::runtime::LiveModel> model;
    std::unique_ptr<talus::runtime::Request> request; // replaced when a device is lost
    // A run in flight: `in_flight` is set by the caller's thread and cleared by the stream's, which
    // leaves the result in `status` and `message`.
    std::mutex mutex;
    std::condition_variable finished;
    bool in_flight = false;
    talus_status status = TALUS_SUCCESS;
    std::string message;

    void finish(talus_status result, std::string text);
    void wait();
};

namespace talus::api {

// Sets the calling thread's message and returns `status`.
talus_status report(talus_status status, const std::string& message);

// The status and message of the exception in flight.
talus_status current_failure(std::string& message);

template <typename Body>
talus_status guarded(Body&& body) {
    try {
        body();
        return TALUS_SUCCESS;
    } catch (...) {
        std::string message;
        const talus_status status = current_failure(message);
        return report(status, message);
    }
}

// Throws INVALID_ARGUMENT if a required pointer is null.
inline void require(const void* pointer, const char* what) {
    if (pointer == nullptr)
        fail(TALUS_ERROR_INVALID_ARGUMENT, "{} is NULL", what);
}

// Copies a caller's versioned struct into a present one: fields that an older caller does not know
// stay zero. Throws INVALID_ARGUMENT on an absent or absurd struct_size.
template <typename T>
T adopt(const T* given, const char* what) {
    T result{};
    result.struct_size = sizeof(T);
    if (given == nullptr)
        return result;
    constexpr std::size_t kLargest = 1 << 16;
    if (given->struct_size < sizeof(std::size_t) || given->struct_size > kLargest)
        fail(TALUS_ERROR_INVALID_ARGUMENT, "{}: struct_size {} is not set", what,
             given->struct_size);
    std::memcpy(static_cast<void*>(&result), given, std::min(sizeof(T), given->struct_size));
    result.struct_size = sizeof(T);
    return result;
}

// Writes as much of `value` as the caller's struct has room for.
template <typename T>
void deliver(T* to, const T& value, const char* what) {
    require(to, what);
    const std::size_t size = to->struct_size;
    if (size < sizeof(std::size_t))
        fail(TALUS_ERROR_INVALID_ARGUMENT, "{}: struct_size is not set", what);
    std::memcpy(static_cast<void*>(to), &value, std::min(sizeof(T), size));
    to->struct_size = size;
}

} // namespace talus::api
