/* A library compiled for x86-64-v3 as a whole, with no dispatch. */
#include "kernel.h"
__attribute__((optimize("O3"))) SUM(first) __attribute__((optimize("O3"))) SUM(second)
