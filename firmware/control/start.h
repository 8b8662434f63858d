/* Start of the PEs: release, and the wait until each has reported (work.h struct talus_pe_boot). */
#ifndef TALUS_FIRMWARE_START_H
#define TALUS_FIRMWARE_START_H

#include <stdint.h>

#include "talus/hw/boot_image.h"

struct control;

/* Time that the PEs have, in microseconds. */
#define PE_START_US 10000u

void start_pes(struct control* control, const struct talus_image_header* image);

/* MSIP: READY once all PEs have reported. */
void start_poll(struct control* control);

/* FAILED once the time is up. */
void start_expire(struct control* control, uint64_t now);

#endif
