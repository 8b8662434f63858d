// The queue engine against a fake host: what it fetches, posts, and in which order.
#include <algorithm>
#include <cstring>

#include <gtest/gtest.h>

#include "fakes.hpp"
#include "soc/queue_engine.hpp"

namespace talus::sim {
namespace {

using test::FakeHost;
using test::FakeLines;

constexpr std::uint64_t kSq = FakeHost::kBase;
constexpr std::uint64_t kCq = FakeHost::kBase + 0x10000;
constexpr std::uint64_t kShadow = FakeHost::kBase + 0x20000;
constexpr std::uint64_t kEvent = FakeHost::kBase + 0x21000;

class QueueEngineTest : public testing::Test {
  protected:
    Config config = Config::load_default();
    EventQueue events;
    Diagnostics diagnostics;
    FakeLines lines;
    InterruptController intc{lines};
    talus_status_page page{};
    HostInterface host_interface{intc, 0, 2, config.device.clock_khz, &page};
    PcieLink link{config};
    Isolation isolation{1};
    std::vector<std::uint64_t> sram = std::vector<std::uint64_t>(TALUS_CONTROL_SRAM_SIZE / 8);
    LastLevelCache llc{config.sram, config.dram.bytes};
    Ecc ecc{config, llc};
    QueueEngine engine{events,
                       diagnostics,
                       link,
                       intc,
                       host_interface,
                       isolation,
                       reinterpret_cast<std::uint8_t*>(sram.data()),
                       ecc};
    FakeHost host;

    void SetUp() override { engine.connect(host); }

    talus_inbox_slot& inbox(unsigned index) {
        return reinterpret_cast<talus_inbox_slot*>(reinterpret_cast<std::uint8_t*>(sram.data()) +
                                                   TALUS_INBOX_OFFSET)[index];
    }
    talus_outbox_slot& outbox(unsigned index) {
        return reinterpret_cast<talus_outbox_slot*>(reinterpret_cast<std::uint8_t*>(sram.data()) +
                                                    TALUS_OUTBOX_OFFSET)[index];
    }
    talus_sqe& sqe(unsigned index) { return host.at<talus_sqe>(kSq + 64 * index); }
    talus_cqe& cqe(unsigned index) { return host.at<talus_cqe>(kCq + 32 * index); }

    void write(std::uint32_t offset, std::uint32_t value) {
        engine.write32(events.now(), offset, value);
    }
    std::uint32_t read(std::uint32_t offset) { return engine.read32(events.now(), offset); }
    static std::uint32_t reg(unsigned qid, std::uint32_t offset) {
        return QE_QUEUE + qid * QE_QUEUE_STRIDE + offset;
    }
    void enable(unsigned qid, std::uint32_t entries, std::uint64_t sq = kSq,
                std::uint64_t cq = kCq) {
        engine.write64(events.now(), reg(qid, QEQ_SQ_IOVA), sq);
        engine.write64(events.now(), reg(qid, QEQ_CQ_IOVA), cq);
        write(reg(qid, QEQ_ENTRIES), entries);
        write(reg(qid, QEQ_VECTOR), 10 + qid);
        write(reg(qid, QEQ_DOMAIN), 3);
        write(reg(qid, QEQ_IRQ_ENABLE), 1);
        write(reg(qid, QEQ_ENABLE), 1);
    }
    void run() {
        while (!events.empty()) {
            events.run_next();
        }
    }
    /// Completes the inbox slot as firmware would.
    void complete(unsigned slot, std::uint32_t outbox_index) {
        talus_outbox_slot& out = outbox(outbox_index % TALUS_OUTBOX_SLOTS);
        out = {};
        out.admitted = inbox(slot).admitted;
        out.cqe.qid = inbox(slot).qid;
        out.cqe.cid = inbox(slot).sqe.cid;
        out.cqe.sq_head = inbox(slot).sq_head;
        out.cqe.status = 0x5 << 1 | 1; // the phase bit is the engine's business
    }
};

TEST_F(QueueEngineTest, FetchesABatchOnceAndStampsIt) {
    enable(2, 8);
    for (unsigned i = 0; i < 3; ++i) {
        sqe(i).opcode = 0x10 + i;
        sqe(i).cid = 100 + i;
    }
    events.advance_to(1000);
    host.reads = 0;
    engine.admit_tail(1000, 2, 3);
    run();
    EXPECT_EQ(host.reads, 1u);
    EXPECT_EQ(read(QE_INBOX_TAIL), 3u);
    EXPECT_NE(intc.pending() & (1u << TALUS_IRQ_INBOX), 0u);
    for (unsigned i = 0; i < 3; ++i) {
        EXPECT_EQ(inbox(i).sqe.cid, 100 + i);
        EXPECT_EQ(inbox(i).admitted, 1000u);
        EXPECT_EQ(inbox(i).qid, 2u);
        EXPECT_EQ(inbox(i).sq_head, i + 1);
        EXPECT_EQ(inbox(i).domain, 3u);
    }
    // The fetch took the link's latency, a request of 24 bytes and 192 in two completions (20
    // each).
    const Cycle latency = config.clocks_of_ns(config.pcie.read_latency_ns);
    EXPECT_NEAR(static_cast<double>(events.now()), 1000.0 + latency + 256 / (31.5 / 1.35), 2.0);
}

TEST_F(QueueEngineTest, FetchesAtMostSixteenAndAroundTheEndOfTheRing) {
    enable(1, 32);
    engine.admit_tail(0, 1, 24);
    host.reads = 0;
    run();
    EXPECT_EQ(host.reads, 2u); // 16 + 8
    write(QE_INBOX_HEAD, 24);
    for (unsigned i = 0; i < 24; ++i) {
        complete(i, i);
    }
    write(QE_OUTBOX_TAIL, 24);
    run();
    engine.set_cq_head(events.now(), 1, 24);
    for (unsigned i = 0; i < 32; ++i) {
        sqe(i).cid = 200 + i;
    }
    host.reads = 0;
    engine.admit_tail(events.now(), 1, 4); // entries 24..31, 0..3
    run();
    EXPECT_EQ(host.reads, 2u); // up to the end, then from the start
    EXPECT_EQ(read(QE_INBOX_TAIL), 36u);
    EXPECT_EQ(inbox(31).sqe.cid, 200 + 31);
    EXPECT_EQ(inbox(32).sqe.cid, 200 + 0);
    EXPECT_EQ(inbox(35).sqe.cid, 200 + 3);
    EXPECT_EQ(inbox(35).sq_head, 4u);
}

TEST_F(QueueEngineTest, AFullInboxHoldsFetchesBack) {
    enable(1, 1024);
    engine.admit_tail(0, 1, 300);
    run();
    EXPECT_EQ(read(QE_INBOX_TAIL), 256u);
    EXPECT_EQ(read(reg(1, QEQ_SQ_HEAD)), 256u);
    write(QE_INBOX_HEAD, 10);
    run();
    EXPECT_EQ(read(QE_INBOX_TAIL), 266u);
    write(QE_INBOX_HEAD, 266);
    run();
    EXPECT_EQ(read(QE_INBOX_TAIL), 300u);
}

TEST_F(QueueEngineTest, CompletionsCarryPhaseClocksAndComeBeforeTheInterrupt) {
    enable(1, 4);
    events.advance_to(500);
    engine.admit_tail(500, 1, 2);
    run();
    unsigned seen_at_interrupt = 0;
    host.on_interrupt = [&](unsigned) {
        seen_at_interrupt += cqe(0).status & 1;
        seen_at_interrupt += cqe(1).status & 1;
    };
    complete(0, 0);
    complete(1, 1);
    write(QE_INBOX_HEAD, 2);
    const Cycle posted = events.now();
    write(QE_OUTBOX_TAIL, 2);
    EXPECT_EQ(cqe(0).status, 0u); // not yet visible
    run();
    const Cycle latency = config.clocks_of_ns(config.pcie.write_latency_ns);
    EXPECT_EQ(cqe(0).status, 0x5 << 1 | 1);
    EXPECT_NEAR(static_cast<double>(cqe(0).device_cycles), posted - 500.0 + latency + 1, 2.0);
    EXPECT_GT(cqe(1).device_cycles, cqe(0).device_cycles);
    EXPECT_EQ(cqe(1).sq_head, 2u);
    EXPECT_EQ(read(QE_OUTBOX_HEAD), 2u);
    EXPECT_EQ(page.commands_done, 2u);
    // One interrupt for the drained batch, after both entries.
    ASSERT_EQ(host.interrupts, std::vector<unsigned>{11});
    EXPECT_EQ(seen_at_interrupt, 2u);
    // Behind them on the link: two entries of 32 bytes and the message of 4, and the fetch's
    // request.
    EXPECT_EQ(link.bytes_written(), 2u * TALUS_CQE_BYTES + 4);
    EXPECT_EQ(link.outbound().packets, 1u + 2 + 1);
    EXPECT_GT(events.now(), 500 + cqe(1).device_cycles);
    EXPECT_LE(events.now(), 500 + cqe(1).device_cycles + 3);

    // Second pass over the ring of four: the phase turns after entry 3.
    engine.set_cq_head(events.now(), 1, 2);
    engine.admit_tail(events.now(), 1, 1); // entries 2, 3, 0
    run();
    for (unsigned i = 2; i < 5; ++i) {
        complete(i, i);
    }
    write(QE_OUTBOX_TAIL, 5);
    run();
    EXPECT_EQ(cqe(2).status & 1, 1);
    EXPECT_EQ(cqe(3).status & 1, 1);
    EXPECT_EQ(cqe(0).status & 1, 0);
    EXPECT_EQ(cqe(0).status >> 1, 5);
}

TEST_F(QueueEngineTest, AFullCompletionRingWaitsForTheHostAndHoldsUpNobodyElse) {
    enable(1, 4);
    enable(2, 4, FakeHost::kBase + 0x30000, FakeHost::kBase + 0x40000);
    // Three completions that the host does not take fill ring 1; the host frees the entries of the
    // submission ring all the same.
    std::uint32_t out = 0;
    for (unsigned round = 0; round < 3; ++round) {
        engine.admit_tail(events.now(), 1, round + 1);
        run();
        complete(round, out++);
        write(QE_OUTBOX_TAIL, out);
        run();
    }
    engine.admit_tail(events.now(), 1, 0);
    run();
    complete(3, out++);
    write(QE_OUTBOX_TAIL, out);
    run();
    EXPECT_TRUE(engine.waits_for_host(1));
    EXPECT_EQ(cqe(3).status, 0u);
    EXPECT_EQ(read(QE_OUTBOX_HEAD), 3u);
    engine.admit_tail(events.now(), 2, 1);
    run();
    complete(4, out++);
    write(QE_OUTBOX_TAIL, out);
    run();
    EXPECT_EQ(host.interrupts.back(), 12u); // queue 2 went past it
    engine.set_cq_head(events.now(), 1, 2);
    run();
    EXPECT_NE(cqe(3).status, 0u);
    EXPECT_EQ(read(QE_OUTBOX_HEAD), 5u);
    EXPECT_FALSE(engine.waits_for_host(1));
}

TEST_F(QueueEngineTest, ABadHostStopsItsOwnQueueOnly) {
    enable(1, 8);
    enable(2, 8, 0x10); // a ring that is not mapped
    engine.admit_tail(0, 1, 9);
    EXPECT_EQ(diagnostics.count(Owner::kHost), 1u);
    EXPECT_TRUE(events.empty());
    engine.admit_tail(0, 2, 1);
    run();
    EXPECT_EQ(read(reg(2, QEQ_ENABLE)), 0u);
    EXPECT_EQ(diagnostics.count(Owner::kHost), 2u);
    engine.admit_tail(events.now(), 5, 1); // never enabled
    EXPECT_EQ(diagnostics.count(Owner::kHost), 3u);
    engine.admit_tail(events.now(), 1, 7);
    run();
    EXPECT_EQ(read(QE_INBOX_TAIL), 7u);
    engine.admit_tail(events.now(), 1, 3); // overruns what is outstanding
    EXPECT_EQ(read(reg(1, QEQ_ENABLE)), 0u);
    EXPECT_EQ(engine.outstanding(), 0u);
}

TEST_F(QueueEngineTest, ASenselessCompletionHeadStopsItsOwnQueueOnly) {
    const auto described = [&] {
        std::string text;
        for (const std::string& line : engine.describe()) {
            text += line + "\n";
        }
        return text;
    };
    enable(2, 8, FakeHost::kBase + 0x30000, FakeHost::kBase + 0x40000);
    std::uint32_t out = 0;
    std::uint32_t in = 0;
    struct Case {
        std::uint32_t head;
        const char* said;
    };
    // Two completions stand in the host's memory, of which one has been taken; a third is on its
    // way.
    for (const auto& [head, said] :
         {Case{0, "head 0 after 1"}, Case{3, "head 3 after 1"}, Case{4, "head 4 after 1"},
          Case{8, "head 8 after 1"}, Case{0xffffffff, "head 4294967295 after 1"}}) {
        enable(1, 8);
        EXPECT_EQ(described().find("stopped"), std::string::npos);
        const std::size_t before = diagnostics.count(Owner::kHost);
        engine.admit_tail(events.now(), 1, 5);
        run();
        complete(in, out);
        complete(in + 1, out + 1);
        write(QE_OUTBOX_TAIL, out + 2);
        run();
        engine.set_cq_head(events.now(), 1, 1);
        complete(in + 2, out + 2);
        write(QE_OUTBOX_TAIL, out + 3);
        EXPECT_EQ(read(reg(1, QEQ_CQ_TAIL)), 3u);
        EXPECT_EQ(read(reg(1, QEQ_ENABLE)), 1u);
        engine.set_cq_head(events.now(), 1, head);
        EXPECT_EQ(read(reg(1, QEQ_ENABLE)), 0u) << head;
        EXPECT_EQ(diagnostics.count(Owner::kHost), before + 1) << head;
        EXPECT_NE(described().find(std::string("queue 1: stopped: completion ") + said),
                  std::string::npos)
            << described();
        cqe(2) = {};
        run();
        EXPECT_EQ(cqe(2).status, 0u); // what was on its way comes no more
        EXPECT_EQ(engine.outstanding(), 0u);
        // Firmware goes on, and so does the other queue.
        in += 5;
        out += 3;
        EXPECT_EQ(read(QE_OUTBOX_HEAD), out);
        write(QE_INBOX_HEAD, in);
        engine.admit_tail(events.now(), 2, (read(reg(2, QEQ_SQ_HEAD)) + 1) % 8);
        run();
        host.interrupts.clear();
        complete(in++, out++);
        write(QE_OUTBOX_TAIL, out);
        write(QE_INBOX_HEAD, in);
        run();
        EXPECT_EQ(host.interrupts, std::vector<unsigned>{12});
    }
    // The head may go as far as the last completion.
    enable(1, 8);
    engine.admit_tail(events.now(), 1, 2);
    run();
    complete(in, out);
    complete(in + 1, out + 1);
    write(QE_OUTBOX_TAIL, out + 2);
    run();
    for (const std::uint32_t head : {0u, 2u, 2u}) {
        engine.set_cq_head(events.now(), 1, head);
        EXPECT_EQ(read(reg(1, QEQ_ENABLE)), 1u);
    }
}

TEST_F(QueueEngineTest, FunctionResetDropsQueuesAndLeavesFirmwareItsIndices) {
    enable(1, 8);
    engine.admit_tail(0, 1, 3);
    run();
    complete(0, 0);
    write(QE_OUTBOX_TAIL, 1);
    engine.admit_tail(events.now(), 1, 4); // a fetch and a posting are under way
    engine.reset(false);
    run();
    EXPECT_EQ(cqe(0).status, 0u);
    EXPECT_TRUE(host.interrupts.empty());
    EXPECT_EQ(read(QE_INBOX_TAIL), 3u);
    EXPECT_EQ(read(QE_OUTBOX_HEAD), 1u);
    EXPECT_EQ(engine.outstanding(), 0u);
    // Firmware may still complete what it had; nothing of it is posted.
    complete(1, 1);
    write(QE_OUTBOX_TAIL, 2);
    run();
    EXPECT_EQ(read(QE_OUTBOX_HEAD), 2u);
    EXPECT_EQ(cqe(0).status, 0u);
}

class ShadowTest : public QueueEngineTest {
  protected:
    void SetUp() override {
        QueueEngineTest::SetUp();
        enable(0, 8, FakeHost::kBase + 0x50000, FakeHost::kBase + 0x58000);
        enable(1, 8);
        engine.write64(0, QE_SHADOW_LO, kShadow);
        engine.write64(0, QE_EVENT_LO, kEvent);
    }
    std::uint32_t& tail(unsigned qid) { return host.at<std::uint32_t>(kShadow + 8 * qid); }
    std::uint32_t& head(unsigned qid) { return host.at<std::uint32_t>(kShadow + 8 * qid + 4); }
    std::uint32_t& event(unsigned qid) { return host.at<std::uint32_t>(kEvent + 8 * qid); }
    /// The host's rule (as in NVMe), on ring indices.
    static bool rings(std::uint32_t event, std::uint32_t before, std::uint32_t after) {
        return ((after - event - 1) & 7) < ((after - before) & 7);
    }
};

TEST_F(ShadowTest, AdmitsBatchByBatch) {
    EXPECT_FALSE(engine.shadowed(0)); // the admin queue always rings
    EXPECT_TRUE(engine.shadowed(1));
    unsigned qid = 0;
    std::uint32_t end = 0;
    EXPECT_FALSE(engine.poll_shadow(qid, end));
    sqe(1).flags = TALUS_SQE_BATCH_END;
    sqe(2).flags = TALUS_SQE_BATCH_END;
    tail(1) = 5; // two whole batches and one whose end has not been marked
    ASSERT_TRUE(engine.poll_shadow(qid, end));
    EXPECT_EQ(qid, 1u);
    EXPECT_EQ(end, 2u);
    engine.admit_tail(100, qid, end);
    ASSERT_TRUE(engine.poll_shadow(qid, end));
    EXPECT_EQ(end, 3u);
    engine.admit_tail(200, qid, end);
    ASSERT_TRUE(engine.poll_shadow(qid, end));
    EXPECT_EQ(end, 5u);
    engine.admit_tail(300, qid, end);
    EXPECT_FALSE(engine.poll_shadow(qid, end));
    run();
    EXPECT_EQ(inbox(1).admitted, 100u);
    EXPECT_EQ(inbox(2).admitted, 200u);
    EXPECT_EQ(inbox(4).admitted, 300u);
    tail(1) = 99; // out of range: ignored
    EXPECT_FALSE(engine.poll_shadow(qid, end));
}

TEST_F(ShadowTest, AsksForDoorbellsOnlyBeforeSleeping) {
    engine.withdraw_doorbells();
    EXPECT_FALSE(rings(event(1), 0, 1));
    EXPECT_FALSE(rings(event(1), 0, 7));
    engine.request_doorbells();
    EXPECT_TRUE(rings(event(1), 0, 1));
    EXPECT_TRUE(rings(event(1), 0, 7));
    tail(1) = 3;
    engine.admit_tail(0, 1, 3);
    engine.withdraw_doorbells();
    EXPECT_FALSE(rings(event(1), 3, 4));
    engine.request_doorbells();
    EXPECT_TRUE(rings(event(1), 3, 2));
}

TEST_F(ShadowTest, TakesCompletionHeadsFromThePageWhenTheRingIsFull) {
    std::uint32_t out = 0;
    for (unsigned i = 0; i < 8; ++i) {
        engine.admit_tail(events.now(), 1, (i + 1) % 8);
        run();
        complete(i, out++);
        write(QE_OUTBOX_TAIL, out);
        run();
    }
    EXPECT_TRUE(engine.waits_for_host(1)); // seven fit
    EXPECT_FALSE(engine.poll_shadow_heads());
    head(1) = 4;
    EXPECT_TRUE(engine.poll_shadow_heads());
    engine.resume_posting(events.now());
    run();
    EXPECT_FALSE(engine.waits_for_host(1));
    EXPECT_NE(cqe(7).status, 0u);
}

TEST_F(ShadowTest, ASenselessHeadInThePageStopsTheQueue) {
    for (const std::uint32_t senseless : {99u, 0xffffffffu}) {
        write(reg(1, QEQ_ENABLE), 0);
        enable(1, 8);
        head(1) = 0;
        const std::uint32_t base = read(QE_OUTBOX_HEAD);
        const std::uint32_t first = read(QE_INBOX_TAIL);
        for (unsigned i = 0; i < 8; ++i) {
            engine.admit_tail(events.now(), 1, (i + 1) % 8);
            run();
            complete(first + i, base + i);
            write(QE_OUTBOX_TAIL, base + i + 1);
            run();
        }
        EXPECT_TRUE(engine.waits_for_host(1));
        head(1) = senseless;
        EXPECT_TRUE(engine.poll_shadow_heads());
        EXPECT_EQ(read(reg(1, QEQ_ENABLE)), 1u); // a look changes nothing
        engine.resume_posting(events.now());
        EXPECT_EQ(read(reg(1, QEQ_ENABLE)), 0u);
        EXPECT_FALSE(engine.poll_shadow_heads());
        EXPECT_EQ(read(QE_OUTBOX_HEAD), base + 8);
    }
}

} // namespace
} // namespace talus::sim
