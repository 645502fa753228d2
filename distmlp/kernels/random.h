/* Normal numbers from random words: G. Box and M. Muller's method (1958), with the octant of the angle drawn by itself. */

#if BITS == 64

#define SINE_COUNT 7
static const double C_SINE[] = {
    0x1.921fb54442d18p-1,  -0x1.4abbce625be09p-4, 0x1.466bc67754fe4p-9, -0x1.32d2ccdfe644ap-15,
    0x1.50782d5b6b2d1p-22, -0x1.e2fe733e88a92p-30, 0x1.e356905f06f74p-38,
};
static const double C_COSINE[] = {
    -0x1.3bd3cc9be45dep-2,  0x1.03c1f081b5a65p-6, -0x1.55d3c7e3c2d7bp-12, 0x1.e1f5067b057f8p-19,
    -0x1.a6d1e6b52f412p-26, 0x1.f9c840cb57470p-34, -0x1.b14b5b3de0d19p-42,
};

/* (2 k + 1) 2^-53, where k is the word's upper 52 bits: a number between 0 and 1, neither of which it is. */
INLINE vec fraction_of_word(uvec word)
{
    const uvec bits = (word >> 12) | (uvec)v_all(1);
    return ((vec)bits - v_all(1)) + v_all(0x1p-53);
}

/* Two words become two normal numbers. */
INLINE void normals_of_words(uvec radius_word, uvec angle_word, vec *one, vec *two)
{
    const vec radius = v_sqrt(v_all(-2) * v_log(fraction_of_word(radius_word)));
    const vec f = fraction_of_word(angle_word), square = f * f;
    const vec sine = f * v_polynomial(square, C_SINE, SINE_COUNT);
    const vec cosine = v_all(1) + square * v_polynomial(square, C_COSINE, SINE_COUNT);
    const uvec zero = {0}, sign = (uvec)v_all(-0.0);
    const ivec swapped = (angle_word & (zero + 1)) != zero;
    const vec x = v_select(swapped, sine, cosine), y = v_select(swapped, cosine, sine);
    *one = radius * (vec)((uvec)x ^ ((angle_word << 62) & sign));
    *two = radius * (vec)((uvec)y ^ ((angle_word << 61) & sign));
}

/* 2 n normal numbers from 2 n words: the numbers 2 i and 2 i + 1 from the words 2 i and 2 i + 1. */
static void normals(const uint64_t *words, double *out, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const int count = n - i < LANES ? (int)(n - i) : LANES;
        uvec radius = {0}, angle = {0};
        vec one, two;
        for (int lane = 0; lane < count; lane++) {
            radius[lane] = words[2 * (i + lane)];
            angle[lane] = words[2 * (i + lane) + 1];
        }
        normals_of_words(radius, angle, &one, &two);
        for (int lane = 0; lane < count; lane++) {
            out[2 * (i + lane)] = one[lane];
            out[2 * (i + lane) + 1] = two[lane];
        }
    }
}

#endif
