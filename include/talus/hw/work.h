/* Work descriptors: control firmware -> work-queue engine -> PE runtime -> kernel. */
#ifndef TALUS_HW_WORK_H
#define TALUS_HW_WORK_H

#include "address_map.h"
#include "common.h"

/* A work descriptor stands in the job's record in control SRAM. The control core writes its address
 * to GRID_LAUNCH (registers.h), which broadcasts it to the sub-grid; each PE's work-queue engine reads
 * the descriptor, then the argument block, into a slot of local memory and raises TALUS_LIRQ_WORK at
 * core A.
 *
 * A PE enters the domain of the first descriptor that has one, once PE_WQ_READY is set, and takes no other
 * domain's until it is reset, which clears its local memory. In a domain, its cores and units reach the
 * sub-grid's PEs, the domain's device windows (queue.h SET_WINDOW) and, in control SRAM, what follows
 * `work` in the records of the domain's jobs. */
struct talus_work {
    uint64_t entry;      /* kernel_main */
    uint64_t args;       /* device address of the argument block, or 0 */
    uint32_t args_bytes; /* 0..TALUS_MAX_ARGS_BYTES */
    uint32_t job;        /* index of the job record */
    uint8_t row0, col0;  /* physical top left of the sub-grid */
    uint8_t rows, cols;
    uint32_t generation; /* changes with every launch of this job record */
    uint64_t record;     /* device address of the struct talus_job_record */
    uint8_t domain;      /* what the kernel may reach; 0 = everything */
    uint8_t reserved0[7];
    uint64_t reserved[2];
};
TALUS_ASSERT_SIZE(talus_work, 64);
TALUS_ASSERT_OFFSET(talus_work, row0, 24);
TALUS_ASSERT_OFFSET(talus_work, record, 32);

/* What went wrong on a core; written by PE runtime (or control firmware) into the job record. */
struct talus_fault_record {
    uint32_t valid;  /* TALUS_FAULT_VALID */
    uint16_t status; /* status.h: KERNEL_FAULT, KERNEL_ERROR, ... */
    uint8_t row, col; /* logical position within the sub-grid */
    uint32_t core;   /* TALUS_CORE_A or _B; TALUS_FAULT_CONTROL for the control core */
    uint32_t cause;  /* interrupts.h trap cause; KERNEL_ERROR: the kernel's own code */
    uint64_t pc;     /* of the instruction, or of the command's issue for unit faults */
    uint64_t tval;   /* address, instruction, CB id, ...: see the cause */
    uint64_t detail[4]; /* KERNEL_ERROR: the kernel's words, e.g. table, sample, position, value */
    uint16_t qid, cid; /* the command; filled by control firmware */
    uint32_t job;
    uint64_t kernel_entry;
    uint64_t cycle; /* device clock */
    uint8_t reserved[40];
};
#define TALUS_FAULT_VALID 0x544c4146u /* "FALT" */
#define TALUS_FAULT_CONTROL 0xffu
TALUS_ASSERT_SIZE(talus_fault_record, 128);
TALUS_ASSERT_OFFSET(talus_fault_record, pc, 16);
TALUS_ASSERT_OFFSET(talus_fault_record, detail, 32);
TALUS_ASSERT_OFFSET(talus_fault_record, qid, 64);
TALUS_ASSERT_OFFSET(talus_fault_record, cycle, 80);

/* A job record in control SRAM. `pending` starts at the number of PEs; each PE subtracts one by AMO
 * when both its cores are done; the one that finds 1 raises MSIP of control hart 0. A core that
 * faults claims `fault_claim` by AMO swap; the first one fills `fault` and raises MSIP at once. */
struct talus_job_record {
    struct talus_work work;
    uint32_t pending;
    uint32_t fault_claim;
    uint64_t started; /* clock at the first kernel instruction of the sub-grid's PE (0,0) core A */
    uint64_t result;  /* kernel's result word: AMO target, zero at launch */
    uint64_t reserved[5];
    struct talus_fault_record fault;
};
TALUS_ASSERT_SIZE(talus_job_record, 256);
TALUS_ASSERT_OFFSET(talus_job_record, pending, 64);
TALUS_ASSERT_OFFSET(talus_job_record, fault, 128);
#define TALUS_MAX_JOBS 64u

/* PE start, in control SRAM at TALUS_PE_BOOT_OFFSET. The control firmware sets `waiting` to the number of
 * PEs and releases them. Core A of each PE writes alive[physical index] = TALUS_PE_ALIVE when both cores
 * are ready, then subtracts one from `waiting` by AMO; the one that finds 1 raises MSIP of control hart 0.
 * (PEs that are reset later do the same; the count then means nothing.) */
struct talus_pe_boot {
    uint32_t waiting;
    uint32_t reserved[15];
    uint32_t alive[TALUS_MAX_ROWS * TALUS_MAX_COLS];
};
#define TALUS_PE_ALIVE 0x45564c41u /* "ALVE" */
TALUS_ASSERT_SIZE(talus_pe_boot, 1088);

/* A PE's text log in its local memory at TALUS_LOCAL_DATA_OFFSET; same rule as talus_log_header. The
 * control firmware copies it to the device log when a job of the PE faults. */
#define TALUS_PE_LOG_TEXT_BYTES 1008u
struct talus_pe_log {
    uint32_t magic; /* TALUS_LOG_MAGIC (pci.h) */
    uint32_t capacity;
    uint64_t written;
    char text[TALUS_PE_LOG_TEXT_BYTES];
};
TALUS_ASSERT_SIZE(talus_pe_log, 1024);

/* A slot of the PE's work queue in local memory (TALUS_LOCAL_WQ_OFFSET). */
#define TALUS_WQ_SLOTS 4u
#define TALUS_WQ_SLOT_BYTES 4096u
struct talus_wq_slot {
    struct talus_work work;
    uint8_t reserved[64];
    /* argument block follows at TALUS_WQ_ARGS_OFFSET, 64-byte aligned */
};
#define TALUS_WQ_ARGS_OFFSET 128u
TALUS_ASSERT_SIZE(talus_wq_slot, 128);

/* The kernel ABI: `void kernel_main(const struct talus_launch*)` runs on both cores. The structure and
 * the argument block are in local memory and live until kernel_main returns. A kernel image is
 * read-only and position-independent: no .data, no .bss, no relocations; entry = first byte of the
 * image (section .text.entry). */
struct talus_launch {
    const void* args; /* copy of the argument block in local memory */
    uint32_t args_bytes;
    uint8_t core;       /* TALUS_CORE_A or TALUS_CORE_B */
    uint8_t row, col;   /* this PE's position in the sub-grid */
    uint8_t rows, cols; /* the sub-grid */
    uint8_t reserved0[3];
    uint32_t job;
    uint32_t local_bytes; /* local memory that the kernel owns: [TALUS_LOCAL_BASE, + local_bytes) */
    uint32_t reserved1;
    uint64_t record; /* device address of the struct talus_job_record */
};
TALUS_STATIC_ASSERT(sizeof(void*) != 8 || sizeof(struct talus_launch) == 40,
                    "size of struct talus_launch");

#endif
