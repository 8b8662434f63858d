/* The mailbox as control firmware answers it (mailbox.h of the contract). */
#ifndef TALUS_FIRMWARE_CONTROL_MAILBOX_H
#define TALUS_FIRMWARE_CONTROL_MAILBOX_H

struct control;

/* Answers an unanswered command. The BOOT that started this firmware stays unanswered until the
 * boot has succeeded or failed. */
void mailbox_poll(struct control* control);

#endif
