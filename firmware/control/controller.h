/* The controller registers: the host enables the admin queue, disables everything, or resets the
 * function. */
#ifndef TALUS_FIRMWARE_CONTROLLER_H
#define TALUS_FIRMWARE_CONTROLLER_H

struct control;

/* TALUS_IRQ_CONTROLLER: the host wrote CTRL_ENABLE. */
void controller_interrupt(struct control* control);

/* TALUS_IRQ_FLR: queues and windows are gone in hardware; what runs for them ends here. */
void controller_reset(struct control* control);

/* Goes on with a disable that waits for DMA engines: after every event. */
void controller_settle(struct control* control);

#endif
