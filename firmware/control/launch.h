/* LAUNCH commands: jobs on sub-grids. The job of queue q uses job record q, so that a queue's
 * commands execute one after another without an allocator. */
#ifndef TALUS_FIRMWARE_LAUNCH_H
#define TALUS_FIRMWARE_LAUNCH_H

#include "grid.h"
#include "queues.h"

struct jobs {
    uint64_t running;  /* bit per queue */
    uint64_t recorded; /* those with a performance record */
    uint32_t generation;
    struct grid_area area[TALUS_MAX_QUEUES]; /* of the queue's latest launch */
    uint64_t deadline[TALUS_MAX_QUEUES];     /* clock; LAUNCH_NO_DEADLINE: none */
    uint64_t perf[TALUS_MAX_QUEUES];  /* where the job's performance record goes, if it has one */
    uint8_t domain[TALUS_MAX_QUEUES]; /* whose that is */
};
#define LAUNCH_NO_DEADLINE (~0ull)

void launch_init(struct jobs* jobs);

/* MSIP: some PE reported the end of a job or a fault. */
void launch_poll(struct control* control);

/* Ends jobs whose time is up. */
void launch_expire(struct control* control, uint64_t now);

/* Clock of the earliest deadline; ~0 if there is none. */
uint64_t launch_next_deadline(const struct control* control);

/* TALUS_IRQ_GRID: a job can't go on. */
void launch_deadlock(struct control* control);

/* Memory that a job depends on holds what cannot be read (ecc.c). Whether a job runs on the PE (a
 * rectangle of one); ends it, with MEMORY_ERROR; clears the job record at `address` and ends its job. */
bool launch_runs_on(const struct control* control, struct grid_rect pe);
void launch_lose_pe(struct control* control, struct grid_rect pe);
void launch_lose_record(struct control* control, uint64_t address);
/* Ends the jobs whose argument block has the address: PEs that could not read it have no job to tell
 * about. */
void launch_lose_arguments(struct control* control, uint64_t address);

/* Ends the queue's running job as aborted; false if it runs none. */
bool launch_abort(struct control* control, struct queue* queue);

/* Kills every job; nothing completes. */
void launch_drop_all(struct control* control);

#endif
