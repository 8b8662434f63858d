/* The domains' windows of device memory. The hardware holds every access of their commands and
 * kernels to them; this copy is what commands are checked against before they begin. */
#ifndef TALUS_FIRMWARE_WINDOWS_H
#define TALUS_FIRMWARE_WINDOWS_H

#include <stdbool.h>
#include <stdint.h>

#include "queue_engine.h"
#include "talus/hw/queue.h"

struct window {
    uint64_t base, length; /* length 0: closed */
    uint32_t access;       /* TALUS_WINDOW_* */
    uint32_t reserved;
};

struct domain_windows {
    const struct window* end; /* no open window at or beyond it */
    struct window window[TALUS_WINDOWS_PER_DOMAIN];
};

struct windows {
    struct domain_windows domain[TALUS_MAX_DOMAINS];
};

void windows_init(struct windows* windows);

/* Opens or closes a window, in the hardware too. The fields are valid. */
void windows_set(struct windows* windows, struct queue_engine* engine,
                 const struct talus_sqe_set_window* set);

/* Closes all. */
void windows_close(struct windows* windows, struct queue_engine* engine);

/* [address, address + bytes), which is not empty, lies in one window that has all of `access`.
 * Inline: every launch asks. */
static inline bool windows_allow(const struct domain_windows* domain, uint64_t address,
                                 uint64_t bytes, uint32_t access) {
    for (const struct window* window = domain->window; window != domain->end; ++window) {
        const uint64_t offset = address - window->base;
        if (offset < window->length && bytes <= window->length - offset &&
            (access & ~window->access) == 0)
            return true;
    }
    return false;
}

#endif
