/* An IFUNC: the loader runs the resolver, which asks the CPU and hands back a function. */
#include "ask.h"
#include "kernel.h"
static AVX2 SUM(fast)
static PLAIN SUM(slow)
typedef int kernel_type(const int *, int);
static kernel_type *choose(void) { return cpu_has_avx2() ? fast : slow; }
int sum(const int *values, int count) __attribute__((ifunc("choose")));
