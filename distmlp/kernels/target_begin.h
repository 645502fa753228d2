/* From here to target_end.h, functions are compiled for the registers of WIDTH bytes, whatever the flags are.

   The kernels that run are chosen when the program starts (dispatch.c), so a binary for any x86-64 holds all of them.
   FOR_AVX512, FOR_AVX2: what the kernels may use.  EMULATED_512 compiles the source for 512 bits for a CPU with AVX2,
   which gives the same bits; tests do so where there is no AVX-512. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#if WIDTH == 64 && !defined(EMULATED_512)
#define FOR_AVX512
#define FOR_FMA
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,prefer-vector-width=512")
#endif
#elif WIDTH >= 32
#define FOR_FMA
#if WIDTH == 32
#define FOR_AVX2
#endif
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#endif
#elif defined(__aarch64__)
#include <arm_neon.h>
#define FOR_FMA
#if WIDTH == 16
#define FOR_NEON
#endif
#endif
