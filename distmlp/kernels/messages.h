/* What ranks say to one another: how large their gradients are, and sums of their messages. */

#define copy_past_caches NAME(copy_past_caches)
#define settle NAME(settle)
#define units_of NAME(units_of)
#define added NAME(added)
#define sum_of_rows NAME(sum_of_rows)

/* Copies n entries that another core reads next: the stores go past this core's caches.  A store to a line that another
   core has read must first take it away from that core, which is slow where the two share no cache. */
static void copy_past_caches(void *to, const void *from, ptrdiff_t n)
{
    char *out = to;
    const char *in = from;
    size_t bytes = (size_t)n * sizeof(real), done = 0;
#if defined(__SSE2__)
    const size_t before = -(uintptr_t)out & 15;
    done = before < bytes ? before : bytes;
    memcpy(out, in, done);
    for (; done + 16 <= bytes; done += 16)
        _mm_stream_si128((__m128i *)(out + done), _mm_loadu_si128((const __m128i *)(in + done)));
#endif
    memcpy(out + done, in + done, bytes - done);
}

/* What was stored past the caches is there before what is stored after this. */
INLINE void settle(void)
{
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

/* out[t] = Σ_i ⌈T_ti unit⌉, each at most `most`, of T (tensors, s); returns whether all T are finite.

   The sum is of whole numbers, so its order does not matter. */
static int units_of(const void *T, double unit, double most, void *out, ptrdiff_t tensors, ptrdiff_t s, int floats)
{
    const real *largest = T;
    int finite = 1;
    for (ptrdiff_t t = 0; t < tensors; t++, largest += s) {
        int64_t sum = 0;
        for (ptrdiff_t i = 0; i < s; i++) {
            const double units = largest[i] * unit;
            const int fits = units < most; /* not where it is a NaN */
            int64_t up = fits ? (int64_t)units : (int64_t)most;
            up += fits && (double)up < units;
            sum += up;
            finite &= largest[i] - largest[i] == 0;
        }
        if (floats)
            ((real *)out)[t] = (real)sum;
        else
            ((whole *)out)[t] = (whole)sum;
    }
    return finite;
}

/* x + y, of numbers or of whole numbers, which wrap. */
INLINE vec added(vec x, vec y, int floats)
{
    return floats ? x + y : (vec)((uvec)x + (uvec)y);
}

/* Entries that are added up at a time; they stay in a core's first cache. */
#undef STRETCH
#define STRETCH (4096 / (BITS / 8))

/* out = Σ of `count` rows, in order, n entries each, `step` entries from one to the next: floats, or whole numbers that
   wrap.  Other ranks read out next, so it goes past this core's caches. */
static void sum_of_rows(const void *rows, ptrdiff_t count, ptrdiff_t step, ptrdiff_t n, void *out, int floats)
{
    real stretch[STRETCH];
    for (ptrdiff_t start = 0; start < n; start += STRETCH) {
        const ptrdiff_t length = n - start < STRETCH ? n - start : STRETCH;
        const real *row = (const real *)rows + start;
        memcpy(stretch, row, (size_t)length * sizeof(real));
        for (ptrdiff_t r = 1; r < count; r++) {
            row += step;
            ptrdiff_t i = 0;
            for (; i + LANES <= length; i += LANES)
                v_store(stretch + i, added(v_load(stretch + i), v_load(row + i), floats));
            if (i < length)
                v_store_first(
                    stretch + i, added(v_load_first(stretch + i, length - i), v_load_first(row + i, length - i), floats), length - i);
        }
        copy_past_caches((real *)out + start, stretch, length);
    }
    settle();
}
