/* Reset of the control harts. Hart 0 boots; the others sleep for ever: mie = 0, nothing wakes them. */
    .section .text.start, "ax"
    .globl _start
_start:
    csrw mie, zero
    csrr t0, mhartid
    bnez t0, sleep
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    la sp, __stack_top
    la t0, rom_trap_entry
    csrw mtvec, t0
    la t0, __bss_start
    la t1, __bss_end
1:  bgeu t0, t1, 2f
    sd zero, 0(t0)
    addi t0, t0, 8
    j 1b
2:  call rom_main
sleep:
    wfi
    j sleep

    .balign 4
rom_trap_entry:
    la sp, __stack_top
    call rom_trap
