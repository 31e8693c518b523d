/* A function named for AVX2, called without a guard. The name counts only with -DASKS (the file
   asks the CPU somewhere) and only while the code keeps to it (-DLIES: a name that says SSE). */
#include "ask.h"
#include "kernel.h"
#ifdef LIES
#define NAME sum_sse42
#else
#define NAME sum_avx2
#endif
HIDDEN AVX2 SUM(NAME)
#ifdef VARIANTS
HIDDEN PLAIN SUM(sum_sse2)
#endif
#ifdef ASKS
PLAIN int detected(void) { return cpu_has_avx2(); }
#endif
PLAIN int entry(const int *values, int count)
{
#ifdef VARIANTS
    return count & 1 ? sum_sse2(values, count) : NAME(values, count);
#else
    return NAME(values, count) + 1;
#endif
}
