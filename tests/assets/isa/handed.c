/* Who asks CPUID is handed a buffer by a pointer that was copied between two registers, and the
   caller reads its second word; with -DWRONG it reads another buffer. */
#include "ask.h"
#include "kernel.h"
HIDDEN unsigned told[4], other[4];
HIDDEN AVX2 SUM(wide)
HIDDEN PLAIN SUM(narrow)
HIDDEN PLAIN void ask(unsigned *words) { words[1] = cpu_has_avx2(); }
PLAIN void detect(void)
{
    register unsigned *words __asm__("r12") = told;
    __asm__ volatile("" : "+r"(words));
    ask(words);
}
#ifdef WRONG
#define CHECKED other
#else
#define CHECKED told
#endif
PLAIN int sum(const int *values, int count)
{
    return CHECKED[1] ? wide(values, count) : narrow(values, count);
}
