/* Boot, mailbox, enable and disable, function-level reset. */
#include "harness.h"

#include <string.h>

#include "../../../firmware/common/post_codes.h"
#include "talus/hw/interrupts.h"
#include "talus/hw/registers.h"

#define HOSTIF SYS(HOSTIF)

static uint32_t g_sequence;

static int only_boot(void** state) {
    (void)state;
    bus_reset();
    g_sequence = 1;
    bus_set(HOSTIF + HOSTIF_MB_COMMAND, TALUS_MB_BOOT | g_sequence << 16);
    boot();
    control_step(&g_control, 0);
    return 0;
}

static bool answered(void) {
    return bus_get(HOSTIF + HOSTIF_MB_STATUS) >> 16 == g_sequence;
}
static uint16_t answer(void) {
    return (uint16_t)bus_get(HOSTIF + HOSTIF_MB_STATUS);
}

static uint16_t mailbox(uint16_t opcode) {
    ++g_sequence;
    bus_set(HOSTIF + HOSTIF_MB_COMMAND, opcode | g_sequence << 16);
    interrupt(TALUS_IRQ_MAILBOX);
    assert_true(answered());
    return answer();
}

static struct talus_pe_boot* pes(void) {
    return bus_memory(TALUS_CONTROL_SRAM_BASE + TALUS_PE_BOOT_OFFSET);
}

static void test_boot(void** state) {
    (void)state;
    assert_int_equal(bus_get(HOSTIF + HOSTIF_BOOT_STATE), TALUS_BOOT_STARTING);
    assert_int_equal(bus_get(SYS(GRID) + GRID_PE_VECTOR), TALUS_LLS_BASE + 64);
    assert_int_equal(bus_get(SYS(GRID) + GRID_LAUNCH_RECT), 8 << 16 | 8 << 24);
    assert_int_equal(bus_get(SYS(INTC) + INTC_ENABLE), 0xfff);
    assert_false(answered());
    software_interrupt(); /* not all PEs yet */
    assert_false(answered());
    pes()->waiting = 0;
    software_interrupt();
    assert_int_equal(bus_get(HOSTIF + HOSTIF_BOOT_STATE), TALUS_BOOT_READY);
    assert_true(answered());
    assert_int_equal(answer(), TALUS_OK);
    assert_true(bus_last_write(HOSTIF + HOSTIF_BOOT_STATE) <
                bus_last_write(HOSTIF + HOSTIF_MB_STATUS));
}

static void test_mailbox(void** state) {
    (void)state;
    pes()->waiting = 0;
    software_interrupt();
    assert_int_equal(mailbox(TALUS_MB_NOP), TALUS_OK);
    assert_int_equal(bus_get(HOSTIF + HOSTIF_MB_RESULT0), TALUS_BOOT_READY);
    assert_int_equal(mailbox(TALUS_MB_VERSION), TALUS_OK);
    assert_int_equal(bus_get(HOSTIF + HOSTIF_MB_RESULT0), 3 << 16 | 2 << 8 | 1);
    assert_int_equal(mailbox(TALUS_MB_LOAD), TALUS_BOOT_STATE_ERROR);
    assert_int_equal(mailbox(TALUS_MB_VERIFY), TALUS_BOOT_STATE_ERROR);
    assert_int_equal(mailbox(TALUS_MB_BOOT), TALUS_BOOT_STATE_ERROR);
    assert_int_equal(mailbox(0x1234), TALUS_BAD_OPCODE);
    assert_int_equal(bus_get(HOSTIF + HOSTIF_BOOT_STATE), TALUS_BOOT_READY);
    assert_false(g_control.back_to_rom);
}

static void test_pe_does_not_start(void** state) {
    (void)state;
    for (unsigned pe = 0; pe < 64; ++pe)
        pes()->alive[pe] = pe == 13 ? 0 : TALUS_PE_ALIVE;
    pes()->waiting = 1;
    const uint64_t deadline = 10ull * 1350000;
    timer(deadline - 1);
    assert_false(answered());
    timer(deadline);
    assert_int_equal(bus_get(HOSTIF + HOSTIF_BOOT_STATE), TALUS_BOOT_FAILED);
    assert_int_equal(bus_get(HOSTIF + HOSTIF_FAIL_CODE), TALUS_PE_BOOT);
    assert_int_equal(answer(), TALUS_PE_BOOT);
    const char* text =
        bus_memory(TALUS_STAGING_BASE + TALUS_STAGING_LOG_OFFSET + TALUS_LOG_TEXT_OFFSET);
    assert_non_null(strstr(text, "PE 13 did not start"));
    assert_null(strstr(text, "PE 12 did not start"));
    /* The controller can't be enabled; LOAD goes back to the ROM, which answers it. */
    bus_set(HOSTIF + HOSTIF_CTRL_ENABLE, 1);
    interrupt(TALUS_IRQ_CONTROLLER);
    assert_int_equal(bus_get(HOSTIF + HOSTIF_CTRL_STATUS), 0);
    ++g_sequence;
    bus_set(HOSTIF + HOSTIF_MB_COMMAND, TALUS_MB_LOAD | g_sequence << 16);
    interrupt(TALUS_IRQ_MAILBOX);
    assert_true(g_control.back_to_rom);
    assert_false(answered());
}

static void test_enable(void** state) {
    (void)state;
    const uint64_t queue = SYS(QE) + QE_QUEUE;
    assert_int_equal(bus_get(queue + QEQ_SQ_IOVA), 0x10000);
    assert_int_equal(bus_get(queue + QEQ_CQ_IOVA), 0x20000);
    assert_int_equal(bus_get(queue + QEQ_ENTRIES), 64);
    assert_int_equal(bus_get(queue + QEQ_DOMAIN), 0);
    assert_int_equal(bus_get(queue + QEQ_IRQ_ENABLE), 1);
    assert_int_equal(bus_get(queue + QEQ_ENABLE), 1);
    assert_int_equal(bus_get(HOSTIF + HOSTIF_POST_CODE), POST_CONTROL_ENABLED);
    assert_true(bus_last_write(queue + QEQ_ENABLE) < bus_last_write(HOSTIF + HOSTIF_CTRL_STATUS));
}

static void test_bad_admin_queue(void** state) {
    (void)state;
    static const struct {
        uint32_t entries, vector;
        uint64_t asq, acq;
    } bad[] = {
        {0, 0, 0x1000, 0x2000},      {1, 0, 0x1000, 0x2000},   {48, 0, 0x1000, 0x2000},
        {2048, 0, 0x1000, 0x2000},   {64, 64, 0x1000, 0x2000}, {64, 0, 0x1040, 0x2000},
        {64, 0, 0x1000, 0x2000 + 8},
    };
    pes()->waiting = 0;
    software_interrupt();
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); ++i) {
        bus_set(HOSTIF + HOSTIF_ASQ, bad[i].asq);
        bus_set(HOSTIF + HOSTIF_ACQ, bad[i].acq);
        bus_set(HOSTIF + HOSTIF_AQ_ENTRIES, bad[i].entries);
        bus_set(HOSTIF + HOSTIF_AQ_VECTOR, bad[i].vector);
        bus_set(HOSTIF + HOSTIF_CTRL_ENABLE, 1);
        interrupt(TALUS_IRQ_CONTROLLER);
        assert_int_equal(bus_get(HOSTIF + HOSTIF_CTRL_STATUS), TALUS_STATUS_FATAL);
        assert_int_equal(bus_writes_to(SYS(QE) + QE_QUEUE + QEQ_ENABLE), 0);
        bus_set(HOSTIF + HOSTIF_CTRL_ENABLE, 0);
        interrupt(TALUS_IRQ_CONTROLLER);
        assert_int_equal(bus_get(HOSTIF + HOSTIF_CTRL_STATUS), 0);
    }
}

/* Everything in flight when the host disables the controller or resets the function. */
static void fill(void) {
    create_queue(1);
    create_queue(2);
    create_queue(3);
    struct talus_sqe copy = sqe_copy(1);
    struct talus_sqe job = sqe_launch(2, 0, 0, 8, 4);
    struct talus_sqe waits = sqe_launch(3, 0, 0, 8, 8);
    submit(1, &copy);
    submit(1, &copy);
    submit(2, &job);
    submit(3, &waits);
    deliver();
    bus_forget_writes();
}

static void assert_stopped(void) {
    for (unsigned qid = 0; qid <= 3; ++qid)
        assert_int_equal(bus_get(SYS(QE) + QE_QUEUE + qid * QE_QUEUE_STRIDE + QEQ_ENABLE), 0);
    assert_int_equal(bus_get(SYS(GRID) + GRID_LAUNCH_RECT), 8 << 16 | 4 << 24);
    assert_int_equal(bus_writes_to(SYS(GRID) + GRID_PE_RESET), 2);
    assert_int_equal(bus_get(SYS(QE) + QE_SHADOW_LO), 0);
}

static void test_disable(void** state) {
    (void)state;
    fill();
    bus_set(HOSTIF + HOSTIF_CTRL_ENABLE, 0);
    interrupt(TALUS_IRQ_CONTROLLER);
    assert_stopped();
    /* RDY falls only when no engine touches host memory any more. */
    assert_int_equal(bus_get(HOSTIF + HOSTIF_CTRL_STATUS), TALUS_STATUS_RDY);
    struct talus_sqe stale = sqe_nop(9);
    submit(1, &stale);
    deliver();
    finish_dma(0, TALUS_OK);
    assert_int_equal(bus_get(HOSTIF + HOSTIF_CTRL_STATUS), 0);
    assert_int_equal(completions(), 0);
    record(2)->pending = 0;
    software_interrupt();
    assert_int_equal(completions(), 0);
    /* And everything works again. */
    bus_set(HOSTIF + HOSTIF_CTRL_ENABLE, 1);
    interrupt(TALUS_IRQ_CONTROLLER);
    assert_int_equal(bus_get(HOSTIF + HOSTIF_CTRL_STATUS), TALUS_STATUS_RDY);
    create_queue(1);
    struct talus_sqe job = sqe_launch(2, 0, 0, 8, 8);
    submit(1, &job);
    deliver();
    assert_int_equal(launches(), 1);
}

/* Enabled again before the engines have stopped: done as soon as they have. */
static void test_quick_enable(void** state) {
    (void)state;
    fill();
    bus_set(HOSTIF + HOSTIF_CTRL_ENABLE, 0);
    interrupt(TALUS_IRQ_CONTROLLER);
    bus_set(HOSTIF + HOSTIF_CTRL_ENABLE, 1);
    interrupt(TALUS_IRQ_CONTROLLER);
    assert_int_equal(bus_get(SYS(QE) + QE_QUEUE + QEQ_ENABLE), 0);
    finish_dma(0, TALUS_OK);
    assert_int_equal(bus_get(SYS(QE) + QE_QUEUE + QEQ_ENABLE), 1);
    assert_int_equal(bus_get(HOSTIF + HOSTIF_CTRL_STATUS), TALUS_STATUS_RDY);
}

static void test_function_level_reset(void** state) {
    (void)state;
    fill();
    bus_set(HOSTIF + HOSTIF_CTRL_ENABLE, 0);
    bus_set(HOSTIF + HOSTIF_CTRL_STATUS, 0);
    bus_set(SYS(DMA) + DMA_STATUS, TALUS_DMA_DONE | TALUS_RESET << 16);
    bus_set(SYS(INTC) + INTC_PENDING, 1u << TALUS_IRQ_DMA0);
    interrupt(TALUS_IRQ_FLR);
    assert_stopped();
    assert_int_equal(completions(), 0);
    assert_int_equal(bus_get(HOSTIF + HOSTIF_CTRL_STATUS), 0);
    assert_int_equal(bus_get(HOSTIF + HOSTIF_BOOT_STATE), TALUS_BOOT_READY);
}

static void test_timer_and_heartbeat(void** state) {
    (void)state;
    const uint64_t beats = bus_writes_to(HOSTIF + HOSTIF_HEARTBEAT);
    for (unsigned i = 1; i <= 5; ++i) {
        const uint64_t next = bus_get(SYS(CLINT) + CLINT_MTIMECMP);
        timer(next);
        assert_int_equal(bus_writes_to(HOSTIF + HOSTIF_HEARTBEAT), beats + i);
        assert_int_equal(bus_get(SYS(CLINT) + CLINT_MTIMECMP) % 1350000, 0);
        assert_true(bus_get(SYS(CLINT) + CLINT_MTIMECMP) > next);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_boot, only_boot),
        cmocka_unit_test_setup(test_mailbox, only_boot),
        cmocka_unit_test_setup(test_pe_does_not_start, only_boot),
        cmocka_unit_test_setup(test_enable, boot_and_enable),
        cmocka_unit_test_setup(test_bad_admin_queue, only_boot),
        cmocka_unit_test_setup(test_disable, boot_and_enable),
        cmocka_unit_test_setup(test_quick_enable, boot_and_enable),
        cmocka_unit_test_setup(test_function_level_reset, boot_and_enable),
        cmocka_unit_test_setup(test_timer_and_heartbeat, boot_and_enable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
