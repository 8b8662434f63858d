/* Interrupt map and trap causes. */
#ifndef TALUS_HW_INTERRUPTS_H
#define TALUS_HW_INTERRUPTS_H

#include "common.h"

/* Sources of the interrupt controller; they raise MEIP of control hart 0. X(name, bit, meaning) */
#define TALUS_IRQ_SOURCES(X)                                                                       \
    X(TALUS_IRQ_MAILBOX, 0, "host wrote MB_COMMAND")                                               \
    X(TALUS_IRQ_CONTROLLER, 1, "host wrote CTRL (enable, disable, shutdown)")                      \
    X(TALUS_IRQ_INBOX, 2, "queue engine wrote inbox slots")                                        \
    X(TALUS_IRQ_OUTBOX, 3, "queue engine drained outbox slots")                                    \
    X(TALUS_IRQ_DMA0, 4, "DMA channel 0 finished")                                                 \
    X(TALUS_IRQ_DMA1, 5, "DMA channel 1 finished")                                                 \
    X(TALUS_IRQ_DMA2, 6, "DMA channel 2 finished")                                                 \
    X(TALUS_IRQ_DMA3, 7, "DMA channel 3 finished")                                                 \
    X(TALUS_IRQ_UART, 8, "UART has a received byte")                                               \
    X(TALUS_IRQ_FLR, 9, "function-level reset by the host: queues and windows are gone")           \
    X(TALUS_IRQ_GRID, 10, "a guest deadlock was detected: GRID_DEADLOCK_JOB says which job")       \
    X(TALUS_IRQ_ECC, 11, "a memory error was recorded: ECC_RECORD")
enum talus_irq_source { TALUS_IRQ_SOURCES(TALUS_ENUM_VALUE) TALUS_IRQ_COUNT = 12 };

/* Local interrupts (bits of mip/mie) of PE cores beside the standard 3, 7, 11. */
#define TALUS_PE_LOCAL_INTERRUPTS(X)                                                               \
    X(TALUS_LIRQ_WORK, 16, "core A: a work-queue slot was filled")                                 \
    X(TALUS_LIRQ_CP_FAULT, 17, "a command of this core faulted in a unit: CP_FAULT_* registers")   \
    X(TALUS_LIRQ_PEER, 18, "the PE's other core wrote PEER_INTERRUPT")
enum talus_local_irq { TALUS_PE_LOCAL_INTERRUPTS(TALUS_ENUM_VALUE) TALUS_LIRQ_LAST = 63 };

/* Trap causes beside the standard ones (mcause, interrupt bit clear). For those that a unit finds
 * while it executes a command, the same number stands in CP_FAULT_CAUSE; so does
 * TALUS_CAUSE_HARDWARE_ERROR, with the address in tval. */
#define TALUS_TRAP_CAUSES(X)                                                                       \
    X(TALUS_TRAP_CP_COMMAND, 24, "unknown or malformed command; tval = instruction or context")    \
    X(TALUS_TRAP_CB, 25, "circular buffer misuse (size, ownership, depth, wrap); tval = CB id")    \
    X(TALUS_TRAP_LOCAL, 26, "local memory operand out of bounds or misaligned; tval = offset")     \
    X(TALUS_TRAP_FABRIC, 27, "fabric address not memory, or not allowed; tval = address")          \
    X(TALUS_TRAP_INDEX, 28, "indexed DMA: index out of range; tval = position in the list; sparse B: see its sheet") \
    X(TALUS_TRAP_CP_STALL, 29, "command stalled for CP_STALL_LIMIT clocks; tval = CB id, or TALUS_STALL_* | direction of a link") \
    X(TALUS_TRAP_SUBGRID, 30, "address or coordinate outside the sub-grid; tval = it")             \
    X(TALUS_TRAP_BROADCAST, 31, "broadcast read differs from the other members'; tval = address")  \
    X(TALUS_TRAP_CACHE, 32, "a cache line is stale, or dirty where another reads; tval = address") \
    X(TALUS_TRAP_REDUCTION, 33, "received otherwise than sent; tval = content << 16 | m << 8 | n as sent")
#define TALUS_STALL_RECEIVE 0x100u /* RE_RECEIVE: nothing was sent */
#define TALUS_STALL_SEND 0x200u    /* RE_SEND: the message before was not received */
enum talus_trap_cause { TALUS_TRAP_CAUSES(TALUS_ENUM_VALUE) TALUS_TRAP_LAST = 63 };

/* The standard causes, named for traces and logs. X(name, value, text) */
#define TALUS_STANDARD_CAUSES(X)                                                                   \
    X(TALUS_CAUSE_FETCH_MISALIGNED, 0, "instruction address misaligned")                           \
    X(TALUS_CAUSE_FETCH_ACCESS, 1, "instruction access fault")                                     \
    X(TALUS_CAUSE_ILLEGAL, 2, "illegal instruction")                                               \
    X(TALUS_CAUSE_BREAKPOINT, 3, "breakpoint")                                                     \
    X(TALUS_CAUSE_LOAD_MISALIGNED, 4, "load address misaligned")                                   \
    X(TALUS_CAUSE_LOAD_ACCESS, 5, "load access fault")                                             \
    X(TALUS_CAUSE_STORE_MISALIGNED, 6, "store address misaligned")                                 \
    X(TALUS_CAUSE_STORE_ACCESS, 7, "store access fault")                                           \
    X(TALUS_CAUSE_ECALL_U, 8, "environment call from U")                                           \
    X(TALUS_CAUSE_ECALL_M, 11, "environment call from M")                                          \
    X(TALUS_CAUSE_HARDWARE_ERROR, 19, "hardware error: memory holds more wrong bits than ECC corrects")
enum talus_standard_cause { TALUS_STANDARD_CAUSES(TALUS_ENUM_VALUE) TALUS_CAUSE_LAST = 23 };

#endif
