/* A program whose main needs AVX2; libc gets its address and calls it. */
__attribute__((noreturn)) void __libc_start(int (*main)(int, char **));
int main(int count, char **words)
{
    __asm__ volatile("vzeroupper");
    return count + (words != 0);
}
__attribute__((noreturn)) void _start(void) { __libc_start(main); }
__attribute__((noreturn)) void __libc_start(int (*entry)(int, char **))
{
    entry(0, 0);
    for (;;)
        ;
}
