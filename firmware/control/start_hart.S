/* Entry of the control firmware: the ROM jumps here on hart 0 with a0 = verified image header. */
    .section .text.start, "ax"
    .globl _start
_start:
    csrw mie, zero
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    la sp, __stack_top
    la t0, trap_entry
    csrw mtvec, t0
    call control_main
1:  wfi
    j 1b

/* A second trap while the first is reported only sleeps. */
    .balign 4
trap_entry:
    csrw mscratch, sp
    la sp, __panic_stack_top - 256
    .irp n, 1,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    sd x\n, 8*\n(sp)
    .endr
    csrr t0, mscratch
    sd t0, 16(sp)
    la t0, 1b
    csrw mtvec, t0
    mv a0, sp
    call control_panic
    j 1b
