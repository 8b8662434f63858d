// Every hart: traps end the program with code 1000 + mcause; hart 0 calls main and exits with its
// result, the others call secondary if there is one.
    .section .text.init, "ax"
    .globl _start
_start:
    la t0, trapped
    csrw mtvec, t0
    li t0, 0x6600
    csrs mstatus, t0
    la sp, stacks
    csrr a0, mhartid
    addi t0, a0, 1
    slli t0, t0, 12
    add sp, sp, t0
    bnez a0, others
    call main
    .globl finish
finish: // a0: exit code
    slli a0, a0, 1
    ori a0, a0, 1
    la t0, tohost
    sd a0, 0(t0)
    j finish
others:
    la t0, secondary
    beqz t0, halt
    jalr t0
halt:
    wfi
    j halt

    .balign 4
    .weak trapped
trapped:
    csrr a0, mcause
    addi a0, a0, 1000
    j finish

    .weak secondary

    .section .tohost, "aw"
    .balign 64
    .globl tohost, fromhost
tohost:
    .dword 0
    .balign 64
fromhost:
    .dword 0

    .section .bss
    .balign 64
stacks:
    .zero 4 * 4096
