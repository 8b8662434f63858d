/* Host queues: commands wait in per-queue lists and execute one after another, in order.
 *
 *   inbox --receive--> queue's list --begin--> handler --finish--> outbox
 *
 * A handler completes at once, starts something whose end calls queues_finish(), or asks to be
 * called again when a resource (DMA channel, PEs) becomes free. Queues that wait for a resource are
 * served in the order in which they began to wait. */
#ifndef TALUS_FIRMWARE_QUEUES_H
#define TALUS_FIRMWARE_QUEUES_H

#include <stdbool.h>
#include <stdint.h>

#include "talus/hw/pci.h"
#include "talus/hw/queue.h"
#include "talus/hw/status.h"
#include "talus/hw/work.h"

struct control;
struct queue;
struct queue_config;

/* Commands that wait or execute, of all queues together. When the pool is used up, entries stay in
 * the inbox until commands complete. */
#define COMMAND_POOL 8192u
#define NO_COMMAND 0xffffu

struct command {
    struct talus_sqe sqe;
    uint64_t admitted;
    uint64_t receipt; /* clock at which the firmware took it from the inbox */
    uint16_t next;    /* in the queue's list or the free list */
    uint16_t verdict; /* not TALUS_OK: don't execute, complete with this */
    uint8_t domain;
    uint8_t reserved[11];
};

enum progress {
    PROGRESS_DONE,     /* outcome holds status and result */
    PROGRESS_STARTED,  /* queues_finish() comes later */
    PROGRESS_BLOCKED,  /* no effect so far; call again when a resource is free */
    PROGRESS_DETACHED, /* its completion comes later, and the queue goes on */
};

struct outcome {
    uint16_t status;
    uint64_t result;
    uint32_t detail;
};

typedef enum progress (*command_handler)(struct control* control, struct queue* queue,
                                         const struct command* command, struct outcome* outcome);

struct command_entry {
    uint8_t opcode;
    command_handler handle;
};

enum queue_state {
    QUEUE_FREE,
    QUEUE_ACTIVE,
    QUEUE_DELETING, /* its commands still execute; new ones are refused */
    QUEUE_DRAINING, /* stopped; slots that the engine wrote before are skipped */
};

enum queue_phase {
    PHASE_IDLE,
    PHASE_RUNNING, /* `current` has been started */
    PHASE_WAITING, /* `current` waits for a resource */
    PHASE_POSTING, /* a completion waits for room in the outbox */
};

struct queue {
    enum queue_state state;
    enum queue_phase phase;
    uint16_t qid;
    uint16_t head, tail; /* list of commands that have not begun */
    uint16_t current;    /* command that has begun */
    uint16_t sq_head;    /* of the latest entry received */
    uint16_t delete_cid; /* DELETING, DRAINING: the admin command */
    uint64_t delete_admitted;
    uint32_t drain_to; /* DRAINING: inbox index */
    bool owes_post;    /* `posting` is written as soon as the next command has begun */
    bool batch_failed; /* commands up to BATCH_END complete as aborted */
    uint8_t domain;
    uint32_t launch_limit_us;
    uint64_t start;      /* clock from which `current` executes */
    uint64_t idle_since; /* clock at which the previous command ended */
    struct talus_outbox_slot posting;
    struct talus_fault_record fault; /* of the last faulting job; valid == 0: none */
};

struct queues {
    struct queue queue[TALUS_MAX_QUEUES];
    struct command* pool;
    uint32_t pool_size;                /* entries of `pool` */
    uint32_t pool_used;                /* entries that were ever handed out */
    uint16_t free;                     /* list of entries that came back */
    uint8_t waiting[TALUS_MAX_QUEUES]; /* queues in PHASE_WAITING, first come first served */
    uint32_t waiting_count;
    uint32_t posting_count; /* queues in PHASE_POSTING */
    uint32_t leaving_count; /* queues in DELETING or DRAINING */
    bool inbox_stalled;     /* the pool was used up before the inbox was empty */
    bool resource_freed;    /* the waiting queues are to be tried again */
};

/* `pool` has `pool_size` entries (at most NO_COMMAND) whose contents don't matter. */
void queues_init(struct queues* queues, struct command* pool, uint32_t pool_size);

/* Moves what the inbox holds to the queues, and begins what can begin. */
void queues_receive(struct control* control);

/* Ends the queue's current command, which a handler had started, and begins the next ones. */
void queues_finish(struct control* control, struct queue* queue, const struct outcome* outcome);

/* Tries waiting queues, posts pending completions, finishes deletions: after every event. */
void queues_settle(struct control* control);

/* TALUS_IRQ_OUTBOX: there is room again. queues_settle() uses it. */
void queues_outbox_drained(struct control* control);

/* Opens queue `qid` (FREE before). `launch_limit_us`: device time that its launches may take; 0: no
 * limit. */
void queues_open(struct control* control, uint32_t qid, const struct queue_config* config,
                 uint32_t launch_limit_us);

/* Begins to delete an ACTIVE queue: `command` of the admin queue completes when the queue is gone.
 */
void queues_delete(struct control* control, struct queue* queue, const struct command* command);

/* Aborts a command that waits or runs; false if the queue holds none of that id that could be. */
bool queues_abort(struct control* control, struct queue* queue, uint16_t cid);

/* The same for everything that the queue holds. */
void queues_abort_all(struct control* control, struct queue* queue);

/* Stops and forgets every queue; nothing completes. Running jobs and transfers are the caller's. */
void queues_drop_all(struct control* control);

/* The queue's current command; null if none. */
const struct command* queues_current(const struct control* control, const struct queue* queue);

#endif
