/* A firmware's main loop: messages through a ring in memory, a handler each by function pointer, a
   reply through another ring, fences as a mailbox needs them. */
#include "program.h"

enum { SLOTS = 64, BATCH = 32, ROUNDS = 40000, KINDS = 8 };

struct message {
    uint32_t kind;
    uint32_t length;
    uint64_t argument[3];
};
struct ring {
    volatile uint32_t head, tail;
    struct message slots[SLOTS];
};

static struct ring requests, replies;
static uint64_t registers[64];

typedef uint64_t (*handler)(const struct message* m);

static uint64_t nop(const struct message* m) {
    return m->argument[0];
}
static uint64_t read_register(const struct message* m) {
    return registers[m->argument[0] % 64];
}
static uint64_t write_register(const struct message* m) {
    const uint64_t old = registers[m->argument[0] % 64];
    registers[m->argument[0] % 64] = m->argument[1];
    return old;
}
static uint64_t sum(const struct message* m) {
    uint64_t total = 0;
    for (unsigned i = 0; i < m->length; i++)
        total += registers[(m->argument[1] + i) % 64];
    return total;
}
static uint64_t set_bits(const struct message* m) {
    return registers[m->argument[1] % 64] |= m->argument[2] & 0xffff;
}
static uint64_t clear_bits(const struct message* m) {
    return registers[m->argument[2] % 64] &= ~(m->argument[0] & 0xffff);
}
static uint64_t find_first(const struct message* m) {
    for (unsigned i = 0; i < 64; i++) {
        if (registers[i] > m->argument[1])
            return i;
    }
    return 64;
}
static uint64_t rotate(const struct message* m) {
    return m->argument[1] << (m->argument[2] & 63) | m->argument[1] >> (-m->argument[2] & 63);
}

static const handler handlers[KINDS] = {nop,      read_register, write_register, sum,
                                        set_bits, clear_bits,    find_first,     rotate};

__attribute__((noinline)) static void serve(void) {
    while (requests.head != requests.tail) {
        const struct message* m = &requests.slots[requests.head % SLOTS];
        struct message* reply = &replies.slots[replies.tail % SLOTS];
        reply->argument[0] = m->kind < KINDS ? handlers[m->kind](m) : ~0ull;
        reply->kind = m->kind;
        requests.head = requests.head + 1;
        replies.tail = replies.tail + 1;
    }
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

uint64_t work(void) {
    uint64_t state = 0x123456789abcdefu, hash = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < BATCH; i++) {
            struct message* m = &requests.slots[requests.tail % SLOTS];
            const uint64_t r = next_random(&state);
            m->kind = r >> 60 & 7;
            m->length = r & 15;
            m->argument[0] = r;
            m->argument[1] = r * 0x9e3779b97f4a7c15u;
            m->argument[2] = r >> 20;
            requests.tail = requests.tail + 1;
        }
        __atomic_thread_fence(__ATOMIC_RELEASE);
        serve();
        while (replies.head != replies.tail) {
            hash = hash * 31 + replies.slots[replies.head % SLOTS].argument[0];
            replies.head = replies.head + 1;
        }
    }
    return hash;
}
