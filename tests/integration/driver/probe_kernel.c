/* Tries to reach an address in one of the ways that a kernel has, for the tests of isolation. On
 * core A of the sub-grid's first PE alone. The result is what it read. */
#include <talus/device/kernel.h>
#include <talus/device/memory.h>
#include <talus/hw/registers.h>

#include "probe.h"

#define LOCAL 0x10000u /* a buffer in local memory */

static uint64_t local_word(uint32_t offset) {
    return *(volatile uint64_t*)talus_local_pointer(offset);
}

static void set_local_word(uint32_t offset, uint64_t value) {
    *(volatile uint64_t*)talus_local_pointer(offset) = value;
}

static uint32_t* own_register(uint32_t offset) {
    return (uint32_t*)(TALUS_PE_REGS_BASE + offset);
}

static uint64_t probe(const struct talus_launch* launch, const struct probe_args* args) {
    volatile uint64_t* const word = (volatile uint64_t*)args->address;
    switch (args->way) {
    case PROBE_LOAD:
        return *word;
    case PROBE_STORE:
        *word = args->value;
        __asm__ volatile("fence" : : : "memory");
        return 0;
    case PROBE_AMO:
        return __atomic_fetch_add((uint64_t*)args->address, args->value, __ATOMIC_SEQ_CST);
    case PROBE_FETCH:
        ((void (*)(void))args->address)();
        return 0;
    case PROBE_FLUSH:
        __asm__ volatile("cbo.flush 0(%0)" : : "r"(args->address) : "memory");
        return 0;
    case PROBE_DMA_IN:
        talus_context_set01(0, talus_direct_operand(LOCAL), 0);
        talus_dma_in(0, args->address, 64, 1);
        talus_drain(1u << TALUS_UNIT_FI_IN);
        return local_word(LOCAL);
    case PROBE_DMA_OUT:
        set_local_word(LOCAL, args->value);
        talus_context_set01(0, talus_direct_operand(LOCAL), 0);
        talus_dma_out(0, args->address, 64, 1);
        talus_drain(1u << TALUS_UNIT_FI_OUT);
        return 0;
    case PROBE_RECTANGLE: {
        /* In the register, and in the work-queue slot from which the register is set. */
        struct talus_wq_slot* slot =
            (struct talus_wq_slot*)talus_local_pointer(TALUS_LOCAL_WQ_OFFSET);
        const uint32_t head = *(volatile uint32_t*)own_register(PE_WQ_HEAD);
        for (unsigned i = 0; i < TALUS_WQ_SLOTS; ++i) {
            struct talus_work* work =
                (struct talus_work*)((uint8_t*)slot + i * TALUS_WQ_SLOT_BYTES);
            work->row0 = work->col0 = 0;
            work->rows = work->cols = 2;
        }
        __asm__ volatile("fence" : : : "memory");
        *(volatile uint32_t*)own_register(PE_SUBGRID_RECT) = 2u << 16 | 2u << 24;
        *(volatile uint32_t*)own_register(PE_WQ_HEAD) = head;
        return *(volatile uint64_t*)talus_remote_local(1, 1, LOCAL);
    }
    case PROBE_LEAVE:
        set_local_word(LOCAL, args->value);
        return 0;
    case PROBE_FIND:
        return local_word(LOCAL);
    case PROBE_OUTLIVE:
        /* The job ends as if this PE had reported, and goes on. */
        __atomic_fetch_sub((uint32_t*)(launch->record + offsetof(struct talus_job_record, pending)),
                           1, __ATOMIC_SEQ_CST);
        *(volatile uint32_t*)(TALUS_SYSTEM_BASE + TALUS_SYS_CLINT + CLINT_MSIP) = 1;
        for (;;)
            (void)__atomic_exchange_n((uint64_t*)args->address, args->value, __ATOMIC_SEQ_CST);
    default:
        return 0;
    }
}

TALUS_KERNEL void kernel_main(const struct talus_launch* launch) {
    if (launch->core == TALUS_CORE_A && talus_pe_index(launch) == 0)
        talus_result_add(launch, probe(launch, launch->args));
}
