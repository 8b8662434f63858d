/* Device address map (physical; the same for every core unless a row says "own"). */
#ifndef TALUS_HW_ADDRESS_MAP_H
#define TALUS_HW_ADDRESS_MAP_H

#include "common.h"

/* Limits of the contract; the configuration (sim/config) may use less. */
#define TALUS_MAX_ROWS 16u
#define TALUS_MAX_COLS 16u
#define TALUS_CONTROL_HARTS 4u
#define TALUS_CORES_PER_PE 2u
#define TALUS_CORE_A 0u /* scalar: data movement */
#define TALUS_CORE_B 1u /* scalar + vector: compute */

/* mhartid: control harts first, then PE cores. pe = physical row * grid columns + column. */
#define TALUS_HART_OF(pe, core) (TALUS_CONTROL_HARTS + TALUS_CORES_PER_PE * (pe) + (core))

#define TALUS_ROM_BASE 0x00010000ull
#define TALUS_ROM_SIZE 0x00010000ull
#define TALUS_LOCAL_BASE 0x10000000ull
#define TALUS_LOCAL_SIZE 0x00060000ull
#define TALUS_PE_REGS_BASE 0x20000000ull
#define TALUS_PE_REGS_SIZE 0x00010000ull
#define TALUS_CONTROL_SRAM_BASE 0x30000000ull
#define TALUS_CONTROL_SRAM_SIZE 0x00400000ull
#define TALUS_LLS_BASE 0x40000000ull
#define TALUS_LLS_SIZE 0x10000000ull
#define TALUS_STAGING_BASE 0x50000000ull
#define TALUS_STAGING_SIZE 0x04000000ull
#define TALUS_SYSTEM_BASE 0x60000000ull
#define TALUS_SYSTEM_SIZE 0x00100000ull
#define TALUS_PE_WINDOW_BASE 0x80000000ull
#define TALUS_PE_WINDOW_SIZE 0x10000000ull
#define TALUS_SUBGRID_BASE 0xC0000000ull
#define TALUS_SUBGRID_SIZE 0x10000000ull
#define TALUS_DRAM_BASE 0x1000000000ull
#define TALUS_DRAM_SIZE 0x1000000000ull

/* X(name, base, size, description) */
#define TALUS_ADDRESS_MAP(X) \
    X(TALUS_ROM, TALUS_ROM_BASE, TALUS_ROM_SIZE, "boot ROM; control harts reset here") \
    X(TALUS_LOCAL, TALUS_LOCAL_BASE, TALUS_LOCAL_SIZE, "own PE's local memory, 384 KiB; uncached") \
    X(TALUS_PE_REGS, TALUS_PE_REGS_BASE, TALUS_PE_REGS_SIZE, "own PE's registers (registers.h)") \
    X(TALUS_CONTROL_SRAM, TALUS_CONTROL_SRAM_BASE, TALUS_CONTROL_SRAM_SIZE, "control subsystem's SRAM, 4 MiB") \
    X(TALUS_LLS, TALUS_LLS_BASE, TALUS_LLS_SIZE, "shared SRAM as scratch, up to 256 MiB; never evicted") \
    X(TALUS_STAGING, TALUS_STAGING_BASE, TALUS_STAGING_SIZE, "staging RAM behind BAR4, 64 MiB") \
    X(TALUS_SYSTEM, TALUS_SYSTEM_BASE, TALUS_SYSTEM_SIZE, "system registers; control harts only") \
    X(TALUS_PE_WINDOW, TALUS_PE_WINDOW_BASE, TALUS_PE_WINDOW_SIZE, "absolute PE windows, 1 MiB each; control only") \
    X(TALUS_SUBGRID, TALUS_SUBGRID_BASE, TALUS_SUBGRID_SIZE, "PE windows relative to the own sub-grid") \
    X(TALUS_DRAM, TALUS_DRAM_BASE, TALUS_DRAM_SIZE, "off-chip memory, up to 64 GiB")

/* Absolute PE window: TALUS_PE_WINDOW_BASE + pe * stride: local memory at +0, registers at +512 KiB.
 * Sub-grid window: TALUS_SUBGRID_BASE + (row * TALUS_MAX_COLS + col) * stride, same layout; row and
 * col are relative to the sub-grid of the job, translated by SUBGRID registers of the issuing PE. An
 * access outside the sub-grid faults. */
#define TALUS_PE_WINDOW_STRIDE 0x100000ull
#define TALUS_PE_WINDOW_REGS 0x80000ull

/* Control SRAM. The PE runtime and kernels are linked for, or placed in, LLS. */
#define TALUS_INBOX_OFFSET 0x000000u   /* queue engine's inbox: queue.h talus_inbox_slot[] */
#define TALUS_OUTBOX_OFFSET 0x010000u  /* queue engine's outbox: queue.h talus_outbox_slot[] */
#define TALUS_JOBS_OFFSET 0x020000u    /* work.h talus_job_record[TALUS_MAX_JOBS] */
#define TALUS_PE_BOOT_OFFSET 0x028000u /* work.h struct talus_pe_boot */
#define TALUS_PERF_OFFSET 0x030000u    /* perf.h talus_perf_record[TALUS_MAX_JOBS]: at launch */
#define TALUS_ROM_DATA_OFFSET 0x0f0000u /* 64 KiB: the ROM's variables and stack */
#define TALUS_CONTROL_IMAGE_OFFSET 0x100000u /* control firmware is linked here; stack: last 64 KiB */

/* LLS: the first 1 MiB belongs to firmware (PE runtime image), the rest to the driver. */
#define TALUS_LLS_FIRMWARE_SIZE 0x100000u

/* A PE's own local memory: kernels own [0, TALUS_LOCAL_KERNEL_BYTES); the runtime the rest. */
#define TALUS_LOCAL_KERNEL_BYTES 0x58000u /* 352 KiB */
#define TALUS_LOCAL_RUNTIME_OFFSET 0x58000u
#define TALUS_LOCAL_WQ_OFFSET 0x58000u  /* work-queue slots: TALUS_WQ_SLOTS * TALUS_WQ_SLOT_BYTES */
#define TALUS_LOCAL_DATA_OFFSET 0x5c000u /* runtime data and log */
#define TALUS_LOCAL_STACK_A_TOP 0x5e000u /* 4 KiB below: core A's stack (0x5d000..) */
#define TALUS_LOCAL_STACK_B_TOP 0x60000u /* 8 KiB below: core B's stack (vector spills) */

/* Off-chip memory: all of it belongs to the driver. */

TALUS_STATIC_ASSERT(0x40000000 - 0x10000000 < 0x80000000ll,
                    "local memory within +-2 GiB of text in LLS (medany)");

#endif
