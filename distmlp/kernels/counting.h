/* Counting on the grid: tiles of gradients that are looked at, rounded to whole numbers and added while they are in registers. */

#define counted NAME(counted)
#define magnitude NAME(magnitude)
#define count_part NAME(count_part)
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

/* As count_tile, where it is not fit for registers: parts of vectors, micro-batches longer than a chain, totals of floats. */
static void count_through_memory(ptrdiff_t R, const struct counted *c)
{
    static const real zeros[PANEL];
    real made[TILE_ROWS * PANEL];
    struct tile t = c->t;
    t.start = zeros;
    t.out = made;
    t.out_step = PANEL;
    t.columns = t.columns > LANES ? PANEL : LANES;
    for (ptrdiff_t batch = 0; batch < c->batches; batch++) {
        for (ptrdiff_t k = 0; k < c->M; k += CHAIN) {
            t.links = c->M - k < CHAIN ? c->M - k : CHAIN;
            t.later = k > 0;
            sum_tiles(R, &t);
            t.rows += t.links * t.link_step;
            t.panel += t.links * t.panel_step;
        }
        count_part(R, c, batch, made);
    }
}

/* A tile of R rows and two vectors for each micro-batch, made, looked at, rounded and added in registers. */
INLINE void count_tile(const int R, const struct counted *c)
{
    struct tile t = c->t;
    for (ptrdiff_t batch = 0; batch < c->batches; batch++) {
        vec sum[TILE_ROWS][2];
#pragma GCC unroll 16
        for (int i = 0; i < R; i++)
            sum[i][0] = sum[i][1] = v_all(0);
        go_on(R, 2, &t, sum);
        t.rows += t.links * t.link_step;
        t.panel += t.links * t.panel_step;
        ivec largest = c->largest[batch];
        const int first = c->first && batch == 0;
        whole *const out = (whole *)t.out;
#pragma GCC unroll 16
        for (int i = 0; i < R; i++)
            for (int v = 0; v < 2; v++) {
                whole *const row = out + i * t.out_step + v * LANES;
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
    switch (c->exact && c->M <= CHAIN && c->t.columns == PANEL ? R : 0) {
    case 0: count_through_memory(R, c); break;
    case 1: count_tile(1, c); break;
    case 2: count_tile(2, c); break;
#if TILE_ROWS >= 6
    case 3: count_tile(3, c); break;
    case 4: count_tile(4, c); break;
    case 5: count_tile(5, c); break;
    case 6: count_tile(6, c); break;
#endif
#if TILE_ROWS >= 10
    case 7: count_tile(7, c); break;
    case 8: count_tile(8, c); break;
    case 10: count_tile(10, c); break;
#endif
#if TILE_ROWS >= 14
    case 12: count_tile(12, c); break;
    case 14: count_tile(14, c); break;
#endif
    }
}
