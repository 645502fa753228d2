/* What the rooms' compiled parts share. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

/* AVX2 where the CPU has it, found out when the module is loaded; the binary runs without it too. */
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__has_attribute)
#if __has_attribute(target_clones)
#define FOR_EACH_CPU __attribute__((target_clones("avx2", "default")))
#endif
#endif
#ifndef FOR_EACH_CPU
#define FOR_EACH_CPU
#endif

/* Numbers from which on another thread may run meanwhile, as in numpy. */
#define WORTH_A_THREAD 500
