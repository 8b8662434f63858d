/* Performance counters, and the record that a LAUNCH leaves on request. */
#ifndef TALUS_HW_PERF_H
#define TALUS_HW_PERF_H

#include "common.h"
#include "work.h"

/* Every counter is 64 bits wide and counts from reset. X(name, index, scope, unit, meaning)
 *   pe:   of the PEs of the sub-grid, summed
 *   chip: of the whole chip: jobs that run side by side share it
 *
 * A unit's time is ACTIVE (a command is under way), or WAIT_* (none is, and the first command of a
 * queue waits: for data in a CB, for space in a CB, for earlier commands on its RE bank), or else
 * idle (nothing to do). BUSY is the part of its throughput that was used: BUSY <= ACTIVE, except that
 * it is booked when a command begins. A core's time is RUN, one of WAIT_*, or WFI. */
#define TALUS_PERF_UNIT_COUNTERS(X, unit, base, text)                                              \
    X(TALUS_PERF_##unit##_COMMANDS, (base) + 0, pe, count, text ": commands issued")               \
    X(TALUS_PERF_##unit##_BUSY, (base) + 1, pe, clocks, text ": throughput taken")                 \
    X(TALUS_PERF_##unit##_ACTIVE, (base) + 2, pe, clocks, text ": a command is under way")         \
    X(TALUS_PERF_##unit##_WAIT_DATA, (base) + 3, pe, clocks, text ": waits for data in a CB")      \
    X(TALUS_PERF_##unit##_WAIT_SPACE, (base) + 4, pe, clocks, text ": waits for space in a CB")    \
    X(TALUS_PERF_##unit##_WAIT_BANK, (base) + 5, pe, clocks, text ": waits for an RE bank")        \
    X(TALUS_PERF_##unit##_BYTES, (base) + 6, pe, bytes, text ": local memory read and written")
#define TALUS_PERF_UNIT_STRIDE 7

#define TALUS_PERF_CORE_COUNTERS(X, core, base, text)                                              \
    X(TALUS_PERF_##core##_RETIRED, (base) + 0, pe, count, text ": instructions retired")           \
    X(TALUS_PERF_##core##_RUN, (base) + 1, pe, clocks, text ": executes")                          \
    X(TALUS_PERF_##core##_WFI, (base) + 2, pe, clocks, text ": in WFI")                            \
    X(TALUS_PERF_##core##_WAIT_QUEUE, (base) + 3, pe, clocks, text ": waits for room in a queue")  \
    X(TALUS_PERF_##core##_WAIT_DATA, (base) + 4, pe, clocks, text ": waits for data in a CB")      \
    X(TALUS_PERF_##core##_WAIT_SPACE, (base) + 5, pe, clocks, text ": waits for space in a CB")    \
    X(TALUS_PERF_##core##_WAIT_SEMAPHORE, (base) + 6, pe, clocks, text ": waits for a semaphore")  \
    X(TALUS_PERF_##core##_WAIT_DRAIN, (base) + 7, pe, clocks, text ": waits for its commands")     \
    X(TALUS_PERF_##core##_FETCH_MISSES, (base) + 8, pe, count, text ": instruction cache misses")  \
    X(TALUS_PERF_##core##_FETCH_CLOCKS, (base) + 9, pe, clocks, text ": of RUN, filling the instruction cache")
#define TALUS_PERF_CORE_STRIDE 10

#define TALUS_PERF_COUNTERS(X)                                                                     \
    TALUS_PERF_UNIT_COUNTERS(X, FI_IN, 0, "FI, inbound")                                           \
    TALUS_PERF_UNIT_COUNTERS(X, FI_OUT, 7, "FI, outbound")                                         \
    TALUS_PERF_UNIT_COUNTERS(X, MLU, 14, "MLU")                                                    \
    TALUS_PERF_UNIT_COUNTERS(X, DPE, 21, "DPE")                                                    \
    TALUS_PERF_UNIT_COUNTERS(X, RE, 28, "RE")                                                      \
    TALUS_PERF_UNIT_COUNTERS(X, SE, 35, "SE")                                                      \
    TALUS_PERF_CORE_COUNTERS(X, A, 42, "core A")                                                   \
    TALUS_PERF_CORE_COUNTERS(X, B, 52, "core B")                                                   \
    X(TALUS_PERF_MACS, 62, pe, count, "DPE: multiply-accumulates done")                            \
    X(TALUS_PERF_SRAM_READ_BYTES, 63, chip, bytes, "shared SRAM: read")                            \
    X(TALUS_PERF_SRAM_WRITE_BYTES, 64, chip, bytes, "shared SRAM: written")                        \
    X(TALUS_PERF_DRAM_READ_BYTES, 65, chip, bytes, "DRAM: read")                                   \
    X(TALUS_PERF_DRAM_WRITE_BYTES, 66, chip, bytes, "DRAM: written")                               \
    X(TALUS_PERF_DRAM_ROW_HITS, 67, chip, count, "DRAM: accesses to an open row")                  \
    X(TALUS_PERF_DRAM_ROW_MISSES, 68, chip, count, "DRAM: accesses that had to open a row")        \
    X(TALUS_PERF_PE_TO_PE_BYTES, 69, chip, bytes, "NoC: between PEs")                              \
    X(TALUS_PERF_PCIE_IN_BYTES, 70, chip, bytes, "PCIe: from the host")                            \
    X(TALUS_PERF_PCIE_OUT_BYTES, 71, chip, bytes, "PCIe: to the host")                             \
    X(TALUS_PERF_DPE_ENERGY, 72, pe, nanojoules, "DPE: multiply-accumulates")                      \
    X(TALUS_PERF_SE_ENERGY, 73, pe, nanojoules, "SE: its operations, drains' included")            \
    X(TALUS_PERF_RE_ENERGY, 74, pe, nanojoules, "RE and the reduction network")                    \
    X(TALUS_PERF_LOCAL_ENERGY, 75, pe, nanojoules, "local memory, for the units")                  \
    X(TALUS_PERF_NOC_ENERGY, 76, chip, nanojoules, "NoC")                                          \
    X(TALUS_PERF_CORE_ENERGY, 77, pe, nanojoules, "cores A and B")                                 \
    X(TALUS_PERF_SRAM_ENERGY, 78, chip, nanojoules, "shared SRAM")                                 \
    X(TALUS_PERF_DRAM_ENERGY, 79, chip, nanojoules, "DRAM")                                        \
    X(TALUS_PERF_PCIE_ENERGY, 80, chip, nanojoules, "PCIe, GZIP engine")                           \
    X(TALUS_PERF_CONTROL_ENERGY, 81, chip, nanojoules, "control cores")                            \
    X(TALUS_PERF_IDLE_ENERGY, 82, chip, nanojoules, "idle power, over the time")
#define TALUS_PERF_VALUE(name, index, ...) name = (index),
enum talus_perf_counter { TALUS_PERF_COUNTERS(TALUS_PERF_VALUE) TALUS_PERF_COUNT = 83 };

/* Written by the hardware (registers.h GRID_PERF_TO): the counters of a sub-grid, and how much they
 * could have been. As a LAUNCH's record, all are differences over its execution: from before the
 * broadcast of its descriptor to the control core's notice that the last PE is done. */
struct talus_perf_record {
    uint32_t magic; /* TALUS_PERF_MAGIC */
    uint32_t count; /* of counters that follow: TALUS_PERF_COUNT */
    uint64_t begin; /* device clock; of a sample: of reset, 0 */
    uint64_t end;   /* device clock */
    uint32_t pes;   /* of the sub-grid */
    uint32_t clock_khz;
    /* What each could have moved in [begin, end). */
    uint64_t local_peak_bytes; /* local memory of all PEs of the sub-grid */
    uint64_t sram_peak_bytes;  /* shared SRAM, reads and writes together */
    uint64_t dram_peak_bytes;  /* all channels */
    uint64_t pcie_peak_bytes;  /* one direction */
    uint64_t counters[120];    /* by enum talus_perf_counter; 0 from `count` on */
};
#define TALUS_PERF_MAGIC 0x46524550u /* "PERF" */
#define TALUS_PERF_RECORD_BYTES 1024u
TALUS_ASSERT_SIZE(talus_perf_record, 1024);
TALUS_ASSERT_OFFSET(talus_perf_record, pes, 24);
TALUS_ASSERT_OFFSET(talus_perf_record, counters, 64);
TALUS_STATIC_ASSERT(TALUS_PERF_COUNT <= 120, "the counters fit the record");
TALUS_STATIC_ASSERT(TALUS_JOBS_OFFSET + TALUS_MAX_JOBS * 256u <= TALUS_PE_BOOT_OFFSET,
                    "job records fit their area");
TALUS_STATIC_ASSERT(TALUS_PERF_OFFSET + TALUS_MAX_JOBS * TALUS_PERF_RECORD_BYTES <=
                        TALUS_ROM_DATA_OFFSET,
                    "samples of all jobs fit their area");

#endif
