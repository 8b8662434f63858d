#include "windows.h"

void windows_init(struct windows* windows) {
    for (unsigned i = 0; i < TALUS_MAX_DOMAINS; ++i)
        windows->domain[i].end = windows->domain[i].window;
}

void windows_set(struct windows* windows, struct queue_engine* engine,
                 const struct talus_sqe_set_window* set) {
    struct domain_windows* domain = &windows->domain[set->domain];
    struct window* window = &domain->window[set->index];
    window->base = set->iova;
    window->length = set->length;
    window->access = set->access;
    if (set->length != 0 && domain->end <= window)
        domain->end = window + 1;
    queue_engine_set_window(engine, (uint32_t)set->domain * TALUS_WINDOWS_PER_DOMAIN + set->index,
                            set->iova, set->length, set->access);
}

void windows_close(struct windows* windows, struct queue_engine* engine) {
    for (unsigned d = 1; d < TALUS_MAX_DOMAINS; ++d) {
        struct domain_windows* domain = &windows->domain[d];
        for (unsigned i = 0; domain->window + i != domain->end; ++i) {
            const struct talus_sqe_set_window closed = {
                .index = (uint16_t)i, .domain = (uint8_t)d, .access = TALUS_WINDOW_DEVICE};
            if (domain->window[i].length != 0)
                windows_set(windows, engine, &closed);
        }
        domain->end = domain->window;
    }
}
