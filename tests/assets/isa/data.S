/* Data among code whose bytes read as AVX. With LABELLED a symbol says that it is data. */
    .text
    .globl entry
    .type entry, @function
entry:
    .cfi_startproc
    lea constants(%rip), %rax
    ret
    .cfi_endproc
    .size entry, . - entry
    .skip 32, 0x90
#ifdef LABELLED
    .type constants, @object
    .size constants, 32
#endif
    .hidden constants
    .globl constants
constants:
    .rept 8
    .byte 0xc5, 0xf5, 0xfe, 0xd0
    .endr
    .section .note.GNU-stack, "", @progbits
