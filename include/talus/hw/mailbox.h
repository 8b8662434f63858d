/* The mailbox: the road to the device before (and without) queues. It lives in the frozen page.
 * The host writes MB_ARG0..3, then MB_COMMAND; the device answers MB_RESULT0..1, then MB_STATUS.
 * One command at a time: the host waits until MB_STATUS's sequence equals that of MB_COMMAND.
 *   MB_COMMAND = opcode | sequence << 16      (sequence: any value other than the last one)
 *   MB_STATUS  = status (status.h) | sequence << 16
 */
#ifndef TALUS_HW_MAILBOX_H
#define TALUS_HW_MAILBOX_H

#include "common.h"

/* X(name, value, meaning) */
#define TALUS_MAILBOX_COMMANDS(X)                                                                  \
    X(TALUS_MB_NOP, 0x0, "answers OK; result0 = BOOT_STATE")                                       \
    X(TALUS_MB_LOAD, 0x1, "ROM: arg0 = image bytes in staging at offset arg1; checks the header")  \
    X(TALUS_MB_VERIFY, 0x2, "ROM: checks every segment's SHA-256")                                 \
    X(TALUS_MB_BOOT, 0x3, "ROM: copies the segments and jumps; answered by the new firmware")      \
    X(TALUS_MB_VERSION, 0x4, "result0 = bundle version major<<16|minor<<8|patch")

enum talus_mailbox_command { TALUS_MAILBOX_COMMANDS(TALUS_ENUM_VALUE) TALUS_MB_LAST = 0xffff };

/* BOOT_STATE. X(name, value, meaning) */
#define TALUS_BOOT_STATES(X)                                                                       \
    X(TALUS_BOOT_RESET, 0, "in reset; nothing has run")                                            \
    X(TALUS_BOOT_ROM_READY, 1, "ROM waits for LOAD")                                               \
    X(TALUS_BOOT_LOADED, 2, "header accepted; waits for VERIFY")                                   \
    X(TALUS_BOOT_VERIFIED, 3, "hashes match; waits for BOOT")                                      \
    X(TALUS_BOOT_STARTING, 4, "control firmware runs, PEs start")                                  \
    X(TALUS_BOOT_READY, 5, "admin queue may be enabled")                                           \
    X(TALUS_BOOT_FAILED, 6, "FAIL_CODE says why; LOAD starts again from the ROM")                  \
    X(TALUS_BOOT_PANIC, 7, "control firmware stopped; only a fundamental reset helps")

enum talus_boot_state { TALUS_BOOT_STATES(TALUS_ENUM_VALUE) TALUS_BOOT_STATE_LAST = 0xffff };

#endif
