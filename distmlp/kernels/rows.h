/* A set's rows on the way to the network: taken in an order, made numbers of its type, and scaled. */

#define rows_taken NAME(rows_taken)
#define fetch_ahead NAME(fetch_ahead)

/* Bytes of coming rows that are fetched ahead: rows in a random order lie where no hardware looks for them. */
#define AHEAD 4096

/* Fetches the row of `bytes` bytes that is about AHEAD bytes further on in the order than row r. */
INLINE void fetch_ahead(const char *rows, const int64_t *order, ptrdiff_t r, ptrdiff_t count, ptrdiff_t bytes)
{
    const ptrdiff_t coming = r + 1 + AHEAD / (bytes + 1), fetched = bytes < AHEAD ? bytes : AHEAD;
    for (ptrdiff_t i = 0; coming < count && i < fetched; i += 64)
        __builtin_prefetch(rows + order[coming] * bytes + i);
}

/* count rows of n entries of a type, those that `order` names; each entry is converted, rounded once, then scaled. */
#undef TAKE
#define TAKE(type)                                                             \
    for (ptrdiff_t r = 0; r < count; r++) {                                    \
        fetch_ahead(rows, order, r, count, n * (ptrdiff_t)sizeof(type));       \
        const type *const row = (const type *)rows + order[r] * n;             \
        for (ptrdiff_t i = 0; i < n; i++)                                      \
            taken[r * n + i] = (real)row[i] * factor;                          \
    }                                                                          \
    return

/* out (count, n) = the rows, times scale; letter: the type of what is stored, as the struct module writes it. */
static void rows_taken(const void *rows, char letter, const int64_t *order, ptrdiff_t count, ptrdiff_t n, double scale, void *out)
{
    const real factor = (real)scale;
    real *restrict const taken = out;
    switch (letter) {
    case 'b': TAKE(int8_t);
    case '?':
    case 'B': TAKE(uint8_t);
    case 'h': TAKE(int16_t);
    case 'H': TAKE(uint16_t);
    case 'i': TAKE(int);
    case 'I': TAKE(unsigned);
    case 'l': TAKE(long);
    case 'L': TAKE(unsigned long);
    case 'q': TAKE(long long);
    case 'Q': TAKE(unsigned long long);
    case 'f': TAKE(float);
    case 'd': TAKE(double);
    }
}
