/* An exported function calls a hidden AVX2 one: named with symbols, unknown when stripped. */
#include "kernel.h"
HIDDEN AVX2 SUM(hidden_sum)
PLAIN int entry(const int *values, int count) { return hidden_sum(values, count) + 1; }
