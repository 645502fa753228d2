/* What an exported C file is made of (c_code.py puts the sections together that a network needs).

   Each section begins with its name and with the sections that it needs.  The functions are the written-down sequences
   of docs/arithmetic.md, one number at a time in C99, and so give the bits of the kernels.  `real` is float or double,
   `word` the unsigned integer of its size; the constants are those of numpy_functions.py. */

/*** exp_parts: ***/
/* 2^(n + offset), where k is n + ROUND and the power is in the range of normal numbers. */
INLINE real power_of_2(real k, int offset)
{
    word bits;
    memcpy(&bits, &k, sizeof bits);
    bits = (bits << MANTISSA) + ((word)(BIAS + offset) << MANTISSA);
    memcpy(&k, &bits, sizeof bits);
    return k;
}

/* The sum of c[k] x^k as E(x^2) + x O(x^2): the even and the odd powers, by Horner's rule each. */
INLINE real polynomial(real x, const real *c, int count)
{
    const real square = x * x;
    real even = c[(count - 1) / 2 * 2], odd = c[count / 2 * 2 - 1];
    UNROLL for (int k = (count - 1) / 2 * 2 - 2; k >= 0; k -= 2)
        even = c[k] + square * even;
    UNROLL for (int k = count / 2 * 2 - 3; k > 0; k -= 2)
        odd = c[k] + square * odd;
    return even + x * odd;
}

INLINE real at_least(real least, real x)
{
    return x < least ? least : x;
}

/* e^t = 2^n (1 + p), n the whole number nearest to t/ln 2, and k = n + ROUND; p is returned. */
INLINE real exp_parts(real t, real *k)
{
    *k = t * LOG2E + ROUND;
    const real n = *k - ROUND;
    const real high = t - n * LN2; /* exact */
    const real rest = n * LN2_REST;
    const real r = high - rest;
    const real lost = (high - r) - rest; /* what r lacks */
    return r + (r * r * polynomial(r, C_EXP, EXP_COUNT) + lost);
}

/*** exp_of_negative: exp_parts ***/
/* e^x for x <= 0. */
INLINE real exp_of_negative(real x)
{
    real k;
    const real p = exp_parts(at_least(LEAST_EXP, x), &k), s = power_of_2(k, 64);
    return (s + s * p) * (real)0x1p-64;
}

/*** log1p_of_fraction: exp_parts ***/
/* ln(1 + x) for 0 <= x <= 1; above 1/2 as ln 2 + ln(1 + (x - 1)/2). */
INLINE real log1p_of_fraction(real x)
{
    const int above = x > (real)0.5;
    const real f = above ? (x - 1) * (real)0.5 : x;
    const real s = f / (2 + f), square = s * s;
    const real part = s * (f - square * polynomial(square, C_LOG, LOG_COUNT));
    return (above ? LN2 : 0) + (f - (part - (above ? LN2_REST : 0)));
}

/*** sigmoid: exp_parts ***/
/* 1/(1 + e^-z) as c/(c + c e^-z), where c is a power of two that keeps c e^-z finite. */
INLINE real sigmoid(real z)
{
    real t = -z, k;
    t = at_least(SATURATED_SIGMOID, t > -LEAST_EXP ? -LEAST_EXP : t);
    const real p = exp_parts(t, &k), c = POWER_OF_OFFSET, s = power_of_2(k, -OFFSET);
    return c / ((s > c ? s : c) + ((s > c ? c : s) + s * p));
}

/*** tanh: exp_parts ***/
/* (1 - e)/(1 + e) with e = e^(-2|x|), and the sign of x. */
INLINE real hyperbolic_tangent(real x)
{
    real k;
    const real p = exp_parts(at_least(SATURATED_TANH, FABS(x) * -2), &k);
    const real s = power_of_2(k, 0), sp = s * p;
    return COPYSIGN(((1 - s) - sp) / ((1 + s) + sp), x);
}

/*** softplus: exp_of_negative log1p_of_fraction ***/
/* ln(1 + e^z) = max(z, 0) + ln(1 + e^-|z|). */
INLINE real softplus(real z)
{
    return (z > 0 ? z : 0) + log1p_of_fraction(exp_of_negative(-FABS(z)));
}

/*** relu: ***/
INLINE real relu(real z)
{
    return z < 0 ? 0 : z;
}

/*** leaky_relu: ***/
INLINE real leaky_relu(real z)
{
    return z < 0 ? z * (real)0.01 : z;
}

/*** elu: exp_parts ***/
/* e^z - 1 below zero, z above. */
INLINE real elu(real z)
{
    real k;
    const real p = exp_parts(at_least(SATURATED_EXPM1, z < 0 ? z : 0), &k), s = power_of_2(k, 0);
    return z < 0 ? (s - 1) + s * p : z;
}

/*** silu: sigmoid ***/
INLINE real silu(real z)
{
    return z * sigmoid(z);
}

/*** gelu: sigmoid ***/
/* The tanh form, tanh(u) = 2 sigmoid(2u) - 1. */
INLINE real gelu(real z)
{
    return z * sigmoid((z + z * z * z * (real)0.044715) * (real)1.5957691216057308);
}

/*** softmax: exp_of_negative ***/
/* e^(z - max z) over its sum.  The sum runs in eight lanes: lane i adds entries i, i + 8, ... */
FULL_WIDTH static void softmax(real *z, size_t n)
{
    real top = z[0], lane[8] = {0};
    for (size_t j = 1; j < n; j++)
        top = z[j] > top ? z[j] : top;
    for (size_t j = 0; j < n; j++)
        z[j] = exp_of_negative(z[j] - top);
    for (size_t j = 0; j < n; j++)
        lane[j % 8] += z[j];
    const real sum = ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
    for (size_t j = 0; j < n; j++)
        z[j] = z[j] / sum;
}

/*** products: ***/
/* z = w a + b of W neurons for R samples.  Each number is a sum of chains of fused multiply-adds, CHAIN links each. */
INLINE void panel(const int R, const int W, const real *w, const real *b, size_t m, const real *a, real *z)
{
    for (size_t first = 0; first < m; first += CHAIN) {
        const size_t last = m - first < CHAIN ? m : first + CHAIN;
        real chain[TILE][PANEL];
        UNROLL for (int r = 0; r < R; r++)
            UNROLL for (int j = 0; j < W; j++)
                chain[r][j] = first ? 0 : b[j];
        for (size_t k = first; k < last; k++)
            UNROLL for (int r = 0; r < R; r++) {
                const real x = a[(size_t)r * WIDEST + k];
                UNROLL for (int j = 0; j < W; j++)
                    chain[r][j] = FMA(w[k * (size_t)W + (size_t)j], x, chain[r][j]);
            }
        UNROLL for (int r = 0; r < R; r++)
            UNROLL for (int j = 0; j < W; j++) {
                real *const sum = z + (size_t)r * WIDEST + (size_t)j;
                *sum = first ? *sum + chain[r][j] : chain[r][j];
            }
    }
}

/* z = w a + b of n neurons with m inputs: panels of 16, 8, 4, 2 and 1 neurons, whose weights lie input by input. */
INLINE void layer(const int R, const real *w, const real *b, size_t n, size_t m, const real *a, real *z)
{
    size_t j = 0;
    for (; j + PANEL <= n; j += PANEL)
        panel(R, PANEL, w + j * m, b + j, m, a, z + j);
#if PANEL > 8
    if (n - j >= 8) {
        panel(R, 8, w + j * m, b + j, m, a, z + j);
        j += 8;
    }
#endif
    if (n - j >= 4) {
        panel(R, 4, w + j * m, b + j, m, a, z + j);
        j += 4;
    }
    if (n - j >= 2) {
        panel(R, 2, w + j * m, b + j, m, a, z + j);
        j += 2;
    }
    if (n - j)
        panel(R, 1, w + j * m, b + j, m, a, z + j);
}

FULL_WIDTH static void layer_of_tile(const real *w, const real *b, size_t n, size_t m, const real *a, real *z)
{
    layer(TILE, w, b, n, m, a, z);
}

FULL_WIDTH static void layer_of_one(const real *w, const real *b, size_t n, size_t m, const real *a, real *z)
{
    layer(1, w, b, n, m, a, z);
}

static void all_layer(int tile, const real *w, const real *b, size_t n, size_t m, const real *a, real *z)
{
    (tile ? layer_of_tile : layer_of_one)(w, b, n, m, a, z);
}

/*** preamble: ***/
#include "NAME.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __FAST_MATH__
#error "NAME.c: -ffast-math (or -Ofast) breaks its arithmetic; compile this file without it"
#endif
/* x * y + z is two roundings here, and FMA(x, y, z) is one; compilers must not make one of the other.  Loops become
   vectors only where comparisons need not trap, which changes no number. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off", "no-trapping-math", "tree-vectorize", "vect-cost-model=dynamic")
#endif

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif
#if defined(__GNUC__) && !defined(__clang__)
#define UNROLL _Pragma("GCC unroll 16")
#else
#define UNROLL
#endif
/* A build for any x86-64 has fast versions beside the plain one, and takes the best when the program starts. */
#define FULL_WIDTH
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__FMA__) && defined(__has_attribute)
#if __has_attribute(target_clones)
#undef FULL_WIDTH
#define FULL_WIDTH __attribute__((target_clones("avx512f", "fma", "default")))
#endif
#endif

/*** predict: ***/
void NAME_predict(size_t rows, const input *x, answer *a)
{
    for (; rows >= TILE; rows -= TILE, x += TILE * INPUTS, a += TILE * OUTPUTS)
        pass(1, TILE, x, a);
    for (; rows; rows--, x += INPUTS, a += OUTPUTS)
        pass(0, 1, x, a);
}

/*** classes: ***/
void NAME_classes(size_t rows, const input *x, int *classes)
{
    for (; rows; rows--, x += INPUTS, classes++) {
        answer a[OUTPUTS];
        pass(0, 1, x, a);
#if OUTPUTS == 1
        *classes = a[0] > (answer)0.5;
#else
        *classes = 0;
        for (int j = 1; j < OUTPUTS; j++)
            if (a[j] > a[*classes])
                *classes = j;
#endif
    }
}

/*** check: ***/
int NAME_check(void)
{
    int differing = 0;
    input x[TILE * INPUTS];
    answer a[TILE * OUTPUTS];
    const answer *right = expected;
    for (int first = 0; first < CHECKED;) {
        const int rows = CHECKED - first >= TILE ? TILE : 1;
        for (int r = 0; r < rows; r++)
            for (int k = 0; k < INPUTS; k++)
                x[r * INPUTS + k] = known_input(first + r, k);
        NAME_predict((size_t)rows, x, a);
        for (int i = 0; i < rows * OUTPUTS; i++)
            differing += a[i] != *right++;
        first += rows;
    }
    return differing;
}
