/* Vectors of numbers: what the kernels are written in.

   To be included with `real` (float or double), BITS (32 or 64), `whole` (the integer of its size) and WIDTH (the bytes
   of a vector; sizeof(real) gives vectors of one lane).

       vec     LANES numbers          ivec    LANES whole numbers, or a mask: all bits of a lane set, or none

   +, −, *, / and comparisons work lane by lane; a comparison gives a mask.  (ivec)x and (vec)i take the bits as they
   are.  Every operation here has one result on every CPU, but for the payload and sign of a NaN, and where said. */

#undef LANES
#define LANES (WIDTH > 8 ? WIDTH / (BITS / 8) : 1)

#define vec NAME(vec)
#define ivec NAME(ivec)
#define vec_in_memory NAME(vec_in_memory)
#define ivec_in_memory NAME(ivec_in_memory)
#define v_load NAME(v_load)
#define v_store NAME(v_store)
#define v_load_first NAME(v_load_first)
#define v_store_first NAME(v_store_first)
#define v_load_whole NAME(v_load_whole)
#define v_store_whole NAME(v_store_whole)
#define v_all NAME(v_all)
#define v_all_whole NAME(v_all_whole)
#define v_select NAME(v_select)
#define v_min NAME(v_min)
#define v_max NAME(v_max)
#define v_max_whole NAME(v_max_whole)
#define v_abs NAME(v_abs)
#define v_sqrt NAME(v_sqrt)
#define v_rint NAME(v_rint)
#define v_to_whole NAME(v_to_whole)
#define v_from_whole NAME(v_from_whole)
#define real_sqrt NAME(real_sqrt)

#undef VECTOR_BYTES
#define VECTOR_BYTES (LANES * (BITS / 8))

typedef real vec __attribute__((vector_size(VECTOR_BYTES)));
typedef whole ivec __attribute__((vector_size(VECTOR_BYTES)));
/* Anywhere in memory. */
typedef real vec_in_memory __attribute__((vector_size(VECTOR_BYTES), aligned(BITS / 8), may_alias));
typedef whole ivec_in_memory __attribute__((vector_size(VECTOR_BYTES), aligned(BITS / 8), may_alias));

INLINE vec v_load(const real *p) { return *(const vec_in_memory *)p; }
INLINE void v_store(real *p, vec x) { *(vec_in_memory *)p = x; }
INLINE ivec v_load_whole(const whole *p) { return *(const ivec_in_memory *)p; }
INLINE void v_store_whole(whole *p, ivec x) { *(ivec_in_memory *)p = x; }

/* The first n lanes, 0 ≤ n < LANES, the others +0; nothing behind them is read. */
INLINE vec v_load_first(const real *p, ptrdiff_t n)
{
#if defined(FOR_AVX512) && BITS == 32
    return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#elif defined(FOR_AVX512) && BITS == 64
    return (vec)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p);
#elif defined(FOR_AVX2) && BITS == 32
    return (vec)_mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)));
#elif defined(FOR_AVX2) && BITS == 64
    return (vec)_mm256_maskload_pd(p, _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3)));
#else
    real lanes[LANES] = {0};
    for (ptrdiff_t i = 0; i < n; i++)
        lanes[i] = p[i];
    return v_load(lanes);
#endif
}

/* Stores the first n lanes, 0 ≤ n < LANES, and nothing behind them. */
INLINE void v_store_first(real *p, vec x, ptrdiff_t n)
{
#if defined(FOR_AVX512) && BITS == 32
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)x);
#elif defined(FOR_AVX512) && BITS == 64
    _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)x);
#else
    /* In pieces of a constant size, which are single instructions. */
    real lanes[LANES];
    v_store(lanes, x);
    ptrdiff_t done = 0;
    for (ptrdiff_t piece = LANES / 2; piece; piece /= 2)
        if (n & piece) {
            memcpy(p + done, lanes + done, (size_t)piece * sizeof(real));
            done += piece;
        }
#endif
}

/* x in every lane. */
INLINE vec v_all(real x)
{
#if defined(FOR_AVX512) && BITS == 32
    return (vec)_mm512_set1_ps(x);
#elif defined(FOR_AVX512) && BITS == 64
    return (vec)_mm512_set1_pd(x);
#elif defined(FOR_AVX2) && BITS == 32
    return (vec)_mm256_set1_ps(x);
#elif defined(FOR_AVX2) && BITS == 64
    return (vec)_mm256_set1_pd(x);
#else
    vec all = {0};
    for (int i = 0; i < LANES; i++)
        all[i] = x;
    return all;
#endif
}

INLINE ivec v_all_whole(whole x)
{
    const ivec zero = {0};
    return zero + x;
}

/* yes where the mask is set, no elsewhere. */
INLINE vec v_select(ivec mask, vec yes, vec no)
{
#if defined(FOR_AVX2) && BITS == 32
    return (vec)_mm256_blendv_ps((__m256)no, (__m256)yes, (__m256)mask);
#elif defined(FOR_AVX2) && BITS == 64
    return (vec)_mm256_blendv_pd((__m256d)no, (__m256d)yes, (__m256d)mask);
#else
    return (vec)(((ivec)yes & mask) | ((ivec)no & ~mask));
#endif
}

/* x < y ? x : y; so y where one of them is a NaN. */
INLINE vec v_min(vec x, vec y)
{
#if defined(FOR_AVX512) && BITS == 32
    return (vec)_mm512_min_ps((__m512)x, (__m512)y);
#elif defined(FOR_AVX512) && BITS == 64
    return (vec)_mm512_min_pd((__m512d)x, (__m512d)y);
#elif defined(FOR_AVX2) && BITS == 32
    return (vec)_mm256_min_ps((__m256)x, (__m256)y);
#elif defined(FOR_AVX2) && BITS == 64
    return (vec)_mm256_min_pd((__m256d)x, (__m256d)y);
#else
    return v_select(x < y, x, y);
#endif
}

/* x > y ? x : y; so y where one of them is a NaN. */
INLINE vec v_max(vec x, vec y)
{
#if defined(FOR_AVX512) && BITS == 32
    return (vec)_mm512_max_ps((__m512)x, (__m512)y);
#elif defined(FOR_AVX512) && BITS == 64
    return (vec)_mm512_max_pd((__m512d)x, (__m512d)y);
#elif defined(FOR_AVX2) && BITS == 32
    return (vec)_mm256_max_ps((__m256)x, (__m256)y);
#elif defined(FOR_AVX2) && BITS == 64
    return (vec)_mm256_max_pd((__m256d)x, (__m256d)y);
#else
    return v_select(x > y, x, y);
#endif
}

/* The larger whole number. */
INLINE ivec v_max_whole(ivec x, ivec y)
{
#if defined(FOR_AVX512) && BITS == 32
    return (ivec)_mm512_max_epi32((__m512i)x, (__m512i)y);
#elif defined(FOR_AVX512) && BITS == 64
    return (ivec)_mm512_max_epi64((__m512i)x, (__m512i)y);
#elif defined(FOR_AVX2) && BITS == 32
    return (ivec)_mm256_max_epi32((__m256i)x, (__m256i)y);
#else
    return (ivec)v_select(x > y, (vec)x, (vec)y);
#endif
}

/* Without its sign; of a NaN too. */
INLINE vec v_abs(vec x)
{
    return (vec)((ivec)x & v_all_whole((whole)((unsigned_whole)~(unsigned_whole)0 >> 1)));
}

INLINE real real_sqrt(real x)
{
#if BITS == 32
    return __builtin_sqrtf(x);
#else
    return __builtin_sqrt(x);
#endif
}

INLINE vec v_sqrt(vec x)
{
#if defined(FOR_AVX512) && BITS == 32
    return (vec)_mm512_sqrt_ps((__m512)x);
#elif defined(FOR_AVX512) && BITS == 64
    return (vec)_mm512_sqrt_pd((__m512d)x);
#elif defined(FOR_AVX2) && BITS == 32
    return (vec)_mm256_sqrt_ps((__m256)x);
#elif defined(FOR_AVX2) && BITS == 64
    return (vec)_mm256_sqrt_pd((__m256d)x);
#else
    for (int i = 0; i < LANES; i++)
        x[i] = real_sqrt(x[i]);
    return x;
#endif
}

/* Rounded to the nearest whole number, ties to the even one, still as real; −0, NaN and infinities stay. */
INLINE vec v_rint(vec x)
{
#if defined(FOR_AVX512) && BITS == 32
    return (vec)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif defined(FOR_AVX512) && BITS == 64
    return (vec)_mm512_roundscale_pd((__m512d)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif defined(FOR_AVX2) && BITS == 32
    return (vec)_mm256_round_ps((__m256)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif defined(FOR_AVX2) && BITS == 64
    return (vec)_mm256_round_pd((__m256d)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
    /* From here on every number is whole, so adding and taking away this much rounds the smaller ones. */
    const vec whole_from = v_all(BITS == 32 ? 0x1p23f : 0x1p52);
    const vec size = v_abs(x);
    const vec rounded = (size + whole_from) - whole_from;
    const ivec sign = (ivec)x ^ (ivec)size;
    return v_select(size < whole_from, (vec)((ivec)rounded | sign), x);
#endif
}

/* The nearest whole number, ties to the even one.  Of a NaN, and beyond the whole numbers, it may be any. */
INLINE ivec v_to_whole(vec x)
{
#if defined(FOR_AVX512) && BITS == 32
    return (ivec)_mm512_cvtps_epi32((__m512)x);
#elif defined(FOR_AVX512) && BITS == 64
    return (ivec)_mm512_cvtpd_epi64((__m512d)x);
#elif defined(FOR_AVX2) && BITS == 32
    return (ivec)_mm256_cvtps_epi32((__m256)x);
#elif defined(__SSE2__) && WIDTH == 16 && BITS == 32
    return (ivec)_mm_cvtps_epi32((__m128)x);
#elif defined(FOR_NEON) && BITS == 32
    return (ivec)vcvtnq_s32_f32((float32x4_t)x);
#elif defined(FOR_NEON) && BITS == 64
    return (ivec)vcvtnq_s64_f64((float64x2_t)x);
#else
    /* An upper half, and a lower one that takes the sign of what is left.  Added to 3/2 times the number from which on
       all are whole, each is rounded, and stands in the lower bits of the sum. */
    const vec bias = v_all(BITS == 32 ? 0x1.8p23f : 0x1.8p52);
    const real half = BITS == 32 ? 0x1p16f : 0x1p32;
    const vec upper = x * (1 / half) + bias;
    const vec lower = (x - (upper - bias) * half) + bias;
    return ((ivec)upper << (BITS / 2)) + ((ivec)lower - (ivec)bias);
#endif
}

/* The real number nearest to a whole one. */
INLINE vec v_from_whole(ivec x)
{
#if defined(FOR_AVX512) && BITS == 64
    return (vec)_mm512_cvtepi64_pd((__m512i)x);
#elif BITS == 64 && !defined(FOR_NEON)
    /* 2^52 + the lower half, and 2^84 + 2^63 + the upper one, are put together bit by bit; only the last sum rounds. */
    const ivec lower = (x & v_all_whole(0xffffffff)) | v_all_whole(0x4330000000000000);
    const ivec upper = ((x >> 32) & v_all_whole(0xffffffff)) ^ v_all_whole(0x4530000080000000);
    return ((vec)upper - (0x1p84 + 0x1p63)) + ((vec)lower - 0x1p52);
#else
    return __builtin_convertvector(x, vec);
#endif
}
