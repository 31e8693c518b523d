/* How these sources ask the CPU: by CPUID itself, so that nothing is linked. */
static inline int cpu_has_avx2(void)
{
    unsigned a = 7, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return (b >> 5) & 1;
}
