/* One 15-bit status space for completions, mailbox answers and the log:
 *   bits 7:0 code, bits 10:8 type, bits 12:11 zero, bit 13 more (a fault record has the details),
 *   bit 14 do not retry. In a completion it stands above the phase bit. */
#ifndef TALUS_HW_STATUS_H
#define TALUS_HW_STATUS_H

#include "common.h"

#define TALUS_STATUS(type, code) ((uint16_t)(((type) << 8) | (code)))
#define TALUS_STATUS_MORE 0x2000u
#define TALUS_STATUS_DNR 0x4000u
#define TALUS_STATUS_BASE(status) ((uint16_t)((status) & 0x07ffu)) /* without more and DNR */

#define TALUS_TYPE_GENERIC 0
#define TALUS_TYPE_COMMAND 1 /* the command's fields are at fault */
#define TALUS_TYPE_DATA 2    /* host or device memory access */
#define TALUS_TYPE_JOB 3     /* kernel execution */
#define TALUS_TYPE_BOOT 4    /* image loading */
#define TALUS_TYPE_INTERNAL 7

/* X(name, value, meaning) */
#define TALUS_STATUS_CODES(X)                                                                      \
    X(TALUS_OK, TALUS_STATUS(0, 0x00), "success")                                                  \
    X(TALUS_ABORTED, TALUS_STATUS(0, 0x01), "aborted by request")                                  \
    X(TALUS_RESET, TALUS_STATUS(0, 0x02), "lost to a reset")                                       \
    X(TALUS_QUEUE_DELETED, TALUS_STATUS(0, 0x03), "queue was deleted")                             \
    X(TALUS_BUSY, TALUS_STATUS(0, 0x04), "resource busy; retry")                                   \
    X(TALUS_BAD_OPCODE, TALUS_STATUS(1, 0x00), "unknown opcode for this queue")                    \
    X(TALUS_BAD_FIELD, TALUS_STATUS(1, 0x01), "a field has an invalid value")                      \
    X(TALUS_BAD_QUEUE, TALUS_STATUS(1, 0x02), "queue id invalid, in use or absent")                \
    X(TALUS_BAD_SIZE, TALUS_STATUS(1, 0x03), "size is zero or above the limit")                    \
    X(TALUS_BAD_SUBGRID, TALUS_STATUS(1, 0x04), "sub-grid is empty or outside the grid")           \
    X(TALUS_BAD_DOMAIN, TALUS_STATUS(1, 0x05), "domain or window index invalid")                   \
    X(TALUS_HOST_ACCESS, TALUS_STATUS(2, 0x00), "host address not mapped, or bus master off")      \
    X(TALUS_WINDOW_MISS, TALUS_STATUS(2, 0x01), "host address outside the domain's windows")       \
    X(TALUS_DEVICE_ACCESS, TALUS_STATUS(2, 0x02), "device address outside memory")                 \
    X(TALUS_GZIP_DATA, TALUS_STATUS(2, 0x03), "not one whole gzip member, or a wrong checksum")    \
    X(TALUS_GZIP_ROOM, TALUS_STATUS(2, 0x04), "the gzip member inflates to more than announced")   \
    X(TALUS_MEMORY_ERROR, TALUS_STATUS(2, 0x05), "device memory: more wrong bits than ECC corrects") \
    X(TALUS_KERNEL_FAULT, TALUS_STATUS(3, 0x00), "a core trapped; see the fault record")           \
    X(TALUS_KERNEL_ERROR, TALUS_STATUS(3, 0x01), "the kernel reported an error of its input")      \
    X(TALUS_KERNEL_TIMEOUT, TALUS_STATUS(3, 0x02), "job exceeded its time limit")                  \
    X(TALUS_KERNEL_DEADLOCK, TALUS_STATUS(3, 0x03), "no core or unit of the job can go on")        \
    X(TALUS_IMAGE_MAGIC, TALUS_STATUS(4, 0x00), "no boot image in staging")                        \
    X(TALUS_IMAGE_VERSION, TALUS_STATUS(4, 0x01), "image format version unknown")                  \
    X(TALUS_IMAGE_CONTRACT, TALUS_STATUS(4, 0x02), "image built from another contract")            \
    X(TALUS_IMAGE_SIZE, TALUS_STATUS(4, 0x03), "image truncated or a segment out of bounds")       \
    X(TALUS_IMAGE_HASH, TALUS_STATUS(4, 0x04), "SHA-256 mismatch: image corrupt")                  \
    X(TALUS_IMAGE_SEGMENT, TALUS_STATUS(4, 0x05), "segment kind or load address not allowed")      \
    X(TALUS_BOOT_STATE_ERROR, TALUS_STATUS(4, 0x06), "mailbox command out of order")               \
    X(TALUS_PE_BOOT, TALUS_STATUS(4, 0x07), "a PE did not start")                                  \
    X(TALUS_CONTROL_PANIC, TALUS_STATUS(7, 0x00), "control firmware panicked; see the log")

enum talus_status_code { TALUS_STATUS_CODES(TALUS_ENUM_VALUE) TALUS_STATUS_LAST = 0x7fff };

#endif
