// talus/talus.hpp - the Talus SDK for C++20, over talus/talus.h: owning handles, exceptions, spans.
//
//     talus::Device device("talus");
//     talus::Model model("model.onnx", {&device});
//     talus::Request request(model);
//     request.set_input("dense", dense, {batch, 13});
//     request.set_input("sparse", sparse, {batch, 26});
//     request.run();
//     std::span<const float> probability = request.output<float>(0);
//
// Ownership, thread-safety and errors are those of talus.h; every failed call throws talus::Error.
#ifndef TALUS_TALUS_HPP
#define TALUS_TALUS_HPP

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "talus/talus.h"

namespace talus {

class Error : public std::runtime_error {
  public:
    Error(talus_status status, const char* message)
        : std::runtime_error(message), status_(status) {}
    talus_status status() const { return status_; }

  private:
    talus_status status_;
};

namespace detail {

inline void check(talus_status status) {
    if (status != TALUS_SUCCESS)
        throw Error(status, talus_last_error());
}

template <typename T, void (*Destroy)(T*)>
struct Deleter {
    void operator()(T* handle) const { Destroy(handle); }
};
template <typename T, void (*Destroy)(T*)>
using Handle = std::unique_ptr<T, Deleter<T, Destroy>>;

template <typename T>
constexpr std::int32_t dtype_of() {
    using Element = std::remove_const_t<T>;
    if constexpr (std::is_same_v<Element, float>)
        return TALUS_FLOAT32;
    else if constexpr (std::is_same_v<Element, std::int32_t>)
        return TALUS_INT32;
    else {
        static_assert(std::is_same_v<Element, std::int64_t>, "float, int32_t or int64_t");
        return TALUS_INT64;
    }
}

} // namespace detail

class Device {
  public:
    // `target`: "talus", "cuda" or "cpu"; `device`: as in talus_device_options, "" = default.
    explicit Device(const std::string& target, const std::string& device = "") {
        talus_device_options options = TALUS_INIT(talus_device_options);
        options.target = target.c_str();
        options.device = device.empty() ? nullptr : device.c_str();
        open(options);
    }
    explicit Device(const talus_device_options& options) { open(options); }

    talus_device_info info() const {
        talus_device_info info = TALUS_INIT(talus_device_info);
        detail::check(talus_device_get_info(handle_.get(), &info));
        return info;
    }
    talus_device* get() const { return handle_.get(); }

  private:
    void open(const talus_device_options& options) {
        talus_device* handle = nullptr;
        detail::check(talus_device_open(&options, &handle));
        handle_.reset(handle);
    }
    detail::Handle<talus_device, talus_device_close> handle_;
};

struct ModelOptions {
    std::int64_t max_batch = 0; // 0: the SDK's default
    bool strict = false;
    bool fp32_tables = false;
    bool keep_lost = false; // true: a run fails when its device is lost, see talus_model_options
    std::vector<std::string> deny; // "target:operator" or "target:node"
};

class Model {
  public:
    // Devices in order of preference; the CPU is the implied last one.
    explicit Model(const std::string& path, std::initializer_list<const Device*> devices = {},
                   const ModelOptions& options = {})
        : Model(path, std::vector<const Device*>(devices), options) {}

    Model(const std::string& path, const std::vector<const Device*>& devices,
          const ModelOptions& options) {
        std::vector<talus_device*> handles;
        handles.reserve(devices.size());
        for (const Device* device : devices)
            handles.push_back(device->get());
        std::vector<const char*> deny;
        deny.reserve(options.deny.size());
        for (const std::string& pair : options.deny)
            deny.push_back(pair.c_str());
        talus_model_options given = TALUS_INIT(talus_model_options);
        given.max_batch = options.max_batch;
        given.strict = options.strict ? 1 : 0;
        given.fp32_tables = options.fp32_tables ? 1 : 0;
        given.keep_lost = options.keep_lost ? 1 : 0;
        given.deny = deny.data();
        given.deny_count = deny.size();
        talus_model* handle = nullptr;
        detail::check(
            talus_model_load(path.c_str(), handles.data(), handles.size(), &given, &handle));
        handle_.reset(handle);
    }

    std::size_t input_count() const { return talus_model_input_count(handle_.get()); }
    std::size_t output_count() const { return talus_model_output_count(handle_.get()); }
    talus_tensor_info input(std::size_t index) const {
        talus_tensor_info info = TALUS_INIT(talus_tensor_info);
        detail::check(talus_model_get_input(handle_.get(), index, &info));
        return info;
    }
    talus_tensor_info output(std::size_t index) const {
        talus_tensor_info info = TALUS_INIT(talus_tensor_info);
        detail::check(talus_model_get_output(handle_.get(), index, &info));
        return info;
    }
    // Throws std::out_of_range if there is no such input.
    std::size_t find_input(std::string_view name) const {
        for (std::size_t i = 0; i < input_count(); ++i)
            if (input(i).name == name)
                return i;
        throw std::out_of_range("the model has no input '" + std::string(name) + "'");
    }
    std::string explain() const { return talus_model_explain(handle_.get()); }
    // A line for each device that was lost and what came of it.
    std::string recovery_log() const { return talus_model_recovery_log(handle_.get()); }
    talus_model* get() const { return handle_.get(); }

  private:
    detail::Handle<talus_model, talus_model_destroy> handle_;
};

class Buffer {
  public:
    Buffer(const Device& device, std::size_t bytes) {
        talus_buffer* handle = nullptr;
        detail::check(talus_buffer_create(device.get(), bytes, &handle));
        handle_.reset(handle);
    }
    template <typename T>
    std::span<T> as() const {
        return {static_cast<T*>(talus_buffer_data(handle_.get())),
                talus_buffer_size(handle_.get()) / sizeof(T)};
    }
    talus_buffer* get() const { return handle_.get(); }

  private:
    detail::Handle<talus_buffer, talus_buffer_destroy> handle_;
};

class Event;

class Stream {
  public:
    Stream() {
        talus_stream* handle = nullptr;
        detail::check(talus_stream_create(&handle));
        handle_.reset(handle);
    }
    void synchronize() { detail::check(talus_stream_synchronize(handle_.get())); }
    inline void wait(const Event& event);
    talus_stream* get() const { return handle_.get(); }

  private:
    detail::Handle<talus_stream, talus_stream_destroy> handle_;
};

class Event {
  public:
    Event() {
        talus_event* handle = nullptr;
        detail::check(talus_event_create(&handle));
        handle_.reset(handle);
    }
    void record(const Stream& stream) {
        detail::check(talus_event_record(handle_.get(), stream.get()));
    }
    void synchronize() { detail::check(talus_event_synchronize(handle_.get())); }
    bool done() const {
        std::int32_t done = 0;
        detail::check(talus_event_query(handle_.get(), &done));
        return done != 0;
    }
    talus_event* get() const { return handle_.get(); }

  private:
    detail::Handle<talus_event, talus_event_destroy> handle_;
};

inline void Stream::wait(const Event& event) {
    detail::check(talus_stream_wait_event(handle_.get(), event.get()));
}

class Request {
  public:
    explicit Request(const Model& model) : model_(&model) {
        talus_request* handle = nullptr;
        detail::check(talus_request_create(model.get(), &handle));
        handle_.reset(handle);
    }

    // `data` is read during runs and must outlive them. `model` too is used by name look-ups.
    template <typename T>
    void set_input(std::size_t index, std::span<T> data, std::vector<std::int64_t> shape) {
        talus_tensor tensor = TALUS_INIT(talus_tensor);
        tensor.dtype = detail::dtype_of<T>();
        std::int64_t elements = 1;
        if (shape.size() > TALUS_MAX_RANK)
            throw Error(TALUS_ERROR_INVALID_ARGUMENT, "too many dimensions");
        tensor.rank = static_cast<std::int32_t>(shape.size());
        for (std::size_t d = 0; d < shape.size(); ++d) {
            tensor.shape[d] = shape[d];
            elements *= shape[d];
        }
        if (elements != static_cast<std::int64_t>(data.size()))
            throw Error(TALUS_ERROR_INVALID_ARGUMENT, "the shape does not hold the data");
        tensor.data = const_cast<std::remove_const_t<T>*>(data.data());
        detail::check(talus_request_set_input(handle_.get(), index, &tensor));
    }
    template <typename T>
    void set_input(std::size_t index, const std::vector<T>& data, std::vector<std::int64_t> shape) {
        set_input(index, std::span<const T>(data), std::move(shape));
    }
    template <typename T>
    void set_input(std::string_view name, const std::vector<T>& data,
                   std::vector<std::int64_t> shape) {
        set_input(model_->find_input(name), std::span<const T>(data), std::move(shape));
    }

    void run() { detail::check(talus_request_run(handle_.get())); }
    void run_async(const Stream& stream) {
        detail::check(talus_request_run_async(handle_.get(), stream.get()));
    }
    void wait() { detail::check(talus_request_wait(handle_.get())); }

    talus_tensor output_tensor(std::size_t index) const {
        talus_tensor tensor = TALUS_INIT(talus_tensor);
        detail::check(talus_request_get_output(handle_.get(), index, &tensor));
        return tensor;
    }
    // The output's elements; valid until the next run. Throws if its type is not T.
    template <typename T>
    std::span<const T> output(std::size_t index) const {
        const talus_tensor tensor = output_tensor(index);
        if (tensor.dtype != detail::dtype_of<T>())
            throw Error(TALUS_ERROR_INVALID_ARGUMENT, "the output has another type");
        std::size_t elements = 1;
        for (std::int32_t d = 0; d < tensor.rank; ++d)
            elements *= static_cast<std::size_t>(tensor.shape[d]);
        return {static_cast<const T*>(tensor.data), elements};
    }

    std::vector<talus_operator_stats> operators() const {
        std::vector<talus_operator_stats> result;
        for (std::size_t i = 0; i < talus_request_operator_count(handle_.get()); ++i) {
            result.push_back(TALUS_INIT(talus_operator_stats));
            detail::check(talus_request_get_operator(handle_.get(), i, &result.back()));
        }
        return result;
    }
    talus_request_stats stats() const {
        talus_request_stats stats = TALUS_INIT(talus_request_stats);
        detail::check(talus_request_get_stats(handle_.get(), &stats));
        return stats;
    }
    talus_request* get() const { return handle_.get(); }

  private:
    const Model* model_;
    detail::Handle<talus_request, talus_request_destroy> handle_;
};

} // namespace talus

#endif
