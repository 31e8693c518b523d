/* An inline function that the linker kept from the AVX2 unit, called by an ordinary unit. With
   -DGUARDED the ordinary caller asks the CPU first. */
#include "ask.h"
#include "kernel.h"
__attribute__((weak)) int square_sum(const int *values, int count);
int detected(void) { return cpu_has_avx2(); }
#define FILLER(n) PLAIN int filler_##n(int x) { return x * (n) + 7; }
FILLER(1) FILLER(2) FILLER(3) FILLER(4) FILLER(5) FILLER(6) FILLER(7) FILLER(8) FILLER(9)
PLAIN int ordinary(const int *values, int count)
{
#ifdef GUARDED
    if (!detected())
        return 0;
#endif
    return square_sum(values, count) + 1;
}
FILLER(11) FILLER(12) FILLER(13) FILLER(14) FILLER(15) FILLER(16) FILLER(17) FILLER(18) FILLER(19)
