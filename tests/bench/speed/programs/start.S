# Runs work() and hands out its result with write(1, &result, 8), then exit(0). On the model, without a
# trap handler, the first ecall halts the hart, which leaves the result's address in a1.
    .section .text.start, "ax"
    .globl _start
_start:
    la      sp, stack_top
    call    work
    la      a1, result
    sd      a0, 0(a1)
    li      a0, 1
    li      a2, 8
    li      a7, 64
    ecall
    li      a0, 0
    li      a7, 93
    ecall
    .bss
    .balign 16
    .space  8192
stack_top:
result:
    .space  8
