/* The C ABI from a C11 translation unit, against the shared library. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "talus/talus.h"

#define ROWS 5

static float dense[ROWS * 13];
static int64_t sparse[ROWS * 26];

static talus_tensor tensor(int32_t dtype, int64_t rows, int64_t columns, void* data) {
    talus_tensor result = TALUS_INIT(talus_tensor);
    result.dtype = dtype;
    result.rank = 2;
    result.shape[0] = rows;
    result.shape[1] = columns;
    result.data = data;
    return result;
}

static talus_model* load(const talus_model_options* options) {
    talus_model* model = NULL;
    assert_int_equal(talus_model_load(TALUS_DEMO_FOLDER "/model.onnx", NULL, 0, options, &model),
                     TALUS_SUCCESS);
    return model;
}

static void bind(talus_request* request) {
    const talus_tensor d = tensor(TALUS_FLOAT32, ROWS, 13, dense);
    const talus_tensor s = tensor(TALUS_INT64, ROWS, 26, sparse);
    assert_int_equal(talus_request_set_input(request, 0, &d), TALUS_SUCCESS);
    assert_int_equal(talus_request_set_input(request, 1, &s), TALUS_SUCCESS);
}

static void runs_a_model(void** state) {
    (void)state;
    talus_model* model = load(NULL);
    assert_int_equal(talus_model_input_count(model), 2);
    assert_int_equal(talus_model_output_count(model), 1);
    talus_tensor_info info = TALUS_INIT(talus_tensor_info);
    assert_int_equal(talus_model_get_input(model, 0, &info), TALUS_SUCCESS);
    assert_string_equal(info.name, "dense");
    assert_int_equal(info.dtype, TALUS_FLOAT32);
    assert_int_equal(info.shape[0], -1);
    assert_int_equal(info.shape[1], 13);
    assert_string_equal(info.symbols[0], "batch");
    assert_non_null(strstr(talus_model_explain(model), "interaction"));

    talus_request* request = NULL;
    assert_int_equal(talus_request_create(model, &request), TALUS_SUCCESS);
    talus_model_destroy(model); /* the request keeps it */
    bind(request);
    assert_int_equal(talus_request_run(request), TALUS_SUCCESS);
    talus_tensor out = TALUS_INIT(talus_tensor);
    assert_int_equal(talus_request_get_output(request, 0, &out), TALUS_SUCCESS);
    assert_int_equal(out.rank, 2);
    assert_int_equal(out.shape[0], ROWS);
    assert_int_equal(out.shape[1], 1);
    for (int i = 0; i < ROWS; ++i) {
        const float p = ((const float*)out.data)[i];
        assert_true(p > 0.0F && p < 1.0F);
    }
    talus_request_stats stats = TALUS_INIT(talus_request_stats);
    assert_int_equal(talus_request_get_stats(request, &stats), TALUS_SUCCESS);
    assert_int_equal(stats.samples, ROWS);
    const size_t operators = talus_request_operator_count(request);
    assert_true(operators >= 8);
    talus_operator_stats op = TALUS_INIT(talus_operator_stats);
    assert_int_equal(talus_request_get_operator(request, 0, &op), TALUS_SUCCESS);
    assert_string_equal(op.op, "fc");
    assert_string_equal(op.target, "cpu");
    assert_int_equal(talus_request_get_operator(request, operators, &op),
                     TALUS_ERROR_INVALID_ARGUMENT);
    talus_request_destroy(request);
}

static void asynchronous_errors_stay_with_their_request(void** state) {
    (void)state;
    talus_model* model = load(NULL);
    talus_stream* stream = NULL;
    talus_event* event = NULL;
    assert_int_equal(talus_stream_create(&stream), TALUS_SUCCESS);
    assert_int_equal(talus_event_create(&event), TALUS_SUCCESS);
    talus_request* good = NULL;
    talus_request* bad = NULL;
    assert_int_equal(talus_request_create(model, &good), TALUS_SUCCESS);
    assert_int_equal(talus_request_create(model, &bad), TALUS_SUCCESS);
    bind(good);
    int64_t hostile[26] = {0};
    hostile[25] = INT64_C(1) << 40;
    const talus_tensor d = tensor(TALUS_FLOAT32, 1, 13, dense);
    const talus_tensor s = tensor(TALUS_INT64, 1, 26, hostile);
    assert_int_equal(talus_request_set_input(bad, 0, &d), TALUS_SUCCESS);
    assert_int_equal(talus_request_set_input(bad, 1, &s), TALUS_SUCCESS);
    assert_int_equal(talus_request_run_async(bad, stream), TALUS_SUCCESS);
    assert_int_equal(talus_request_run_async(good, stream), TALUS_SUCCESS);
    assert_int_equal(talus_event_record(event, stream), TALUS_SUCCESS);
    assert_int_equal(talus_event_synchronize(event), TALUS_SUCCESS);
    int32_t done = 0;
    assert_int_equal(talus_event_query(event, &done), TALUS_SUCCESS);
    assert_int_equal(done, 1);
    assert_int_equal(talus_stream_synchronize(stream), TALUS_SUCCESS);
    assert_int_equal(talus_request_wait(good), TALUS_SUCCESS);
    assert_int_equal(talus_request_wait(bad), TALUS_ERROR_INDEX_OUT_OF_RANGE);
    assert_non_null(strstr(talus_last_error(), "table 25"));
    assert_non_null(strstr(talus_last_error(), "sample 0, position 0"));
    talus_request_destroy(good);
    talus_request_destroy(bad);
    talus_event_destroy(event);
    talus_stream_destroy(stream);
    talus_model_destroy(model);
}

static void misuse_is_reported(void** state) {
    (void)state;
    talus_model* model = NULL;
    assert_int_equal(talus_model_load(NULL, NULL, 0, NULL, &model), TALUS_ERROR_INVALID_ARGUMENT);
    assert_int_equal(talus_model_load("/nonexistent.onnx", NULL, 0, NULL, &model),
                     TALUS_ERROR_NOT_FOUND);
    assert_non_null(strstr(talus_last_error(), "/nonexistent.onnx"));
    assert_null(model);
    assert_int_equal(talus_model_load_memory("garbage", 7, NULL, 0, NULL, &model),
                     TALUS_ERROR_MODEL);
    talus_model_options unset = {0}; /* struct_size forgotten */
    assert_int_equal(talus_model_load(TALUS_DEMO_FOLDER "/model.onnx", NULL, 0, &unset, &model),
                     TALUS_ERROR_INVALID_ARGUMENT);
    const char* deny[] = {"cpu:fc"};
    talus_model_options options = TALUS_INIT(talus_model_options);
    options.deny = deny;
    options.deny_count = 1;
    assert_int_equal(talus_model_load(TALUS_DEMO_FOLDER "/model.onnx", NULL, 0, &options, &model),
                     TALUS_ERROR_UNSUPPORTED);
    talus_device_options where = TALUS_INIT(talus_device_options);
    where.target = "abacus";
    talus_device* device = NULL;
    assert_int_equal(talus_device_open(&where, &device), TALUS_ERROR_INVALID_ARGUMENT);
    assert_null(device);
    talus_device_close(NULL);
    talus_model_destroy(NULL);
    talus_request_destroy(NULL);
    talus_buffer_destroy(NULL);
    assert_int_equal(talus_request_run(NULL), TALUS_ERROR_INVALID_ARGUMENT);
    for (int s = TALUS_SUCCESS; s <= TALUS_ERROR_INTERNAL; ++s)
        assert_string_not_equal(talus_status_name((talus_status)s), "unknown status");
}

static void older_callers_get_what_they_know(void** state) {
    (void)state;
    talus_device* device = NULL;
    assert_int_equal(talus_device_open(NULL, &device), TALUS_SUCCESS);
    talus_device_info info;
    memset(&info, 0x5a, sizeof info);
    info.struct_size = offsetof(talus_device_info, note); /* a caller built before `note` */
    assert_int_equal(talus_device_get_info(device, &info), TALUS_SUCCESS);
    assert_string_equal(info.target, "cpu");
    assert_int_equal(info.note[0], 0x5a);
    talus_buffer* buffer = NULL;
    assert_int_equal(talus_buffer_create(device, 100, &buffer), TALUS_SUCCESS);
    talus_device_close(device); /* the buffer keeps it */
    assert_int_equal(talus_buffer_size(buffer), 100);
    assert_int_equal((uintptr_t)talus_buffer_data(buffer) % 64, 0);
    memset(talus_buffer_data(buffer), 1, 100);
    talus_buffer_destroy(buffer);
}

int main(void) {
    for (int i = 0; i < ROWS * 13; ++i)
        dense[i] = (float)(i % 7) * 0.25F - 0.5F;
    for (int i = 0; i < ROWS * 26; ++i)
        sparse[i] = i % 9;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_a_model),
        cmocka_unit_test(asynchronous_errors_stay_with_their_request),
        cmocka_unit_test(misuse_is_reported),
        cmocka_unit_test(older_callers_get_what_they_know),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
