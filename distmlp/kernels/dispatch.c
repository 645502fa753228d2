/* Which kernels run: the widest that this CPU has, unless Python asks for narrower ones. */

#include "kernels.h"

#include "dispatch.h"

#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
static int has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#ifdef EMULATED_512
static int has_512(void) { return has_avx2(); }
#else
static int has_512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
#endif
#endif
static int always(void) { return 1; }

/* The widest first. */
static const struct unit units[] = {
#if defined(__x86_64__) || defined(__i386__)
    {"512", "512-bit (AVX-512)", has_512, kernels_512},
    {"256", "256-bit (AVX2, FMA)", has_avx2, kernels_256},
    {"128", "128-bit (SSE2, fma in software)", always, kernels_128},
#elif defined(__aarch64__)
    {"128", "128-bit (NEON)", always, kernels_128},
#else
    {"128", "128-bit (the compiler's vectors)", always, kernels_128},
#endif
    {"plain", "plain (one number at a time)", always, kernels_plain},
};

enum { UNITS = sizeof units / sizeof units[0] };

static const struct unit *chosen = &units[UNITS - 1];

const struct unit *unit_at(int number)
{
    return number < UNITS ? units + number : NULL;
}

const struct unit *unit_chosen(void)
{
    return chosen;
}

int choose_unit(const char *width)
{
    for (int i = 0; i < UNITS; i++)
        if ((!width || !strcmp(units[i].width, width)) && units[i].runs()) {
            chosen = units + i;
            return 1;
        }
    return 0;
}

const struct kernels *kernels_for(ptrdiff_t itemsize)
{
    return chosen->kernels[itemsize == 8];
}
