/* Nothing above x86-64; TZCNT, PREFETCH and ENDBR64 never fault and do not count. */
#include "kernel.h"
PLAIN SUM(sum_of_squares)
int lowest_bit(unsigned value)
{
    __builtin_prefetch(&value, 1);
    return __builtin_ctz(value);
}
