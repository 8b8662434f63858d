/* Memory errors: the log, what becomes of jobs and PEs, and of the firmware itself. */
#include "harness.h"

#include <string.h>

#include "talus/hw/interrupts.h"
#include "talus/hw/registers.h"

#define LOCAL(pe, offset) (TALUS_PE_WINDOW_BASE + (pe)*TALUS_PE_WINDOW_STRIDE + (offset))

static void memory_error(enum talus_ecc_memory memory, uint64_t address, bool uncorrectable) {
    bus_set(SYS(ECC) + ECC_RECORD, TALUS_ECC_RECORD_VALID |
                                       (uncorrectable ? TALUS_ECC_RECORD_UNCORRECTABLE : 0) |
                                       (uint32_t)memory << 8);
    bus_set(SYS(ECC) + ECC_ADDRESS, address);
    interrupt(TALUS_IRQ_ECC);
    assert_int_equal(bus_get(SYS(ECC) + ECC_RECORD), 0); /* read */
}

static bool logged(const char* words) {
    const char* text =
        bus_memory(TALUS_STAGING_BASE + TALUS_STAGING_LOG_OFFSET + TALUS_LOG_TEXT_OFFSET);
    return strstr(text, words) != NULL;
}

static unsigned pe_resets(void) {
    return bus_writes_to(SYS(GRID) + GRID_PE_RESET);
}

/* A job of queue 3 on PEs (2..3, 4..5). */
static void start_job(void) {
    create_queue(3);
    struct talus_sqe sqe = sqe_launch(9, 2, 4, 2, 2);
    sqe.flags |= TALUS_SQE_BATCH_END;
    submit(3, &sqe);
    deliver();
    assert_int_equal(launches(), 1);
}

static void assert_failed(uint16_t status) {
    const struct talus_outbox_slot slot = completion();
    assert_int_equal(slot.cqe.cid, 9);
    assert_int_equal(slot.cqe.status >> 1, status | TALUS_STATUS_MORE);
}

static void test_corrected(void** state) {
    (void)state;
    start_job();
    bus_forget_writes();
    memory_error(TALUS_ECC_LOCAL, LOCAL(2 * 8 + 4, 0x1008), false);
    assert_true(logged("ecc: PE local memory at 0x81401008: one wrong bit, corrected"));
    memory_error(TALUS_ECC_CONTROL_SRAM, TALUS_CONTROL_SRAM_BASE + 0x100000, false);
    assert_true(logged("ecc: control SRAM at 0x30100000: one wrong bit, corrected"));
    assert_int_equal(pe_resets(), 0);
    assert_int_equal(completions(), 0);
    assert_false(g_control.memory_lost);
}

/* The PE reports by itself, with what it knows. */
static void test_kernel_memory(void** state) {
    (void)state;
    start_job();
    bus_set(LOCAL(2 * 8 + 4, 0x1008), 5);
    bus_forget_writes();
    memory_error(TALUS_ECC_LOCAL, LOCAL(2 * 8 + 4, 0x1008), true);
    assert_true(logged("ecc: PE local memory at 0x81401008: more wrong bits"));
    assert_int_equal(bus_writes_to(LOCAL(2 * 8 + 4, 0x1008)), 1);
    assert_int_equal(bus_get(LOCAL(2 * 8 + 4, 0x1008)), 0);
    assert_int_equal(pe_resets(), 0);
    assert_int_equal(completions(), 0);
    volatile struct talus_fault_record* fault = &record(3)->fault;
    fault->status = TALUS_KERNEL_FAULT;
    fault->cause = TALUS_CAUSE_HARDWARE_ERROR;
    fault->valid = TALUS_FAULT_VALID;
    software_interrupt();
    assert_failed(TALUS_MEMORY_ERROR);
}

/* Its runtime may not be able to. */
static void test_runtime_memory(void** state) {
    (void)state;
    start_job();
    bus_forget_writes();
    memory_error(TALUS_ECC_LOCAL, LOCAL(3 * 8 + 5, TALUS_LOCAL_DATA_OFFSET + 0x800), true);
    assert_failed(TALUS_MEMORY_ERROR);
    assert_int_equal(pe_resets(), 2); /* the job's */
    assert_int_equal(bus_get(SYS(GRID) + GRID_LAUNCH_RECT), 2 | 4 << 8 | 2 << 16 | 2 << 24);
}

static void test_idle_pe(void** state) {
    (void)state;
    start_job();
    bus_forget_writes();
    memory_error(TALUS_ECC_LOCAL, LOCAL(4 * 8 + 4, 0), true); /* below the job's last row */
    assert_int_equal(completions(), 0);
    assert_int_equal(pe_resets(), 2);
    assert_int_equal(bus_get(SYS(GRID) + GRID_LAUNCH_RECT), 4 | 4 << 8 | 1 << 16 | 1 << 24);
}

static void test_job_record(void** state) {
    (void)state;
    start_job();
    const uint64_t record_3 =
        TALUS_CONTROL_SRAM_BASE + TALUS_JOBS_OFFSET + 3 * sizeof(struct talus_job_record);
    memory_error(TALUS_ECC_CONTROL_SRAM, record_3 + 256 + 64, true); /* nobody's */
    assert_int_equal(completions(), 0);
    memory_error(TALUS_ECC_CONTROL_SRAM, record_3 + 248, true);
    assert_failed(TALUS_MEMORY_ERROR);
    assert_false(g_control.memory_lost);
    assert_int_equal(record(3)->work.entry, 0);
}

static void test_arguments(void** state) {
    (void)state;
    start_job();
    const uint64_t args = record(3)->work.args;
    const uint64_t bytes = record(3)->work.args_bytes;
    memory_error(TALUS_ECC_SHARED_SRAM, args - 8, true);
    memory_error(TALUS_ECC_SHARED_SRAM, (args + bytes + 7) & ~7ull, true);
    assert_int_equal(completions(), 0);
    memory_error(TALUS_ECC_SHARED_SRAM, (args + bytes - 1) & ~7ull, true);
    assert_failed(TALUS_MEMORY_ERROR);
}

static void test_own_memory(void** state) {
    (void)state;
    memory_error(TALUS_ECC_SHARED_SRAM, TALUS_LLS_BASE + TALUS_LLS_FIRMWARE_SIZE, true);
    memory_error(TALUS_ECC_DRAM, TALUS_DRAM_BASE, true);
    assert_false(g_control.memory_lost);
    memory_error(TALUS_ECC_CONTROL_SRAM, TALUS_CONTROL_SRAM_BASE + 0x100000, true);
    assert_true(g_control.memory_lost);
}

static void test_runtime_image(void** state) {
    (void)state;
    memory_error(TALUS_ECC_SHARED_SRAM, TALUS_LLS_BASE + TALUS_LLS_FIRMWARE_SIZE - 8, true);
    assert_true(g_control.memory_lost);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_corrected, boot_and_enable),
        cmocka_unit_test_setup(test_kernel_memory, boot_and_enable),
        cmocka_unit_test_setup(test_runtime_memory, boot_and_enable),
        cmocka_unit_test_setup(test_idle_pe, boot_and_enable),
        cmocka_unit_test_setup(test_job_record, boot_and_enable),
        cmocka_unit_test_setup(test_arguments, boot_and_enable),
        cmocka_unit_test_setup(test_own_memory, boot_and_enable),
        cmocka_unit_test_setup(test_runtime_image, boot_and_enable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
