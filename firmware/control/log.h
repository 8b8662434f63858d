/* The firmware's text log: a ring in staging that the host reads (pci.h talus_log_header), copied
 * to the UART as fast as that takes it. Writing never waits. */
#ifndef TALUS_FIRMWARE_LOG_H
#define TALUS_FIRMWARE_LOG_H

#include <stdint.h>

#include "talus/hw/pci.h"

struct log {
    uint64_t uart;   /* register block */
    uint64_t hostif; /* register block */
    uint64_t page;   /* device address of the log page */
    uint32_t capacity;
    uint32_t clock_khz;
    uint64_t written; /* bytes of the stream in the ring */
    uint64_t sent;    /* of those, copied to the UART */
};

/* Starts an empty log of `page_bytes` bytes at `page`. */
void log_init(struct log* log, uint64_t uart, uint64_t hostif, uint64_t page, uint32_t page_bytes,
              uint32_t clock_khz);

/* Appends bytes as they are. */
void log_write(struct log* log, const char* text, uint32_t bytes);

/* Appends a line "[clock] text". Formats: %s, %u and %x (uint32_t), %U and %X (uint64_t), %%. */
void log_line(struct log* log, const char* format, ...);

/* Copies what the UART has room for. Text that the ring has overwritten meanwhile is skipped. */
void log_pump(struct log* log);

/* Copies everything to the UART, waiting for room; for the panic path only. */
void log_drain(struct log* log);

#endif
