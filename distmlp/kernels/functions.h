/* The elementary functions: each a written-down sequence of IEEE operations, with no fma, so that every width, every
   CPU and numpy_functions.py give the same bits.  docs/arithmetic.md has the sequences and how far they err (by 2 units in
   the last place, tanh by 2.01); tests/kernels/coefficients.py derives the coefficients. */

#define uvec NAME(uvec)
#define C_EXP NAME(C_EXP)
#define C_LOG NAME(C_LOG)
#define v_polynomial NAME(v_polynomial)
#define v_power_of_2 NAME(v_power_of_2)
#define v_exp_parts NAME(v_exp_parts)
#define v_exp NAME(v_exp)
#define v_exp_of_negative NAME(v_exp_of_negative)
#define v_expm1_of_negative NAME(v_expm1_of_negative)
#define v_sigmoid NAME(v_sigmoid)
#define v_tanh NAME(v_tanh)
#define v_log_part NAME(v_log_part)
#define v_log1p_of_fraction NAME(v_log1p_of_fraction)
#define v_log NAME(v_log)
#define v_softplus NAME(v_softplus)
#define exp_parts NAME(exp_parts)

/* Whole numbers whose sums and shifts wrap around. */
typedef unsigned_whole uvec __attribute__((vector_size(VECTOR_BYTES)));

/* ROUND: adding it to a small number rounds that to a whole one.  LN2 + LN2_REST: ln 2 in two parts, the first of so few
   bits that its products with exponents are exact.  LEAST_EXP, MOST_EXP: e^x is 0 below, infinite above.  SATURATED_…:
   below, the function is that of minus infinity.  OFFSET: sigmoid's exponents are lowered by it, so that e^-z is finite. */
#undef MANTISSA
#undef BIAS
#undef ROUND
#undef LOG2E
#undef LN2
#undef LN2_REST
#undef LEAST_EXP
#undef MOST_EXP
#undef SATURATED_SIGMOID
#undef SATURATED_TANH
#undef SATURATED_EXPM1
#undef OFFSET
#undef POWER_OF_OFFSET
#undef SQRT_HALF
#undef SMALLEST_NORMAL
#undef EXP_COUNT
#undef LOG_COUNT
#if BITS == 32
#define MANTISSA 23
#define BIAS 127
#define ROUND 0x1.8p23f
#define LOG2E 0x1.715476p+0f
#define LN2 0x1.62e4p-1f
#define LN2_REST 0x1.7f7d1cp-20f
#define LEAST_EXP (-104.5f)
#define MOST_EXP 89.5f
#define SATURATED_SIGMOID (-30.0f)
#define SATURATED_TANH (-20.0f)
#define SATURATED_EXPM1 (-20.0f)
#define OFFSET 24
#define POWER_OF_OFFSET 0x1p-24f
#define SQRT_HALF 0x3f3504f3u
#define SMALLEST_NORMAL 0x1p-126f
#define EXP_COUNT 6
#define LOG_COUNT 3
static const real C_EXP[] = {0x1p-1f, 0x1.555556p-3f, 0x1.5554ep-5f, 0x1.110ffp-7f, 0x1.6d56b2p-10f, 0x1.a26ed4p-13f};
static const real C_LOG[] = {0x1.5555b6p-1f, 0x1.9929aep-2f, 0x1.36fad8p-2f};
#else
#define MANTISSA 52
#define BIAS 1023
#define ROUND 0x1.8p52
#define LOG2E 0x1.71547652b82fep+0
#define LN2 0x1.62e42fefa3p-1
#define LN2_REST 0x1.3de6af278ece6p-42
#define LEAST_EXP (-746.0)
#define MOST_EXP 710.0
#define SATURATED_SIGMOID (-40.0)
#define SATURATED_TANH (-42.0)
#define SATURATED_EXPM1 (-42.0)
#define OFFSET 64
#define POWER_OF_OFFSET 0x1p-64
#define SQRT_HALF 0x3fe6a09e667f3bcdu
#define SMALLEST_NORMAL 0x1p-1022
#define EXP_COUNT 11
#define LOG_COUNT 8
static const real C_EXP[] = {
    0x1p-1, 0x1.555555555555cp-3, 0x1.5555555555558p-5, 0x1.111111110e963p-7, 0x1.6c16c16c14fb0p-10,
    0x1.a01a01b4a3babp-13, 0x1.a01a01adad005p-16, 0x1.71dded478e272p-19, 0x1.27e4cb841a00fp-22, 0x1.af70d85e6050cp-26,
    0x1.1f8cf0f8e7c54p-29,
};
static const real C_LOG[] = {
    0x1.555555555554fp-1, 0x1.999999999c145p-2, 0x1.24924921e8f9dp-2, 0x1.c71c748ac8fcap-3,
    0x1.745c4c249f924p-3, 0x1.3b35941e02a4cp-3, 0x1.0dcea489cb702p-3, 0x1.1b6c45686a18ap-3,
};
#endif

/* The sum of c[k] x^k as E(x^2) + x O(x^2): the even and the odd powers, by Horner's rule each. */
INLINE vec v_polynomial(vec x, const real *c, const int count)
{
    const vec square = x * x;
    vec even = v_all(c[(count - 1) / 2 * 2]), odd = v_all(c[count / 2 * 2 - 1]);
#pragma GCC unroll 8
    for (int k = (count - 1) / 2 * 2 - 2; k >= 0; k -= 2)
        even = v_all(c[k]) + square * even;
#pragma GCC unroll 8
    for (int k = count / 2 * 2 - 3; k > 0; k -= 2)
        odd = v_all(c[k]) + square * odd;
    return even + x * odd;
}

/* 2^(n + offset), where k is n + ROUND and the power is in the range of normal numbers. */
INLINE vec v_power_of_2(vec k, const int offset)
{
    const uvec bits = (uvec)k << MANTISSA;
    return (vec)(bits + (uvec)v_all_whole((whole)(BIAS + offset) << MANTISSA));
}

/* e^t = 2^n (1 + p), n the whole number nearest to t/ln 2, and k = n + ROUND. */
struct exp_parts {
    vec k, p;
};

INLINE struct exp_parts v_exp_parts(vec t)
{
    const vec k = t * v_all(LOG2E) + v_all(ROUND);
    const vec n = k - v_all(ROUND);
    const vec high = t - n * v_all(LN2); /* exact */
    const vec rest = n * v_all(LN2_REST);
    const vec r = high - rest;
    const vec lost = (high - r) - rest; /* what r lacks */
    const struct exp_parts parts = {k, r + (r * r * v_polynomial(r, C_EXP, EXP_COUNT) + lost)};
    return parts;
}

/* e^x, in two factors, so that it may overflow, and underflow gradually. */
INLINE vec v_exp(vec x)
{
    const struct exp_parts e = v_exp_parts(v_max(v_all(LEAST_EXP), v_min(v_all(MOST_EXP), x)));
    const ivec negative = x < 0;
    const vec s = v_select(negative, v_power_of_2(e.k, 64), v_power_of_2(e.k, -64));
    return (s + s * e.p) * v_select(negative, v_all((real)0x1p-64), v_all((real)0x1p64));
}

/* e^x for x ≤ 0: the bits of v_exp, in fewer operations. */
INLINE vec v_exp_of_negative(vec x)
{
    const struct exp_parts e = v_exp_parts(v_max(v_all(LEAST_EXP), x));
    const vec s = v_power_of_2(e.k, 64);
    return (s + s * e.p) * v_all((real)0x1p-64);
}

/* e^x − 1 for x ≤ 0. */
INLINE vec v_expm1_of_negative(vec x)
{
    const struct exp_parts e = v_exp_parts(v_max(v_all(SATURATED_EXPM1), x));
    const vec s = v_power_of_2(e.k, 0);
    return (s - v_all(1)) + s * e.p;
}

/* 1/(1 + e^-z) as c/(c + c e^-z), where c is a power of two that keeps c e^-z finite. */
INLINE vec v_sigmoid(vec z)
{
    const struct exp_parts e = v_exp_parts(v_max(v_all(SATURATED_SIGMOID), v_min(v_all(-LEAST_EXP), -z)));
    const vec c = v_all(POWER_OF_OFFSET), s = v_power_of_2(e.k, -OFFSET);
    return c / (v_max(s, c) + (v_min(s, c) + s * e.p));
}

/* (1 − e)/(1 + e) with e = e^(−2|x|), and the sign of x. */
INLINE vec v_tanh(vec x)
{
    const vec size = v_abs(x), one = v_all(1);
    const struct exp_parts e = v_exp_parts(v_max(v_all(SATURATED_TANH), size * v_all(-2)));
    const vec s = v_power_of_2(e.k, 0), sp = s * e.p;
    const vec quotient = ((one - s) - sp) / ((one + s) + sp);
    return (vec)((ivec)v_abs(quotient) | ((ivec)x ^ (ivec)size));
}

/* s (f − R), where ln(1 + f) = f − s (f − R) and s = f/(2 + f). */
INLINE vec v_log_part(vec f)
{
    const vec s = f / (v_all(2) + f), square = s * s;
    return s * (f - square * v_polynomial(square, C_LOG, LOG_COUNT));
}

/* ln(1 + x) for 0 ≤ x ≤ 1; above 1/2 as ln 2 + ln(1 + (x − 1)/2). */
INLINE vec v_log1p_of_fraction(vec x)
{
    const ivec above = x > (real)0.5;
    const vec f = v_select(above, (x - v_all(1)) * v_all((real)0.5), x);
    const vec high = (vec)((ivec)v_all(LN2) & above), rest = (vec)((ivec)v_all(LN2_REST) & above);
    return high + (f - (v_log_part(f) - rest));
}

/* ln x = e ln 2 + ln m with x = 2^e m and sqrt(1/2) ≤ m < sqrt(2). */
INLINE vec v_log(vec x)
{
    const ivec tiny = x < SMALLEST_NORMAL;
    const vec normal = v_select(tiny, x * v_all((real)0x1p64), x);
    const uvec sqrt_half = (uvec)v_all_whole((whole)SQRT_HALF), low = (uvec)v_all_whole(((whole)1 << MANTISSA) - 1);
    const uvec bits = (uvec)normal + ((uvec)v_all_whole((whole)BIAS << MANTISSA) - sqrt_half);
    const vec m = (vec)((bits & low) + sqrt_half);
    const vec biased = (vec)((bits >> MANTISSA) + (uvec)v_all(ROUND)) - v_all(ROUND);
    const vec e = biased - v_select(tiny, v_all(BIAS + 64), v_all(BIAS));
    const vec f = m - v_all(1);
    const vec y = e * v_all(LN2) + (f - (v_log_part(f) - e * v_all(LN2_REST)));
    const vec of_zero = v_all(-(real)__builtin_inf()), invalid = v_all((real)__builtin_nan(""));
    return v_select(x == v_all((real)__builtin_inf()), x, v_select(x > 0, y, v_select(x == 0, of_zero, invalid)));
}

/* ln(1 + e^z) = max(z, 0) + ln(1 + e^−|z|). */
INLINE vec v_softplus(vec z)
{
    return v_max(z, v_all(0)) + v_log1p_of_fraction(v_exp_of_negative(-v_abs(z)));
}
