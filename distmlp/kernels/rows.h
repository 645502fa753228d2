/* A set's rows on the way to the network: taken in an order, made numbers of its type, and scaled. */

#define rows_taken NAME(rows_taken)
#define all_finite NAME(all_finite)
#define fetch_ahead NAME(fetch_ahead)
#define finish_columns NAME(finish_columns)

/* Bytes of coming rows that are fetched ahead: rows in a random order lie where no hardware looks for them. */
#define AHEAD 4096

/* Entries that were made last and are in the first cache. */
#define NEAR 1024

/* Fetches the row of `bytes` bytes that is about AHEAD bytes further on in the order than row r, into the second cache: the
   first one's few places for lines on their way are the row's at hand. */
INLINE void fetch_ahead(const char *rows, const int64_t *order, ptrdiff_t r, ptrdiff_t count, ptrdiff_t bytes)
{
    const ptrdiff_t coming = r + 1 + AHEAD / (bytes + 1), fetched = bytes < AHEAD ? bytes : AHEAD;
    for (ptrdiff_t i = 0; coming < count && i < fetched; i += 64)
        __builtin_prefetch(rows + order[coming] * bytes + i, 0, 2);
}

/* Whether none of n numbers is a NaN or an infinity. */
INLINE int all_finite(const real *x, ptrdiff_t n)
{
    const real infinity = (real)__builtin_inf();
    whole most = 0, limit;
    memcpy(&limit, &infinity, sizeof limit);
    for (ptrdiff_t i = 0; i < n; i++) {
        whole bits;
        memcpy(&bits, x + i, sizeof bits);
        bits &= (whole)((unsigned_whole)~(unsigned_whole)0 >> 1);
        most = bits > most ? bits : most;
    }
    return most < limit;
}

/* Columns of a row that are doubles at a time. */
#define WIDE 512

/* `length` columns of a row from `from` on, which are doubles: what is missing is filled in, then all are shifted, divided,
   rounded once and scaled. */
INLINE void finish_columns(const struct taking *t, ptrdiff_t from, ptrdiff_t length, double *wide, real *out)
{
    const real factor = (real)t->scale;
    for (ptrdiff_t i = 0; t->fill && i < length; i++)
        wide[i] = wide[i] == wide[i] ? wide[i] : t->fill[from + i];
    for (ptrdiff_t i = 0; t->shift && i < length; i++)
        wide[i] = (wide[i] - t->shift[from + i]) / t->divisor[from + i];
    for (ptrdiff_t i = 0; i < length; i++)
        out[i] = (real)wide[i] * factor;
}

/* The rows that `order` names, of a type.  Whole numbers that are only converted, rounded once and scaled need no look.
   Others are looked at some rows at a time, while they are near. */
#undef TAKE
#define TAKE(type, look)                                                       \
    for (ptrdiff_t r = 0, seen = 0; r < t->count; r++) {                       \
        fetch_ahead(t->rows, t->order, r, t->count, n * (ptrdiff_t)sizeof(type)); \
        const type *const row = (const type *)t->rows + t->order[r] * n;       \
        real *restrict const taken = (real *)t->out + r * width;               \
        for (ptrdiff_t i = 0; plain && i < n; i++)                             \
            taken[i] = (real)row[i] * factor;                                  \
        for (ptrdiff_t from = 0; !plain && from < n; from += WIDE) {           \
            const ptrdiff_t length = n - from < WIDE ? n - from : WIDE;        \
            for (ptrdiff_t i = 0; i < length; i++)                             \
                wide[i] = (double)row[from + i];                               \
            finish_columns(t, from, length, wide, taken + from);               \
        }                                                                      \
        for (ptrdiff_t i = 0; i < t->indicated; i++) {                         \
            const double x = (double)row[t->indicators[i]];                    \
            taken[n + i] = (real)(x != x);                                     \
        }                                                                      \
        if ((look || !plain) && ((r + 1 - seen) * width >= NEAR || r + 1 == t->count)) { \
            finite &= all_finite(taken - (r - seen) * width, (r + 1 - seen) * width); \
            seen = r + 1;                                                      \
        }                                                                      \
    }                                                                          \
    break

/* out = the rows in an order as the network's numbers.  In double, fill takes the place of a NaN, and each entry x becomes
   (x − shift) / divisor, where these are given.  Then it is rounded and multiplied by the scale.  Behind the columns stand
   the indicators, 1 where that column of the row was a NaN.  Returns whether all are finite; of whole numbers that are
   only scaled nothing is told. */
static int rows_taken(const struct taking *t)
{
    const int plain = !t->shift && !t->fill;
    const ptrdiff_t n = t->n, width = n + t->indicated;
    const real factor = (real)t->scale;
    double wide[WIDE];
    int finite = 1;
    switch (t->letter) {
    case 'b': TAKE(int8_t, 0);
    case '?':
    case 'B': TAKE(uint8_t, 0);
    case 'h': TAKE(int16_t, 0);
    case 'H': TAKE(uint16_t, 0);
    case 'i': TAKE(int, 0);
    case 'I': TAKE(unsigned, 0);
    case 'l': TAKE(long, 0);
    case 'L': TAKE(unsigned long, 0);
    case 'q': TAKE(long long, 0);
    case 'Q': TAKE(unsigned long long, 0);
    case 'f': TAKE(float, 1);
    case 'd': TAKE(double, 1);
    }
    return finite;
}
