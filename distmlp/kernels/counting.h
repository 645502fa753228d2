/* Counting on the grid: tiles of gradients that are looked at, rounded to whole numbers and added while they are in registers. */

#define counted NAME(counted)
#define magnitude NAME(magnitude)
#define count_part NAME(count_part)
#define sum_chains NAME(sum_chains)
#define to_memory NAME(to_memory)
#define count_through_memory NAME(count_through_memory)
#define count_tile NAME(count_tile)
#define count_tiles NAME(count_tiles)

/* A tile of chains for each of `batches` micro-batches, one after another in the rows and the panel of t, whose out is
   the message: whole numbers, or, where not exact, numbers. */
struct counted {
    struct tile t;
    ptrdiff_t batches, M;
    int first, exact;
    ivec *largest;           /* of each micro-batch, lane by lane, as the bits of a magnitude */
};

/* All bits but the sign.  Of numbers without a sign the bits have the numbers' order, infinity comes after, then NaN. */
INLINE ivec magnitude(void)
{
    return v_all_whole((whole)((unsigned_whole)~(unsigned_whole)0 >> 1));
}

/* R rows of PANEL sums of one micro-batch are counted and added, where that cannot be done in registers. */
static void count_part(ptrdiff_t R, const struct counted *c, ptrdiff_t batch, const real *made)
{
    const int first = c->first && batch == 0;
    const ptrdiff_t columns = c->t.columns;
    for (ptrdiff_t i = 0; i < R; i++)
        for (int v = 0; v * LANES < columns; v++) {
            real *const row = c->t.out + i * c->t.out_step;
            /* What stands behind the columns is not looked at. */
            vec sum = load_part(made + i * PANEL, v, columns);
            if (c->exact) {
                c->largest[batch] = v_max_whole(c->largest[batch], (ivec)sum & magnitude());
                const ivec units = v_to_whole(sum);
                sum = (vec)(first ? units : (ivec)load_part(row, v, columns) + units);
            } else if (!first)
                sum = load_part(row, v, columns) + sum;
            store_part(row, v, columns, sum);
        }
}

/* R rows of a micro-batch's sums, chain by chain, go to where t says; t is at the next micro-batch then. */
static void sum_chains(ptrdiff_t R, ptrdiff_t M, struct tile *t)
{
    for (ptrdiff_t k = 0; k < M; k += CHAIN) {
        t->links = M - k < CHAIN ? M - k : CHAIN;
        t->later = k > 0;
        sum_tiles(R, t);
        t->rows += t->links * t->link_step;
        t->panel += t->links * t->panel_step;
    }
}

/* The tile of c, with sums that go to memory. */
INLINE struct tile to_memory(const struct counted *c, real *made)
{
    static const real zeros[PANEL];
    struct tile t = c->t;
    t.start = zeros;
    t.out = made;
    t.out_step = PANEL;
    t.columns = t.columns > LANES ? PANEL : LANES;
    return t;
}

/* As count_tile, where it is not fit for whole vectors of whole numbers: parts of vectors, totals of floats. */
static void count_through_memory(ptrdiff_t R, const struct counted *c)
{
    real made[TILE_ROWS * PANEL];
    struct tile t = to_memory(c, made);
    for (ptrdiff_t batch = 0; batch < c->batches; batch++) {
        sum_chains(R, c->M, &t);
        count_part(R, c, batch, made);
    }
}

/* A tile of R rows and two vectors for each micro-batch, made, looked at, rounded and added in registers; the sums of
   several chains come from memory. */
INLINE void count_tile(const int R, const int several_chains, const struct counted *c)
{
    real made[TILE_ROWS * PANEL] __attribute__((aligned(64)));
    struct tile t = several_chains ? to_memory(c, made) : c->t;
    for (ptrdiff_t batch = 0; batch < c->batches; batch++) {
        vec sum[TILE_ROWS][2];
        if (several_chains)
            sum_chains(R, c->M, &t);
#pragma GCC unroll 16
        for (int i = 0; i < R; i++)
            for (int v = 0; v < 2; v++)
                sum[i][v] = several_chains ? v_load(made + i * PANEL + v * LANES) : v_all(0);
        if (!several_chains) {
            go_on(R, 2, &t, sum);
            t.rows += t.links * t.link_step;
            t.panel += t.links * t.panel_step;
        }
        ivec largest = c->largest[batch];
        const int first = c->first && batch == 0;
        whole *const out = (whole *)c->t.out;
#pragma GCC unroll 16
        for (int i = 0; i < R; i++)
            for (int v = 0; v < 2; v++) {
                whole *const row = out + i * c->t.out_step + v * LANES;
                const ivec units = v_to_whole(sum[i][v]);
                largest = v_max_whole(largest, (ivec)sum[i][v] & magnitude());
                v_store_whole(row, first ? units : v_load_whole(row) + units);
            }
        c->largest[batch] = largest;
    }
}

/* Here R becomes a constant; it is one of rows_of_next_tile's. */
static void count_tiles(ptrdiff_t R, const struct counted *c)
{
#define COUNT(R) case R: if (c->M > CHAIN) count_tile(R, 1, c); else count_tile(R, 0, c); break
    switch (c->exact && c->t.columns == PANEL ? R : 0) {
    case 0: count_through_memory(R, c); break;
    COUNT(1);
    COUNT(2);
#if TILE_ROWS >= 6
    COUNT(3);
    COUNT(4);
    COUNT(5);
    COUNT(6);
#endif
#if TILE_ROWS >= 10
    COUNT(7);
    COUNT(8);
    COUNT(10);
#endif
#if TILE_ROWS >= 14
    COUNT(12);
    COUNT(14);
#endif
    }
#undef COUNT
}
