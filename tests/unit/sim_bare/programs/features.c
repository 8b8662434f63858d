// One behaviour per -DCASE_...; main returns the number of what went wrong.
#include <stddef.h>
#include <stdint.h>

#define CSR_READ(name)                                                                             \
    ({                                                                                             \
        uint64_t value_;                                                                           \
        __asm__ volatile("csrr %0, " name : "=r"(value_)::"memory");                               \
        value_;                                                                                    \
    })
#define CSR_WRITE(name, value) __asm__ volatile("csrw " name ", %0" ::"r"(value) : "memory")
#define CSR_SET(name, value) __asm__ volatile("csrs " name ", %0" ::"r"(value) : "memory")

#if defined(CASE_PASS)
int main(void) {
    return 0;
}

#elif defined(CASE_FAIL)
int main(void) {
    return 5;
}

#elif defined(CASE_HALVES)
// As programs of 32-bit words print: the lower half of each request first, odd characters too.
extern volatile uint32_t tohost[2];
int main(void) {
    for (const char* text = "halves\n"; *text != 0; ++text) {
        while (tohost[0] != 0 || tohost[1] != 0) {
        }
        tohost[0] = (uint8_t)*text;
        tohost[1] = 0x01010000;
    }
    tohost[0] = 7 << 1 | 1; // alone, once
    for (;;) {
    }
}

#elif defined(CASE_SIGNATURE)
__asm__(".data\n.balign 16\n.globl begin_signature, end_signature\n"
        "begin_signature: .word 0x11223344, 0xdeadbeef\n.half 0x5566\n.byte 0x77\nend_signature:\n"
        ".byte 0xff\n");
extern uint32_t begin_signature[];
int main(void) {
    begin_signature[1] = 0xcafef00d;
    return 0;
}

#elif defined(CASE_SPIN)
int main(void) {
    for (;;) {
        __asm__ volatile("");
    }
}

#elif defined(CASE_SLEEP)
int main(void) {
    for (;;) {
        __asm__ volatile("wfi");
    }
}

#elif defined(CASE_NO_HANDLER)
int main(void) {
    CSR_WRITE("mtvec", 0);
    __asm__ volatile("ecall");
    return 0;
}

#elif defined(CASE_BAD_HTIF)
extern volatile uint64_t tohost;
int main(void) {
    tohost = UINT64_C(9) << 56;
    return 0;
}

#elif defined(CASE_VECTOR)
int main(void) {
    uint64_t vlenb;
    __asm__ volatile("csrr %0, 0xc22" : "=r"(vlenb)); // vlenb: traps where there is no V
    return vlenb == 64 ? 0 : 1;
}

#elif defined(CASE_TIMER)
// The CLINT's timer interrupts exactly where mtimecmp says; WFI waits for it; msip works as well.
#define MSIP (*(volatile uint32_t*)0x2000000)
#define MTIMECMP (*(volatile uint64_t*)0x2004000)
#define MTIME (*(volatile uint64_t*)0x200bff8)
static volatile uint64_t g_cause, g_taken_at;

__attribute__((interrupt, aligned(4))) void trapped(void) {
    g_cause = CSR_READ("mcause");
    g_taken_at = MTIME;
    MTIMECMP = UINT64_MAX;
    MSIP = 0;
}

int main(void) {
    CSR_WRITE("mie", 1u << 7 | 1u << 3);
    CSR_SET("mstatus", 8u);
    if ((CSR_READ("mip") & 0x88) != 0) {
        return 1;
    }
    uint64_t at = MTIME + 1000000;
    MTIMECMP = at;
    while (g_cause == 0) {
        __asm__ volatile("wfi");
    }
    if (g_cause != (UINT64_C(1) << 63 | 7) || g_taken_at < at || g_taken_at > at + 100) {
        return 2;
    }
    // Spinning instead of sleeping: the interrupt must not wait for anything.
    g_cause = 0;
    at = MTIME + 5000;
    MTIMECMP = at;
    while (g_cause == 0) {
    }
    if (g_taken_at < at || g_taken_at > at + 100) {
        return 3;
    }
    g_cause = 0;
    MSIP = 1;
    if (g_cause != (UINT64_C(1) << 63 | 3)) {
        return 4;
    }
    // A pending interrupt ends WFI also where mstatus.MIE is off.
    __asm__ volatile("csrci mstatus, 8");
    MTIMECMP = MTIME + 200;
    __asm__ volatile("wfi");
    if ((CSR_READ("mip") & 0x80) == 0) {
        return 5;
    }
    MTIMECMP = UINT64_MAX;
    return (CSR_READ("mip") & 0x80) != 0 ? 6 : 0;
}

#elif defined(CASE_HARTS)
// Four harts count under a lock and by AMOs; LR/SC also on the line that tohost lies on.
extern volatile uint64_t tohost;
static volatile uint32_t g_lock, g_under_lock;
static uint32_t g_amo, g_done;

static void work(void) {
    for (int i = 0; i < 200; ++i) {
        while (__atomic_exchange_n(&g_lock, 1, __ATOMIC_ACQUIRE) != 0) {
        }
        g_under_lock = g_under_lock + 1;
        __atomic_store_n(&g_lock, 0, __ATOMIC_RELEASE);
        __atomic_fetch_add(&g_amo, 1, __ATOMIC_RELAXED);
        uint64_t* beside = (uint64_t*)&tohost + 1;
        uint64_t old = __atomic_load_n(beside, __ATOMIC_RELAXED);
        while (!__atomic_compare_exchange_n(beside, &old, old + 1, 1, __ATOMIC_RELAXED,
                                            __ATOMIC_RELAXED)) {
        }
    }
    __atomic_fetch_add(&g_done, 1, __ATOMIC_RELEASE);
}
void secondary(void) {
    work();
}
int main(void) {
    work();
    while (__atomic_load_n(&g_done, __ATOMIC_ACQUIRE) != 4) {
    }
    return g_under_lock != 800 ? 1 : g_amo != 800 ? 2 : *((uint64_t*)&tohost + 1) != 800 ? 3 : 0;
}
#endif
