/* LZCNT: an older CPU runs BSR instead and goes on with a wrong number. */
__attribute__((target("lzcnt"))) int leading_zeros(unsigned value) { return __builtin_clz(value); }
