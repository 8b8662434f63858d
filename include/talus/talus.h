/* clang-format off */
/* talus/talus.h - the Talus SDK as a C ABI: load a model, plan it over devices, run requests.
 *
 *     talus_device* device;
 *     talus_model* model;
 *     talus_request* request;
 *     talus_device_options where = TALUS_INIT(talus_device_options);
 *     where.target = "talus";
 *     talus_device_open(&where, &device);
 *     talus_model_load("model.onnx", &device, 1, NULL, &model);
 *     talus_request_create(model, &request);
 *     talus_request_set_input(request, 0, &dense);
 *     talus_request_set_input(request, 1, &sparse);
 *     talus_request_run(request);
 *     talus_request_get_output(request, 0, &probabilities);
 *
 * Conventions
 *   Status.  Every call that can fail returns a talus_status. On anything but TALUS_SUCCESS the
 *            calling thread's talus_last_error() says what failed, on which device, and what to do.
 *            Output arguments are written only on success, unless a call says otherwise.
 *   Structs. A struct that may grow starts with `struct_size`; TALUS_INIT(type) sets it and zeroes
 *            the rest. Zero always means "default".
 *   Tensors. Row-major, dense, in host memory; element types carry ONNX's numbers.
 *   Threads. Devices and models may be used from any threads at once; a model is immutable. A
 *            stream, an event or a request belongs to one thread at a time, different ones may run
 *            in parallel. Handles must not be used while or after they are destroyed. There is no
 *            global state and no signal handler.
 *   Lifetime. A model keeps its devices alive, a request its model. Destroying NULL is permitted.
 */
/* clang-format on */
#ifndef TALUS_TALUS_H
#define TALUS_TALUS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TALUS_API __attribute__((visibility("default")))
#define TALUS_CHECK __attribute__((warn_unused_result))
#else
#define TALUS_API
#define TALUS_CHECK
#endif

/** Version of this header's ABI. Grows by one with every incompatible change. */
#define TALUS_ABI_VERSION 1

/** An object of a struct_size-first type, all defaults. */
#ifdef __cplusplus
#define TALUS_INIT(type)                                                                           \
    ([] {                                                                                          \
        type value = {};                                                                           \
        value.struct_size = sizeof(type);                                                          \
        return value;                                                                              \
    }())
#else
#define TALUS_INIT(type) ((type){.struct_size = sizeof(type)})
#endif

typedef enum talus_status {
    TALUS_SUCCESS = 0,
    TALUS_ERROR_INVALID_ARGUMENT = 1,   /**< the caller broke a rule of this header */
    TALUS_ERROR_NOT_FOUND = 2,          /**< no such file */
    TALUS_ERROR_MODEL = 3,              /**< the model is damaged, hostile, or contradicts itself */
    TALUS_ERROR_UNSUPPORTED = 4,        /**< an operator, type or shape that Talus does not run */
    TALUS_ERROR_FALLBACK = 5,           /**< strict: a node would not run on the asked target */
    TALUS_ERROR_UNAVAILABLE = 6,        /**< no such device, driver or library on this machine */
    TALUS_ERROR_BAD_INPUT = 7,          /**< a request's tensors do not fit the model */
    TALUS_ERROR_INDEX_OUT_OF_RANGE = 8, /**< an embedding index or offset is out of range */
    TALUS_ERROR_OUT_OF_MEMORY = 9,      /**< host or device memory is exhausted */
    TALUS_ERROR_BUSY = 10,              /**< the request has a run in flight */
    TALUS_ERROR_DEVICE = 11,            /**< the device failed; the message holds its diagnosis */
    TALUS_ERROR_DATA = 12,              /**< a data file (click log, encoder) is malformed */
    TALUS_ERROR_INTERNAL = 13,          /**< a defect of the SDK */
    TALUS_ERROR_DEVICE_LOST = 14,       /**< the device is gone, and the run was not repeated */
    TALUS_ERROR_TIMEOUT = 15 /**< the device did not end the run, which was ended and not repeated */
} talus_status;

/** Name of a status ("index out of range"); never NULL. */
TALUS_API const char* talus_status_name(talus_status status);

/** The calling thread's message of its latest failed call; "" when there was none. Valid until the
 *  thread's next call into the SDK. */
TALUS_API const char* talus_last_error(void);

/** The SDK's version, "0.1.0". */
TALUS_API const char* talus_version(void);

/* ---- Tensors ---- */

/** ONNX's TensorProto.DataType numbers. */
typedef enum talus_dtype {
    TALUS_FLOAT32 = 1,
    TALUS_INT32 = 6,
    TALUS_INT64 = 7,
    TALUS_FLOAT16 = 10
} talus_dtype;

#define TALUS_MAX_RANK 6

/** A dense row-major tensor in host memory. The memory is the caller's. */
typedef struct talus_tensor {
    size_t struct_size;
    int32_t dtype; /**< talus_dtype */
    int32_t rank;
    int64_t shape[TALUS_MAX_RANK];
    void* data;
} talus_tensor;

/* ---- Devices ---- */

/** A device of one target. A reference: several handles may stand for one device. */
typedef struct talus_device talus_device;

typedef struct talus_device_options {
    size_t struct_size;
    const char* target; /**< "talus", "cuda" or "cpu"; NULL = "cpu" */
    /** talus: BDF, socket path or "sim"; NULL = environment TALUS_DEVICE, then the first device in
     *  the machine, then the simulator. cuda: ordinal as text, NULL = 0. cpu: NULL. */
    const char* device;
    const char* firmware;  /**< talus: boot image; NULL = the installed one */
    const char* simulator; /**< talus: the simulator's program; NULL = the installed one */
    /** talus: folder of the kernels' device images; NULL = TALUS_KERNELS, then lib/talus/kernels
     *  beside the library. cuda: path of libtalus_cuda.so; NULL = TALUS_CUDA_LIBRARY, then beside
     *  the library. */
    const char* kernels;
    int32_t require_hardware; /**< talus, 1: a simulated device counts as UNAVAILABLE */
    /** talus, 1: every launch leaves its performance counters (talus_operator_stats: resources,
     *  stalls, counters), at the price of one copy a batch. */
    int32_t profile;
    /** talus: microseconds of device time that the copies and launches of one batch may take; 0 =
     *  1 s. What has not ended by then is ended by force. */
    uint64_t command_timeout_us;
} talus_device_options;

typedef struct talus_device_info {
    size_t struct_size;
    char target[16];   /**< "talus", "cuda", "cpu" */
    char name[128];    /**< for people: "talus (simulated)", "NVIDIA H100 (sm_90)" */
    char note[256];    /**< what a user should know, else "" */
    int32_t simulated; /**< 1: a simulator stands in for the chip */
    int32_t reserved;
    uint64_t clock_hz;     /**< talus: what device_cycles count; else 0 */
    uint64_t memory_bytes; /**< device memory; 0 = unknown */
} talus_device_info;

/** Opens a device. `options` may be NULL. Errors: UNAVAILABLE (the message holds the reason),
 *  DEVICE, INVALID_ARGUMENT. */
TALUS_API TALUS_CHECK talus_status talus_device_open(const talus_device_options* options,
                                                     talus_device** device);
TALUS_API void talus_device_close(talus_device* device);
TALUS_API TALUS_CHECK talus_status talus_device_get_info(const talus_device* device,
                                                         talus_device_info* info);

/* ---- Models ---- */

/** An imported, planned and prepacked model. Immutable, shared by any number of requests. */
typedef struct talus_model talus_model;

typedef struct talus_model_options {
    size_t struct_size;
    /** Largest batch of one launch; larger requests are cut into pieces. 0 = 2048. */
    int64_t max_batch;
    /** 1: a node that cannot run on the first device is TALUS_ERROR_FALLBACK, not a fallback. */
    int32_t strict;
    /** 1: keep embedding tables in FP32 on talus (default FP16). */
    int32_t fp32_tables;
    /** "target:operator" or "target:node name" pairs that the plan must not use. */
    const char* const* deny;
    size_t deny_count;
    /** What happens when a device is lost (unplugged, its process died, its firmware is silent)
     * during a run. 0: the device is opened anew, the model is planned over it, and the run is
     * repeated with the same inputs; where it can't be opened, its operators fall back as if it had
     * never been there, unless `strict` forbids that. A run that the device does not end in time
     * (command_timeout_us) is ended by the mildest means that work, and repeated; where it hangs
     * again and again, its operators fall back too. 1: the run fails with DEVICE_LOST or TIMEOUT. */
    int32_t keep_lost;
    int32_t reserved;
} talus_model_options;

/** Imports an ONNX file and plans it over `devices`: every node runs on the first device of the
 *  list that supports it; the host's CPU is the implied last one. `options` may be NULL.
 *  Errors: NOT_FOUND, MODEL, UNSUPPORTED, FALLBACK, OUT_OF_MEMORY, DEVICE. */
TALUS_API TALUS_CHECK talus_status talus_model_load(const char* path, talus_device* const* devices,
                                                    size_t device_count,
                                                    const talus_model_options* options,
                                                    talus_model** model);
/** The same from memory. `bytes` is not kept. */
TALUS_API TALUS_CHECK talus_status talus_model_load_memory(const void* bytes, size_t size,
                                                           talus_device* const* devices,
                                                           size_t device_count,
                                                           const talus_model_options* options,
                                                           talus_model** model);
TALUS_API void talus_model_destroy(talus_model* model);

/** An input or output. Dimensions that a request chooses are -1; their symbol is in `symbols`. */
typedef struct talus_tensor_info {
    size_t struct_size;
    const char* name; /**< lives as long as the model */
    int32_t dtype;    /**< talus_dtype */
    int32_t rank;
    int64_t shape[TALUS_MAX_RANK];
    const char* symbols[TALUS_MAX_RANK]; /**< "batch"; "" for known dimensions */
} talus_tensor_info;

TALUS_API size_t talus_model_input_count(const talus_model* model);
TALUS_API size_t talus_model_output_count(const talus_model* model);
TALUS_API TALUS_CHECK talus_status talus_model_get_input(const talus_model* model, size_t index,
                                                         talus_tensor_info* info);
TALUS_API TALUS_CHECK talus_status talus_model_get_output(const talus_model* model, size_t index,
                                                          talus_tensor_info* info);

/** The plan as text: per node its target and the reason, its shapes, precision and placement; after
 * a device was lost, that of the new plan. Lives as long as the model. */
TALUS_API const char* talus_model_explain(const talus_model* model);
/** What became of devices that were lost: a line each, "" if none was. Valid until the calling
 * thread's next call of this function. */
TALUS_API const char* talus_model_recovery_log(const talus_model* model);

/* ---- Buffers ---- */

/** Host memory that a device reads and writes in place (DMA memory on talus, 64-byte aligned).
 * Using it for a request's tensors is optional and saves a copy. */
typedef struct talus_buffer talus_buffer;

TALUS_API TALUS_CHECK talus_status talus_buffer_create(talus_device* device, size_t bytes,
                                                       talus_buffer** buffer);
TALUS_API void talus_buffer_destroy(talus_buffer* buffer);
TALUS_API void* talus_buffer_data(talus_buffer* buffer);
TALUS_API size_t talus_buffer_size(const talus_buffer* buffer);

/* ---- Streams and events ---- */

/** Runs requests asynchronously, in the order of submission, on a thread of its own. */
typedef struct talus_stream talus_stream;
TALUS_API TALUS_CHECK talus_status talus_stream_create(talus_stream** stream);
/** Waits for what was submitted, then destroys the stream. */
TALUS_API void talus_stream_destroy(talus_stream* stream);
/** Waits until everything submitted so far is done. Errors stay with their requests. */
TALUS_API TALUS_CHECK talus_status talus_stream_synchronize(talus_stream* stream);

typedef struct talus_event talus_event;
TALUS_API TALUS_CHECK talus_status talus_event_create(talus_event** event);
TALUS_API void talus_event_destroy(talus_event* event);
/** Marks the stream's present end. An event that was never recorded counts as done. */
TALUS_API TALUS_CHECK talus_status talus_event_record(talus_event* event, talus_stream* stream);
/** Later submissions to `stream` wait for the event. */
TALUS_API TALUS_CHECK talus_status talus_stream_wait_event(talus_stream* stream,
                                                           talus_event* event);
TALUS_API TALUS_CHECK talus_status talus_event_synchronize(talus_event* event);
/** Writes 1 to *done if the event has passed, else 0. */
TALUS_API TALUS_CHECK talus_status talus_event_query(talus_event* event, int32_t* done);

/* ---- Requests ---- */

/** One set of inputs and outputs for a model, with its own device memory. One run in flight. */
typedef struct talus_request talus_request;

TALUS_API TALUS_CHECK talus_status talus_request_create(talus_model* model,
                                                        talus_request** request);
/** Waits for a run in flight, then destroys. */
TALUS_API void talus_request_destroy(talus_request* request);

/** Binds an input. The memory is read during runs and must stay valid until they are done; the
 *  tensor struct itself is copied. Errors: BAD_INPUT (rank, type, or a known dimension differs). */
TALUS_API TALUS_CHECK talus_status talus_request_set_input(talus_request* request, size_t index,
                                                           const talus_tensor* tensor);
/** Binds memory for an output (`capacity_bytes` bytes at `data`); NULL = the request's own. */
TALUS_API TALUS_CHECK talus_status talus_request_set_output(talus_request* request, size_t index,
                                                            void* data, size_t capacity_bytes);

/** Runs and waits. Errors: BAD_INPUT, INDEX_OUT_OF_RANGE (names table, sample, position), DEVICE,
 *  BUSY. After an error the outputs are undefined and the request can run again. */
TALUS_API TALUS_CHECK talus_status talus_request_run(talus_request* request);
/** Submits to a stream and returns. Errors of the run are told by talus_request_wait. */
TALUS_API TALUS_CHECK talus_status talus_request_run_async(talus_request* request,
                                                           talus_stream* stream);
/** Waits for the run in flight and returns its error. Without one: the latest run's. */
TALUS_API TALUS_CHECK talus_status talus_request_wait(talus_request* request);

/** The output of the latest successful run; the data live until the next run. */
TALUS_API TALUS_CHECK talus_status talus_request_get_output(talus_request* request, size_t index,
                                                            talus_tensor* tensor);

/** A share of time or of what a resource could have done; 0..1. */
typedef struct talus_usage {
    const char* name;
    double share;
} talus_usage;

/** A performance counter of the device, by its name in the hardware contract. */
typedef struct talus_counter {
    const char* name;
    const char* unit; /**< "clocks", "bytes", "count" */
    uint64_t value;
} talus_counter;

/** What one planned node did, summed over the request's runs since creation. */
typedef struct talus_operator_stats {
    size_t struct_size;
    const char* name;      /**< node; the strings live until the request's next run */
    const char* op;        /**< operator, "fc" */
    const char* target;    /**< "talus (simulated)", "cuda", "cpu", or "host" for index packing */
    const char* precision; /**< of the constants: "fp32", "fp16" */
    uint64_t launches;
    uint64_t device_cycles; /**< talus: admission to completion, summed; else 0 */
    double seconds;         /**< in the target's own clock domain */
    const char* clock;      /**< "simulated", "device", "gpu", "host" */
    uint64_t bytes;         /**< constants, inputs and outputs that the operator must move */
    double flops;           /**< floating-point operations that it must do */
    /** The least time that a published peak allows (arithmetic, scratch SRAM, or DRAM), as a share
     *  of `seconds`, in 0..1; negative when the target publishes no peaks. */
    double utilisation;
    /** Finite values that became infinite in FP16: constants of the node; for "copy in", inputs of
     *  all runs. */
    uint64_t overflows;
    /** With talus_device_options.profile, else NULL and 0; they live until the request's next run.
     *  resources: how much of each was used ("DPE", "FI in", "SRAM", "DRAM", "issue", "launch", ...),
     *  greatest first: the first one bounds the operator. stalls: what cores and units waited for, as
     *  a share of the launches' time, greatest first; they overlap, as cores and units do. */
    const talus_usage* resources;
    size_t resource_count;
    const talus_usage* stalls;
    size_t stall_count;
    const talus_counter* counters;
    size_t counter_count;
} talus_operator_stats;

TALUS_API size_t talus_request_operator_count(const talus_request* request);
TALUS_API TALUS_CHECK talus_status talus_request_get_operator(const talus_request* request,
                                                              size_t index,
                                                              talus_operator_stats* stats);

/** Sums over the request's runs. */
typedef struct talus_request_stats {
    size_t struct_size;
    uint64_t runs;
    uint64_t samples;
    uint64_t device_cycles; /**< talus: over its batches, from first admission to last completion */
    double device_seconds;  /**< device_cycles / clock_hz; simulated time on a simulated device */
    double wall_seconds;
    uint64_t recoveries; /**< runs that were repeated because a device was lost */
} talus_request_stats;

TALUS_API TALUS_CHECK talus_status talus_request_get_stats(const talus_request* request,
                                                           talus_request_stats* stats);

#ifdef __cplusplus
}
#endif

#endif
