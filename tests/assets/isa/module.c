/* A Python extension whose initialisation itself needs AVX2. */
#include "kernel.h"
AVX2 int PyInit_module(const int *values, int count)
{
    int sum = 0;
    for (int i = 0; i < count; i++)
        sum += values[i] * values[i];
    return sum;
}
