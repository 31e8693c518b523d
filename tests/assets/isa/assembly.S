/* Hand assembly: no frame description. With SIZED it says its type and size. */
    .text
    .globl entry
    .type entry, @function
entry:
    .cfi_startproc
    call bare
    ret
    .cfi_endproc
    .size entry, . - entry
    .skip 32, 0x90
#ifdef SIZED
    .type bare, @function
#endif
    .hidden bare
    .globl bare
bare:
    vpaddd %ymm0, %ymm1, %ymm2
    vzeroupper
    ret
    .skip 24, 0x90
#ifdef SIZED
    .size bare, . - bare
#endif
    .section .note.GNU-stack, "", @progbits
