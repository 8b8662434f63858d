/* The control firmware whole, on the mocked bus: a host that submits commands and takes
 * completions, and a chip whose PEs and DMA engines do what the test says. */
#ifndef TALUS_TESTS_FIRMWARE_HARNESS_H
#define TALUS_TESTS_FIRMWARE_HARNESS_H

#include "mock_bus.h"

#include "../../../firmware/control/control.h"

#define SYS(block) (TALUS_SYSTEM_BASE + TALUS_SYS_##block)

extern struct control g_control;

/* CMocka setup: firmware booted, all PEs alive, admin queue enabled (64 entries). */
int boot_and_enable(void** state);
/* The parts of it. */
void boot(void);
void enable(void);
extern struct talus_image_header g_image;

/* One interrupt of the interrupt controller, handled. */
void interrupt(uint32_t source);
/* MSIP, handled. */
void software_interrupt(void);
/* The clock moves and the timer interrupt comes. */
void timer(uint64_t now);

/* Puts a command into the inbox, as queue `qid`'s; `deliver` raises the interrupt for all of them.
 * The slots count sq_head by themselves. */
void submit(uint16_t qid, const struct talus_sqe* sqe);
void deliver(void);

/* The next completion that the firmware posted; fails the test if there is none. */
struct talus_outbox_slot completion(void);
/* Completions posted and not yet taken by completion(). */
unsigned completions(void);

/* Submits one command with BATCH_END, delivers it, and returns the status it completed with at
 * once. */
uint16_t run(uint16_t qid, struct talus_sqe sqe);

/* Creates I/O queue `qid` through the admin queue. */
void create_queue(uint16_t qid);

/* A DMA channel's transfer ends. */
void finish_dma(unsigned channel, uint16_t status);

/* Job records and launches. */
volatile struct talus_job_record* record(unsigned job);
unsigned launches(void); /* broadcasts so far */

/* Commands that succeed. */
struct talus_sqe sqe_nop(uint16_t cid);
struct talus_sqe sqe_copy(uint16_t cid);
struct talus_sqe sqe_launch(uint16_t cid, uint8_t row0, uint8_t col0, uint8_t rows, uint8_t cols);

#endif
