/* A loop that gcc turns into AVX2 where a function or unit allows it. */
#define SUM(name)                                                              \
    int name(const int *values, int count)                                    \
    {                                                                          \
        int sum = 0;                                                           \
        for (int i = 0; i < count; i++)                                        \
            sum += values[i] * values[i];                                      \
        return sum;                                                            \
    }
#define AVX2 __attribute__((target("avx2"), optimize("O3"), noinline))
#define PLAIN __attribute__((noinline, optimize("O1")))
#define HIDDEN __attribute__((visibility("hidden")))
