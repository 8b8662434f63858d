// What suites of instruction tests do before a test runs: skip CSRs that are not there by way of
// traps, open all memory to user mode, go there, and come back by ecall with the number of the
// failed test, which a loop of 32-bit stores tells.
    .macro try insn:vararg // a trap goes on behind it
    la t0, 77f
    csrw mtvec, t0
    \insn
    .balign 4
77:
    .endm

    .section .text.init, "ax"
    .globl _start
_start:
    csrr a0, mhartid
1:  bnez a0, 1b
    try csrwi 0x744, 8       // mnstatus
    try csrwi 0x180, 0       // satp
    li t1, (1 << 53) - 1     // pmpaddr0, then one NAPOT entry with all rights
    try csrw 0x3b0, t1
    li t1, 0x1f
    try csrw 0x3a0, t1
    csrwi mie, 0
    try csrwi 0x302, 0       // medeleg
    try csrwi 0x303, 0       // mideleg
    la t0, trap_vector
    csrw mtvec, t0
    csrwi mstatus, 0
    li t0, 0x6600
    csrs mstatus, t0
    csrwi 0x003, 0           // fcsr
    la t0, user
    csrw mepc, t0
    mret

    .balign 4
trap_vector:
    csrr t5, mcause
    li t6, 8                 // environment call from user mode
    beq t5, t6, write_tohost
    li a7, 0
    ori gp, gp, 1337
write_tohost:
    sw gp, tohost, t5
    j write_tohost

user:
    li gp, 2                 // arithmetic and memory
    li t0, 0x1234
    sd t0, scratch, t1
    lw t2, scratch
    bne t0, t2, fail
    li gp, 3                 // floating point
    fcvt.d.w fa0, t0
    fcvt.w.d t2, fa0
    bne t0, t2, fail
    li gp, 1
    ecall
fail:
    slli gp, gp, 1
    ori gp, gp, 1
    ecall

    .section .tohost, "aw"
    .balign 64
    .globl tohost, fromhost
tohost:
    .dword 0
    .balign 64
fromhost:
    .dword 0
    .data
    .balign 8
scratch:
    .dword 0
