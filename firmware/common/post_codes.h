/* Checkpoints of ROM and control firmware, shown in FROZEN_POST_CODE. 0x1xx: ROM, 0x2xx: control.
 */
#ifndef TALUS_FIRMWARE_POST_CODES_H
#define TALUS_FIRMWARE_POST_CODES_H

#include "talus/hw/common.h"

/* X(name, value, meaning) */
#define POST_CODES(X)                                                                              \
    X(POST_ROM_START, 0x100, "ROM runs")                                                           \
    X(POST_ROM_READY, 0x101, "ROM waits for LOAD")                                                 \
    X(POST_ROM_LOAD, 0x110, "checking the image's header")                                         \
    X(POST_ROM_LOADED, 0x111, "header accepted")                                                   \
    X(POST_ROM_VERIFY, 0x120, "copying and hashing; low digit + segment number")                   \
    X(POST_ROM_VERIFIED, 0x12f, "all segments match")                                              \
    X(POST_ROM_BOOT, 0x130, "zero-filling")                                                        \
    X(POST_ROM_JUMP, 0x131, "leaving the ROM")                                                     \
    X(POST_ROM_TRAP, 0x1ff, "trap in the ROM")                                                     \
    X(POST_CONTROL_START, 0x200, "control firmware runs")                                          \
    X(POST_CONTROL_PES, 0x210, "PEs released; waiting for them")                                   \
    X(POST_CONTROL_READY, 0x220, "ready for the admin queue")                                      \
    X(POST_CONTROL_ENABLED, 0x221, "admin queue live")                                             \
    X(POST_CONTROL_PE_BOOT, 0x2f0, "a PE did not start")                                           \
    X(POST_CONTROL_PANIC, 0x2ff, "control firmware panicked")
enum post_code { POST_CODES(TALUS_ENUM_VALUE) POST_LAST = 0xfff };

#endif
