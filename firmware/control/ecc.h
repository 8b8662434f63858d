/* Memory errors that the hardware's ECC has found (registers.h ECC_*). */
#ifndef TALUS_FIRMWARE_ECC_H
#define TALUS_FIRMWARE_ECC_H

struct control;

/* TALUS_IRQ_ECC. Every record goes to the log. Who met an uncorrectable error has been told by the
 * hardware, so a job or copy ends by itself; here, what it leaves behind is put right, or the memory
 * that the firmware itself depends on is given up (control.memory_lost). */
void ecc_interrupt(struct control* control);

#endif
