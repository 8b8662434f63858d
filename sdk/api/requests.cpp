// The C ABI: streams, events, requests.
#include "sdk/api/handles.hpp"

using talus::api::guarded;
using talus::api::require;

void talus_request::finish(talus_status result, std::string text) {
    const std::lock_guard lock(mutex);
    status = result;
    message = std::move(text);
    in_flight = false;
    finished.notify_all();
}

void talus_request::wait() {
    std::unique_lock lock(mutex);
    finished.wait(lock, [&] { return !in_flight; });
}

namespace {

// Claims the request for a run, or throws BUSY.
void claim(talus_request& request) {
    const std::lock_guard lock(request.mutex);
    if (request.in_flight)
        talus::fail(TALUS_ERROR_BUSY, "the request has a run in flight; wait for it first");
    request.in_flight = true;
}

void require_idle(talus_request& request) {
    const std::lock_guard lock(request.mutex);
    if (request.in_flight)
        talus::fail(TALUS_ERROR_BUSY, "the request has a run in flight; wait for it first");
}

void execute(talus_request& request) {
    talus_status status = TALUS_SUCCESS;
    std::string message;
    try {
        talus::runtime::run_with_recovery(*request.model, request.request);
    } catch (...) {
        status = talus::api::current_failure(message);
    }
    request.finish(status, std::move(message));
}

template <typename T>
const T* data_or_null(const std::vector<T>& values) {
    return values.empty() ? nullptr : values.data();
}

} // namespace

extern "C" {

talus_status talus_stream_create(talus_stream** stream) {
    return guarded([&] {
        require(stream, "stream");
        *stream = new talus_stream;
    });
}

void talus_stream_destroy(talus_stream* stream) {
    delete stream;
}

talus_status talus_stream_synchronize(talus_stream* stream) {
    return guarded([&] {
        require(stream, "stream");
        stream->stream.synchronize();
    });
}

talus_status talus_event_create(talus_event** event) {
    return guarded([&] {
        require(event, "event");
        *event = new talus_event;
    });
}

void talus_event_destroy(talus_event* event) {
    delete event;
}

talus_status talus_event_record(talus_event* event, talus_stream* stream) {
    return guarded([&] {
        require(event, "event");
        require(stream, "stream");
        event->marker = stream->stream.mark();
    });
}

talus_status talus_stream_wait_event(talus_stream* stream, talus_event* event) {
    return guarded([&] {
        require(stream, "stream");
        require(event, "event");
        if (event->marker != nullptr)
            stream->stream.submit([marker = event->marker] { marker->wait(); });
    });
}

talus_status talus_event_synchronize(talus_event* event) {
    return guarded([&] {
        require(event, "event");
        if (event->marker != nullptr)
            event->marker->wait();
    });
}

talus_status talus_event_query(talus_event* event, int32_t* done) {
    return guarded([&] {
        require(event, "event");
        require(done, "done");
        *done = event->marker == nullptr || event->marker->passed() ? 1 : 0;
    });
}

talus_status talus_request_create(talus_model* model, talus_request** request) {
    return guarded([&] {
        require(model, "model");
        require(request, "request");
        *request = new talus_request(model->model);
    });
}

void talus_request_destroy(talus_request* request) {
    if (request == nullptr)
        return;
    request->wait();
    delete request;
}

talus_status talus_request_set_input(talus_request* request, size_t index,
                                     const talus_tensor* tensor) {
    return guarded([&] {
        require(request, "request");
        require(tensor, "tensor");
        require_idle(*request);
        request->request->set_input(index, talus::api::adopt(tensor, "talus_tensor"));
    });
}

talus_status talus_request_set_output(talus_request* request, size_t index, void* data,
                                      size_t capacity_bytes) {
    return guarded([&] {
        require(request, "request");
        require_idle(*request);
        request->request->set_output(index, data, capacity_bytes);
    });
}

talus_status talus_request_run(talus_request* request) {
    return guarded([&] {
        require(request, "request");
        claim(*request);
        execute(*request);
        if (request->status != TALUS_SUCCESS)
            throw talus::Failure(request->status, request->message);
    });
}

talus_status talus_request_run_async(talus_request* request, talus_stream* stream) {
    return guarded([&] {
        require(request, "request");
        require(stream, "stream");
        claim(*request);
        try {
            stream->stream.submit([request] { execute(*request); });
        } catch (...) {
            request->finish(TALUS_ERROR_OUT_OF_MEMORY, "the run could not be submitted");
            throw;
        }
    });
}

talus_status talus_request_wait(talus_request* request) {
    return guarded([&] {
        require(request, "request");
        request->wait();
        if (request->status != TALUS_SUCCESS)
            throw talus::Failure(request->status, request->message);
    });
}

talus_status talus_request_get_output(talus_request* request, size_t index, talus_tensor* tensor) {
    return guarded([&] {
        require(request, "request");
        require_idle(*request);
        talus::api::deliver(tensor, request->request->output(index), "tensor");
    });
}

size_t talus_request_operator_count(const talus_request* request) {
    return request == nullptr ? 0 : request->request->operators().size();
}

talus_status talus_request_get_operator(const talus_request* request, size_t index,
                                        talus_operator_stats* stats) {
    return guarded([&] {
        require(request, "request");
        require_idle(*const_cast<talus_request*>(request));
        const auto& operators = request->request->operators();
        if (index >= operators.size())
            talus::fail(TALUS_ERROR_INVALID_ARGUMENT, "there are {} operators; no operator {}",
                        operators.size(), index);
        const talus::runtime::OperatorStats& from = operators[index];
        talus_operator_stats result{};
        result.name = from.name.c_str();
        result.op = from.op.c_str();
        result.target = from.target.c_str();
        result.precision = from.precision.c_str();
        result.launches = from.launches;
        result.device_cycles = from.device_cycles;
        result.seconds = from.seconds;
        result.clock = from.clock;
        result.bytes = from.bytes;
        result.flops = from.flops;
        result.utilisation = from.utilisation();
        result.overflows = from.overflows;
        result.resources = data_or_null(from.resources);
        result.resource_count = from.resources.size();
        result.stalls = data_or_null(from.stalls);
        result.stall_count = from.stalls.size();
        result.counters = data_or_null(from.counters);
        result.counter_count = from.counters.size();
        talus::api::deliver(stats, result, "stats");
    });
}

talus_status talus_request_get_stats(const talus_request* request, talus_request_stats* stats) {
    return guarded([&] {
        require(request, "request");
        require_idle(*const_cast<talus_request*>(request));
        const talus::runtime::RequestStats& from = request->request->stats();
        talus_request_stats result{};
        result.runs = from.runs;
        result.samples = from.samples;
        result.device_cycles = from.device_cycles;
        result.device_seconds = from.device_seconds;
        result.wall_seconds = from.wall_seconds;
        result.recoveries = from.recoveries;
        talus::api::deliver(stats, result, "stats");
    });
}

} // extern "C"
