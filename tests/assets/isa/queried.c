/* Another library tells what the CPU has, and the caller calls a function that asks it; with
   -DWRONG only a function beside it does. */
#include "kernel.h"
extern int cpuinfo_initialize(void);
extern const unsigned char *cpuinfo_isa;
HIDDEN AVX2 SUM(wide)
HIDDEN PLAIN SUM(narrow)
PLAIN int has_avx2(void) { return cpuinfo_initialize() && cpuinfo_isa[28]; }
#ifdef WRONG
#define CHECKED(count) (count > 9)
#else
#define CHECKED(count) has_avx2()
#endif
PLAIN int sum(const int *values, int count)
{
    return CHECKED(count) ? wide(values, count) : narrow(values, count);
}
