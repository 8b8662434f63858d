#include "log.h"

#include <stdarg.h>
#include <stdbool.h>

#include "../common/mmio.h"
#include "talus/hw/registers.h"

#define UART_ROOM 1u
#define LINE_BYTES 192u

static struct talus_log_header* header_of(const struct log* log) {
    return bus_pointer(log->page);
}

static char* text_of(const struct log* log) {
    return bus_pointer(log->page + TALUS_LOG_TEXT_OFFSET);
}

void log_init(struct log* log, uint64_t uart, uint64_t hostif, uint64_t page, uint32_t page_bytes,
              uint32_t clock_khz) {
    log->uart = uart;
    log->hostif = hostif;
    log->page = page;
    log->capacity = page_bytes - TALUS_LOG_TEXT_OFFSET;
    log->clock_khz = clock_khz;
    log->written = 0;
    log->sent = 0;
    struct talus_log_header* header = header_of(log);
    header->magic = TALUS_LOG_MAGIC;
    header->capacity = log->capacity;
    header->written = 0;
    mmio_write32(log->hostif + HOSTIF_LOG_WRITTEN, 0);
}

void log_write(struct log* log, const char* text, uint32_t bytes) {
    char* ring = text_of(log);
    uint64_t at = log->written % log->capacity;
    for (uint32_t i = 0; i < bytes; ++i) {
        ring[at] = text[i];
        at = at + 1 == log->capacity ? 0 : at + 1;
    }
    log->written += bytes;
    /* A host that sees the new count must find the text. */
    bus_fence();
    *(volatile uint64_t*)&header_of(log)->written = log->written;
    mmio_write32(log->hostif + HOSTIF_LOG_WRITTEN, (uint32_t)log->written);
}

/* A line under construction; what does not fit is cut. */
struct line {
    char text[LINE_BYTES];
    uint32_t used;
};

static void put(struct line* line, char character) {
    if (line->used < LINE_BYTES - 1)
        line->text[line->used++] = character;
}

static void put_number(struct line* line, uint64_t value, unsigned base, unsigned width) {
    char digits[20];
    unsigned count = 0;
    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    for (unsigned i = count; i < width; ++i)
        put(line, ' ');
    while (count != 0)
        put(line, digits[--count]);
}

static void put_formatted(struct line* line, const char* format, va_list arguments) {
    for (; *format != '\0'; ++format) {
        if (*format != '%') {
            put(line, *format);
            continue;
        }
        switch (*++format) {
        case 's':
            for (const char* text = va_arg(arguments, const char*); *text != '\0'; ++text)
                put(line, *text);
            break;
        case 'u':
            put_number(line, va_arg(arguments, uint32_t), 10, 0);
            break;
        case 'x':
            put_number(line, va_arg(arguments, uint32_t), 16, 0);
            break;
        case 'U':
            put_number(line, va_arg(arguments, uint64_t), 10, 0);
            break;
        case 'X':
            put_number(line, va_arg(arguments, uint64_t), 16, 0);
            break;
        case '%':
            put(line, '%');
            break;
        default: /* a defect of the caller; shown as it stands */
            put(line, '%');
            --format;
            break;
        }
    }
}

void log_line(struct log* log, const char* format, ...) {
    struct line line = {.used = 0};
    va_list arguments;
    put(&line, '[');
    put_number(&line, clock_now(), 10, 12);
    put(&line, ']');
    put(&line, ' ');
    va_start(arguments, format);
    put_formatted(&line, format, arguments);
    va_end(arguments);
    line.text[line.used++] = '\n';
    log_write(log, line.text, line.used);
}

static bool send_one(struct log* log) {
    if ((mmio_read32(log->uart + UART_STATUS) & UART_ROOM) == 0)
        return false;
    mmio_write32(log->uart + UART_TX, (uint8_t)text_of(log)[log->sent % log->capacity]);
    ++log->sent;
    return true;
}

void log_pump(struct log* log) {
    if (log->written - log->sent > log->capacity)
        log->sent = log->written - log->capacity;
    while (log->sent != log->written && send_one(log))
        ;
}

void log_drain(struct log* log) {
    while (log->sent != log->written)
        log_pump(log);
}
