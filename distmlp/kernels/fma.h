/* x y + c with one rounding: what every product is made of. */

#define real_fma NAME(real_fma)
#define v_fma NAME(v_fma)

/* x y + c with one rounding, of one number. */
INLINE real real_fma(real x, real y, real c)
{
#if BITS == 32
    return __builtin_fmaf(x, y, c);
#else
    return __builtin_fma(x, y, c);
#endif
}

#if BITS == 32
/* Twice as wide. */
typedef double wide __attribute__((vector_size(2 * VECTOR_BYTES)));
typedef int64_t wide_bits __attribute__((vector_size(2 * VECTOR_BYTES)));

/* x y + c with one rounding, on a CPU without such an operation.

   The product of two floats is exact in double.  Its sum with c is rounded to odd: where it is not exact, it becomes the
   neighbour whose last bit is set, so that rounding it once more, to float, errs no more than rounding once
   (S. Boldo and G. Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd",
   2008). */
INLINE vec fma_in_double(vec x, vec y, vec c)
{
    const wide product = __builtin_convertvector(x, wide) * __builtin_convertvector(y, wide);
    const wide addend = __builtin_convertvector(c, wide);
    const wide sum = product + addend;
    const wide from_addend = sum - product;
    const wide error = (product - (sum - from_addend)) + (addend - from_addend); /* exact, by D. Knuth */
    /* Of a NaN or an infinity the error is a NaN, which is neither below nor above 0.  A whole step of the bits is away
       from 0: up where the sum and its error have one sign. */
    const wide_bits bits = (wide_bits)sum, even = (bits & 1) - 1;
    const wide_bits inexact = (error < 0) | (error > 0);
    const wide_bits step = 1 | (((wide_bits)error ^ bits) >> 63);
    return __builtin_convertvector((wide)(bits + (step & even & inexact)), vec);
}
#endif

/* x y + c with one rounding. */
INLINE vec v_fma(vec x, vec y, vec c)
{
#if defined(FOR_AVX512) && BITS == 32
    return (vec)_mm512_fmadd_ps((__m512)x, (__m512)y, (__m512)c);
#elif defined(FOR_AVX512) && BITS == 64
    return (vec)_mm512_fmadd_pd((__m512d)x, (__m512d)y, (__m512d)c);
#elif defined(FOR_AVX2) && BITS == 32
    return (vec)_mm256_fmadd_ps((__m256)x, (__m256)y, (__m256)c);
#elif defined(FOR_AVX2) && BITS == 64
    return (vec)_mm256_fmadd_pd((__m256d)x, (__m256d)y, (__m256d)c);
#elif defined(FOR_NEON) && BITS == 32
    return (vec)vfmaq_f32((float32x4_t)c, (float32x4_t)x, (float32x4_t)y);
#elif defined(FOR_NEON) && BITS == 64
    return (vec)vfmaq_f64((float64x2_t)c, (float64x2_t)x, (float64x2_t)y);
#elif BITS == 32 && LANES > 1 && !defined(FOR_FMA) && !defined(__FP_FAST_FMAF)
    return fma_in_double(x, y, c);
#else
    for (int i = 0; i < LANES; i++)
        c[i] = real_fma(x[i], y[i], c[i]);
    return c;
#endif
}
