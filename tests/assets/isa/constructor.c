/* A static constructor: with -DGUARDED it asks the CPU first, with -DCHAIN it calls a helper. */
#include "ask.h"
#include "kernel.h"
static int values[64], result;
HIDDEN AVX2 SUM(kernel)
#ifdef CHAIN
HIDDEN PLAIN int helper(void) { return kernel(values, 64) + 1; }
#endif
__attribute__((constructor)) static void begin(void)
{
#if defined(GUARDED)
    if (cpu_has_avx2())
        result = kernel(values, 64);
#elif defined(CHAIN)
    result = helper();
#else
    result = kernel(values, 64);
#endif
}
int answer(void) { return result; }
