/* A library with device code that holds functions of another owner, by their public names, and
   one between them whose name tells nothing; around them stands its own code. */
#include "kernel.h"
HIDDEN int cudnnFirstSum(const int *values, int count);
HIDDEN int inner_sum(const int *values, int count);
HIDDEN int cublasLastSum(const int *values, int count);
PLAIN int before(const int *values, int count)
{
    return cudnnFirstSum(values, count) + inner_sum(values, count);
}
HIDDEN AVX2 SUM(cudnnFirstSum)
HIDDEN AVX2 SUM(inner_sum)
HIDDEN AVX2 SUM(cublasLastSum)
HIDDEN AVX2 SUM(own_sum)
PLAIN int after(const int *values, int count)
{
    return own_sum(values, count) + cublasLastSum(values, count);
}
