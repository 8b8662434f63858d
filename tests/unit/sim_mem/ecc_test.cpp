// The code, and what memories with ECC do with damaged words: who is told what, and when the damage
// ends.
#include <bit>
#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "talus/hw/address_map.h"
#include "talus/hw/interrupts.h"

#include "core/config.hpp"
#include "mem/fabric.hpp"

namespace talus::sim {
namespace {

std::uint64_t bit(unsigned number) {
    return std::uint64_t{1} << number;
}

// --- the code ------------------------------------------------------------------------------------

// Hsiao's conditions: columns differ, have odd weight, and rows have about equal weight.
TEST(Hsiao, ColumnsAreThoseOfTheCode) {
    std::vector<int> rows(8);
    for (unsigned a = 0; a < 64; ++a) {
        EXPECT_TRUE(std::popcount(hsiao::kColumns[a]) == 3 ||
                    std::popcount(hsiao::kColumns[a]) == 5);
        for (unsigned b = 0; b < a; ++b) {
            EXPECT_NE(hsiao::kColumns[a], hsiao::kColumns[b]);
        }
        for (unsigned row = 0; row < 8; ++row) {
            rows[row] += hsiao::kColumns[a] >> row & 1;
        }
    }
    EXPECT_EQ(rows, std::vector<int>(8, 26)); // and the check bit: 27, as in the paper
}

TEST(Hsiao, CorrectsEveryBitAndDetectsEveryPair) {
    EXPECT_EQ(hsiao::decode(0).verdict, hsiao::Verdict::kClean);
    for (unsigned a = 0; a < 64; ++a) {
        const hsiao::Decoded one = hsiao::decode(bit(a));
        EXPECT_EQ(one.verdict, hsiao::Verdict::kCorrected) << a;
        EXPECT_EQ(one.wrong, 0u) << a;
        for (unsigned b = 0; b < a; ++b) {
            EXPECT_EQ(hsiao::decode(bit(a) | bit(b)).verdict, hsiao::Verdict::kUncorrectable)
                << a << " " << b;
        }
    }
}

// Three are never taken for none. Of all triples a share is taken for one: there the word is wrong.
TEST(Hsiao, TakesSomeTriplesForOne) {
    unsigned miscorrected = 0;
    unsigned all = 0;
    for (unsigned a = 0; a < 64; ++a) {
        for (unsigned b = 0; b < a; ++b) {
            for (unsigned c = 0; c < b; ++c, ++all) {
                const hsiao::Decoded three = hsiao::decode(bit(a) | bit(b) | bit(c));
                ASSERT_NE(three.verdict, hsiao::Verdict::kClean);
                if (three.verdict == hsiao::Verdict::kCorrected) {
                    ASSERT_NE(three.wrong, 0u);
                    ++miscorrected;
                }
            }
        }
    }
    EXPECT_GT(miscorrected, all / 3);
    EXPECT_LT(miscorrected, all * 2 / 3);
}

// --- memories ------------------------------------------------------------------------------------

class FakePe final : public PePort {
  public:
    std::uint8_t* local_memory() override { return local; }
    std::uint32_t subgrid_rect() const override { return 0; }
    std::uint64_t read_register(Cycle, std::uint32_t, unsigned) override { return 0; }
    void write_register(Cycle, std::uint32_t, unsigned, std::uint64_t) override {}
    void post_semaphore(Cycle, std::uint32_t, std::uint32_t) override {}

    alignas(64) std::uint8_t local[TALUS_LOCAL_SIZE] = {};
};

class Nobody final : public EventSink {
  public:
    void on_event(const Event&) override {}
};

class EccTest : public testing::Test, public EccListener, public EccGuarded {
  protected:
    explicit EccTest(const std::vector<std::string>& switches = {})
        : config(Config::load(TALUS_CONFIG_FILE, switches)), fabric(config, events),
          ecc(fabric.ecc()) {
        fabric.attach_pe(5, pe);
        ecc.add_listener(*this);
        ecc.set_guarded(this);
    }

    void on_ecc(const EccEvent& event) override {
        fates.push_back(event.fate);
        tickets.insert(tickets.end(), event.tickets.begin(), event.tickets.end());
    }
    void guard_changed(const MemoryWord&) override { ++guard_changes; }
    void before_change() override { ++changes; }

    bool flip(const MemoryWord& word, std::uint64_t bits) { return fabric.flip(word, bits, 7); }
    FabricError read(std::uint64_t addr, unsigned len = 8) {
        value = 0;
        return fabric.read(control, 0, addr, &value, len, nobody, true).error;
    }
    FabricError write(std::uint64_t addr, std::uint64_t to, unsigned len = 8) {
        return fabric.write(control, 0, addr, &to, len, nobody).error;
    }
    using Fates = std::vector<EccFate>;

    Config config;
    EventQueue events;
    Nobody sink;
    const Notify nobody{events.add_unit(sink, "nobody"), 0, 0, 0};
    Fabric fabric;
    Ecc& ecc;
    FakePe pe;
    const Requester control = Requester::hart(0);
    Fates fates;
    std::vector<std::uint64_t> tickets;
    int guard_changes = 0;
    int changes = 0;
    std::uint64_t value = 0;
};

constexpr MemoryWord kLocalWord{TALUS_ECC_LOCAL, 5, 0x1008, false};
constexpr MemoryWord kControlWord{TALUS_ECC_CONTROL_SRAM, 0, 0x8010, false};
constexpr MemoryWord kLlsWord{TALUS_ECC_SHARED_SRAM, 0, 0x200000, false};
constexpr MemoryWord kDramWord{TALUS_ECC_DRAM, 0, 0x4000, false};
constexpr MemoryWord kLlcWord{TALUS_ECC_SHARED_SRAM, 0, 0x4000, true};

TEST_F(EccTest, OneBitIsCorrectedForTheReaderAndInMemory) {
    for (const MemoryWord& word : {kLocalWord, kControlWord, kLlsWord}) {
        fates.clear();
        tickets.clear();
        const EccCounters before = ecc.counters();
        ASSERT_EQ(write(word.address(), 0x1122334455667788), FabricError::kNone);
        EXPECT_TRUE(flip(word, bit(13)));
        EXPECT_TRUE(ecc.any());
        EXPECT_EQ(read(word.address() + 6, 2), FabricError::kNone); // of another part of the word
        EXPECT_EQ(value, 0x1122u);
        EXPECT_FALSE(ecc.any());
        EXPECT_EQ(read(word.address()), FabricError::kNone);
        EXPECT_EQ(value, 0x1122334455667788u);
        EXPECT_EQ(fates, Fates{EccFate::kCorrected}); // once: it was scrubbed
        EXPECT_EQ(tickets, std::vector<std::uint64_t>{7});
        EXPECT_EQ(ecc.counters().corrected[word.memory], before.corrected[word.memory] + 1);
        EXPECT_EQ(ecc.counters().uncorrectable, before.uncorrectable);
    }
    EXPECT_EQ(guard_changes, 6); // comes and goes
    EXPECT_EQ(changes, 0);
}

TEST_F(EccTest, TwoBitsAreDetectedByEveryReaderAndStay) {
    ASSERT_EQ(write(kLlsWord.address(), 5), FabricError::kNone);
    flip(kLlsWord, bit(0) | bit(63));
    EXPECT_EQ(read(kLlsWord.address()), FabricError::kDamaged);
    EXPECT_EQ(read(kLlsWord.address(), 1), FabricError::kDamaged);
    std::uint64_t old = 0;
    const AmoRequest add{AmoOp::kAdd, 8, false, false, kLlsWord.address(), 1};
    EXPECT_EQ(fabric.amo(control, 0, add, old, nobody, true).error, FabricError::kDamaged);
    EXPECT_EQ(trap_cause(FabricError::kDamaged, AccessKind::kStore),
              std::uint64_t{TALUS_CAUSE_HARDWARE_ERROR});
    EXPECT_EQ(ecc.check_read(fabric.lls() + 0x1fff00, 0x1000), kLlsWord.address());
    EXPECT_EQ(read(kLlsWord.address() + 8), FabricError::kNone); // its neighbours
    EXPECT_EQ(read(kLlsWord.address() - 8), FabricError::kNone);
    EXPECT_EQ(fates, Fates(4, EccFate::kUncorrectable));
    EXPECT_EQ(ecc.counters().uncorrectable[TALUS_ECC_SHARED_SRAM], 4u);
    EXPECT_EQ(ecc.counters().corrected[TALUS_ECC_SHARED_SRAM], 0u);
}

TEST_F(EccTest, AWriteOfTheWholeWordEndsTheDamage) {
    flip(kLocalWord, bit(1) | bit(2));
    EXPECT_EQ(write(kLocalWord.address(), 99), FabricError::kNone);
    EXPECT_EQ(fates, Fates{EccFate::kOverwritten});
    EXPECT_EQ(read(kLocalWord.address()), FabricError::kNone);
    EXPECT_EQ(value, 99u);
    EXPECT_EQ(ecc.counters().uncorrectable[TALUS_ECC_LOCAL], 0u);
}

TEST_F(EccTest, AWriteOfAPartReadsTheWordFirst) {
    ASSERT_EQ(write(kControlWord.address(), 0x1111111111111111), FabricError::kNone);
    flip(kControlWord, bit(40));
    EXPECT_EQ(write(kControlWord.address(), 0x22, 1), FabricError::kNone);
    EXPECT_EQ(fates, Fates{EccFate::kCorrected});
    flip(kControlWord, bit(40) | bit(41));
    EXPECT_EQ(write(kControlWord.address() + 4, 0x33, 4), FabricError::kDamaged);
    EXPECT_EQ(write(kControlWord.address() + 8, 0x33, 4), FabricError::kNone); // the next word
    EXPECT_EQ(ecc.counters().uncorrectable[TALUS_ECC_CONTROL_SRAM], 1u);
    EXPECT_EQ(write(kControlWord.address(), 1), FabricError::kNone);
    EXPECT_EQ(read(kControlWord.address()), FabricError::kNone);
    EXPECT_EQ(value, 1u); // nothing of the refused write
}

TEST_F(EccTest, RangesCoverSomeWordsWhollyAndOthersInPart) {
    std::uint8_t* const bytes = fabric.lls();
    for (const std::uint64_t offset : {0x100, 0x108, 0x110, 0x118}) {
        flip({TALUS_ECC_SHARED_SRAM, 0, offset, false}, bit(3) | bit(4));
    }
    // From the middle of the first to the middle of the third.
    EXPECT_EQ(ecc.check_write(bytes + 0x104, 0x10), TALUS_LLS_BASE + 0x100);
    EXPECT_EQ(fates,
              (Fates{EccFate::kOverwritten, EccFate::kUncorrectable, EccFate::kUncorrectable}));
    fates.clear();
    ecc.overwritten(bytes + 0x104, 0x14);
    EXPECT_EQ(fates, Fates{EccFate::kOverwritten});
    fates.clear();
    ecc.forget(bytes + 0x104, 1);
    EXPECT_EQ(fates, Fates{EccFate::kDropped});
    EXPECT_TRUE(ecc.damaged(bytes + 0x11f, 1));
    EXPECT_FALSE(ecc.damaged(bytes + 0x100, 0x18));
}

TEST_F(EccTest, OfThreeBitsTheDecoderMayBeWrong) {
    // Columns 7, 11, 13 of weight 3 add up to 1: that of a check bit.
    unsigned found[3] = {};
    for (unsigned i = 0; i < 64; ++i) {
        for (unsigned k = 0; k < 3; ++k) {
            const unsigned columns[] = {0b111, 0b1011, 0b1101};
            found[k] = hsiao::kColumns[i] == columns[k] ? i : found[k];
        }
    }
    const std::uint64_t bits = bit(found[0]) | bit(found[1]) | bit(found[2]);
    ASSERT_EQ(write(kLlsWord.address(), 0), FabricError::kNone);
    flip(kLlsWord, bits);
    EXPECT_EQ(read(kLlsWord.address()), FabricError::kNone);
    EXPECT_EQ(value, bits); // wrong, and counted as corrected
    EXPECT_EQ(fates, Fates{EccFate::kMiscorrected});
    EXPECT_EQ(ecc.counters().corrected[TALUS_ECC_SHARED_SRAM], 1u);
    EXPECT_EQ(changes, 1); // who holds copies was asked first
}

TEST_F(EccTest, TheSameBitTwiceIsRight) {
    flip(kLlsWord, bit(9));
    flip(kLlsWord, bit(9));
    EXPECT_FALSE(ecc.any());
}

TEST_F(EccTest, WhatIsClearedIsNotDamaged) {
    flip(kLlsWord, bit(9));
    fabric.scrub(TALUS_LLS_BASE + 0x100000, 0x200000);
    EXPECT_EQ(fates, Fates{EccFate::kDropped});
    flip(kControlWord, bit(1) | bit(2));
    EXPECT_EQ(read(kControlWord.address()), FabricError::kDamaged);
    fabric.reset();
    EXPECT_FALSE(ecc.any());
    EXPECT_EQ(ecc.counters().uncorrectable[TALUS_ECC_CONTROL_SRAM], 0u);
}

TEST_F(EccTest, AGuardKnowsWhereThereIsNoDamage) {
    flip(kLocalWord, bit(1) | bit(2));
    flip({TALUS_ECC_LOCAL, 5, 0x1020, false}, bit(1) | bit(2));
    const std::uint8_t* begin = pe.local;
    const std::uint8_t* end = pe.local + TALUS_LOCAL_SIZE;
    ecc.undamaged(pe.local + 0x1012, begin, end);
    EXPECT_EQ(begin - pe.local, 0x1010);
    EXPECT_EQ(end - pe.local, 0x1020);
    begin = pe.local;
    end = pe.local + TALUS_LOCAL_SIZE;
    ecc.undamaged(pe.local + 0x1007, begin, end);
    EXPECT_EQ(begin - pe.local, 0);
    EXPECT_EQ(end - pe.local, 0x1008);
}

TEST_F(EccTest, DebuggersSeeWhatWasWritten) {
    ASSERT_EQ(write(kLlsWord.address(), 77), FabricError::kNone);
    flip(kLlsWord, bit(1) | bit(2));
    EXPECT_EQ(fabric.peek(control, 0, kLlsWord.address(), &value, 8), FabricError::kNone);
    EXPECT_EQ(value, 77u);
    EXPECT_TRUE(ecc.any());
    EXPECT_EQ(fabric.poke(control, 0, kLlsWord.address(), &value, 8), FabricError::kNone);
    EXPECT_FALSE(ecc.any());
}

// --- switched off
// ---------------------------------------------------------------------------------

class NoEccTest : public EccTest {
  protected:
    NoEccTest() : EccTest({"local.ecc=false", "sram.ecc=false", "memory.control_sram_ecc=false"}) {}
};

TEST_F(NoEccTest, FlipsAreSilent) {
    for (const MemoryWord& word : {kLocalWord, kControlWord, kLlsWord, kDramWord}) {
        ASSERT_EQ(write(word.address(), 0), FabricError::kNone);
        EXPECT_TRUE(flip(word, bit(3) | bit(60)));
        EXPECT_FALSE(ecc.any());
        EXPECT_EQ(read(word.address()), FabricError::kNone);
        EXPECT_EQ(value, bit(3) | bit(60));
    }
    EXPECT_TRUE(fates.empty());
}

// --- DRAM and the cache in front of it -----------------------------------------------------------

class DramEccTest : public EccTest {
  protected:
    DramEccTest() : EccTest({"dram.ecc=true", "dram.bytes=60129542144"}) {} // an eighth less

    /// Its line comes into the LLC, clean or dirty.
    void bring_in(std::uint64_t offset, bool dirty) {
        fabric.packet(Requester::pe_unit(5), events.now(), events.now(), TALUS_DRAM_BASE + offset,
                      256, dirty, nobody);
        while (!events.empty()) {
            events.run_next();
        }
        ASSERT_TRUE(fabric.llc().holds(offset));
    }
    /// Lines of the same set replace it.
    void push_out(std::uint64_t offset) {
        const std::uint64_t way = (config.sram.bytes - config.sram.scratch_bytes) / 16;
        for (std::uint64_t other = 1; fabric.llc().holds(offset) && other < 4000; ++other) {
            fabric.packet(Requester::pe_unit(5), events.now(), events.now(),
                          TALUS_DRAM_BASE + offset + other * way, 256, false, nobody);
            while (!events.empty()) {
                events.run_next();
            }
        }
        ASSERT_FALSE(fabric.llc().holds(offset));
    }
};

TEST_F(DramEccTest, DramIsProtectedIfItsControllersComputeIt) {
    flip(kDramWord, bit(5));
    EXPECT_EQ(read(kDramWord.address()), FabricError::kNone);
    flip(kDramWord, bit(5) | bit(6));
    EXPECT_EQ(read(kDramWord.address()), FabricError::kDamaged);
    EXPECT_EQ(ecc.counters().corrected[TALUS_ECC_DRAM], 1u);
    EXPECT_EQ(ecc.counters().uncorrectable[TALUS_ECC_DRAM], 1u);
}

TEST_F(DramEccTest, ALineOfTheCacheHidesWhatIsBehindIt) {
    bring_in(kDramWord.offset, false);
    flip(kDramWord, bit(5) | bit(6));
    EXPECT_EQ(read(kDramWord.address()), FabricError::kNone);
    EXPECT_TRUE(fates.empty());
    push_out(kDramWord.offset);
    EXPECT_EQ(read(kDramWord.address()), FabricError::kDamaged);
}

TEST_F(DramEccTest, AWriteBackOverwritesWhatIsBehindIt) {
    bring_in(kDramWord.offset, true);
    flip(kDramWord, bit(5) | bit(6));
    push_out(kDramWord.offset);
    EXPECT_EQ(fates, Fates{EccFate::kOverwritten});
    EXPECT_EQ(read(kDramWord.address()), FabricError::kNone);
}

TEST_F(DramEccTest, WordsOfTheCacheAreCheckedAsLongAsTheyAreThere) {
    EXPECT_FALSE(flip(kLlcWord, bit(1))); // not there
    bring_in(kLlcWord.offset, false);
    EXPECT_TRUE(flip(kLlcWord, bit(1)));
    EXPECT_EQ(read(kLlcWord.address()), FabricError::kNone);
    EXPECT_EQ(ecc.counters().corrected[TALUS_ECC_SHARED_SRAM], 1u);
    flip(kLlcWord, bit(1) | bit(2));
    EXPECT_EQ(read(kLlcWord.address()), FabricError::kDamaged);
    EXPECT_EQ(ecc.counters().uncorrectable[TALUS_ECC_SHARED_SRAM], 1u);
    push_out(kLlcWord.offset); // DRAM has it still
    EXPECT_EQ(fates.back(), EccFate::kDropped);
    EXPECT_EQ(read(kLlcWord.address()), FabricError::kNone);
}

TEST_F(DramEccTest, ADirtyLineIsCheckedOnItsWayToDram) {
    bring_in(kLlcWord.offset, true);
    flip(kLlcWord, bit(1));
    push_out(kLlcWord.offset);
    EXPECT_EQ(fates, Fates{EccFate::kCorrected});
    bring_in(kLlcWord.offset, true);
    flip(kLlcWord, bit(1) | bit(2));
    push_out(kLlcWord.offset);
    EXPECT_EQ(fates.back(), EccFate::kUncorrectable);
    // The data are lost; DRAM knows that they are.
    EXPECT_EQ(read(kLlcWord.address()), FabricError::kDamaged);
    EXPECT_EQ(ecc.counters().uncorrectable[TALUS_ECC_DRAM], 1u);
}

// --- checkpoints
// ----------------------------------------------------------------------------------

TEST_F(DramEccTest, ACheckpointHasTheDamage) {
    const std::string path = testing::TempDir() + "ecc_checkpoint";
    flip(kDramWord, bit(5) | bit(6));
    flip(kControlWord, bit(5));
    flip(kLocalWord, bit(7) | bit(8));
    EXPECT_EQ(read(kControlWord.address()), FabricError::kNone);
    EXPECT_EQ(read(kLocalWord.address()), FabricError::kDamaged);
    const CheckpointIdentity identity{1, 2, {}};
    const auto with = [&](Checkpoint::Direction direction, Ecc& one, Fabric& of) {
        Checkpoint state(direction, path, identity);
        one.checkpoint(state, [&](const MemoryWord& word) { return of.bytes_of(word); });
        state.finish();
    };
    with(Checkpoint::Direction::kSave, ecc, fabric);
    EventQueue other_events;
    Fabric other(config, other_events);
    FakePe other_pe;
    other.attach_pe(5, other_pe);
    other.flip(kLlsWord, bit(1), 0); // goes
    with(Checkpoint::Direction::kRestore, other.ecc(), other);
    EXPECT_EQ(other.ecc().counters().corrected[TALUS_ECC_CONTROL_SRAM], 1u);
    EXPECT_TRUE(other.ecc().read(other.control_sram() + kControlWord.offset, 8));
    EXPECT_TRUE(other.ecc().read(other.lls() + kLlsWord.offset, 8));
    EXPECT_FALSE(other.ecc().read(other.dram() + kDramWord.offset, 8));
    EXPECT_FALSE(other.ecc().read(other_pe.local + kLocalWord.offset, 8));
    EXPECT_EQ(other.ecc().counters().uncorrectable[TALUS_ECC_LOCAL], 2u);
}

} // namespace
} // namespace talus::sim
