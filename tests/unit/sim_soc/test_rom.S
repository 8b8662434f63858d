# A boot ROM for tests: answers every mailbox command with OK and result0 = arg0 + 1, and beats a
# heartbeat every 10,000 clocks. Waits in WFI.
    .equ HOSTIF, 0x60060000
    .equ INTC, 0x60030000
    .equ CLINT, 0x60020000
    .section .text.start, "ax"
    .globl _start
_start:
    csrr t0, mhartid
    bnez t0, idle
    la t0, handler
    csrw mtvec, t0
    li s0, HOSTIF
    li s1, INTC
    li s2, CLINT
    li s3, 0                # heartbeat
    li s4, 10000            # next tick
    li t0, 0x4000
    add s5, s2, t0          # MTIMECMP of hart 0
    sd s4, 0(s5)
    li t0, 1                # TALUS_IRQ_MAILBOX
    sw t0, 4(s1)
    li t0, 1
    sw t0, 0(s0)            # BOOT_STATE = ROM_READY
    li t0, 0x880            # MEIE, MTIE
    csrw mie, t0
    csrsi mstatus, 8
    .globl idle
idle:
    wfi
    j idle

    .balign 4
handler:
    csrr t0, mcause
    slli t0, t0, 1
    srli t0, t0, 1
    li t1, 7
    beq t0, t1, tick
    sw t1, 0(s1)            # clear pending (bits 0..2)
    lw t0, 0x18(s0)         # arg0
    addi t0, t0, 1
    sw t0, 0x28(s0)         # result0
    # Work whose length the answer's clock shows: arg1 rounds.
    lw t2, 0x1c(s0)
1:  beqz t2, 2f
    addi t2, t2, -1
    j 1b
2:  rdcycle t0
    sw t0, 0x2c(s0)
    lw t0, 0x10(s0)         # command: status OK with its sequence
    srli t0, t0, 16
    slli t0, t0, 16
    sw t0, 0x14(s0)
    mret
tick:
    addi s3, s3, 1
    sw s3, 0x50(s0)         # heartbeat
    li t1, 10000
    add s4, s4, t1
    sd s4, 0(s5)
    mret
