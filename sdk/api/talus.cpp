// The C ABI: devices, models, buffers. Requests, streams and events are in requests.cpp.
#include <span>
#include <vector>

#include "sdk/api/handles.hpp"

namespace {

thread_local std::string last_message;

std::vector<talus::runtime::DevicePtr> devices_of(talus_device* const* devices, std::size_t count) {
    if (count > 0)
        talus::api::require(devices, "devices");
    std::vector<talus::runtime::DevicePtr> result;
    for (std::size_t i = 0; i < count; ++i) {
        talus::api::require(devices[i], "a device");
        result.push_back(devices[i]->device);
    }
    return result;
}

talus::plan::Options options_of(const talus_model_options* given) {
    const talus_model_options options = talus::api::adopt(given, "talus_model_options");
    talus::plan::Options result;
    if (options.max_batch != 0)
        result.max_batch = options.max_batch;
    result.strict = options.strict != 0;
    result.fp32_tables = options.fp32_tables != 0;
    if (options.deny_count > 0)
        talus::api::require(options.deny, "deny");
    for (std::size_t i = 0; i < options.deny_count; ++i) {
        talus::api::require(options.deny[i], "a deny");
        result.deny.emplace_back(options.deny[i]);
    }
    return result;
}

talus_model* load(talus::runtime::ModelPtr model, const talus_model_options* given) {
    const talus_model_options options = talus::api::adopt(given, "talus_model_options");
    return new talus_model{
        std::make_shared<talus::runtime::LiveModel>(std::move(model), options.keep_lost != 0)};
}

template <std::size_t N>
void put(char (&to)[N], const std::string& text) {
    const std::size_t length = std::min(text.size(), N - 1);
    std::memcpy(to, text.data(), length);
    to[length] = '\0';
}

void describe(talus_tensor_info* info, const std::string& name, talus::graph::DType type,
              const talus::graph::Shape& shape) {
    talus_tensor_info result{};
    result.name = name.c_str();
    result.dtype = static_cast<std::int32_t>(type);
    result.rank = static_cast<std::int32_t>(shape.size());
    for (std::size_t d = 0; d < TALUS_MAX_RANK; ++d) {
        const bool there = d < shape.size();
        result.shape[d] = there ? shape[d].extent : 0;
        result.symbols[d] = there ? shape[d].symbol.c_str() : "";
    }
    talus::api::deliver(info, result, "info");
}

} // namespace

namespace talus::api {

talus_status report(talus_status status, const std::string& message) {
    last_message = message;
    return status;
}

talus_status current_failure(std::string& message) {
    try {
        throw;
    } catch (const Failure& failure) {
        message = failure.what();
        return failure.status();
    } catch (const std::bad_alloc&) {
        message = "out of host memory";
        return TALUS_ERROR_OUT_OF_MEMORY;
    } catch (const std::exception& error) {
        message = error.what();
        return TALUS_ERROR_INTERNAL;
    } catch (...) {
        message = "an unknown error";
        return TALUS_ERROR_INTERNAL;
    }
}

} // namespace talus::api

using talus::api::guarded;
using talus::api::require;

extern "C" {

const char* talus_status_name(talus_status status) {
    switch (status) {
    case TALUS_SUCCESS:
        return "success";
    case TALUS_ERROR_INVALID_ARGUMENT:
        return "invalid argument";
    case TALUS_ERROR_NOT_FOUND:
        return "not found";
    case TALUS_ERROR_MODEL:
        return "bad model";
    case TALUS_ERROR_UNSUPPORTED:
        return "unsupported";
    case TALUS_ERROR_FALLBACK:
        return "fallback refused";
    case TALUS_ERROR_UNAVAILABLE:
        return "unavailable";
    case TALUS_ERROR_BAD_INPUT:
        return "bad input";
    case TALUS_ERROR_INDEX_OUT_OF_RANGE:
        return "index out of range";
    case TALUS_ERROR_OUT_OF_MEMORY:
        return "out of memory";
    case TALUS_ERROR_BUSY:
        return "busy";
    case TALUS_ERROR_DEVICE:
        return "device error";
    case TALUS_ERROR_DATA:
        return "malformed data";
    case TALUS_ERROR_INTERNAL:
        return "internal error";
    case TALUS_ERROR_DEVICE_LOST:
        return "device lost";
    case TALUS_ERROR_TIMEOUT:
        return "time-out";
    }
    return "unknown status";
}

const char* talus_last_error(void) {
    return last_message.c_str();
}

const char* talus_version(void) {
    return TALUS_VERSION;
}

talus_status talus_device_open(const talus_device_options* options, talus_device** device) {
    return guarded([&] {
        require(device, "device");
        const talus_device_options adopted = talus::api::adopt(options, "talus_device_options");
        *device = new talus_device{talus::runtime::open_device(adopted)};
    });
}

void talus_device_close(talus_device* device) {
    delete device;
}

talus_status talus_device_get_info(const talus_device* device, talus_device_info* info) {
    return guarded([&] {
        require(device, "device");
        const talus::runtime::DeviceInfo& from = device->device->info();
        talus_device_info result{};
        put(result.target, from.target);
        put(result.name, from.name);
        put(result.note, from.note);
        result.simulated = from.simulated ? 1 : 0;
        result.clock_hz = from.clock_hz;
        result.memory_bytes = from.memory_bytes;
        talus::api::deliver(info, result, "info");
    });
}

talus_status talus_model_load(const char* path, talus_device* const* devices, size_t device_count,
                              const talus_model_options* options, talus_model** model) {
    return guarded([&] {
        require(path, "path");
        require(model, "model");
        *model =
            load(talus::runtime::Model::load(std::string(path), devices_of(devices, device_count),
                                             options_of(options)),
                 options);
    });
}

talus_status talus_model_load_memory(const void* bytes, size_t size, talus_device* const* devices,
                                     size_t device_count, const talus_model_options* options,
                                     talus_model** model) {
    return guarded([&] {
        require(bytes, "bytes");
        require(model, "model");
        *model = load(
            talus::runtime::Model::load(std::span(static_cast<const std::byte*>(bytes), size),
                                        devices_of(devices, device_count), options_of(options)),
            options);
    });
}

void talus_model_destroy(talus_model* model) {
    delete model;
}

size_t talus_model_input_count(const talus_model* model) {
    return model == nullptr ? 0 : model->model->current()->graph().inputs.size();
}

size_t talus_model_output_count(const talus_model* model) {
    return model == nullptr ? 0 : model->model->current()->graph().outputs.size();
}

talus_status talus_model_get_input(const talus_model* model, size_t index,
                                   talus_tensor_info* info) {
    return guarded([&] {
        require(model, "model");
        const talus::graph::Graph& graph = model->model->current()->graph();
        if (index >= graph.inputs.size())
            talus::fail(TALUS_ERROR_INVALID_ARGUMENT, "the model has {} inputs; no input {}",
                        graph.inputs.size(), index);
        const talus::graph::Value& value = graph.value(graph.inputs[index]);
        describe(info, value.name, value.type, value.shape);
    });
}

talus_status talus_model_get_output(const talus_model* model, size_t index,
                                    talus_tensor_info* info) {
    return guarded([&] {
        require(model, "model");
        const talus::graph::Graph& graph = model->model->current()->graph();
        if (index >= graph.outputs.size())
            talus::fail(TALUS_ERROR_INVALID_ARGUMENT, "the model has {} outputs; no output {}",
                        graph.outputs.size(), index);
        describe(info, graph.output_names[index], graph.value(graph.outputs[index]).type,
                 graph.output_shapes[index]);
    });
}

const char* talus_model_explain(const talus_model* model) {
    return model == nullptr ? "" : model->model->explanation().c_str();
}

const char* talus_model_recovery_log(const talus_model* model) {
    thread_local std::string log;
    log = model == nullptr ? "" : model->model->recovery_log();
    return log.c_str();
}

talus_status talus_buffer_create(talus_device* device, size_t bytes, talus_buffer** buffer) {
    return guarded([&] {
        require(device, "device");
        require(buffer, "buffer");
        auto created = std::make_unique<talus_buffer>();
        created->device = device->device;
        created->memory = device->device->host_allocate(bytes);
        created->bytes = bytes;
        *buffer = created.release();
    });
}

void talus_buffer_destroy(talus_buffer* buffer) {
    if (buffer == nullptr)
        return;
    buffer->device->host_release(buffer->memory);
    delete buffer;
}

void* talus_buffer_data(talus_buffer* buffer) {
    return buffer == nullptr ? nullptr : buffer->memory;
}

size_t talus_buffer_size(const talus_buffer* buffer) {
    return buffer == nullptr ? 0 : buffer->bytes;
}

} // extern "C"
