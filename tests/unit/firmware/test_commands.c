/* Host commands: every field is validated, and valid ones program the hardware as they should. */
#include "harness.h"

#include <string.h>

#include "talus/hw/contract_hash.h"
#include "talus/hw/interrupts.h"
#include "talus/hw/registers.h"

/* A table of commands that are right but for one thing. */
struct bad {
    const char* name;
    uint16_t status;
    void (*spoil)(struct talus_sqe* sqe);
};
#define SPOIL(function, statement)                                                                 \
    static void function(struct talus_sqe* s) {                                                    \
        statement;                                                                                 \
    }

static void check_table(uint16_t qid, struct talus_sqe good, const struct bad* table,
                        unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
        struct talus_sqe sqe = good;
        table[i].spoil(&sqe);
        bus_forget_writes();
        const uint16_t status = run(qid, sqe);
        if (status != table[i].status)
            fail_msg("%s: status 0x%x instead of 0x%x", table[i].name, status, table[i].status);
        /* A refused command touches no engine. */
        assert_int_equal(bus_writes_to(SYS(DMA) + DMA_START), 0);
        assert_int_equal(launches(), 0);
        assert_int_equal(bus_writes_to(SYS(QE) + QE_WINDOW_ACCESS), 0);
        assert_int_equal(bus_writes_to(SYS(QE) + QE_SHADOW_LO), 0);
        for (unsigned queue = 0; queue < TALUS_MAX_QUEUES; ++queue)
            assert_int_equal(
                bus_writes_to(SYS(QE) + QE_QUEUE + queue * QE_QUEUE_STRIDE + QEQ_ENABLE), 0);
    }
}
#define CHECK_TABLE(qid, good, table)                                                              \
    check_table(qid, good, table, sizeof(table) / sizeof((table)[0]))

SPOIL(bad_function, s->function = 1)
SPOIL(bad_flags, s->flags = 0x80)
SPOIL(bad_opcode, s->opcode = 0x55)
SPOIL(bad_last_word, s->u.words[6] = 1ull << 63)

/* --- create
 * ---------------------------------------------------------------------------------------- */

static struct talus_sqe sqe_create(void) {
    struct talus_sqe sqe = {.opcode = TALUS_ADMIN_CREATE_QUEUE, .cid = 9};
    sqe.u.create_queue.sq_iova = 0x300000;
    sqe.u.create_queue.cq_iova = 0x400000;
    sqe.u.create_queue.qid = 3;
    sqe.u.create_queue.entries = 128;
    sqe.u.create_queue.vector = 5;
    sqe.u.create_queue.domain = 2;
    sqe.u.create_queue.irq_enable = 1;
    return sqe;
}
SPOIL(create_qid0, s->u.create_queue.qid = 0)
SPOIL(create_qid_high, s->u.create_queue.qid = TALUS_MAX_QUEUES)
SPOIL(create_qid_huge, s->u.create_queue.qid = 0xffff)
SPOIL(create_qid_taken, s->u.create_queue.qid = 1)
SPOIL(create_entries0, s->u.create_queue.entries = 0)
SPOIL(create_entries1, s->u.create_queue.entries = 1)
SPOIL(create_entries3, s->u.create_queue.entries = 3)
SPOIL(create_entries_high, s->u.create_queue.entries = 2048)
SPOIL(create_sq_unaligned, s->u.create_queue.sq_iova += 64)
SPOIL(create_cq_unaligned, s->u.create_queue.cq_iova += 8)
SPOIL(create_sq_wraps, s->u.create_queue.sq_iova = 0xfffffffffffff000ull)
SPOIL(create_vector, s->u.create_queue.vector = TALUS_MSIX_VECTORS)
SPOIL(create_domain, s->u.create_queue.domain = TALUS_MAX_DOMAINS)
SPOIL(create_irq, s->u.create_queue.irq_enable = 2)

static void test_create(void** state) {
    (void)state;
    static const struct bad table[] = {
        {"queue 0", TALUS_BAD_QUEUE, create_qid0},
        {"queue 64", TALUS_BAD_QUEUE, create_qid_high},
        {"queue 65535", TALUS_BAD_QUEUE, create_qid_huge},
        {"queue exists", TALUS_BAD_QUEUE, create_qid_taken},
        {"0 entries", TALUS_BAD_FIELD, create_entries0},
        {"1 entry", TALUS_BAD_FIELD, create_entries1},
        {"3 entries", TALUS_BAD_FIELD, create_entries3},
        {"2048 entries", TALUS_BAD_FIELD, create_entries_high},
        {"SQ unaligned", TALUS_BAD_FIELD, create_sq_unaligned},
        {"CQ unaligned", TALUS_BAD_FIELD, create_cq_unaligned},
        {"SQ wraps", TALUS_BAD_FIELD, create_sq_wraps},
        {"vector", TALUS_BAD_FIELD, create_vector},
        {"domain", TALUS_BAD_DOMAIN, create_domain},
        {"irq_enable", TALUS_BAD_FIELD, create_irq},
        {"reserved", TALUS_BAD_FIELD, bad_last_word},
        {"function", TALUS_BAD_FIELD, bad_function},
        {"flags", TALUS_BAD_FIELD, bad_flags},
        {"opcode", TALUS_BAD_OPCODE, bad_opcode},
    };
    create_queue(1);
    CHECK_TABLE(TALUS_QUEUE_ADMIN, sqe_create(), table);
    assert_int_equal(run(TALUS_QUEUE_ADMIN, sqe_create()), TALUS_OK);
    const uint64_t queue = SYS(QE) + QE_QUEUE + 3 * QE_QUEUE_STRIDE;
    assert_int_equal(bus_get(queue + QEQ_SQ_IOVA), 0x300000);
    assert_int_equal(bus_get(queue + QEQ_CQ_IOVA), 0x400000);
    assert_int_equal(bus_get(queue + QEQ_ENTRIES), 128);
    assert_int_equal(bus_get(queue + QEQ_VECTOR), 5);
    assert_int_equal(bus_get(queue + QEQ_DOMAIN), 2);
    assert_int_equal(bus_get(queue + QEQ_IRQ_ENABLE), 1);
    assert_int_equal(bus_get(queue + QEQ_ENABLE), 1);
    assert_int_equal(run(TALUS_QUEUE_ADMIN, sqe_create()), TALUS_BAD_QUEUE);
    /* Admin opcodes mean nothing on an I/O queue, and the other way round. */
    assert_int_equal(run(3, sqe_create()), TALUS_DEVICE_ACCESS); /* 0x01 is COPY there */
    assert_int_equal(run(TALUS_QUEUE_ADMIN, sqe_nop(1)), TALUS_BAD_OPCODE);
}

/* --- windows and shadow
 * ------------------------------------------------------------------------------ */

static struct talus_sqe sqe_window(void) {
    struct talus_sqe sqe = {.opcode = TALUS_ADMIN_SET_WINDOW, .cid = 4};
    sqe.u.set_window.iova = 0x5000;
    sqe.u.set_window.length = 0x3000;
    sqe.u.set_window.index = 7;
    sqe.u.set_window.domain = 2;
    sqe.u.set_window.access = TALUS_WINDOW_READ;
    return sqe;
}
SPOIL(window_domain0, s->u.set_window.domain = 0)
SPOIL(window_domain16, s->u.set_window.domain = 16)
SPOIL(window_index, s->u.set_window.index = TALUS_WINDOWS_PER_DOMAIN)
SPOIL(window_access, s->u.set_window.access = 8)
SPOIL(window_of_firmware, (s->u.set_window.access = TALUS_WINDOW_DEVICE | TALUS_WINDOW_READ,
                           s->u.set_window.iova = TALUS_LLS_BASE))
SPOIL(window_of_staging, (s->u.set_window.access = TALUS_WINDOW_DEVICE | TALUS_WINDOW_READ,
                          s->u.set_window.iova = TALUS_STAGING_BASE))
SPOIL(window_unaligned, (s->u.set_window.access = TALUS_WINDOW_DEVICE | TALUS_WINDOW_READ,
                         s->u.set_window.iova = TALUS_DRAM_BASE + 32))
SPOIL(window_wraps, s->u.set_window.iova = ~0ull - 0x2ffe)
SPOIL(window_reserved, s->u.set_window.reserved0 = 1)

static void test_window(void** state) {
    (void)state;
    static const struct bad table[] = {
        {"domain 0", TALUS_BAD_DOMAIN, window_domain0},
        {"domain 16", TALUS_BAD_DOMAIN, window_domain16},
        {"index", TALUS_BAD_DOMAIN, window_index},
        {"access", TALUS_BAD_FIELD, window_access},
        {"of firmware's SRAM", TALUS_DEVICE_ACCESS, window_of_firmware},
        {"of staging RAM", TALUS_DEVICE_ACCESS, window_of_staging},
        {"unaligned", TALUS_BAD_FIELD, window_unaligned},
        {"wraps", TALUS_BAD_FIELD, window_wraps},
        {"reserved", TALUS_BAD_FIELD, window_reserved},
        {"reserved tail", TALUS_BAD_FIELD, bad_last_word},
    };
    CHECK_TABLE(TALUS_QUEUE_ADMIN, sqe_window(), table);
    assert_int_equal(run(TALUS_QUEUE_ADMIN, sqe_window()), TALUS_OK);
    assert_int_equal(bus_get(SYS(QE) + QE_WINDOW_INDEX), 2 * TALUS_WINDOWS_PER_DOMAIN + 7);
    assert_int_equal(bus_get(SYS(QE) + QE_WINDOW_IOVA), 0x5000);
    assert_int_equal(bus_get(SYS(QE) + QE_WINDOW_LENGTH), 0x3000);
    assert_int_equal(bus_get(SYS(QE) + QE_WINDOW_ACCESS), TALUS_WINDOW_READ);
}

static struct talus_sqe sqe_shadow(void) {
    struct talus_sqe sqe = {.opcode = TALUS_ADMIN_SET_SHADOW, .cid = 4};
    sqe.u.set_shadow.shadow_iova = 0x123456000ull;
    sqe.u.set_shadow.event_iova = 0x7000;
    return sqe;
}
SPOIL(shadow_unaligned, s->u.set_shadow.shadow_iova += 4)
SPOIL(shadow_event_unaligned, s->u.set_shadow.event_iova += 8)
SPOIL(shadow_one_only, s->u.set_shadow.event_iova = 0)

static void test_shadow(void** state) {
    (void)state;
    static const struct bad table[] = {
        {"shadow unaligned", TALUS_BAD_FIELD, shadow_unaligned},
        {"event unaligned", TALUS_BAD_FIELD, shadow_event_unaligned},
        {"no event page", TALUS_BAD_FIELD, shadow_one_only},
        {"reserved", TALUS_BAD_FIELD, bad_last_word},
    };
    CHECK_TABLE(TALUS_QUEUE_ADMIN, sqe_shadow(), table);
    assert_int_equal(run(TALUS_QUEUE_ADMIN, sqe_shadow()), TALUS_OK);
    assert_int_equal(bus_get(SYS(QE) + QE_SHADOW_LO), 0x23456000);
    assert_int_equal(bus_get(SYS(QE) + QE_SHADOW_HI), 1);
    assert_int_equal(bus_get(SYS(QE) + QE_EVENT_LO), 0x7000);
}

/* --- identify
 * ------------------------------------------------------------------------------------------ */

static void test_identify(void** state) {
    (void)state;
    struct talus_sqe sqe = {
        .opcode = TALUS_ADMIN_IDENTIFY, .cid = 77, .flags = TALUS_SQE_BATCH_END};
    sqe.u.buffer.iova = 0x9000;
    sqe.u.buffer.bytes = 4096;
    submit(TALUS_QUEUE_ADMIN, &sqe);
    deliver();
    assert_int_equal(completions(), 0);
    assert_int_equal(bus_get(SYS(DMA) + DMA_HOST), 0x9000);
    assert_int_equal(bus_get(SYS(DMA) + DMA_BYTES), sizeof(struct talus_identify));
    assert_int_equal(bus_get(SYS(DMA) + DMA_KIND), TALUS_COPY_D2H);
    assert_int_equal(bus_get(SYS(DMA) + DMA_DOMAIN), 0);
    assert_int_equal(bus_get(SYS(DMA) + DMA_START), 1);
    struct talus_identify identify;
    memcpy(&identify, (const void*)(uintptr_t)bus_get(SYS(DMA) + DMA_DEVICE), sizeof(identify));
    assert_int_equal(identify.struct_bytes, 256);
    assert_int_equal(identify.abi_version, TALUS_ABI_VERSION);
    assert_true(identify.contract_hash == TALUS_CONTRACT_HASH);
    assert_string_equal(identify.product, "talus-t2");
    assert_string_equal(identify.serial, "TL456789abcdef");
    assert_string_equal(identify.firmware, TALUS_BUNDLE_VERSION_STRING);
    assert_int_equal(identify.generation, 2);
    assert_int_equal(identify.rows, 8);
    assert_int_equal(identify.cols, 8);
    assert_int_equal(identify.clock_khz, 1350000);
    assert_int_equal(identify.local_bytes, TALUS_LOCAL_KERNEL_BYTES);
    assert_int_equal(identify.lls_base, TALUS_LLS_BASE + TALUS_LLS_FIRMWARE_SIZE);
    assert_int_equal(identify.lls_bytes, 0x08000000 - TALUS_LLS_FIRMWARE_SIZE);
    assert_int_equal(identify.dram_base, TALUS_DRAM_BASE);
    assert_int_equal(identify.dram_bytes, 0x1000000000ull);
    assert_int_equal(identify.max_args_bytes, TALUS_MAX_ARGS_BYTES);
    bus_set_clock(5000);
    finish_dma(0, TALUS_OK);
    const struct talus_outbox_slot slot = completion();
    assert_int_equal(slot.cqe.cid, 77);
    assert_int_equal(slot.cqe.status, 0);
    assert_int_equal(slot.cqe.sq_head, 1);
    assert_int_equal(slot.cqe.exec_cycles, 5000);
    assert_int_equal(slot.admitted, 1000);
}

static void test_identify_refused(void** state) {
    (void)state;
    struct talus_sqe sqe = {.opcode = TALUS_ADMIN_IDENTIFY, .cid = 1};
    assert_int_equal(run(TALUS_QUEUE_ADMIN, sqe), TALUS_BAD_SIZE);
    sqe.u.buffer.bytes = 16;
    sqe.u.buffer.iova = ~0ull - 8;
    assert_int_equal(run(TALUS_QUEUE_ADMIN, sqe), TALUS_BAD_FIELD);
    sqe.u.buffer.iova = 0;
    sqe.u.buffer.reserved[4] = 1;
    assert_int_equal(run(TALUS_QUEUE_ADMIN, sqe), TALUS_BAD_FIELD);
}

/* --- copy
 * ------------------------------------------------------------------------------------------------
 */

SPOIL(copy_kind, s->u.copy.kind = 3)
SPOIL(copy_kind_d2d_sgl, s->u.copy.kind = TALUS_COPY_D2D | TALUS_COPY_SGL; s->u.copy.sgl_count = 1)
SPOIL(copy_zero, s->u.copy.bytes = 0)
SPOIL(copy_sgl_without_flag, s->u.copy.sgl_count = 1)
SPOIL(copy_sgl_zero, s->u.copy.kind = TALUS_COPY_D2H | TALUS_COPY_SGL)
SPOIL(copy_sgl_high, s->u.copy.kind = TALUS_COPY_SGL; s->u.copy.sgl_count = TALUS_MAX_SGL + 1)
SPOIL(copy_firmware_lls, s->u.copy.device = TALUS_LLS_BASE)
SPOIL(copy_firmware_end, s->u.copy.device = TALUS_LLS_BASE + TALUS_LLS_FIRMWARE_SIZE - 1)
SPOIL(copy_sram, s->u.copy.device = TALUS_CONTROL_SRAM_BASE)
SPOIL(copy_registers, s->u.copy.device = TALUS_SYSTEM_BASE)
SPOIL(copy_lls_end, s->u.copy.device = TALUS_LLS_BASE + 0x08000000 - 332)
SPOIL(copy_dram_end, s->u.copy.device = TALUS_DRAM_BASE + 0x1000000000ull - 332)
SPOIL(copy_huge, s->u.copy.bytes = ~0ull)
SPOIL(copy_wraps, s->u.copy.device = ~0ull - 10)
SPOIL(copy_host_wraps, s->u.copy.host = ~0ull - 10)
SPOIL(copy_d2d_source, s->u.copy.kind = TALUS_COPY_D2D)
SPOIL(copy_reserved, s->u.copy.reserved0[2] = 1)

SPOIL(copy_gzip_bytes, s->u.copy.gzip_bytes = 1)
SPOIL(copy_gzip_d2h, s->u.copy.kind = TALUS_COPY_D2H | TALUS_COPY_GZIP; s->u.copy.gzip_bytes = 9)
SPOIL(copy_gzip_d2d, s->u.copy.kind = TALUS_COPY_D2D | TALUS_COPY_GZIP; s->u.copy.gzip_bytes = 9)
SPOIL(copy_gzip_zero, s->u.copy.kind = TALUS_COPY_GZIP)
SPOIL(copy_gzip_no_room, s->u.copy.kind = TALUS_COPY_GZIP; s->u.copy.gzip_bytes = 9;
      s->u.copy.bytes = 0)
SPOIL(copy_gzip_wraps, s->u.copy.kind = TALUS_COPY_GZIP; s->u.copy.gzip_bytes = ~0ull - 0x6ffe)
SPOIL(copy_gzip_huge, s->u.copy.kind = TALUS_COPY_GZIP; s->u.copy.gzip_bytes = 9;
      s->u.copy.bytes = ~0ull)
SPOIL(copy_gzip_sgl_zero, s->u.copy.kind = TALUS_COPY_SGL | TALUS_COPY_GZIP;
      s->u.copy.gzip_bytes = 9)

static void test_copy_refused(void** state) {
    (void)state;
    static const struct bad table[] = {
        {"kind 3", TALUS_BAD_FIELD, copy_kind},
        {"D2D list", TALUS_BAD_FIELD, copy_kind_d2d_sgl},
        {"no bytes", TALUS_BAD_SIZE, copy_zero},
        {"count without list", TALUS_BAD_SIZE, copy_sgl_without_flag},
        {"empty list", TALUS_BAD_SIZE, copy_sgl_zero},
        {"long list", TALUS_BAD_SIZE, copy_sgl_high},
        {"firmware's LLS", TALUS_DEVICE_ACCESS, copy_firmware_lls},
        {"end of firmware's LLS", TALUS_DEVICE_ACCESS, copy_firmware_end},
        {"control SRAM", TALUS_DEVICE_ACCESS, copy_sram},
        {"registers", TALUS_DEVICE_ACCESS, copy_registers},
        {"end of LLS", TALUS_DEVICE_ACCESS, copy_lls_end},
        {"end of DRAM", TALUS_DEVICE_ACCESS, copy_dram_end},
        {"2^64-1 bytes", TALUS_DEVICE_ACCESS, copy_huge},
        {"device wraps", TALUS_DEVICE_ACCESS, copy_wraps},
        {"host wraps", TALUS_BAD_FIELD, copy_host_wraps},
        {"D2D from host", TALUS_DEVICE_ACCESS, copy_d2d_source},
        {"gzip bytes without flag", TALUS_BAD_FIELD, copy_gzip_bytes},
        {"gzip D2H", TALUS_BAD_FIELD, copy_gzip_d2h},
        {"gzip D2D", TALUS_BAD_FIELD, copy_gzip_d2d},
        {"gzip of no bytes", TALUS_BAD_SIZE, copy_gzip_zero},
        {"gzip without room", TALUS_BAD_SIZE, copy_gzip_no_room},
        {"gzip member wraps", TALUS_BAD_FIELD, copy_gzip_wraps},
        {"gzip room of 2^64-1", TALUS_DEVICE_ACCESS, copy_gzip_huge},
        {"gzip empty list", TALUS_BAD_SIZE, copy_gzip_sgl_zero},
        {"reserved", TALUS_BAD_FIELD, copy_reserved},
        {"reserved tail", TALUS_BAD_FIELD, bad_last_word},
        {"function", TALUS_BAD_FIELD, bad_function},
        {"flags", TALUS_BAD_FIELD, bad_flags},
        {"opcode", TALUS_BAD_OPCODE, bad_opcode},
    };
    create_queue(1);
    CHECK_TABLE(1, sqe_copy(3), table);
}

static void test_copy(void** state) {
    (void)state;
    create_queue(1);
    struct talus_sqe sqe = sqe_copy(3);
    sqe.flags = TALUS_SQE_BATCH_END;
    sqe.u.copy.kind = TALUS_COPY_D2H | TALUS_COPY_SGL;
    sqe.u.copy.sgl_count = 12;
    sqe.u.copy.device = TALUS_LLS_BASE + TALUS_LLS_FIRMWARE_SIZE;
    submit(1, &sqe);
    bus_set_clock(10000);
    deliver();
    assert_int_equal(bus_get(SYS(DMA) + DMA_HOST), 0x7000);
    assert_int_equal(bus_get(SYS(DMA) + DMA_DEVICE), TALUS_LLS_BASE + TALUS_LLS_FIRMWARE_SIZE);
    assert_int_equal(bus_get(SYS(DMA) + DMA_BYTES), 333);
    assert_int_equal(bus_get(SYS(DMA) + DMA_SGL_COUNT), 12);
    assert_int_equal(bus_get(SYS(DMA) + DMA_KIND), TALUS_COPY_D2H | TALUS_COPY_SGL);
    bus_set_clock(10777);
    finish_dma(0, TALUS_OK);
    struct talus_outbox_slot slot = completion();
    assert_int_equal(slot.cqe.status, 0);
    assert_int_equal(slot.cqe.result, 333);
    assert_int_equal(slot.cqe.exec_cycles, 777);
    /* The engine's status reaches the host, and no bytes count. */
    submit(1, &sqe);
    deliver();
    finish_dma(0, TALUS_WINDOW_MISS);
    slot = completion();
    assert_int_equal(slot.cqe.status >> 1, TALUS_WINDOW_MISS);
    assert_int_equal(slot.cqe.result, 0);
}

/* A gzip member: its length goes to the engine, and what the engine has written to the host. */
static void test_copy_gzip(void** state) {
    (void)state;
    create_queue(1);
    struct talus_sqe sqe = sqe_copy(3);
    submit(1, &sqe);
    deliver();
    assert_int_equal(bus_writes_to(SYS(DMA) + DMA_GZIP_BYTES), 0); /* costs other copies nothing */
    finish_dma(0, TALUS_OK);
    (void)completion();
    sqe.u.copy.kind = TALUS_COPY_H2D | TALUS_COPY_SGL | TALUS_COPY_GZIP;
    sqe.u.copy.sgl_count = 12;
    sqe.u.copy.gzip_bytes = 0x300000099ull; /* a list may hold more than the room, and than 4 GiB */
    submit(1, &sqe);
    deliver();
    assert_int_equal(bus_get(SYS(DMA) + DMA_KIND),
                     TALUS_COPY_H2D | TALUS_COPY_SGL | TALUS_COPY_GZIP);
    assert_int_equal(bus_get(SYS(DMA) + DMA_BYTES), 333);
    assert_int_equal(bus_get(SYS(DMA) + DMA_GZIP_BYTES), 0x300000099ull);
    bus_set(SYS(DMA) + DMA_WRITTEN, 222);
    finish_dma(0, TALUS_OK);
    struct talus_outbox_slot slot = completion();
    assert_int_equal(slot.cqe.status, 0);
    assert_int_equal(slot.cqe.result, 222);
    submit(1, &sqe);
    deliver();
    finish_dma(0, TALUS_GZIP_DATA);
    slot = completion();
    assert_int_equal(slot.cqe.status >> 1, TALUS_GZIP_DATA);
    assert_int_equal(slot.cqe.result, 0);
}

/* Submits the command as one of a queue in `domain`. */
static void deliver_in_domain(struct talus_sqe sqe, uint8_t domain) {
    submit(1, &sqe);
    struct talus_inbox_slot* slots = bus_memory(TALUS_CONTROL_SRAM_BASE + TALUS_INBOX_OFFSET);
    slots[(bus_get(SYS(QE) + QE_INBOX_TAIL) - 1) % TALUS_INBOX_SLOTS].domain = domain;
    deliver();
}

static void open_window(uint8_t domain, uint16_t index, uint64_t address, uint64_t length,
                        uint8_t access) {
    struct talus_sqe sqe = sqe_window();
    sqe.u.set_window = (struct talus_sqe_set_window){
        .iova = address,
        .length = length,
        .index = index,
        .domain = domain,
        .access = access | TALUS_WINDOW_DEVICE,
    };
    assert_int_equal(run(TALUS_QUEUE_ADMIN, sqe), TALUS_OK);
}

/* The domain of the queue goes with its copies, and its windows bind them. */
static void test_copy_domain(void** state) {
    (void)state;
    create_queue(1);
    struct talus_sqe sqe = sqe_copy(3);
    sqe.flags = TALUS_SQE_BATCH_END;
    const uint64_t address = sqe.u.copy.device;
    const uint64_t bytes = sqe.u.copy.bytes;
    open_window(6, 1, address, 4096, TALUS_WINDOW_READ);
    open_window(6, 2, address + 64, 4096, TALUS_WINDOW_READ | TALUS_WINDOW_WRITE);
    open_window(5, 0, address, 4096, TALUS_WINDOW_READ | TALUS_WINDOW_WRITE);
    deliver_in_domain(sqe, 6);
    assert_int_equal(TALUS_STATUS_BASE(completion().cqe.status >> 1), TALUS_DEVICE_ACCESS);
    open_window(6, 0, address, (bytes + 63) / 64 * 64, TALUS_WINDOW_READ | TALUS_WINDOW_WRITE);
    deliver_in_domain(sqe, 6);
    assert_int_equal(bus_get(SYS(DMA) + DMA_DOMAIN), 6);
    finish_dma(0, TALUS_OK);
    assert_int_equal(completion().cqe.status >> 1, TALUS_OK);
    open_window(6, 0, 0, 0, 0);
    deliver_in_domain(sqe, 6);
    assert_int_equal(TALUS_STATUS_BASE(completion().cqe.status >> 1), TALUS_DEVICE_ACCESS);
}

/* --- launch
 * ---------------------------------------------------------------------------------------------- */

SPOIL(launch_entry_odd, s->u.launch.entry += 1)
SPOIL(launch_entry_firmware, s->u.launch.entry = TALUS_LLS_BASE)
SPOIL(launch_entry_sram, s->u.launch.entry = TALUS_CONTROL_SRAM_BASE + 0x100000)
SPOIL(launch_entry_end, s->u.launch.entry = TALUS_DRAM_BASE + 0x1000000000ull)
SPOIL(launch_args_unaligned, s->u.launch.args += 8)
SPOIL(launch_args_null, s->u.launch.args = 0)
SPOIL(launch_args_empty, s->u.launch.args_bytes = 0)
SPOIL(launch_args_long, s->u.launch.args_bytes = TALUS_MAX_ARGS_BYTES + 1)
SPOIL(launch_args_outside, s->u.launch.args = TALUS_STAGING_BASE)
SPOIL(launch_rows0, s->u.launch.rows = 0)
SPOIL(launch_cols0, s->u.launch.cols = 0)
SPOIL(launch_rows9, s->u.launch.rows = 9)
SPOIL(launch_row_out, s->u.launch.row0 = 1)
SPOIL(launch_col_out, s->u.launch.col0 = 255)
SPOIL(launch_reserved, s->u.launch.reserved0 = 1)
SPOIL(launch_perf_unaligned, s->u.launch.perf = TALUS_DRAM_BASE + 32)
SPOIL(launch_perf_outside, s->u.launch.perf = TALUS_CONTROL_SRAM_BASE)
SPOIL(launch_perf_end, s->u.launch.perf = TALUS_DRAM_BASE + 0x1000000000ull - 64)

static void test_launch_refused(void** state) {
    (void)state;
    static const struct bad table[] = {
        {"odd entry", TALUS_BAD_FIELD, launch_entry_odd},
        {"entry in the runtime", TALUS_DEVICE_ACCESS, launch_entry_firmware},
        {"entry in SRAM", TALUS_DEVICE_ACCESS, launch_entry_sram},
        {"entry behind DRAM", TALUS_DEVICE_ACCESS, launch_entry_end},
        {"args unaligned", TALUS_BAD_FIELD, launch_args_unaligned},
        {"args null", TALUS_BAD_FIELD, launch_args_null},
        {"args empty", TALUS_BAD_FIELD, launch_args_empty},
        {"args long", TALUS_BAD_SIZE, launch_args_long},
        {"args in staging", TALUS_DEVICE_ACCESS, launch_args_outside},
        {"0 rows", TALUS_BAD_SUBGRID, launch_rows0},
        {"0 columns", TALUS_BAD_SUBGRID, launch_cols0},
        {"9 rows", TALUS_BAD_SUBGRID, launch_rows9},
        {"row 1 of 8 + 8", TALUS_BAD_SUBGRID, launch_row_out},
        {"column 255", TALUS_BAD_SUBGRID, launch_col_out},
        {"reserved", TALUS_BAD_FIELD, launch_reserved},
        {"record unaligned", TALUS_BAD_FIELD, launch_perf_unaligned},
        {"record in SRAM", TALUS_DEVICE_ACCESS, launch_perf_outside},
        {"record ends behind DRAM", TALUS_DEVICE_ACCESS, launch_perf_end},
        {"reserved tail", TALUS_BAD_FIELD, bad_last_word},
    };
    create_queue(1);
    CHECK_TABLE(1, sqe_launch(3, 0, 0, 8, 8), table);
}

static void test_nop(void** state) {
    (void)state;
    create_queue(1);
    assert_int_equal(run(1, sqe_nop(9)), TALUS_OK);
    struct talus_sqe sqe = sqe_nop(9);
    sqe.u.words[3] = 1;
    assert_int_equal(run(1, sqe), TALUS_BAD_FIELD);
}

/* Commands' own mistakes carry "do not retry". */
static void test_do_not_retry(void** state) {
    (void)state;
    create_queue(1);
    struct talus_sqe sqe = sqe_copy(1);
    sqe.u.copy.bytes = 0;
    submit(1, &sqe);
    deliver();
    assert_int_equal(completion().cqe.status >> 1, TALUS_BAD_SIZE | TALUS_STATUS_DNR);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_create, boot_and_enable),
        cmocka_unit_test_setup(test_window, boot_and_enable),
        cmocka_unit_test_setup(test_shadow, boot_and_enable),
        cmocka_unit_test_setup(test_identify, boot_and_enable),
        cmocka_unit_test_setup(test_identify_refused, boot_and_enable),
        cmocka_unit_test_setup(test_copy_refused, boot_and_enable),
        cmocka_unit_test_setup(test_copy, boot_and_enable),
        cmocka_unit_test_setup(test_copy_gzip, boot_and_enable),
        cmocka_unit_test_setup(test_copy_domain, boot_and_enable),
        cmocka_unit_test_setup(test_launch_refused, boot_and_enable),
        cmocka_unit_test_setup(test_nop, boot_and_enable),
        cmocka_unit_test_setup(test_do_not_retry, boot_and_enable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
