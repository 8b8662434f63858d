#define _POSIX_C_SOURCE 200809L /* setenv */
/* talus/driver.h from C11: it compiles, its defaults work, and wrong calls come back as errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "talus/driver.h"

static void initialisers_set_the_size(void** state) {
    (void)state;
    const talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
    assert_int_equal(options.struct_size, sizeof options);
    assert_null(options.device);
    const talus_drv_device_info info = TALUS_DRV_INIT(talus_drv_device_info);
    assert_int_equal(info.struct_size, sizeof info);
    const talus_drv_command command = {.opcode = TALUS_DRV_COPY_H2D,
                                       .copy = {.source = 1, .destination = 2, .bytes = 3}};
    assert_int_equal(command.words[2], 3);
}

static void every_status_has_a_name(void** state) {
    (void)state;
    for (int status = TALUS_DRV_OK; status <= TALUS_DRV_INTERNAL; ++status)
        assert_string_not_equal(talus_drv_status_name((talus_drv_status)status), "unknown status");
    assert_string_equal(talus_drv_status_name((talus_drv_status)999), "unknown status");
    assert_non_null(strstr(talus_drv_device_status_name(0x0404), "SHA-256"));
    assert_non_null(
        strstr(talus_drv_device_status_name(0x4404), "SHA-256")); /* with do-not-retry */
    assert_non_null(strstr(talus_drv_device_status_name(0x07ff), "unknown"));
}

static void null_arguments_are_errors(void** state) {
    (void)state;
    size_t count = 0;
    uint64_t value = 0;
    talus_drv_device_info info = TALUS_DRV_INIT(talus_drv_device_info);
    talus_drv_queue* queue = NULL;
    talus_drv_host_buffer buffer;
    assert_int_equal(talus_drv_open(NULL, NULL), TALUS_DRV_INVALID_ARGUMENT);
    assert_string_not_equal(talus_drv_last_error(), "");
    assert_int_equal(talus_drv_get_info(NULL, &info), TALUS_DRV_INVALID_ARGUMENT);
    assert_int_equal(talus_drv_read_log(NULL, NULL, 0, &count), TALUS_DRV_INVALID_ARGUMENT);
    assert_int_equal(talus_drv_queue_create(NULL, NULL, &queue), TALUS_DRV_INVALID_ARGUMENT);
    assert_int_equal(talus_drv_memory_alloc(NULL, TALUS_DRV_DRAM, 1, 0, &value),
                     TALUS_DRV_INVALID_ARGUMENT);
    assert_int_equal(talus_drv_host_alloc(NULL, 1, 0, &buffer), TALUS_DRV_INVALID_ARGUMENT);
    assert_int_equal(talus_drv_host_free(NULL, NULL), TALUS_DRV_INVALID_ARGUMENT);
    assert_int_equal(talus_drv_submit(NULL, NULL, 1, NULL), TALUS_DRV_INVALID_ARGUMENT);
    assert_int_equal(talus_drv_wait(NULL, NULL, 1, 0, &count, 0), TALUS_DRV_INVALID_ARGUMENT);
    assert_int_equal(talus_drv_poll(NULL, NULL, 0, NULL), TALUS_DRV_INVALID_ARGUMENT);
    assert_int_equal(talus_drv_copy_in(NULL, 0, NULL, 1), TALUS_DRV_INVALID_ARGUMENT);
    assert_int_equal(talus_drv_reset(NULL), TALUS_DRV_INVALID_ARGUMENT);
    assert_int_equal(talus_drv_discover(NULL, NULL, 1, &count), TALUS_DRV_INVALID_ARGUMENT);
    assert_int_equal(talus_drv_in_flight(NULL), 0);
    talus_drv_close(NULL);
    talus_drv_queue_destroy(NULL);
}

static void wrong_options_are_errors(void** state) {
    (void)state;
    talus_drv_device* device = NULL;
    talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
    options.struct_size = 0;
    assert_int_equal(talus_drv_open(&options, &device), TALUS_DRV_INVALID_ARGUMENT);
    options = TALUS_DRV_INIT(talus_drv_open_options);
    options.flags = 0x80000000u;
    assert_int_equal(talus_drv_open(&options, &device), TALUS_DRV_INVALID_ARGUMENT);
    options = TALUS_DRV_INIT(talus_drv_open_options);
    options.completion_mode = 9;
    assert_int_equal(talus_drv_open(&options, &device), TALUS_DRV_INVALID_ARGUMENT);
    assert_null(device);
}

/* A caller that was built against a shorter struct is served with defaults for the rest. */
static void short_options_of_an_older_caller_are_taken(void** state) {
    (void)state;
    talus_drv_device* device = NULL;
    talus_drv_open_options options;
    memset(&options, 0xee, sizeof options); /* what lies behind its end is not read */
    options.struct_size = offsetof(talus_drv_open_options, sysfs);
    options.device = "/nonexistent/socket";
    assert_int_equal(talus_drv_open(&options, &device), TALUS_DRV_NOT_FOUND);
}

static void absent_devices_are_not_found(void** state) {
    (void)state;
    talus_drv_device* device = NULL;
    talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
    const char* const names[] = {"ffff:ff:1f.7", "/nonexistent/socket", "nonsense"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; ++i) {
        options.device = names[i];
        assert_int_equal(talus_drv_open(&options, &device), TALUS_DRV_NOT_FOUND);
        assert_non_null(strstr(talus_drv_last_error(), names[i]));
    }
    options.device = "sim";
    options.simulator = "/nonexistent/talus-sim";
    assert_int_equal(talus_drv_open(&options, &device), TALUS_DRV_NOT_FOUND);
    assert_null(device);
}

static void discovery_works_without_devices(void** state) {
    (void)state;
    unsetenv("TALUS_SYSFS");
    size_t count = 99;
    assert_int_equal(talus_drv_discover(NULL, NULL, 0, &count), TALUS_DRV_OK);
    assert_int_not_equal(count, 99);
    assert_int_equal(talus_drv_discover("/nonexistent", NULL, 0, &count), TALUS_DRV_NOT_FOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(initialisers_set_the_size),
        cmocka_unit_test(every_status_has_a_name),
        cmocka_unit_test(null_arguments_are_errors),
        cmocka_unit_test(wrong_options_are_errors),
        cmocka_unit_test(short_options_of_an_older_caller_are_taken),
        cmocka_unit_test(absent_devices_are_not_found),
        cmocka_unit_test(discovery_works_without_devices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
