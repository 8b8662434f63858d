/* The end of a job that goes wrong: the first core that claims the job's fault record fills it and
 * tells the control core, which resets the sub-grid's PEs. All others just stop. */
#include "../common/csr.h"
#include "../common/mmio.h"
#include "runtime.h"
#include "talus/device/cp.h"
#include "talus/hw/interrupts.h"
#include "talus/hw/status.h"

static _Noreturn void halt(void) {
    CSR_WRITE(mie, 0);
    for (;;)
        wait_for_interrupt();
}

struct fault {
    uint16_t status;
    uint32_t cause;
    uint64_t pc;
    uint64_t tval;
    uint64_t detail[4];
};

static _Noreturn void report(const struct fault* fault) {
    const uint32_t core = talus_core();
    const struct talus_launch* launch = &g_runtime.launch[core];
    volatile struct talus_job_record* record = (volatile struct talus_job_record*)g_runtime.record;
    if (record == 0) {
        static const char text[] = "runtime: trap outside a job\n";
        runtime_log(text, sizeof(text) - 1);
        halt();
    }
    if (__atomic_exchange_n(&record->fault_claim, 1, __ATOMIC_ACQ_REL) != 0)
        halt();
    record->fault.status = fault->status;
    record->fault.row = launch->row;
    record->fault.col = launch->col;
    record->fault.core = core;
    record->fault.cause = fault->cause;
    record->fault.pc = fault->pc;
    record->fault.tval = fault->tval;
    for (unsigned i = 0; i < 4; ++i)
        record->fault.detail[i] = fault->detail[i];
    bus_fence();
    record->fault.valid = TALUS_FAULT_VALID;
    bus_fence();
    mmio_write32(CONTROL_MSIP, 1);
    halt();
}

_Noreturn void runtime_trap(void) {
    const uint64_t cause = CSR_READ(mcause);
    struct fault fault = {
        .status = TALUS_KERNEL_FAULT,
        .cause = (uint32_t)cause,
        .pc = CSR_READ(mepc),
        .tval = CSR_READ(mtval),
    };
    if (cause == (MCAUSE_INTERRUPT | TALUS_LIRQ_CP_FAULT)) {
        const uint32_t core = talus_core();
        fault.cause = mmio_read32(PE_REGISTER(PE_CP_FAULT_CAUSE_A) + 4 * core);
        fault.pc = mmio_read64(PE_REGISTER(PE_CP_FAULT_PC_A) + 8 * core);
        fault.tval = mmio_read64(PE_REGISTER(PE_CP_FAULT_TVAL_A) + 8 * core);
    }
    report(&fault);
}

_Noreturn void runtime_stack_overflow(uint64_t address) {
    static const char text[] = "stack overflow\n";
    const struct fault fault = {
        .status = TALUS_KERNEL_FAULT,
        .cause = TALUS_CAUSE_STORE_ACCESS,
        .pc = g_runtime.entry,
        .tval = address,
    };
    runtime_log(text, sizeof(text) - 1);
    report(&fault);
}

_Noreturn void runtime_fail(uint32_t code, uint64_t word0, uint64_t word1, uint64_t word2,
                            uint64_t word3) {
    const struct fault fault = {
        .status = TALUS_KERNEL_ERROR,
        .cause = code,
        .pc = CSR_READ(mepc),
        .detail = {word0, word1, word2, word3},
    };
    report(&fault);
}
