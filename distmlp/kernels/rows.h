/* A set's rows on the way to the network: taken in an order, made numbers of its type, and scaled. */

#define rows_taken NAME(rows_taken)
#define all_finite NAME(all_finite)
#define fetch_ahead NAME(fetch_ahead)

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

/* count rows of n entries of a type, those that `order` names; each entry is converted, rounded once, then scaled.  Whole
   numbers need no look; others are looked at some rows at a time, while they are near. */
#undef TAKE
#define TAKE(type, look)                                                       \
    for (ptrdiff_t r = 0, seen = 0; r < count; r++) {                          \
        fetch_ahead(rows, order, r, count, n * (ptrdiff_t)sizeof(type));       \
        const type *const row = (const type *)rows + order[r] * n;             \
        for (ptrdiff_t i = 0; i < n; i++)                                      \
            taken[r * n + i] = (real)row[i] * factor;                          \
        if (look && ((r + 1 - seen) * n >= NEAR || r + 1 == count)) {          \
            finite &= all_finite(taken + seen * n, (r + 1 - seen) * n);        \
            seen = r + 1;                                                      \
        }                                                                      \
    }                                                                          \
    break

/* out (count, n) = the rows, times scale; letter: the type of what is stored, as the struct module writes it.  Returns
   whether all that come from floats are finite. */
static int rows_taken(const void *rows, char letter, const int64_t *order, ptrdiff_t count, ptrdiff_t n, double scale, void *out)
{
    const real factor = (real)scale;
    real *restrict const taken = out;
    int finite = 1;
    switch (letter) {
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
