#include "ecc.h"

#include <stdbool.h>

#include "../common/mmio.h"
#include "control.h"
#include "talus/hw/registers.h"

static const char* const kMemories[TALUS_ECC_MEMORIES] = {
    [TALUS_ECC_LOCAL] = "PE local memory",
    [TALUS_ECC_CONTROL_SRAM] = "control SRAM",
    [TALUS_ECC_SHARED_SRAM] = "shared SRAM",
    [TALUS_ECC_DRAM] = "DRAM",
};

static bool within(uint64_t address, uint64_t base, uint64_t bytes) {
    return address >= base && address - base < bytes;
}

/* What the word held is lost, so a PE may as well find zero there: otherwise the next to write a
 * part of it would meet the error again. A job in the PE fails by what its core or unit was told,
 * with pc and cause, unless that needs the very memory that is damaged. */
static void lose_local_word(struct control* control, uint64_t address) {
    const uint64_t window = address - TALUS_PE_WINDOW_BASE;
    const uint32_t pe = (uint32_t)(window / TALUS_PE_WINDOW_STRIDE);
    const struct grid_rect rect = {(uint8_t)(pe / control->grid.cols),
                                   (uint8_t)(pe % control->grid.cols), 1, 1};
    const bool runtime = window % TALUS_PE_WINDOW_STRIDE >= TALUS_LOCAL_RUNTIME_OFFSET;
    mmio_write64(address, 0);
    if (!launch_runs_on(control, rect))
        grid_restart(&control->grid, grid_code(rect)); /* its runtime may have met it */
    else if (runtime)
        launch_lose_pe(control, rect);
}

static void lose_word(struct control* control, uint32_t memory, uint64_t address) {
    if (memory == TALUS_ECC_LOCAL)
        lose_local_word(control, address);
    else if (within(address, TALUS_CONTROL_SRAM_BASE + TALUS_JOBS_OFFSET,
                    TALUS_MAX_JOBS * sizeof(struct talus_job_record)))
        launch_lose_record(control, address);
    else if (memory == TALUS_ECC_CONTROL_SRAM ||
             within(address, TALUS_LLS_BASE, TALUS_LLS_FIRMWARE_SIZE))
        control->memory_lost = true;
    else
        launch_lose_arguments(control, address);
}

void ecc_interrupt(struct control* control) {
    const uint64_t block = CONTROL_BLOCK(ECC);
    for (;;) {
        const uint32_t record = mmio_read32(block + ECC_RECORD);
        if ((record & TALUS_ECC_RECORD_VALID) == 0)
            break;
        const uint64_t address = mmio_read64(block + ECC_ADDRESS);
        const uint32_t memory = TALUS_ECC_RECORD_MEMORY(record);
        const bool lost = (record & TALUS_ECC_RECORD_UNCORRECTABLE) != 0;
        mmio_write32(block + ECC_NEXT, 1);
        log_line(&control->log, "ecc: %s at 0x%X: %s",
                 memory < TALUS_ECC_MEMORIES ? kMemories[memory] : "memory", address,
                 lost ? "more wrong bits than can be corrected" : "one wrong bit, corrected");
        if (lost)
            lose_word(control, memory, address);
    }
}
