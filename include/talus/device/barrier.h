/* Barriers over semaphores. The semaphores from TALUS_SEM_RESERVED up belong to this header;
 * kernels that do not include it may use all. */
#ifndef TALUS_DEVICE_BARRIER_H
#define TALUS_DEVICE_BARRIER_H

#include "kernel.h"

#define TALUS_SEM_RESERVED 28u
#define TALUS_SEM_CORE_A 28u  /* core B has arrived */
#define TALUS_SEM_CORE_B 29u  /* core A has arrived */
#define TALUS_SEM_RELEASE 30u /* the barrier opens */
#define TALUS_SEM_ARRIVE 31u  /* at PE (0, 0): PEs that have arrived */

/* All PEs of the sub-grid; called by one core of each PE, by the same core throughout a kernel.
 * Orders nothing but the cores: drain the units whose data the others shall see first. PE (0, 0)
 * counts arrivals and then posts one release to every PE. A PE can't arrive at the next barrier
 * before it took its release, so the counts of two barriers never mix. */
TALUS_INLINE void talus_barrier(const struct talus_launch* launch) {
    talus_sem_post(TALUS_SEM_ARRIVE, 0, 0, 1);
    if (launch->row == 0 && launch->col == 0) {
        talus_sem_wait(TALUS_SEM_ARRIVE, talus_pe_count(launch));
        talus_sem_post_all(TALUS_SEM_RELEASE, 1);
    }
    talus_sem_wait(TALUS_SEM_RELEASE, 1);
}

/* The two cores of one PE. */
TALUS_INLINE void talus_core_barrier(const struct talus_launch* launch) {
    const uint32_t other = launch->core == TALUS_CORE_A ? TALUS_SEM_CORE_B : TALUS_SEM_CORE_A;
    const uint32_t own = launch->core == TALUS_CORE_A ? TALUS_SEM_CORE_A : TALUS_SEM_CORE_B;
    talus_sem_post(other, launch->row, launch->col, 1);
    talus_sem_wait(own, 1);
}

#endif
