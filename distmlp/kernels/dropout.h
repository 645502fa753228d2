/* Dropout: entries that random words choose become 0, and the others are scaled. */

#define drop_entries NAME(drop_entries)

/* 16 bits of a random word. */
#undef DRAW_OF
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define DRAW_OF(i) ((i) ^ 3)
#else
#define DRAW_OF(i) (i)
#endif
#ifndef DISTMLP_DRAW
#define DISTMLP_DRAW
typedef uint16_t draw __attribute__((may_alias));
#endif

/* out = x scale where the entry's draw is below keep, else 0; x may be out.  A word has four draws, the lowest bits first. */
static void drop_entries(const void *x, const uint64_t *words, int keep, double scale, void *out, ptrdiff_t n)
{
    const draw *const draws = (const draw *)words;
    const real factor = (real)scale;
    for (ptrdiff_t i = 0; i < n; i++) {
        const real scaled = ((const real *)x)[i] * factor;
        ((real *)out)[i] = draws[DRAW_OF(i)] < keep ? scaled : 0;
    }
}
