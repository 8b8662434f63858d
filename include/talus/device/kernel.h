/* clang-format off */
/* The kernel ABI: what a kernel sees of the PE runtime. Header-only, freestanding C11.
 *
 *     #include "talus/device/kernel.h"
 *     TALUS_KERNEL void kernel_main(const struct talus_launch* launch) {
 *         const struct my_args* args = launch->args;
 *         if (launch->core == TALUS_CORE_A) { ... data movement ... } else { ... compute ... }
 *     }
 *
 * kernel_main runs on both cores of every PE of the sub-grid at once; launch->core tells which. A
 * job ends when kernel_main has returned on all of them and every command has completed. Each job
 * starts with all circular buffers free, semaphores zero, and contexts undefined. Local memory
 * keeps what earlier jobs left.
 *
 * Rules
 *   - A kernel owns [0, launch->local_bytes) of the PE's local memory and nothing else there.
 *   - The image is read-only and position-independent: no writable statics (the link refuses them).
 *   - Before a PE returns from kernel_main it has taken every semaphore post that others send to
 *     it, and nothing of other PEs still writes to its local memory: the runtime resets the CP on
 *     return. A talus_barrier() at the end is one way.
 *   - Stacks: 4 KiB on core A, 8 KiB on core B. An overflow is found when kernel_main returns, and
 *     is a store access fault at the stack's last word.
 *   - Code of core B may use the V extension; code that runs on core A must not.
 * A trap, a fault of a command, or talus_fail() ends the whole job with a fault record.
 */
/* clang-format on */
#ifndef TALUS_DEVICE_KERNEL_H
#define TALUS_DEVICE_KERNEL_H

#include "cp.h"
#include "talus/hw/work.h"

/* The entry: first bytes of the image. */
#define TALUS_KERNEL __attribute__((section(".text.entry"), used, visibility("default")))

/* Services of the PE runtime: `ecall` with the number in a7, arguments from a0. */
enum talus_service {
    TALUS_SERVICE_EXIT = 0, /* ends kernel_main on this core */
    TALUS_SERVICE_FAIL = 1, /* a0 code, a1..a4 detail words: the job fails with KERNEL_ERROR */
    TALUS_SERVICE_LOG = 2,  /* a0 text, a1 bytes: appended to the PE's log ring */
};

/* Kernel error codes from 0xffff0000 up belong to this API. */
#define TALUS_ERROR_LOCAL_MEMORY 0xffff0001u /* words: bytes asked, bytes left */
#define TALUS_ERROR_ASSERTION 0xffff0002u    /* words: line */

void kernel_main(const struct talus_launch* launch);

/* Returns from kernel_main on this core, from any depth of calls. */
TALUS_INLINE _Noreturn void talus_exit(void) {
    register uint64_t number __asm__("a7") = TALUS_SERVICE_EXIT;
    __asm__ volatile("ecall" : : "r"(number) : "memory");
    __builtin_unreachable();
}

/* Ends the job with status KERNEL_ERROR. The fault record carries this PE's position, the core,
 * `code` (in `cause`) and the four words (in `detail`), e.g. table, sample, position, value. The
 * first PE to fail wins. */
TALUS_INLINE _Noreturn void talus_fail(uint32_t code, uint64_t word0, uint64_t word1,
                                       uint64_t word2, uint64_t word3) {
    register uint64_t number __asm__("a7") = TALUS_SERVICE_FAIL;
    register uint64_t a0 __asm__("a0") = code;
    register uint64_t a1 __asm__("a1") = word0;
    register uint64_t a2 __asm__("a2") = word1;
    register uint64_t a3 __asm__("a3") = word2;
    register uint64_t a4 __asm__("a4") = word3;
    __asm__ volatile("ecall"
                     :
                     : "r"(number), "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(a4)
                     : "memory");
    __builtin_unreachable();
}

#define TALUS_CHECK(condition)                                                                     \
    do {                                                                                           \
        if (!(condition))                                                                          \
            talus_fail(TALUS_ERROR_ASSERTION, __LINE__, 0, 0, 0);                                  \
    } while (0)

/* Appends text to the PE's log ring; the control firmware copies the ring to the device log when
 * the job fails. Costs a trap: for diagnosis. */
TALUS_INLINE void talus_log(const char* text, uint64_t bytes) {
    register uint64_t number __asm__("a7") = TALUS_SERVICE_LOG;
    register uint64_t a0 __asm__("a0") = (uint64_t)text;
    register uint64_t a1 __asm__("a1") = bytes;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(number), "r"(a1) : "memory");
}

/* The device clock. Costs a synchronisation with the rest of the chip. */
TALUS_INLINE uint64_t talus_clock(void) {
    uint64_t now;
    __asm__ volatile("rdtime %0" : "=r"(now) : : "memory");
    return now;
}

/* Position and size of the sub-grid, flattened row by row. */
TALUS_INLINE uint32_t talus_pe_index(const struct talus_launch* launch) {
    return (uint32_t)launch->row * launch->cols + launch->col;
}
TALUS_INLINE uint32_t talus_pe_count(const struct talus_launch* launch) {
    return (uint32_t)launch->rows * launch->cols;
}

/* The part of `count` work items that PE `index` of `parts` takes: [*first, *first + *number).
 * Parts differ by at most one item; the earlier ones are larger. */
TALUS_INLINE void talus_split(uint64_t count, uint32_t parts, uint32_t index, uint64_t* first,
                              uint64_t* number) {
    const uint64_t each = count / parts;
    const uint64_t rest = count % parts;
    *first = each * index + (index < rest ? index : rest);
    *number = each + (index < rest ? 1 : 0);
}

/* Fabric address of local memory of the PE at (row, col) of the sub-grid. */
TALUS_INLINE uint64_t talus_remote_local(uint32_t row, uint32_t col, uint32_t offset) {
    return TALUS_SUBGRID_BASE + (row * TALUS_MAX_COLS + col) * TALUS_PE_WINDOW_STRIDE + offset;
}

/* Adds to the job's result word, which the completion carries. Once per PE at most: it is an AMO on
 * the control core's memory. */
TALUS_INLINE void talus_result_add(const struct talus_launch* launch, uint64_t value) {
    uint64_t* word = (uint64_t*)(launch->record + offsetof(struct talus_job_record, result));
    (void)__atomic_fetch_add(word, value, __ATOMIC_RELEASE);
}

#endif
