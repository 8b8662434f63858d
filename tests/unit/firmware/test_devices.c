/* The control firmware's drivers of single blocks: log, heartbeat, queue engine, DMA engines, grid.
 */
#include "mock_bus.h"

#include <string.h>

#include "../../../firmware/control/dma.h"
#include "../../../firmware/control/grid.h"
#include "../../../firmware/control/heartbeat.h"
#include "../../../firmware/control/log.h"
#include "../../../firmware/control/queue_engine.h"
#include "talus/hw/address_map.h"
#include "talus/hw/registers.h"
#include "talus/hw/status.h"

#define UART (TALUS_SYSTEM_BASE + TALUS_SYS_UART)
#define HOSTIF (TALUS_SYSTEM_BASE + TALUS_SYS_HOSTIF)
#define QE (TALUS_SYSTEM_BASE + TALUS_SYS_QE)
#define DMA (TALUS_SYSTEM_BASE + TALUS_SYS_DMA)
#define GRID (TALUS_SYSTEM_BASE + TALUS_SYS_GRID)
#define PAGE (TALUS_STAGING_BASE + TALUS_STAGING_LOG_OFFSET)

static int set_up(void** state) {
    (void)state;
    bus_reset();
    return 0;
}

/* --- log
 * --------------------------------------------------------------------------------------------- */

static const struct talus_log_header* log_page(void) {
    return bus_memory(PAGE);
}
static const char* log_text(void) {
    return (const char*)bus_memory(PAGE + TALUS_LOG_TEXT_OFFSET);
}

static void test_log_formats(void** state) {
    (void)state;
    struct log log;
    log_init(&log, UART, HOSTIF, PAGE, 4096, 1350000);
    assert_int_equal(log_page()->magic, TALUS_LOG_MAGIC);
    assert_int_equal(log_page()->capacity, 4096 - 64);
    bus_set_clock(1234567);
    log_line(&log, "%s %u %x %U %X %%", "text", 4294967295u, 0xdeadu, UINT64_MAX,
             (uint64_t)0x123456789abcdefull);
    const char expected[] =
        "[     1234567] text 4294967295 dead 18446744073709551615 123456789abcdef %\n";
    assert_int_equal(log_page()->written, sizeof(expected) - 1);
    assert_memory_equal(log_text(), expected, sizeof(expected) - 1);
    assert_int_equal(bus_get(HOSTIF + HOSTIF_LOG_WRITTEN), sizeof(expected) - 1);
}

/* Byte n of the stream stands at text[n % capacity], also after many laps. */
static void test_log_wraps(void** state) {
    (void)state;
    struct log log;
    const uint32_t capacity = 100;
    log_init(&log, UART, HOSTIF, PAGE, capacity + TALUS_LOG_TEXT_OFFSET, 1350000);
    char stream[1000];
    for (unsigned i = 0; i < sizeof(stream); ++i)
        stream[i] = (char)('a' + i % 23);
    for (unsigned at = 0; at < sizeof(stream);) {
        const unsigned bytes = (at % 7 + 1) * 5 < sizeof(stream) - at
                                   ? (at % 7 + 1) * 5
                                   : (unsigned)sizeof(stream) - at;
        log_write(&log, stream + at, bytes);
        at += bytes;
        assert_int_equal(log_page()->written, at);
        for (unsigned n = at > capacity ? at - capacity : 0; n < at; ++n)
            assert_int_equal(log_text()[n % capacity], stream[n]);
    }
    assert_int_equal(log_text()[capacity], 0); /* nothing behind the ring */
}

static void test_log_long_line_is_cut(void** state) {
    (void)state;
    struct log log;
    char text[500];
    memset(text, 'x', sizeof(text));
    text[499] = '\0';
    log_init(&log, UART, HOSTIF, PAGE, 4096, 1350000);
    log_line(&log, "%s", text);
    assert_int_equal(log_page()->written, 192);
    assert_int_equal(log_text()[191], '\n');
}

/* A UART without room costs one register read, never a wait; what it missed is sent later. */
static void test_log_uart(void** state) {
    (void)state;
    struct log log;
    log_init(&log, UART, HOSTIF, PAGE, 4096, 1350000);
    log_write(&log, "ab", 2);
    expect_read32(UART + UART_STATUS, 0);
    log_pump(&log);
    bus_done();
    expect_read32(UART + UART_STATUS, 1);
    expect_write32(UART + UART_TX, 'a');
    expect_read32(UART + UART_STATUS, 0);
    log_pump(&log);
    bus_done();
    expect_read32(UART + UART_STATUS, 1);
    expect_write32(UART + UART_TX, 'b');
    log_pump(&log);
    bus_done();
}

/* --- heartbeat
 * ----------------------------------------------------------------------------------------- */

static void test_heartbeat(void** state) {
    (void)state;
    struct heartbeat heartbeat;
    heartbeat_init(&heartbeat, HOSTIF, 1350000, 500);
    expect_write32(HOSTIF + HOSTIF_HEARTBEAT, 1);
    heartbeat_poll(&heartbeat, 500);
    bus_done();
    assert_int_equal(heartbeat.next, 1350000);
    bus_forget_writes();
    heartbeat_poll(&heartbeat, 1349999);
    assert_int_equal(bus_writes_to(HOSTIF + HOSTIF_HEARTBEAT), 0);
    expect_write32(HOSTIF + HOSTIF_HEARTBEAT, 2);
    heartbeat_poll(&heartbeat, 1350007);
    bus_done();
    assert_int_equal(heartbeat.next, 2 * 1350000);
    /* After a long sleep one beat, and the grid of beats is kept. */
    expect_write32(HOSTIF + HOSTIF_HEARTBEAT, 3);
    heartbeat_poll(&heartbeat, 10 * 1350000ull + 5);
    bus_done();
    assert_int_equal(heartbeat.next, 11 * 1350000ull);
}

/* --- queue engine
 * ---------------------------------------------------------------------------------------- */

static void init_engine(struct queue_engine* engine, uint32_t inbox_tail, uint32_t outbox_tail,
                        uint32_t outbox_head) {
    expect_read32(QE + QE_INBOX_TAIL, inbox_tail);
    expect_write32(QE + QE_INBOX_HEAD, inbox_tail);
    expect_read32(QE + QE_OUTBOX_TAIL, outbox_tail);
    expect_read32(QE + QE_OUTBOX_HEAD, outbox_head);
    queue_engine_init(engine, QE, TALUS_CONTROL_SRAM_BASE + TALUS_INBOX_OFFSET,
                      TALUS_CONTROL_SRAM_BASE + TALUS_OUTBOX_OFFSET);
    bus_done();
}

static void test_inbox(void** state) {
    (void)state;
    struct queue_engine engine;
    init_engine(&engine, 0xfffffffeu, 0, 0); /* indices run through 2^32 */
    struct talus_inbox_slot* slots = bus_memory(TALUS_CONTROL_SRAM_BASE + TALUS_INBOX_OFFSET);
    for (unsigned i = 0; i < TALUS_INBOX_SLOTS; ++i)
        slots[i].sq_head = (uint16_t)i;
    expect_read32(QE + QE_INBOX_TAIL, 0xfffffffeu);
    assert_null(queue_engine_peek(&engine));
    expect_read32(QE + QE_INBOX_TAIL, 1);
    const struct talus_inbox_slot* slot = queue_engine_peek(&engine);
    assert_int_equal(slot->sq_head, 254);
    queue_engine_take(&engine);
    assert_int_equal(queue_engine_peek(&engine)->sq_head, 255); /* no register read */
    queue_engine_take(&engine);
    assert_int_equal(queue_engine_peek(&engine)->sq_head, 0);
    queue_engine_take(&engine);
    expect_write32(QE + QE_INBOX_HEAD, 1);
    queue_engine_give_back(&engine);
    bus_done();
}

static void test_outbox(void** state) {
    (void)state;
    struct queue_engine engine;
    init_engine(&engine, 0, 0xffffff80u, 0xffffff80u);
    const struct talus_outbox_slot* slots =
        bus_memory(TALUS_CONTROL_SRAM_BASE + TALUS_OUTBOX_OFFSET);
    for (unsigned i = 0; i < TALUS_OUTBOX_SLOTS; ++i) {
        const struct talus_outbox_slot slot = {.cqe = {.cid = (uint16_t)i}, .admitted = i};
        expect_write32(QE + QE_OUTBOX_TAIL, 0xffffff81u + i);
        assert_true(queue_engine_post(&engine, &slot));
        bus_done();
        assert_int_equal(slots[(0xffffff80u + i) % TALUS_OUTBOX_SLOTS].cqe.cid, i);
    }
    const struct talus_outbox_slot more = {.cqe = {.cid = 999}};
    expect_read32(QE + QE_OUTBOX_HEAD, 0xffffff80u);
    assert_false(queue_engine_post(&engine, &more));
    bus_done();
    expect_read32(QE + QE_OUTBOX_HEAD, 0xffffff81u);
    expect_write32(QE + QE_OUTBOX_TAIL, 0xffffff81u + TALUS_OUTBOX_SLOTS);
    assert_true(queue_engine_post(&engine, &more));
    bus_done();
    assert_int_equal(slots[0x80].cqe.cid, 999);
}

static void test_queue_registers(void** state) {
    (void)state;
    struct queue_engine engine;
    init_engine(&engine, 0, 0, 0);
    const uint64_t queue = QE + QE_QUEUE + 5 * QE_QUEUE_STRIDE;
    const struct queue_config config = {0x123456789000ull, 0x9000, 64, 7, 3, 1};
    expect_write64(queue + QEQ_SQ_IOVA, 0x123456789000ull);
    expect_write64(queue + QEQ_CQ_IOVA, 0x9000);
    expect_write32(queue + QEQ_ENTRIES, 64);
    expect_write32(queue + QEQ_VECTOR, 7);
    expect_write32(queue + QEQ_DOMAIN, 3);
    expect_write32(queue + QEQ_IRQ_ENABLE, 1);
    expect_write32(queue + QEQ_ENABLE, 1);
    queue_engine_start(&engine, 5, &config);
    expect_write32(queue + QEQ_ENABLE, 0);
    queue_engine_stop(&engine, 5);
    expect_write32(QE + QE_EVENT_LO, 0x3000);
    expect_write32(QE + QE_EVENT_HI, 0x2);
    expect_write32(QE + QE_SHADOW_HI, 0x1);
    expect_write32(QE + QE_SHADOW_LO, 0x5000);
    queue_engine_set_shadow(&engine, 0x100005000ull, 0x200003000ull);
    expect_write32(QE + QE_WINDOW_INDEX, 130);
    expect_write64(QE + QE_WINDOW_IOVA, 0xabc000);
    expect_write64(QE + QE_WINDOW_LENGTH, 0x1000);
    expect_write32(QE + QE_WINDOW_ACCESS, 3);
    queue_engine_set_window(&engine, 130, 0xabc000, 0x1000, 3);
    bus_done();
}

/* --- DMA engines
 * ------------------------------------------------------------------------------------------ */

static void test_dma(void** state) {
    (void)state;
    struct dma dma;
    const struct dma_request request = {0x1000, TALUS_DRAM_BASE, 77, 55, 2, TALUS_COPY_SGL, 4};
    struct dma_request inflating = request;
    inflating.kind |= TALUS_COPY_GZIP;
    uint16_t owner = 0;
    uint16_t status = 0;
    dma_init(&dma, DMA);
    for (unsigned channel = 0; channel < TALUS_DMA_CHANNELS; ++channel) {
        const uint64_t base = DMA + channel * DMA_STRIDE;
        assert_int_equal(dma_idle(&dma), channel == 0);
        expect_write64(base + DMA_HOST, 0x1000);
        expect_write64(base + DMA_DEVICE, TALUS_DRAM_BASE);
        expect_write64(base + DMA_BYTES, 77);
        expect_write32(base + DMA_SGL_COUNT, 2);
        expect_write32(base + DMA_KIND, TALUS_COPY_SGL);
        expect_write32(base + DMA_DOMAIN, 4);
        expect_write32(base + DMA_START, 1);
        assert_int_equal(dma_start(&dma, (uint16_t)(10 + channel), &request), channel);
        bus_done();
    }
    assert_int_equal(dma_start(&dma, 20, &request), DMA_NO_CHANNEL);
    expect_read32(DMA + 2 * DMA_STRIDE + DMA_STATUS, TALUS_DMA_BUSY);
    assert_false(dma_finish(&dma, 2, &owner, &status));
    expect_read32(DMA + 2 * DMA_STRIDE + DMA_STATUS, TALUS_DMA_DONE | TALUS_WINDOW_MISS << 16);
    assert_true(dma_finish(&dma, 2, &owner, &status));
    bus_done();
    assert_int_equal(owner, 12);
    assert_int_equal(status, TALUS_WINDOW_MISS);
    assert_false(dma_finish(&dma, 2, &owner, &status)); /* a spurious interrupt */
    dma_orphan_all(&dma);
    expect_read32(DMA + DMA_STATUS, TALUS_DMA_DONE);
    assert_true(dma_finish(&dma, 0, &owner, &status));
    bus_done();
    assert_int_equal(owner, DMA_NO_OWNER);
    expect_write64(DMA + DMA_HOST, 0x1000);
    expect_write64(DMA + DMA_DEVICE, TALUS_DRAM_BASE);
    expect_write64(DMA + DMA_BYTES, 77);
    expect_write64(DMA + DMA_GZIP_BYTES, 55);
    expect_write32(DMA + DMA_SGL_COUNT, 2);
    expect_write32(DMA + DMA_KIND, TALUS_COPY_SGL | TALUS_COPY_GZIP);
    expect_write32(DMA + DMA_DOMAIN, 4);
    expect_write32(DMA + DMA_START, 1);
    assert_int_equal(dma_start(&dma, 20, &inflating), 0);
    bus_done();
    expect_read64(DMA + DMA_WRITTEN, 0x500000001ull);
    assert_true(dma_written(&dma, 0) == 0x500000001ull);
    bus_done();
}

/* --- grid
 * ----------------------------------------------------------------------------------------------------
 */

static void test_grid(void** state) {
    (void)state;
    struct grid grid;
    const struct grid_rect rect = {2, 1, 3, 4};
    expect_write64(GRID + GRID_PE_VECTOR, TALUS_LLS_BASE);
    grid_init(&grid, GRID, 8, 8, TALUS_LLS_BASE);
    expect_write32(GRID + GRID_LAUNCH_RECT, 0x04030102);
    expect_write64(GRID + GRID_LAUNCH, 0x30020000);
    const struct grid_area area = grid_area_of(rect);
    grid_launch(&grid, &area, 0x30020000);
    expect_write32(GRID + GRID_LAUNCH_RECT, 0x04030102);
    expect_write32(GRID + GRID_PE_RESET, 1);
    expect_write32(GRID + GRID_PE_RESET, 0);
    grid_restart(&grid, area.code);
    expect_write32(GRID + GRID_LAUNCH_RECT, 0x04030102);
    expect_write64(GRID + GRID_PERF_FROM, 0x30030000);
    expect_write32(GRID + GRID_PERF_DOMAIN, 3);
    expect_write64(GRID + GRID_PERF_TO, 0x40000);
    grid_sample(&grid, &area, 0x30030000, 0x40000, 3);
    bus_done();
    assert_int_equal(grid_local_memory(&grid, rect, 1, 2),
                     TALUS_PE_WINDOW_BASE + (3 * 8 + 3) * TALUS_PE_WINDOW_STRIDE);
}

static void claim(struct grid* grid, struct grid_rect rect, uint8_t domain) {
    const struct grid_area area = grid_area_of(rect);
    grid_claim(grid, &area, domain);
}

static bool occupy(struct grid* grid, struct grid_rect rect) {
    const struct grid_area area = grid_area_of(rect);
    return grid_occupy(grid, &area);
}

static void release(struct grid* grid, struct grid_rect rect) {
    const struct grid_area area = grid_area_of(rect);
    grid_release(grid, &area);
}

static void expect_restart(uint32_t rect) {
    expect_write32(GRID + GRID_LAUNCH_RECT, rect);
    expect_write32(GRID + GRID_PE_RESET, 1);
    expect_write32(GRID + GRID_PE_RESET, 0);
}

/* PEs start anew between two domains, and when a domain ends; never otherwise. */
static void test_grid_domains(void** state) {
    (void)state;
    struct grid grid;
    const struct grid_rect all = {0, 0, 8, 8};
    const struct grid_rect left = {0, 0, 8, 4};
    const struct grid_rect right = {0, 4, 8, 4};
    const struct grid_rect corner = {6, 3, 2, 2}; /* of both halves */
    expect_write64(GRID + GRID_PE_VECTOR, 0);     /* from here on nothing else is written */
    grid_init(&grid, GRID, 8, 8, 0);
    claim(&grid, all, 0); /* the owner leaves nothing that others must not see */
    claim(&grid, left, 2);
    claim(&grid, left, 2);
    claim(&grid, right, 3);
    claim(&grid, left, 2);
    expect_restart(0x02020306);
    claim(&grid, corner, 3);
    claim(&grid, right, 3);
    expect_restart(0x04080000);
    claim(&grid, left, 0); /* nor does it work where a client's kernel may still run */
    claim(&grid, left, 2);
    expect_restart(0x02010206); /* all of domain 2's that domain 3 has not taken */
    claim(&grid, (struct grid_rect){6, 2, 1, 2}, 3);
    for (uint32_t row = 0; row < 8; ++row)
        expect_restart((row == 6 ? 2u : 4u) << 24 | 1u << 16 | row);
    grid_vacate(&grid, 2);
    grid_vacate(&grid, 2);
    expect_restart(0x04080000);
    claim(&grid, left, 4);
    bus_done();
}

static void test_grid_occupancy(void** state) {
    (void)state;
    struct grid grid;
    grid_init(&grid, GRID, 8, 8, 0);
    const struct grid_rect bad[] = {{0, 0, 0, 1}, {0, 0, 1, 0},   {8, 0, 1, 1},
                                    {0, 7, 1, 2}, {1, 0, 255, 1}, {255, 255, 255, 255}};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); ++i)
        assert_false(grid_valid(&grid, bad[i]));
    const struct grid_rect all = {0, 0, 8, 8};
    const struct grid_rect left = {0, 0, 8, 4};
    const struct grid_rect right = {0, 4, 8, 4};
    const struct grid_rect corner = {7, 7, 1, 1};
    assert_true(grid_valid(&grid, all) && grid_valid(&grid, corner));
    assert_true(occupy(&grid, left));
    assert_true(occupy(&grid, right));
    assert_false(occupy(&grid, all)); /* waits, and keeps later ones from overtaking */
    release(&grid, right);
    assert_false(occupy(&grid, corner));
    grid_clear_reservations(&grid);
    assert_true(occupy(&grid, corner));
    release(&grid, corner);
    release(&grid, left);
    assert_true(occupy(&grid, all));
}

/* Every pair of rectangles of a 16 x 16 grid: the second is refused if and only if they share a PE.
 */
static void test_grid_overlap(void** state) {
    (void)state;
    struct grid grid;
    static const struct grid_rect firsts[] = {{0, 0, 16, 16}, {3, 2, 2, 5},   {4, 15, 4, 1},
                                              {15, 0, 1, 16}, {0, 7, 7, 3},   {5, 5, 10, 1},
                                              {7, 7, 1, 1},   {11, 3, 5, 13}, {8, 0, 8, 8}};
    for (unsigned f = 0; f < sizeof(firsts) / sizeof(firsts[0]); ++f) {
        const struct grid_rect a = firsts[f];
        for (unsigned n = 0; n < 16 * 16 * 16 * 16; ++n) {
            const struct grid_rect b = {(uint8_t)(n & 15), (uint8_t)(n >> 4 & 15),
                                        (uint8_t)((n >> 8 & 15) + 1), (uint8_t)((n >> 12) + 1)};
            if (b.row0 + b.rows > 16 || b.col0 + b.cols > 16)
                continue;
            const bool shares = a.row0 < b.row0 + b.rows && b.row0 < a.row0 + a.rows &&
                                a.col0 < b.col0 + b.cols && b.col0 < a.col0 + a.cols;
            grid_init(&grid, GRID, 16, 16, 0);
            bus_forget_writes();
            if (!occupy(&grid, a) || occupy(&grid, b) == shares)
                fail_msg("(%u, %u) %u x %u and (%u, %u) %u x %u", a.row0, a.col0, a.rows, a.cols,
                         b.row0, b.col0, b.rows, b.cols);
            /* And releasing gives back exactly what was taken. */
            if (!shares)
                release(&grid, b);
            release(&grid, a);
            for (unsigned i = 0; i < GRID_WORDS; ++i)
                assert_true(grid.busy.word[i] == 0);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_log_formats, set_up),
        cmocka_unit_test_setup(test_log_wraps, set_up),
        cmocka_unit_test_setup(test_log_long_line_is_cut, set_up),
        cmocka_unit_test_setup(test_log_uart, set_up),
        cmocka_unit_test_setup(test_heartbeat, set_up),
        cmocka_unit_test_setup(test_inbox, set_up),
        cmocka_unit_test_setup(test_outbox, set_up),
        cmocka_unit_test_setup(test_queue_registers, set_up),
        cmocka_unit_test_setup(test_dma, set_up),
        cmocka_unit_test_setup(test_grid, set_up),
        cmocka_unit_test_setup(test_grid_domains, set_up),
        cmocka_unit_test_setup(test_grid_occupancy, set_up),
        cmocka_unit_test_setup(test_grid_overlap, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
