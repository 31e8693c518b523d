/* The unit compiled for AVX2: its kernels are reached by pointer, its inline function leaks. */
#include "kernel.h"
__attribute__((weak)) SUM(square_sum)
static SUM(one) static SUM(two) static SUM(three) static SUM(four) static SUM(five) static SUM(six)
static SUM(seven) static SUM(eight)
int (*const kernels[])(const int *, int) = {one, two, three, four, five, six, seven, eight};
