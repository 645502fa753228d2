/* Hashes of rows of bytes, for the digest of a set (data/digest.py). */

#if BITS == 64

#define halves NAME(halves)
#define halves_in_memory NAME(halves_in_memory)
#define product_of_halves NAME(product_of_halves)

/* Rows that share a load of the keys, and those whose hashes are kept until their bits are spread. */
#define ROWS_AT_ONCE 4
#define ROWS_OF_HASHES 128

typedef uint32_t halves __attribute__((vector_size(VECTOR_BYTES)));
/* Anywhere in memory: rows of bytes begin anywhere. */
typedef uint32_t halves_in_memory __attribute__((vector_size(VECTOR_BYTES), aligned(1), may_alias));

/* The lower half of each word times its upper half. */
INLINE uvec product_of_halves(halves words)
{
#if defined(FOR_AVX512)
    return (uvec)_mm512_mul_epu32((__m512i)words, _mm512_srli_epi64((__m512i)words, 32));
#elif defined(FOR_AVX2)
    return (uvec)_mm256_mul_epu32((__m256i)words, _mm256_srli_epi64((__m256i)words, 32));
#elif defined(__SSE2__) && WIDTH == 16
    return (uvec)_mm_mul_epu32((__m128i)words, _mm_srli_epi64((__m128i)words, 32));
#elif defined(FOR_NEON)
    return (uvec)vmull_u32(vmovn_u64((uint64x2_t)words), vshrn_n_u64((uint64x2_t)words, 32));
#else
    const uvec whole_words = (uvec)words;
    return (whole_words & 0xffffffff) * (whole_words >> 32);
#endif
}

/* The first `bytes` bytes at p as a word, the lowest first; p: up to 8 bytes. */
INLINE uint64_t word_of(const unsigned char *p, size_t bytes)
{
    uint64_t word = 0;
    memcpy(&word, p, bytes);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

/* (lower half of the word + that of key) (upper half of the word + that of key), the sums mod 2^32. */
INLINE uint64_t product_of_word(uint64_t word, uint64_t key)
{
    return (uint64_t)(uint32_t)((uint32_t)word + (uint32_t)key) * (uint32_t)((uint32_t)(word >> 32) + (uint32_t)(key >> 32));
}

/* Adds to each row's hash the product of one word, of which `bytes` bytes are the row's; p: the first row's word, the others
   `step` bytes apart.  A register takes a word of each of LANES rows; nothing at `end` or behind it is read. */
INLINE void add_words(const unsigned char *p, size_t bytes, ptrdiff_t step, ptrdiff_t rows, const unsigned char *end, uint64_t key, uint64_t *hashes)
{
    const uint64_t own = ~(uint64_t)0 >> (64 - 8 * bytes);
    const uvec own_of_all = (uvec)v_all_whole((whole)own);
    const halves keys = (halves)v_all_whole((whole)key);
    ptrdiff_t i = 0;
    for (; i + LANES <= rows && end - p >= (LANES - 1) * step + 8; i += LANES, p += LANES * step) {
        uvec words;
        for (int lane = 0; lane < LANES; lane++)
            words[lane] = word_of(p + lane * step, 8);
        const uvec sums = (uvec)v_load_whole((whole *)hashes + i) + product_of_halves((halves)(words & own_of_all) + keys);
        v_store_whole((whole *)hashes + i, (ivec)sums);
    }
    for (; i < rows; i++, p += step)
        hashes[i] += product_of_word(word_of(p, bytes), key);
}

/* Adds to the hashes of `count` rows the products of their first words, a multiple of LANES; each key is loaded once. */
INLINE void add_vectors(const unsigned char *p, ptrdiff_t step, int count, ptrdiff_t words, const uint64_t *keys, uint64_t *hashes)
{
    uvec sums[ROWS_AT_ONCE] = {{0}};
    for (ptrdiff_t j = 0; j < words; j += LANES) {
        const halves key = *(const halves_in_memory *)(keys + j);
        for (int i = 0; i < count; i++)
            sums[i] += product_of_halves(*(const halves_in_memory *)(p + i * step + 8 * j) + key);
    }
    for (int i = 0; i < count; i++)
        for (int lane = 0; lane < LANES; lane++)
            hashes[i] += sums[i][lane];
}

/* Adds to the hashes of some rows, from `first` on, Σ_j of the products of their words, the last one filled up with zeros;
   mod 2^64, so in any order.  rows: all of a part, up to `end`, of `bytes` bytes each. */
INLINE void add_products(const unsigned char *all, ptrdiff_t bytes, ptrdiff_t first, ptrdiff_t rows, const unsigned char *end, const uint64_t *keys, uint64_t *hashes)
{
    const unsigned char *const part = all + first * bytes;
    const ptrdiff_t words = bytes / 8;
    ptrdiff_t j = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (words >= 2 * LANES) {
        ptrdiff_t i = 0;
        j = words / LANES * LANES;
        for (; i + ROWS_AT_ONCE <= rows; i += ROWS_AT_ONCE)
            add_vectors(part + i * bytes, bytes, ROWS_AT_ONCE, j, keys, hashes + i);
        for (; i < rows; i++)
            add_vectors(part + i * bytes, bytes, 1, j, keys, hashes + i);
    }
#endif
    for (; j < words; j++)
        add_words(part + 8 * j, 8, bytes, rows, end, keys[j], hashes);
    if (bytes % 8)
        add_words(part + 8 * j, (size_t)(bytes % 8), bytes, rows, end, keys[j], hashes);
}

/* Each word's bits spread over all of it: the last steps of SplitMix64 (Steele, Lea, Flood, 2014). */
INLINE uvec spread_bits(uvec words)
{
    words = (words ^ (words >> 30)) * 0xbf58476d1ce4e5b9;
    words = (words ^ (words >> 27)) * 0x94d049bb133111eb;
    return words ^ (words >> 31);
}

/* Σ of the rows' hashes mod 2^64. */
static uint64_t hash_of_rows(const struct rows *r)
{
    const ptrdiff_t x_words = (r->x_bytes + 7) / 8;
    uvec totals = {0};
    uint64_t hashes[ROWS_OF_HASHES], total = 0;
    for (ptrdiff_t first = 0; first < r->rows; first += ROWS_OF_HASHES) {
        const ptrdiff_t rows = r->rows - first < ROWS_OF_HASHES ? r->rows - first : ROWS_OF_HASHES;
        for (ptrdiff_t i = 0; i < rows; i++)
            hashes[i] = (uint64_t)(r->numbers ? r->numbers[first + i] : r->first + first + i) * 0x9e3779b97f4a7c15;
        add_products(r->x, r->x_bytes, first, rows, r->x + r->rows * r->x_bytes, r->keys, hashes);
        if (r->y)
            add_products(r->y, r->y_bytes, first, rows, r->y + r->rows * r->y_bytes, r->keys + x_words, hashes);
        /* What is 0 stays 0. */
        memset(hashes + rows, 0, (size_t)(ROWS_OF_HASHES - rows) * sizeof *hashes);
        for (ptrdiff_t i = 0; i < rows; i += LANES)
            totals += spread_bits((uvec)v_load_whole((whole *)hashes + i));
    }
    for (int lane = 0; lane < LANES; lane++)
        total += totals[lane];
    return total;
}

#endif
