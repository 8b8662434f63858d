# Enters the workload with floating point and, where there are any, vectors switched on. A halt (ecall
# without a trap handler) ends the run.
    .section .text.start, "ax"
    .globl _start
_start:
    li      t0, 0x6600
    csrs    mstatus, t0
    la      sp, stack_top
    call    workload
    ecall
