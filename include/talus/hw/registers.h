/* Register map: rows of X(name, offset, reset value, access, meaning). Offsets are in bytes from the
 * block's base; registers are 32 bits wide and naturally aligned unless a row says 64. Access: ro, rw,
 * wo, w1c. Unlisted offsets read 0 and ignore writes. */
#ifndef TALUS_HW_REGISTERS_H
#define TALUS_HW_REGISTERS_H

#include "address_map.h"
#include "common.h"
#include "pci.h"

#define TALUS_REGISTER_VALUE(name, offset, ...) name = (offset),

#define TALUS_MAGIC 0x534c4154u /* "TALS" */
#define TALUS_ABI_VERSION 0x00010000u /* major << 16 | minor; the major is the frozen page's */

/* --- BAR0, frozen page (TALUS_BAR0_FROZEN): for any driver and any firmware, for ever ------------- */
#define TALUS_FROZEN_REGISTERS(X)                                                                  \
    X(FROZEN_MAGIC, 0x000, TALUS_MAGIC, ro, "TALUS_MAGIC")                                         \
    X(FROZEN_ABI_VERSION, 0x004, TALUS_ABI_VERSION, ro, "major << 16 | minor")                     \
    X(FROZEN_CONTRACT_LO, 0x008, 0, ro, "contract hash of the hardware, bits 31:0")                \
    X(FROZEN_CONTRACT_HI, 0x00c, 0, ro, "bits 63:32")                                              \
    X(FROZEN_CAP, 0x010, 0, ro, "TALUS_CAP_*")                                                     \
    X(FROZEN_GENERATION, 0x014, 2, ro, "2 = t2")                                                   \
    X(FROZEN_BOOT_STATE, 0x018, 0, ro, "mailbox.h enum talus_boot_state")                          \
    X(FROZEN_POST_CODE, 0x01c, 0, ro, "last checkpoint of ROM or firmware")                        \
    X(FROZEN_RESET_EPOCH, 0x020, 0, ro, "counts resets of any kind, from 1")                       \
    X(FROZEN_FAIL_CODE, 0x024, 0, ro, "status.h; why BOOT_STATE is FAILED or PANIC")               \
    X(FROZEN_RESET, 0x028, 0, wo, "TALUS_RESET_MAGIC: fundamental reset, back to ROM")             \
    X(FROZEN_MB_COMMAND, 0x040, 0, rw, "mailbox.h; writing it rings the mailbox")                  \
    X(FROZEN_MB_STATUS, 0x044, 0, ro, "mailbox.h")                                                 \
    X(FROZEN_MB_ARG0, 0x048, 0, rw, "")                                                            \
    X(FROZEN_MB_ARG1, 0x04c, 0, rw, "")                                                            \
    X(FROZEN_MB_ARG2, 0x050, 0, rw, "")                                                            \
    X(FROZEN_MB_ARG3, 0x054, 0, rw, "")                                                            \
    X(FROZEN_MB_RESULT0, 0x058, 0, ro, "")                                                         \
    X(FROZEN_MB_RESULT1, 0x05c, 0, ro, "")
enum talus_frozen_register { TALUS_FROZEN_REGISTERS(TALUS_REGISTER_VALUE) FROZEN_END = 0x1000 };

#define TALUS_RESET_MAGIC 0x52455354u /* "TSER" */

/* FROZEN_CAP */
#define TALUS_CAP_SHADOW 0x00000001u    /* shadow doorbells are understood */
#define TALUS_CAP_SIMULATED 0x00000002u /* this is a model, not silicon */
#define TALUS_CAP_GZIP 0x00000004u      /* copies inflate gzip members: queue.h TALUS_COPY_GZIP */

/* --- BAR0, controller registers (TALUS_BAR0_CONTROLLER) ------------------------------------------ */
#define TALUS_CONTROLLER_REGISTERS(X)                                                              \
    X(CTRL_ENABLE, 0x00, 0, rw, "1: enable the admin queue (BOOT_STATE READY); 0: disable, all queues die") \
    X(CTRL_STATUS, 0x04, 0, ro, "bit 0 RDY: admin queue live; bit 1 fatal")                        \
    X(CTRL_AQ_ENTRIES, 0x08, 0, rw, "admin ring entries, power of two, 2..1024")                   \
    X(CTRL_AQ_VECTOR, 0x0c, 0, rw, "MSI-X vector of the admin completions")                        \
    X(CTRL_ASQ_LO, 0x10, 0, rw, "IOVA of the admin submission ring; 4 KiB aligned")                \
    X(CTRL_ASQ_HI, 0x14, 0, rw, "")                                                                \
    X(CTRL_ACQ_LO, 0x18, 0, rw, "IOVA of the admin completion ring; 4 KiB aligned, zeroed")        \
    X(CTRL_ACQ_HI, 0x1c, 0, rw, "")
enum talus_controller_register { TALUS_CONTROLLER_REGISTERS(TALUS_REGISTER_VALUE) CTRL_END = 0x1000 };
#define TALUS_STATUS_RDY 0x1u
#define TALUS_STATUS_FATAL 0x2u

/* --- Memories with ECC: it corrects one wrong bit of a word of 64 and detects two ---------------- */
/* X(name, value, meaning) */
#define TALUS_ECC_CLASSES(X)                                                                       \
    X(TALUS_ECC_LOCAL, 0, "local memory of the PEs")                                               \
    X(TALUS_ECC_CONTROL_SRAM, 1, "control SRAM")                                                   \
    X(TALUS_ECC_SHARED_SRAM, 2, "shared SRAM: scratch (LLS) and cache (LLC)")                      \
    X(TALUS_ECC_DRAM, 3, "off-chip memory, if its controllers compute ECC")
enum talus_ecc_memory { TALUS_ECC_CLASSES(TALUS_ENUM_VALUE) TALUS_ECC_MEMORIES = 4 };

/* --- BAR0, status page (TALUS_BAR0_STATUS_PAGE): mappable, read-only, no side effects ------------- */
struct talus_status_page {
    uint64_t device_clock;  /* clocks since reset; a snapshot, never goes back within an epoch */
    uint64_t heartbeat;     /* counts beats of the control firmware */
    uint64_t heartbeat_clock; /* device_clock of the last beat */
    uint32_t clock_khz;
    uint32_t parked;        /* simulator: 1 = nothing runs until the host writes (a hint) */
    uint32_t boot_state;    /* copies of the frozen page, readable without a trap */
    uint32_t post_code;
    uint32_t reset_epoch;
    uint32_t fail_code;
    int32_t temperature_mc; /* junction, thousandths of a degree Celsius, as modelled */
    uint32_t power_mw;      /* card, as modelled */
    uint64_t commands_done; /* completions posted since reset */
    uint64_t log_written;   /* copy of talus_log_header.written */
    uint32_t held;          /* simulator: 1 = a debugger holds the device; its clock stands still */
    uint32_t free_running;  /* simulator: 1 = its clock goes on without regard to the host's (a hint) */
    uint64_t energy_uj;     /* microjoules that work has cost since reset, beyond idle power */
    uint32_t unit_clock_khz; /* step at which the PEs' units run; clock_khz: the full one */
    uint32_t clock_reason;  /* why it is what it is: TALUS_CLOCK_* */
    uint64_t ecc_corrected[TALUS_ECC_MEMORIES]; /* by enum talus_ecc_memory: copies of ECC_CORRECTED */
    uint64_t ecc_uncorrectable[TALUS_ECC_MEMORIES]; /* and of ECC_UNCORRECTABLE */
};
#define TALUS_CLOCK_FULL 0u
#define TALUS_CLOCK_POWER_CAP 1u
TALUS_ASSERT_SIZE(talus_status_page, 160);
TALUS_ASSERT_OFFSET(talus_status_page, clock_khz, 24);
TALUS_ASSERT_OFFSET(talus_status_page, temperature_mc, 48);
TALUS_ASSERT_OFFSET(talus_status_page, commands_done, 56);
TALUS_ASSERT_OFFSET(talus_status_page, ecc_corrected, 96);

/* --- System registers (TALUS_SYSTEM_BASE + block) ------------------------------------------------- */
#define TALUS_SYS_INFO 0x00000u
#define TALUS_SYS_UART 0x10000u
#define TALUS_SYS_CLINT 0x20000u
#define TALUS_SYS_INTC 0x30000u
#define TALUS_SYS_DMA 0x40000u
#define TALUS_SYS_QE 0x50000u
#define TALUS_SYS_HOSTIF 0x60000u
#define TALUS_SYS_GRID 0x70000u
#define TALUS_SYS_SENSORS 0x80000u
#define TALUS_SYS_ECC 0x90000u

#define TALUS_SYS_INFO_REGISTERS(X)                                                                \
    X(INFO_GENERATION, 0x00, 2, ro, "")                                                            \
    X(INFO_ROWS, 0x04, 8, ro, "usable grid rows")                                                  \
    X(INFO_COLS, 0x08, 8, ro, "usable grid columns")                                               \
    X(INFO_CLOCK_KHZ, 0x0c, 1350000, ro, "")                                                       \
    X(INFO_LLS_BYTES_LO, 0x10, 0, ro, "shared SRAM configured as scratch")                         \
    X(INFO_LLS_BYTES_HI, 0x14, 0, ro, "")                                                          \
    X(INFO_DRAM_BYTES_LO, 0x18, 0, ro, "")                                                         \
    X(INFO_DRAM_BYTES_HI, 0x1c, 0, ro, "")                                                         \
    X(INFO_SERIAL_LO, 0x20, 0, ro, "card serial number (PCIe DSN)")                                \
    X(INFO_SERIAL_HI, 0x24, 0, ro, "")                                                             \
    X(INFO_CONTRACT_LO, 0x28, 0, ro, "contract hash of the hardware")                              \
    X(INFO_CONTRACT_HI, 0x2c, 0, ro, "")
enum talus_info_register { TALUS_SYS_INFO_REGISTERS(TALUS_REGISTER_VALUE) INFO_END = 0x1000 };

#define TALUS_UART_REGISTERS(X)                                                                    \
    X(UART_TX, 0x00, 0, wo, "byte to send")                                                        \
    X(UART_RX, 0x04, 0, ro, "byte received; bit 31 set when none")                                 \
    X(UART_STATUS, 0x08, 1, ro, "bit 0 room to send, bit 1 byte received")
enum talus_uart_register { TALUS_UART_REGISTERS(TALUS_REGISTER_VALUE) UART_END = 0x1000 };

/* CLINT: MSIP of hart h at +4*h; MTIMECMP (64) at +0x4000 + 8*h; MTIME (64) at +0xbff8. MTIME counts
 * device clocks. PE cores reach their own MSIP and the control harts' through this block as well. */
#define CLINT_MSIP 0x0000u
#define CLINT_MTIMECMP 0x4000u
#define CLINT_MTIME 0xbff8u

#define TALUS_INTC_REGISTERS(X)                                                                    \
    X(INTC_PENDING, 0x00, 0, w1c, "bit per source (interrupts.h); level MEIP while & INTC_ENABLE") \
    X(INTC_ENABLE, 0x04, 0, rw, "")
enum talus_intc_register { TALUS_INTC_REGISTERS(TALUS_REGISTER_VALUE) INTC_END = 0x1000 };

/* DMA engines: channel c at + c * DMA_STRIDE. Writing DMA_START begins; the channel raises
 * TALUS_IRQ_DMA0 + c when DMA_STATUS shows done. Registers must not change while busy. */
#define TALUS_DMA_CHANNELS 4u
#define DMA_STRIDE 0x100u
#define TALUS_DMA_REGISTERS(X)                                                                     \
    X(DMA_HOST, 0x00, 0, rw, "64: host IOVA, or of the scatter list; D2D: source device address")  \
    X(DMA_DEVICE, 0x08, 0, rw, "64: device address; D2D: destination")                             \
    X(DMA_BYTES, 0x10, 0, rw, "64: bytes in all; TALUS_COPY_GZIP: the most that may be written")   \
    X(DMA_SGL_COUNT, 0x18, 0, rw, "entries of the list when DMA_KIND has TALUS_COPY_SGL")          \
    X(DMA_KIND, 0x1c, 0, rw, "queue.h TALUS_COPY_*")                                               \
    X(DMA_DOMAIN, 0x20, 0, rw, "domain against whose windows the job is checked")                  \
    X(DMA_START, 0x24, 0, wo, "1 starts")                                                          \
    X(DMA_STATUS, 0x28, 0, ro, "bit 0 busy, bit 1 done, bits 31:16 status.h code")                 \
    X(DMA_GZIP_BYTES, 0x30, 0, rw, "64: bytes of the member when DMA_KIND has TALUS_COPY_GZIP")    \
    X(DMA_WRITTEN, 0x38, 0, ro, "64: bytes that have reached their destination")
enum talus_dma_register { TALUS_DMA_REGISTERS(TALUS_REGISTER_VALUE) DMA_END = 0x100 };
#define TALUS_DMA_BUSY 1u
#define TALUS_DMA_DONE 2u

/* Queue engine. Per-queue block at + QE_QUEUE + qid * QE_QUEUE_STRIDE; written by firmware while the
 * queue is disabled. */
#define TALUS_QE_REGISTERS(X)                                                                      \
    X(QE_INBOX_TAIL, 0x00, 0, ro, "slots written so far (free-running)")                           \
    X(QE_INBOX_HEAD, 0x04, 0, rw, "slots consumed by firmware; the engine may reuse them")         \
    X(QE_OUTBOX_TAIL, 0x08, 0, rw, "slots written by firmware; the write starts the engine")       \
    X(QE_OUTBOX_HEAD, 0x0c, 0, ro, "slots posted to host memory so far")                           \
    X(QE_SHADOW_LO, 0x10, 0, rw, "IOVA of the shadow doorbell page; 0 = off")                      \
    X(QE_SHADOW_HI, 0x14, 0, rw, "")                                                               \
    X(QE_EVENT_LO, 0x18, 0, rw, "IOVA of the event index page")                                    \
    X(QE_EVENT_HI, 0x1c, 0, rw, "")                                                                \
    X(QE_WINDOW_INDEX, 0x20, 0, rw, "domain * TALUS_WINDOWS_PER_DOMAIN + window")                  \
    X(QE_WINDOW_ACCESS, 0x24, 0, rw, "TALUS_WINDOW_READ | _WRITE | _DEVICE; writing it commits the window") \
    X(QE_WINDOW_IOVA, 0x28, 0, rw, "64: or device address")                                        \
    X(QE_WINDOW_LENGTH, 0x30, 0, rw, "64: 0 closes")
enum talus_qe_register { TALUS_QE_REGISTERS(TALUS_REGISTER_VALUE) QE_QUEUE = 0x1000 };
#define QE_QUEUE_STRIDE 0x40u
#define TALUS_QE_QUEUE_REGISTERS(X)                                                                \
    X(QEQ_SQ_IOVA, 0x00, 0, rw, "64")                                                              \
    X(QEQ_CQ_IOVA, 0x08, 0, rw, "64")                                                              \
    X(QEQ_ENTRIES, 0x10, 0, rw, "of both rings")                                                   \
    X(QEQ_VECTOR, 0x14, 0, rw, "MSI-X vector")                                                     \
    X(QEQ_DOMAIN, 0x18, 0, rw, "domain of the commands; rings themselves are fetched as domain 0") \
    X(QEQ_IRQ_ENABLE, 0x1c, 0, rw, "1: MSI-X with each drained completion batch")                  \
    X(QEQ_ENABLE, 0x20, 0, rw, "1 starts (head, tail, phase reset), 0 stops and drops fetched-ahead work") \
    X(QEQ_SQ_HEAD, 0x24, 0, ro, "")                                                                \
    X(QEQ_CQ_TAIL, 0x28, 0, ro, "")
enum talus_qe_queue_register { TALUS_QE_QUEUE_REGISTERS(TALUS_REGISTER_VALUE) QEQ_END = 0x40 };

/* Host interface, device side: writes show in BAR0 and the status page. */
#define TALUS_HOSTIF_REGISTERS(X)                                                                  \
    X(HOSTIF_BOOT_STATE, 0x00, 0, rw, "")                                                          \
    X(HOSTIF_POST_CODE, 0x04, 0, rw, "")                                                           \
    X(HOSTIF_FAIL_CODE, 0x08, 0, rw, "")                                                           \
    X(HOSTIF_RESET_EPOCH, 0x0c, 0, ro, "")                                                         \
    X(HOSTIF_MB_COMMAND, 0x10, 0, ro, "as written by the host")                                    \
    X(HOSTIF_MB_STATUS, 0x14, 0, rw, "")                                                           \
    X(HOSTIF_MB_ARG0, 0x18, 0, ro, "")                                                             \
    X(HOSTIF_MB_ARG1, 0x1c, 0, ro, "")                                                             \
    X(HOSTIF_MB_ARG2, 0x20, 0, ro, "")                                                             \
    X(HOSTIF_MB_ARG3, 0x24, 0, ro, "")                                                             \
    X(HOSTIF_MB_RESULT0, 0x28, 0, rw, "")                                                          \
    X(HOSTIF_MB_RESULT1, 0x2c, 0, rw, "")                                                          \
    X(HOSTIF_CTRL_ENABLE, 0x30, 0, ro, "as written by the host")                                   \
    X(HOSTIF_CTRL_STATUS, 0x34, 0, rw, "")                                                         \
    X(HOSTIF_AQ_ENTRIES, 0x38, 0, ro, "")                                                          \
    X(HOSTIF_AQ_VECTOR, 0x3c, 0, ro, "")                                                           \
    X(HOSTIF_ASQ, 0x40, 0, ro, "64")                                                               \
    X(HOSTIF_ACQ, 0x48, 0, ro, "64")                                                               \
    X(HOSTIF_HEARTBEAT, 0x50, 0, rw, "writing it sets the status page's heartbeat and its clock")  \
    X(HOSTIF_LOG_WRITTEN, 0x54, 0, wo, "writing it copies talus_log_header.written to the status page")
enum talus_hostif_register { TALUS_HOSTIF_REGISTERS(TALUS_REGISTER_VALUE) HOSTIF_END = 0x1000 };

/* Grid control. */
#define TALUS_GRID_REGISTERS(X)                                                                    \
    X(GRID_LAUNCH_RECT, 0x00, 0, rw, "row0 | col0 << 8 | rows << 16 | cols << 24: target of the broadcasts below") \
    X(GRID_LAUNCH, 0x08, 0, wo, "64: broadcasts the descriptor's address to the work-queue engines") \
    X(GRID_PE_RESET, 0x10, 0, wo, "broadcast: bit 0 = 1 resets both cores, CP, CBs, units and work queue of the PEs and holds them; 0 releases them at GRID_PE_VECTOR") \
    X(GRID_PE_VECTOR, 0x18, 0, rw, "64: reset vector of PE cores")                                 \
    X(GRID_DEADLOCK_JOB, 0x20, 0xffffffff, ro, "job that can't go on (with TALUS_IRQ_GRID)")       \
    X(GRID_PERF_FROM, 0x28, 0, rw, "64: address of an earlier sample in control SRAM, or 0")       \
    X(GRID_PERF_TO, 0x30, 0, wo, "64: stores a struct talus_perf_record (perf.h) of GRID_LAUNCH_RECT there, less the sample at GRID_PERF_FROM") \
    X(GRID_PERF_DOMAIN, 0x38, 0, rw, "domain whose device windows GRID_PERF_TO must lie in")        \
    X(GRID_JOB_REVOKE, 0x3c, 0, wo, "job whose record no domain's PEs may touch until its next GRID_LAUNCH")
enum talus_grid_register { TALUS_GRID_REGISTERS(TALUS_REGISTER_VALUE) GRID_END = 0x1000 };

#define TALUS_SENSOR_REGISTERS(X)                                                                  \
    X(SENSOR_TEMPERATURE_MC, 0x00, 0, ro, "junction, thousandths of a degree Celsius")             \
    X(SENSOR_POWER_MW, 0x04, 0, ro, "card")                                                        \
    X(SENSOR_ENERGY_UJ_LO, 0x08, 0, ro, "microjoules that work has cost since reset, beyond idle power") \
    X(SENSOR_ENERGY_UJ_HI, 0x0c, 0, ro, "")                                                        \
    X(SENSOR_CLOCK_KHZ, 0x10, 0, ro, "step at which the PEs' units run")                           \
    X(SENSOR_CLOCK_REASON, 0x14, 0, ro, "why it is what it is: TALUS_CLOCK_*")
enum talus_sensor_register { TALUS_SENSOR_REGISTERS(TALUS_REGISTER_VALUE) SENSOR_END = 0x1000 };

/* Memory errors. A word found with one wrong bit is corrected, for its reader and in the memory. One
 * with more is left as it is; its reader is told: TALUS_CAUSE_HARDWARE_ERROR at a core or a command of
 * the CP, TALUS_MEMORY_ERROR at a DMA channel. A write of the whole word ends either. */
#define TALUS_ECC_REGISTERS(X)                                                                     \
    X(ECC_RECORD, 0x00, 0, ro, "the oldest error that was not read: TALUS_ECC_RECORD_*; 0 = none") \
    X(ECC_ADDRESS, 0x08, 0, ro, "64: device address of its word; local memory: in the absolute PE window") \
    X(ECC_NEXT, 0x10, 0, wo, "1: the record was read, the next takes its place")                   \
    X(ECC_LOST, 0x14, 0, ro, "errors since reset that found all TALUS_ECC_RECORDS in use; counted below all the same") \
    X(ECC_CORRECTED, 0x40, 0, ro, "64, one each enum talus_ecc_memory: words corrected since reset") \
    X(ECC_UNCORRECTABLE, 0x80, 0, ro, "64, one each: reads since reset that met more wrong bits")
enum talus_ecc_register { TALUS_ECC_REGISTERS(TALUS_REGISTER_VALUE) ECC_END = 0x1000 };
#define TALUS_ECC_RECORDS 16u /* that wait to be read, at most */
#define TALUS_ECC_RECORD_VALID 1u
#define TALUS_ECC_RECORD_UNCORRECTABLE 2u
#define TALUS_ECC_RECORD_MEMORY(record) ((record) >> 8 & 0xffu) /* enum talus_ecc_memory */

/* --- PE registers (TALUS_PE_REGS_BASE; others' through the windows at + TALUS_PE_WINDOW_REGS) ------ */
#define TALUS_PE_REGISTERS(X)                                                                      \
    X(PE_ID, 0x00, 0, ro, "physical index: row * columns + column")                                \
    X(PE_SUBGRID_RECT, 0x04, 0, rw, "row0 | col0 << 8 | rows << 16 | cols << 24, physical; set by the work-queue engine from the descriptor; ro in a domain") \
    X(PE_POSITION, 0x08, 0, ro, "row | col << 8, relative to PE_SUBGRID_RECT")                     \
    X(PE_WQ_TAIL, 0x10, 0, ro, "work-queue slots filled so far (free-running); LIRQ_WORK while != PE_WQ_HEAD") \
    X(PE_WQ_HEAD, 0x14, 0, rw, "slots consumed by the runtime")                                    \
    X(PE_PEER_INTERRUPT, 0x18, 0, rw, "bit c: level of LIRQ_PEER at core c")                       \
    X(PE_CP_STALL_LIMIT, 0x1c, 0, rw, "clocks after which a stalled command traps; 0 = never")     \
    X(PE_CP_FAULT_STATUS, 0x20, 0, w1c, "bit c: a command of core c faulted; level of LIRQ_CP_FAULT") \
    X(PE_CP_FAULT_CAUSE_A, 0x24, 0, ro, "trap cause of core A's first fault")                      \
    X(PE_CP_FAULT_CAUSE_B, 0x28, 0, ro, "of core B's")                                             \
    X(PE_CP_FAULT_PC_A, 0x30, 0, ro, "64: pc of the issuing instruction")                          \
    X(PE_CP_FAULT_PC_B, 0x38, 0, ro, "64")                                                         \
    X(PE_CP_FAULT_TVAL_A, 0x40, 0, ro, "64: see the cause")                                        \
    X(PE_CP_FAULT_TVAL_B, 0x48, 0, ro, "64")                                                       \
    X(PE_CP_RESET, 0x50, 0, wo, "1: drops all commands, CBs, contexts and semaphores of this PE's CP") \
    X(PE_WQ_READY, 0x54, 0, wo, "1: the runtime has started; descriptors of a domain may be taken")
enum talus_pe_register { TALUS_PE_REGISTERS(TALUS_REGISTER_VALUE) PE_REGS_END = 0x10000 };

#endif
