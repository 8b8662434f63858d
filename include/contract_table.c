/* Prints CONTRACT.md: every table of include/talus/hw, from the same X-macros that make the constants.
 * Build target `talus_contract_md` rewrites include/CONTRACT.md; a test compares the two. */
#include <stdio.h>

#include "talus/hw/address_map.h"
#include "talus/hw/boot_image.h"
#include "talus/hw/instructions.h"
#include "talus/hw/interrupts.h"
#include "talus/hw/mailbox.h"
#include "talus/hw/pci.h"
#include "talus/hw/perf.h"
#include "talus/hw/queue.h"
#include "talus/hw/registers.h"
#include "talus/hw/status.h"
#include "talus/hw/work.h"

static void cell(const char* text) { /* '|' ends a cell in Markdown */
    for (; *text; text++) {
        if (*text == '|')
            putchar('\\');
        putchar(*text);
    }
}

static void row3(const char* a, unsigned long long value, const char* text) {
    printf("| `%s` | %#llx | ", a, value);
    cell(text);
    puts(" |");
}

static void heading(const char* title, const char* columns, int count) {
    printf("\n## %s\n\n%s\n|", title, columns);
    for (int i = 0; i < count; i++)
        fputs(" --- |", stdout);
    putchar('\n');
}

#define VALUE_ROW(name, value, text) row3(#name, (unsigned long long)(value), text);
#define MAP_ROW(name, base, size, text)                                                            \
    printf("| `%s` | %#llx | %#llx | ", #name, (unsigned long long)(base), (unsigned long long)(size)); \
    cell(text);                                                                                    \
    puts(" |");
#define REGISTER_ROW(name, offset, reset, access, text)                                            \
    printf("| `%s` | %#x | %#x | %s | ", #name, (unsigned)(offset), (unsigned)(reset), #access);   \
    cell(text);                                                                                    \
    puts(" |");
#define COMMAND_ROW(name, unit, funct7, rs1, rs2, context, completion)                             \
    printf("\n### `%s`\n\n- encoding: custom-0, funct3 %d, funct7 %d\n- rs1: %s\n- rs2: %s\n- context: %s\n- %s\n", \
           #name, (int)(unit), (int)(funct7), rs1, rs2, context, completion);
#define SYNC_ROW(name, funct3, funct7, rd, rs1, rs2, text)                                         \
    printf("| `%s` | %d | %d | %s | %s | %s | ", #name, funct3, funct7, rd, rs1, rs2);             \
    cell(text);                                                                                    \
    puts(" |");
#define COUNTER_ROW(name, index, scope, unit, text)                                                \
    printf("| `%s` | %d | %s | %s | %s |\n", #name, index, #scope, #unit, text);
#define SIZE_ROW(type) printf("| `struct %s` | %zu |\n", #type, sizeof(struct type));

#define REGISTERS(title, table)                                                                    \
    heading(title, "| register | offset | reset | access | meaning |", 5);                         \
    table(REGISTER_ROW)
#define VALUES(title, table)                                                                       \
    heading(title, "| name | value | meaning |", 3);                                               \
    table(VALUE_ROW)

int main(void) {
    puts("# The hardware contract\n\n"
         "Generated from `include/talus/hw/*.h` by `contract_table.c` (build target `talus_contract_md`). "
         "The headers are the source; this page is for reading.");
    heading("PCI identity", "| what | value | meaning |", 3);
    row3("vendor", TALUS_PCI_VENDOR_ID, "");
    row3("device", TALUS_PCI_DEVICE_ID, "");
    row3("class", TALUS_PCI_CLASS, "processing accelerator");
    row3("BAR0", TALUS_BAR0_SIZE, "registers: frozen page, status page, controller, MSI-X");
    row3("BAR2", TALUS_BAR2_SIZE, "doorbells, one 64 KiB page per queue");
    row3("BAR4", TALUS_BAR4_SIZE, "staging: image, log, crash dump; mappable, prefetchable");
    heading("Address map", "| region | base | size | what |", 4);
    TALUS_ADDRESS_MAP(MAP_ROW)
    REGISTERS("Frozen page (BAR0 + 0x0000)", TALUS_FROZEN_REGISTERS)
    REGISTERS("Controller registers (BAR0 + 0x2000)", TALUS_CONTROLLER_REGISTERS)
    REGISTERS("System information (system + 0x00000)", TALUS_SYS_INFO_REGISTERS)
    REGISTERS("UART (system + 0x10000)", TALUS_UART_REGISTERS)
    REGISTERS("Interrupt controller (system + 0x30000)", TALUS_INTC_REGISTERS)
    REGISTERS("DMA channel (system + 0x40000 + channel * 0x100)", TALUS_DMA_REGISTERS)
    REGISTERS("Queue engine (system + 0x50000)", TALUS_QE_REGISTERS)
    REGISTERS("Queue engine, per queue (+ 0x1000 + qid * 0x40)", TALUS_QE_QUEUE_REGISTERS)
    REGISTERS("Host interface (system + 0x60000)", TALUS_HOSTIF_REGISTERS)
    REGISTERS("Grid control (system + 0x70000)", TALUS_GRID_REGISTERS)
    REGISTERS("Sensors (system + 0x80000)", TALUS_SENSOR_REGISTERS)
    REGISTERS("Memory errors (system + 0x90000)", TALUS_ECC_REGISTERS)
    VALUES("Memories with ECC", TALUS_ECC_CLASSES)
    REGISTERS("PE registers (own at 0x20000000)", TALUS_PE_REGISTERS)
    VALUES("Interrupt sources of the control core", TALUS_IRQ_SOURCES)
    VALUES("Local interrupts of PE cores", TALUS_PE_LOCAL_INTERRUPTS)
    VALUES("Standard trap causes", TALUS_STANDARD_CAUSES)
    VALUES("Trap causes of Talus", TALUS_TRAP_CAUSES)
    VALUES("Boot states", TALUS_BOOT_STATES)
    VALUES("Mailbox commands", TALUS_MAILBOX_COMMANDS)
    VALUES("Boot image segments", TALUS_SEGMENT_KINDS)
    VALUES("Admin opcodes", TALUS_ADMIN_OPCODES)
    VALUES("I/O opcodes", TALUS_IO_OPCODES)
    VALUES("Status codes", TALUS_STATUS_CODES)
    heading("Performance counters", "| counter | index | scope | unit | meaning |", 5);
    TALUS_PERF_COUNTERS(COUNTER_ROW)
    heading("Structure sizes", "| structure | bytes |", 2);
    SIZE_ROW(talus_sqe) SIZE_ROW(talus_cqe) SIZE_ROW(talus_identify) SIZE_ROW(talus_inbox_slot)
    SIZE_ROW(talus_outbox_slot) SIZE_ROW(talus_work) SIZE_ROW(talus_job_record)
    SIZE_ROW(talus_fault_record) SIZE_ROW(talus_image_header) SIZE_ROW(talus_image_segment)
    SIZE_ROW(talus_status_page) SIZE_ROW(talus_log_header) SIZE_ROW(talus_sgl_entry)
    SIZE_ROW(talus_perf_record)
    VALUES("Units of a PE", TALUS_UNITS)
    VALUES("Element types", TALUS_CP_TYPES)
    VALUES("SE functions", TALUS_SE_FUNCTIONS)
    VALUES("SE operations", TALUS_SE_OPERATIONS)
    puts("\n## Commands (custom-0)");
    TALUS_COMMANDS(COMMAND_ROW)
    heading("Synchronous instructions (custom-1)", "| name | funct3 | funct7 | rd | rs1 | rs2 | meaning |", 7);
    TALUS_SYNC_OPERATIONS(SYNC_ROW)
    return 0;
}
