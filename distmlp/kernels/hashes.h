/* Hashes of rows of bytes, for the digest of a set (data/digest.py). */

#if BITS == 64

#define halves NAME(halves)
#define halves_in_memory NAME(halves_in_memory)
#define product_of_halves NAME(product_of_halves)

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

/* (lower half of p + that of key) (upper half of p + that of key), the sums mod 2^32; p: up to 8 bytes, the lowest first. */
INLINE uint64_t product_of_word(const unsigned char *p, size_t bytes, uint64_t key)
{
    uint64_t word = 0;
    memcpy(&word, p, bytes);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return (uint64_t)(uint32_t)((uint32_t)word + (uint32_t)key) * (uint32_t)((uint32_t)(word >> 32) + (uint32_t)(key >> 32));
}

/* Σ_j of these products of a row's words, the last one filled up with zeros; mod 2^64, so in any order. */
static uint64_t hash_of_bytes(const unsigned char *row, ptrdiff_t bytes, const uint64_t *keys)
{
    const ptrdiff_t words = bytes / 8;
    uint64_t sum = 0;
    ptrdiff_t j = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uvec one = {0}, two = {0};
    for (; j + 2 * LANES <= words; j += 2 * LANES) {
        one += product_of_halves(*(const halves_in_memory *)(row + 8 * j) + *(const halves_in_memory *)(keys + j));
        two += product_of_halves(
            *(const halves_in_memory *)(row + 8 * (j + LANES)) + *(const halves_in_memory *)(keys + j + LANES));
    }
    one += two;
    for (int lane = 0; lane < LANES; lane++)
        sum += one[lane];
#endif
    for (; j < words; j++)
        sum += product_of_word(row + 8 * j, 8, keys[j]);
    if (bytes % 8)
        sum += product_of_word(row + 8 * j, (size_t)(bytes % 8), keys[j]);
    return sum;
}

/* Each bit spread over all of the word: the last steps of SplitMix64 (Steele, Lea, Flood, 2014). */
INLINE uint64_t spread_bits(uint64_t word)
{
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9;
    word = (word ^ (word >> 27)) * 0x94d049bb133111eb;
    return word ^ (word >> 31);
}

/* Σ of the rows' hashes mod 2^64. */
static uint64_t hash_of_rows(const struct rows *r)
{
    const ptrdiff_t x_words = (r->x_bytes + 7) / 8;
    uint64_t total = 0;
    for (ptrdiff_t i = 0; i < r->rows; i++) {
        const uint64_t number = (uint64_t)(r->numbers ? r->numbers[i] : r->first + i);
        uint64_t hash = number * 0x9e3779b97f4a7c15;
        hash += hash_of_bytes(r->x + i * r->x_bytes, r->x_bytes, r->keys);
        hash += hash_of_bytes(r->y + i * r->y_bytes, r->y_bytes, r->keys + x_words);
        total += spread_bits(hash);
    }
    return total;
}

#endif
