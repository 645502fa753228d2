/* Panels: columns of a product's right factor, link after link, so that they lie in the first cache and are read in order. */

/* The columns of a panel. */
#undef PANEL
#define PANEL (2 * LANES)

/* The numbers in 16 bytes, within which every CPU can rearrange them. */
#undef QUAD
#define QUAD (128 / BITS)

#define gather_quads NAME(gather_quads)
#define transpose_quads NAME(transpose_quads)
#define pack_transposed NAME(pack_transposed)
#define pack_panel NAME(pack_panel)
#define pack NAME(pack)
#define load_part NAME(load_part)
#define store_part NAME(store_part)

/* Vector v of a row of `columns` entries, the last of which may be a part of one, with +0 behind. */
INLINE vec load_part(const real *row, int v, ptrdiff_t columns)
{
    const ptrdiff_t left = columns - v * LANES;
    return left >= LANES ? v_load(row + v * LANES) : v_load_first(row + v * LANES, left);
}

INLINE void store_part(real *row, int v, ptrdiff_t columns, vec x)
{
    const ptrdiff_t left = columns - v * LANES;
    if (left >= LANES)
        v_store(row + v * LANES, x);
    else
        v_store_first(row + v * LANES, x, left);
}

/* 16 bytes of each QUADth row. */
#if defined(FOR_AVX512) && BITS == 32
INLINE __m512 gather_quads(const float *const *rows, ptrdiff_t k)
{
    const __m512 x = _mm512_castps128_ps512(_mm_loadu_ps(rows[0] + k));
    const __m512 y = _mm512_insertf32x4(x, _mm_loadu_ps(rows[4] + k), 1);
    return _mm512_insertf32x4(_mm512_insertf32x4(y, _mm_loadu_ps(rows[8] + k), 2), _mm_loadu_ps(rows[12] + k), 3);
}
#elif defined(FOR_AVX512) && BITS == 64
INLINE __m512d gather_quads(const double *const *rows, ptrdiff_t k)
{
    const __m512d x = _mm512_castpd128_pd512(_mm_loadu_pd(rows[0] + k));
    const __m512d y = _mm512_insertf64x2(x, _mm_loadu_pd(rows[2] + k), 1);
    return _mm512_insertf64x2(_mm512_insertf64x2(y, _mm_loadu_pd(rows[4] + k), 2), _mm_loadu_pd(rows[6] + k), 3);
}
#elif defined(FOR_AVX2) && BITS == 32
INLINE __m256 gather_quads(const float *const *rows, ptrdiff_t k)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(rows[0] + k)), _mm_loadu_ps(rows[4] + k), 1);
}
#elif defined(FOR_AVX2) && BITS == 64
INLINE __m256d gather_quads(const double *const *rows, ptrdiff_t k)
{
    return _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(rows[0] + k)), _mm_loadu_pd(rows[2] + k), 1);
}
#endif

/* Entries k … of LANES rows, QUAD of them, become QUAD vectors: of entry k of all rows, of entry k + 1, … */
INLINE void transpose_quads(const real *const *rows, ptrdiff_t k, real *out, ptrdiff_t step)
{
#if defined(FOR_AVX512) && BITS == 32
    const __m512 x0 = gather_quads(rows, k), x1 = gather_quads(rows + 1, k), x2 = gather_quads(rows + 2, k), x3 = gather_quads(rows + 3, k);
    const __m512d y0 = (__m512d)_mm512_unpacklo_ps(x0, x1), y1 = (__m512d)_mm512_unpacklo_ps(x2, x3);
    const __m512d y2 = (__m512d)_mm512_unpackhi_ps(x0, x1), y3 = (__m512d)_mm512_unpackhi_ps(x2, x3);
    v_store(out, (vec)_mm512_unpacklo_pd(y0, y1));
    v_store(out + step, (vec)_mm512_unpackhi_pd(y0, y1));
    v_store(out + 2 * step, (vec)_mm512_unpacklo_pd(y2, y3));
    v_store(out + 3 * step, (vec)_mm512_unpackhi_pd(y2, y3));
#elif defined(FOR_AVX512) && BITS == 64
    const __m512d x0 = gather_quads(rows, k), x1 = gather_quads(rows + 1, k);
    v_store(out, (vec)_mm512_unpacklo_pd(x0, x1));
    v_store(out + step, (vec)_mm512_unpackhi_pd(x0, x1));
#elif defined(FOR_AVX2) && BITS == 32
    const __m256 x0 = gather_quads(rows, k), x1 = gather_quads(rows + 1, k), x2 = gather_quads(rows + 2, k), x3 = gather_quads(rows + 3, k);
    const __m256d y0 = (__m256d)_mm256_unpacklo_ps(x0, x1), y1 = (__m256d)_mm256_unpacklo_ps(x2, x3);
    const __m256d y2 = (__m256d)_mm256_unpackhi_ps(x0, x1), y3 = (__m256d)_mm256_unpackhi_ps(x2, x3);
    v_store(out, (vec)_mm256_unpacklo_pd(y0, y1));
    v_store(out + step, (vec)_mm256_unpackhi_pd(y0, y1));
    v_store(out + 2 * step, (vec)_mm256_unpacklo_pd(y2, y3));
    v_store(out + 3 * step, (vec)_mm256_unpackhi_pd(y2, y3));
#elif defined(FOR_AVX2) && BITS == 64
    const __m256d x0 = gather_quads(rows, k), x1 = gather_quads(rows + 1, k);
    v_store(out, (vec)_mm256_unpacklo_pd(x0, x1));
    v_store(out + step, (vec)_mm256_unpackhi_pd(x0, x1));
#elif defined(FOR_NEON) && BITS == 32
    const float32x4x2_t x = vtrnq_f32(vld1q_f32(rows[0] + k), vld1q_f32(rows[1] + k));
    const float32x4x2_t y = vtrnq_f32(vld1q_f32(rows[2] + k), vld1q_f32(rows[3] + k));
    vst1q_f32(out, vcombine_f32(vget_low_f32(x.val[0]), vget_low_f32(y.val[0])));
    vst1q_f32(out + step, vcombine_f32(vget_low_f32(x.val[1]), vget_low_f32(y.val[1])));
    vst1q_f32(out + 2 * step, vcombine_f32(vget_high_f32(x.val[0]), vget_high_f32(y.val[0])));
    vst1q_f32(out + 3 * step, vcombine_f32(vget_high_f32(x.val[1]), vget_high_f32(y.val[1])));
#else
    for (ptrdiff_t t = 0; t < QUAD; t++)
        for (ptrdiff_t j = 0; j < LANES; j++)
            out[t * step + j] = rows[j][k + t];
#endif
}

/* Packs a panel from rows of links, w: panel[k][j] = w[j * step + k].  Behind the last of the columns stands anything. */
static void pack_transposed(const real *w, ptrdiff_t step, ptrdiff_t columns, ptrdiff_t links, real *panel)
{
    const ptrdiff_t width = columns > LANES ? PANEL : LANES;
    for (ptrdiff_t first = 0; first < width; first += LANES) {
        const real *rows[LANES];
        for (ptrdiff_t j = 0; j < LANES; j++)
            rows[j] = w + (first + j < columns ? first + j : 0) * step;
        ptrdiff_t k = 0;
        for (; k + QUAD <= links; k += QUAD)
            transpose_quads(rows, k, panel + k * width + first, width);
        for (; k < links; k++)
            for (ptrdiff_t j = 0; j < LANES; j++)
                panel[k * width + first + j] = rows[j][k];
    }
}

/* Packs columns from a row for each link, fewer than a panel's or as many: panel[k][j] = right[k * step + j], with +0 behind
   the last of them. */
static void pack_panel(const real *right, ptrdiff_t step, ptrdiff_t columns, ptrdiff_t links, real *panel)
{
    if (columns > LANES)
        for (ptrdiff_t k = 0; k < links; k++) {
            v_store(panel + k * PANEL, v_load(right + k * step));
            v_store(panel + k * PANEL + LANES, load_part(right + k * step, 1, columns));
        }
    else
        for (ptrdiff_t k = 0; k < links; k++)
            v_store(panel + k * LANES, load_part(right + k * step, 0, columns));
}

/* Packs panels, one after another.  SIDE_BY_SIDE of them are packed together: the next row may lie in another page, and more
   of them would meet in the same places of the first cache. */
#define SIDE_BY_SIDE 4

static void pack(const real *right, ptrdiff_t step, ptrdiff_t columns, ptrdiff_t links, real *panels)
{
    const ptrdiff_t together = SIDE_BY_SIDE * PANEL;
    for (; columns >= together; columns -= together, right += together, panels += links * together)
        for (ptrdiff_t k = 0; k < links; k++)
            for (ptrdiff_t i = 0; i < SIDE_BY_SIDE; i++) {
                const real *const row = right + k * step + i * PANEL;
                v_store(panels + (i * links + k) * PANEL, v_load(row));
                v_store(panels + (i * links + k) * PANEL + LANES, v_load(row + LANES));
            }
    for (; columns > 0; columns -= PANEL, right += PANEL, panels += links * PANEL)
        pack_panel(right, step, columns < PANEL ? columns : PANEL, links, panels);
}
