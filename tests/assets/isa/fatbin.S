/* Fat binaries with made-up contents: two with an own set, one as a static library would add, and
   padding between. With BROKEN the second claims more than its section has. */
    .macro entry kind, major, minor, arch, size
    .short \kind, 0x101
    .long 64
    .quad \size
    .long 0, 0
    .short \minor, \major
    .long \arch
    .skip 32, 0
    .skip \size, 0xaa
    .endm
    .macro container size
    .long 0xba55ed50
    .short 1, 16
    .quad \size
    .endm
    .section .nv_fatbin, "a"
    container 64*2+96+32
    entry 2, 7, 1, 70, 96
    entry 2, 7, 1, 86, 32
    .skip 8, 0
#ifdef BROKEN
    container 0x7fffffffffffffff
#else
    container 64*2+32+8
    entry 2, 7, 1, 70, 32
    entry 2, 7, 1, 86, 8
#endif
    .section __nv_relfatbin, "a"
    container 64*2+16+24
    entry 2, 7, 1, 61, 16
    entry 1, 6, 5, 61, 24
    .section .note.GNU-stack, "", @progbits
