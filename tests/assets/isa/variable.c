/* A guard variable, written where CPUID is asked; with -DWRONG the caller reads another one. */
#include "ask.h"
#include "kernel.h"
HIDDEN int has_avx2, other;
HIDDEN AVX2 SUM(wide)
HIDDEN PLAIN SUM(narrow)
PLAIN void detect(void) { has_avx2 = cpu_has_avx2(); }
#ifdef WRONG
#define CHECKED other
#else
#define CHECKED has_avx2
#endif
PLAIN int sum(const int *values, int count)
{
    return CHECKED ? wide(values, count) : narrow(values, count);
}
