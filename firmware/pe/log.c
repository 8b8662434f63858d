/* The PE's text log: a ring at TALUS_LOCAL_DATA_OFFSET that both cores append to. */
#include "runtime.h"
#include "talus/hw/pci.h"

static struct talus_pe_log* pe_log(void) {
    return (struct talus_pe_log*)(TALUS_LOCAL_BASE + TALUS_LOCAL_DATA_OFFSET);
}

void runtime_log_init(void) {
    struct talus_pe_log* log = pe_log();
    log->magic = TALUS_LOG_MAGIC;
    log->capacity = TALUS_PE_LOG_TEXT_BYTES;
    log->written = 0;
}

void runtime_log(const char* text, uint64_t bytes) {
    struct talus_pe_log* log = pe_log();
    /* Each core takes its part of the stream first, then fills it. */
    const uint64_t start = __atomic_fetch_add(&log->written, bytes, __ATOMIC_RELAXED);
    for (uint64_t i = 0; i < bytes; ++i)
        log->text[(start + i) % TALUS_PE_LOG_TEXT_BYTES] = text[i];
}
