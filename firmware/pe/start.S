/* Reset of both cores of a PE, the call into a kernel, and traps.
 * Hart ids of PE cores begin at TALUS_CONTROL_HARTS, an even number, so the lowest bit is the core. */
#define STACK_A_TOP 0x1005e000 /* TALUS_LOCAL_BASE + TALUS_LOCAL_STACK_A_TOP */
#define STACK_B_TOP 0x10060000 /* TALUS_LOCAL_BASE + TALUS_LOCAL_STACK_B_TOP */
#define MSTATUS_FS 0x2000      /* floating point on, initial */
#define MSTATUS_VS 0x200       /* vectors on, initial */
#define MSTATUS_MIE 8
#define CAUSE_ECALL_M 11
#define MIP_PEER 0x40000 /* 1 << TALUS_LIRQ_PEER */
#define FRAME_CALL 112
#define FRAME_LOG 128

    .section .start, "ax"
    .globl _start
_start:
    csrw mie, zero
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    csrr t1, mhartid
    andi t1, t1, 1
    bnez t1, core_b

    /* Core A: the runtime moves from LLS to local memory, where fetching it costs nothing and waits for
     * nobody; then the variables are cleared. */
    la t0, __text_load
    la t1, __text_start
    la t2, __text_end
1:  bgeu t1, t2, 2f
    ld t3, 0(t0)
    sd t3, 0(t1)
    addi t0, t0, 8
    addi t1, t1, 8
    j 1b
2:  la t0, __bss_start
    la t1, __bss_end
3:  bgeu t0, t1, 4f
    sd zero, 0(t0)
    addi t0, t0, 8
    j 3b
4:  fence.i
    la t0, trap_entry
    csrw mtvec, t0
    li sp, STACK_A_TOP
    li t0, MSTATUS_FS
    csrw mstatus, t0
    la t0, runtime_core_a
    jr t0

    /* Core B: nothing is in local memory before core A says so. */
core_b:
    li t0, MIP_PEER
    csrw mie, t0
5:  wfi
    csrr t1, mip
    and t1, t1, t0
    beqz t1, 5b
    fence.i
    la t0, trap_entry
    csrw mtvec, t0
    li sp, STACK_B_TOP
    li t0, MSTATUS_FS | MSTATUS_VS
    csrw mstatus, t0
    la t0, runtime_core_b
    jr t0

/* void runtime_call_kernel(a0 = entry, a1 = launch, a2 = where the stack pointer is kept) */
    .text
    .globl runtime_call_kernel
runtime_call_kernel:
    addi sp, sp, -FRAME_CALL
    sd ra, 0(sp)
    sd s0, 8(sp)
    sd s1, 16(sp)
    sd s2, 24(sp)
    sd s3, 32(sp)
    sd s4, 40(sp)
    sd s5, 48(sp)
    sd s6, 56(sp)
    sd s7, 64(sp)
    sd s8, 72(sp)
    sd s9, 80(sp)
    sd s10, 88(sp)
    sd s11, 96(sp)
    sd sp, 0(a2)
    mv t0, a0
    mv a0, a1
    csrsi mstatus, MSTATUS_MIE
    jalr t0
kernel_returned:
    csrci mstatus, MSTATUS_MIE
    ld ra, 0(sp)
    ld s0, 8(sp)
    ld s1, 16(sp)
    ld s2, 24(sp)
    ld s3, 32(sp)
    ld s4, 40(sp)
    ld s5, 48(sp)
    ld s6, 56(sp)
    ld s7, 64(sp)
    ld s8, 72(sp)
    ld s9, 80(sp)
    ld s10, 88(sp)
    ld s11, 96(sp)
    addi sp, sp, FRAME_CALL
    ret

/* Faults abandon the kernel: they run on the core's stack from its top, wherever sp points. Only the log
 * service returns into the kernel. */
    .balign 4
trap_entry:
    csrw mscratch, t0
    csrr t0, mcause
    addi t0, t0, -CAUSE_ECALL_M
    bnez t0, trap_fault
    li t0, 2 /* TALUS_SERVICE_LOG */
    beq a7, t0, service_log
    li t0, 1 /* TALUS_SERVICE_FAIL */
    beq a7, t0, service_fail
    bnez a7, trap_fault
    /* TALUS_SERVICE_EXIT: back to where runtime_call_kernel left its stack pointer */
    .option push
    .option norelax
    la gp, __global_pointer$ /* a kernel may use gp as it likes */
    .option pop
    csrr t0, mhartid
    andi t0, t0, 1
    la t1, g_saved_sp
    sh3add t1, t0, t1
    ld sp, 0(t1)
    j kernel_returned

    .macro reset_stack
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    csrr t0, mhartid
    andi t0, t0, 1
    li sp, STACK_A_TOP
    beqz t0, 1f
    li sp, STACK_B_TOP
1:
    .endm

trap_fault:
    reset_stack
    j runtime_trap
service_fail:
    reset_stack
    j runtime_fail

service_log:
    addi sp, sp, -FRAME_LOG
    sd ra, 0(sp)
    csrr t0, mscratch
    sd t0, 8(sp)
    sd t1, 16(sp)
    sd t2, 24(sp)
    sd t3, 32(sp)
    sd t4, 40(sp)
    sd t5, 48(sp)
    sd t6, 56(sp)
    sd a0, 64(sp)
    sd a1, 72(sp)
    sd a2, 80(sp)
    sd a3, 88(sp)
    sd a4, 96(sp)
    sd a5, 104(sp)
    sd a6, 112(sp)
    sd a7, 120(sp)
    call runtime_log
    ld ra, 0(sp)
    ld t1, 16(sp)
    ld t2, 24(sp)
    ld t3, 32(sp)
    ld t4, 40(sp)
    ld t5, 48(sp)
    ld t6, 56(sp)
    ld a0, 64(sp)
    ld a1, 72(sp)
    ld a2, 80(sp)
    ld a3, 88(sp)
    ld a4, 96(sp)
    ld a5, 104(sp)
    ld a6, 112(sp)
    ld a7, 120(sp)
    csrr t0, mepc
    addi t0, t0, 4
    csrw mepc, t0
    ld t0, 8(sp)
    addi sp, sp, FRAME_LOG
    mret
