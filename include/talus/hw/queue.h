/* Host queues (NVMe's shape), the queue engine's inbox and outbox, and command layouts. */
#ifndef TALUS_HW_QUEUE_H
#define TALUS_HW_QUEUE_H

#include "common.h"

#define TALUS_SQE_BYTES 64u
#define TALUS_CQE_BYTES 32u
#define TALUS_MAX_QUEUE_ENTRIES 1024u /* a power of two, at least 2; one entry stays empty */
#define TALUS_QUEUE_ADMIN 0u

/* Opcodes. X(name, value, meaning) */
#define TALUS_ADMIN_OPCODES(X)                                                                     \
    X(TALUS_ADMIN_IDENTIFY, 0x06, "writes struct talus_identify to host memory")                   \
    X(TALUS_ADMIN_CREATE_QUEUE, 0x01, "creates an I/O queue pair")                                 \
    X(TALUS_ADMIN_DELETE_QUEUE, 0x02, "deletes an I/O queue pair; ends or awaits its commands")    \
    X(TALUS_ADMIN_SET_SHADOW, 0x7c, "sets the shadow doorbell and event index pages")              \
    X(TALUS_ADMIN_SET_WINDOW, 0x20, "opens or closes a window of a domain")                        \
    X(TALUS_ADMIN_GET_FAULT, 0x21, "writes the queue's last struct talus_fault_record")            \
    X(TALUS_ADMIN_ABORT, 0x08, "aborts a command of an I/O queue")
enum talus_admin_opcode { TALUS_ADMIN_OPCODES(TALUS_ENUM_VALUE) TALUS_ADMIN_LAST = 0xff };

#define TALUS_IO_OPCODES(X)                                                                        \
    X(TALUS_IO_NOP, 0x00, "completes; orders nothing")                                             \
    X(TALUS_IO_COPY, 0x01, "copies between host and device memory or within the device")           \
    X(TALUS_IO_LAUNCH, 0x02, "runs a kernel on a sub-grid")
enum talus_io_opcode { TALUS_IO_OPCODES(TALUS_ENUM_VALUE) TALUS_IO_LAST = 0xff };

/* Commands of one queue execute one after another, in order: a later command sees the data of all
 * earlier ones. After a failed command the rest of its batch completes with TALUS_ABORTED. */

/* SQE flags */
#define TALUS_SQE_BATCH_END 0x01u /* last entry written before one doorbell write (or tail store) */
/* BATCH_END is what makes shadow doorbells deterministic: where the device polls the tail, it admits
 * entries up to and including the first one that carries it, as if each had been a doorbell write
 * of its own. A driver sets it on the last entry of every submission. */

struct talus_sqe_create_queue {
    uint64_t sq_iova; /* 4 KiB aligned; entries * 64 bytes */
    uint64_t cq_iova; /* 4 KiB aligned; entries * 32 bytes; zeroed by the host */
    uint16_t qid;     /* 1..TALUS_MAX_QUEUES-1 */
    uint16_t entries; /* of both rings; power of two */
    uint16_t vector;  /* MSI-X vector */
    uint8_t domain;   /* what the commands and their kernels reach: SET_WINDOW */
    uint8_t irq_enable;
    uint32_t launch_limit_us; /* device time that a launch may take, whatever it asks; 0 = no limit */
    uint32_t reserved0;
    uint64_t reserved[3];
};

struct talus_sqe_set_shadow {
    uint64_t shadow_iova; /* u32[2*qid] = SQ tail, u32[2*qid+1] = CQ head; written by the host */
    uint64_t event_iova;  /* the same indices; event indices, written by the device */
    uint64_t reserved[5];
};

/* What commands of a domain and the kernels that they launch may touch: of host memory, and with
 * TALUS_WINDOW_DEVICE of shared SRAM and off-chip memory (TALUS_WINDOW_ALIGNMENT; the driver's part). The two
 * kinds have indices of their own. An access must lie in one window. */
struct talus_sqe_set_window {
    uint64_t iova;   /* TALUS_WINDOW_DEVICE: device address */
    uint64_t length; /* 0 closes the window */
    uint16_t index;  /* 0..TALUS_WINDOWS_PER_DOMAIN-1 */
    uint8_t domain;  /* 1..TALUS_MAX_DOMAINS-1; domain 0 is the owner's and sees all */
    uint8_t access;  /* TALUS_WINDOW_* */
    uint32_t reserved0;
    uint64_t reserved[4];
};
#define TALUS_MAX_DOMAINS 16u
#define TALUS_WINDOWS_PER_DOMAIN 64u
#define TALUS_WINDOW_READ 1u
#define TALUS_WINDOW_WRITE 2u
#define TALUS_WINDOW_DEVICE 4u
#define TALUS_WINDOW_ALIGNMENT 64u /* of device windows: no cache line is in two domains */

struct talus_sqe_buffer { /* IDENTIFY, GET_FAULT: where to write */
    uint64_t iova;
    uint32_t bytes;
    uint16_t qid; /* GET_FAULT, ABORT, DELETE_QUEUE: the queue */
    uint16_t cid; /* ABORT: the command; DELETE_QUEUE: TALUS_DELETE_* */
    uint64_t reserved[5];
};
#define TALUS_DELETE_AWAIT 0u /* what the queue holds executes first */
#define TALUS_DELETE_ABORT 1u /* it is aborted as by ABORT, and what the device has yet to fetch refused */

/* COPY: host side is one range, or with TALUS_COPY_SGL a list of talus_sgl_entry in host memory. */
#define TALUS_COPY_H2D 0u
#define TALUS_COPY_D2H 1u
#define TALUS_COPY_D2D 2u
#define TALUS_COPY_GZIP 0x40u /* H2D: the host side is one gzip member (RFC 1952), to be inflated */
#define TALUS_COPY_SGL 0x80u
struct talus_sqe_copy {
    uint64_t host;   /* IOVA of the data or of the list; D2D: source device address */
    uint64_t device; /* device address; D2D: destination */
    uint64_t bytes;  /* all of it; > 0. TALUS_COPY_GZIP: room at `device` */
    uint32_t sgl_count;
    uint8_t kind; /* TALUS_COPY_H2D, _D2H or _D2D, | TALUS_COPY_SGL, | TALUS_COPY_GZIP */
    uint8_t reserved0[3];
    uint64_t gzip_bytes; /* TALUS_COPY_GZIP: of the whole member on the host side, > 0; else 0 */
    uint64_t reserved[2];
};
struct talus_sgl_entry {
    uint64_t iova;
    uint32_t bytes;
    uint32_t reserved;
};
#define TALUS_MAX_SGL 4096u
TALUS_ASSERT_SIZE(talus_sgl_entry, 16);

/* LAUNCH: kernel_main at `entry` on both cores of every PE of the sub-grid. */
struct talus_sqe_launch {
    uint64_t entry;       /* device address of the first instruction (work.h) */
    uint64_t args;        /* device address of the argument block; 64-byte aligned */
    uint32_t args_bytes;  /* <= TALUS_MAX_ARGS_BYTES */
    uint32_t timeout_us;  /* device time; 0 = none */
    uint8_t row0, col0;   /* sub-grid: top left, in logical (harvested) coordinates */
    uint8_t rows, cols;   /* its size */
    uint32_t reserved0;
    uint64_t perf; /* device address of a struct talus_perf_record (perf.h) that is written before a
                      successful completion; 64-byte aligned; 0 = none */
    uint64_t reserved[2];
};
#define TALUS_MAX_ARGS_BYTES 3840u

struct talus_sqe {
    uint8_t opcode;
    uint8_t flags;
    uint16_t cid; /* command id, unique among the queue's commands in flight */
    uint32_t function; /* PCI function; 0 */
    union {
        struct talus_sqe_create_queue create_queue;
        struct talus_sqe_set_shadow set_shadow;
        struct talus_sqe_set_window set_window;
        struct talus_sqe_buffer buffer;
        struct talus_sqe_copy copy;
        struct talus_sqe_launch launch;
        uint64_t words[7];
    } u;
};
TALUS_ASSERT_SIZE(talus_sqe, TALUS_SQE_BYTES);
TALUS_ASSERT_OFFSET(talus_sqe, u, 8);
TALUS_ASSERT_SIZE(talus_sqe_create_queue, 56);
TALUS_ASSERT_SIZE(talus_sqe_set_shadow, 56);
TALUS_ASSERT_SIZE(talus_sqe_set_window, 56);
TALUS_ASSERT_SIZE(talus_sqe_buffer, 56);
TALUS_ASSERT_SIZE(talus_sqe_copy, 56);
TALUS_ASSERT_SIZE(talus_sqe_launch, 56);

struct talus_cqe {
    uint64_t device_cycles; /* completion - admission of the doorbell; by the queue engine */
    uint32_t exec_cycles;   /* the command alone: end - start of its execution; by firmware */
    uint32_t detail;        /* LAUNCH: receipt by the control core -> first kernel instruction */
    uint64_t result;        /* COPY: bytes that arrived; LAUNCH: the kernel's result word */
    uint16_t sq_head;       /* entries up to here are free again */
    uint16_t qid;
    uint16_t cid;
    uint16_t status; /* bit 0 phase (1 on the first pass), bits 15:1 status.h */
};
TALUS_ASSERT_SIZE(talus_cqe, TALUS_CQE_BYTES);
TALUS_ASSERT_OFFSET(talus_cqe, status, 30);
#define TALUS_CQE_PHASE 1u

struct talus_identify {
    uint32_t struct_bytes; /* sizeof *this */
    uint32_t abi_version;
    uint64_t contract_hash;
    char product[16];   /* "talus-t2", zero padded */
    char serial[16];    /* zero padded */
    char firmware[32];  /* bundle version text, zero padded */
    uint32_t generation; /* 2 = t2 */
    uint32_t rows, cols; /* usable grid */
    uint32_t clock_khz;
    uint64_t local_bytes; /* per PE, for kernels */
    uint64_t lls_base, lls_bytes;   /* driver's part */
    uint64_t dram_base, dram_bytes; /* driver's part */
    uint32_t max_queues, max_queue_entries;
    uint32_t max_domains, windows_per_domain;
    uint32_t max_args_bytes, max_sgl;
    uint8_t reserved[96];
};
TALUS_ASSERT_SIZE(talus_identify, 256);
TALUS_ASSERT_OFFSET(talus_identify, product, 16);
TALUS_ASSERT_OFFSET(talus_identify, generation, 80);
TALUS_ASSERT_OFFSET(talus_identify, local_bytes, 96);
TALUS_ASSERT_OFFSET(talus_identify, max_queues, 136);

/* Queue engine <-> control core, in control SRAM. The engine fetches up to 16 entries of a queue at
 * a time, each once. Indices run freely modulo 2^32; slot = index % count. */
#define TALUS_QE_FETCH_MAX 16u
#define TALUS_INBOX_SLOTS 256u
#define TALUS_OUTBOX_SLOTS 256u
struct talus_inbox_slot {
    struct talus_sqe sqe;
    uint64_t admitted; /* device clock at which the doorbell was admitted */
    uint16_t qid;
    uint16_t sq_head; /* after this entry */
    uint8_t domain;
    uint8_t reserved[51];
};
TALUS_ASSERT_SIZE(talus_inbox_slot, 128);
TALUS_ASSERT_OFFSET(talus_inbox_slot, admitted, 64);
TALUS_ASSERT_OFFSET(talus_inbox_slot, qid, 72);

struct talus_outbox_slot {
    struct talus_cqe cqe; /* phase, device_cycles: filled by the engine */
    uint64_t admitted;    /* copied from the inbox slot */
    uint8_t reserved[24];
};
TALUS_ASSERT_SIZE(talus_outbox_slot, 64);
TALUS_ASSERT_OFFSET(talus_outbox_slot, admitted, 32);
TALUS_STATIC_ASSERT(TALUS_INBOX_SLOTS * 128u <= 0x10000u, "inbox fits its area");
TALUS_STATIC_ASSERT(TALUS_OUTBOX_SLOTS * 64u <= 0x10000u, "outbox fits its area");

#endif
