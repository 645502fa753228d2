/* Chains side by side in registers: what the three products are made of. */

#define CHAIN 256

/* As many rows as there are registers for, beside the panel's two vectors; THIN_ROWS, of one vector each, and never fewer,
   since a tile whose rows are scaled already may turn out thin. */
#undef TILE_ROWS
#undef THIN_ROWS
#if WIDTH == 64
#define TILE_ROWS 14
#define THIN_ROWS 14
#elif WIDTH == 32
#define TILE_ROWS 6
#define THIN_ROWS 8
#elif defined(FOR_FMA)
#define TILE_ROWS 10
#define THIN_ROWS 10
#else
#define TILE_ROWS 2
#define THIN_ROWS 2
#endif
#define tile NAME(tile)
#define rows_of_next_tile NAME(rows_of_next_tile)
#define go_on NAME(go_on)
#define sum_part NAME(sum_part)
#define sum_tile NAME(sum_tile)
#define sum_tiles NAME(sum_tiles)

/* A tile of chains: rows of numbers, a panel, and where the sums go. */
struct tile {
    const real *rows;        /* of row i, link k: rows[i * row_step + k * link_step] */
    ptrdiff_t row_step, link_step;
    const real *panel;       /* of link k, a row of vectors: panel + k * panel_step */
    ptrdiff_t panel_step;
    ptrdiff_t links;
    const real *start;       /* where the chains of each column begin: whole vectors */
    int later;               /* whether these are later chains, whose sums are added */
    real *out;               /* a row of sums after another, out_step entries further on */
    ptrdiff_t out_step;
    ptrdiff_t columns;       /* of a row of sums; the last vector may be a part */
};

/* Rows of the next tile where `left` are to be made, in tiles of about one size, none above `most`; never an odd number
   above 8, for which there is no code. */
INLINE ptrdiff_t rows_of_next_tile(ptrdiff_t left, ptrdiff_t most)
{
    const ptrdiff_t tiles = (left + most - 1) / most, R = (left + tiles - 1) / tiles;
    if (R < 9 || R % 2 == 0)
        return R;
    return tiles == 1 ? (left + 1) / 2 : R + 1;
}

/* The chains of R rows and V vectors go on for all links of the tile. */
INLINE void go_on(const int R, const int V, const struct tile *t, vec (*chain)[2])
{
    const real *rows = t->rows, *panel = t->panel;
    const ptrdiff_t row_step = t->row_step, link_step = t->link_step, panel_step = t->panel_step;
    for (ptrdiff_t k = t->links; k > 0; k--) {
        vec right[2];
        for (int v = 0; v < V; v++)
            right[v] = v_load(panel + v * LANES);
#pragma GCC unroll 16
        for (int i = 0; i < R; i++) {
            const vec left = v_all(rows[i * row_step]);
            for (int v = 0; v < V; v++)
                chain[i][v] = v_fma(left, right[v], chain[i][v]);
        }
        rows += link_step;
        panel += panel_step;
    }
}

/* R rows of PANEL sums become rows of the tile's out, or are added to them, where the last vector is a part. */
static void sum_part(ptrdiff_t R, const struct tile *t, const real *made)
{
    for (ptrdiff_t i = 0; i < R; i++)
        for (int v = 0; v * LANES < t->columns; v++) {
            real *const row = t->out + i * t->out_step;
            const vec sum = v_load(made + i * PANEL + v * LANES);
            store_part(row, v, t->columns, t->later ? load_part(row, v, t->columns) + sum : sum);
        }
}

/* A tile of R rows and V vectors of sums. */
INLINE void sum_tile(const int R, const int V, const struct tile *t)
{
    vec chain[THIN_ROWS][2];
#pragma GCC unroll 16
    for (int i = 0; i < R; i++)
        for (int v = 0; v < V; v++)
            chain[i][v] = v_load(t->start + v * LANES);
    go_on(R, V, t, chain);
    real made[THIN_ROWS * PANEL];
    const int whole_vectors = t->columns == V * LANES;
    real *const out = whole_vectors ? t->out : made;
    const ptrdiff_t out_step = whole_vectors ? t->out_step : PANEL;
    if (whole_vectors && t->later) {
#pragma GCC unroll 16
        for (int i = 0; i < R; i++)
            for (int v = 0; v < V; v++)
                v_store(out + i * out_step + v * LANES, v_load(out + i * out_step + v * LANES) + chain[i][v]);
        return;
    }
#pragma GCC unroll 16
    for (int i = 0; i < R; i++)
        for (int v = 0; v < V; v++)
            v_store(out + i * out_step + v * LANES, chain[i][v]);
    if (!whole_vectors)
        sum_part(R, t, made);
}

/* As sum_tile; here R and V become constants, so that the chains lie in registers.  R is one of rows_of_next_tile's. */
static void sum_tiles(ptrdiff_t R, const struct tile *t)
{
    switch (t->columns > LANES ? R : -R) {
    case 1: sum_tile(1, 2, t); break;
    case 2: sum_tile(2, 2, t); break;
#if TILE_ROWS >= 6
    case 3: sum_tile(3, 2, t); break;
    case 4: sum_tile(4, 2, t); break;
    case 5: sum_tile(5, 2, t); break;
    case 6: sum_tile(6, 2, t); break;
#endif
#if TILE_ROWS >= 10
    case 7: sum_tile(7, 2, t); break;
    case 8: sum_tile(8, 2, t); break;
    case 10: sum_tile(10, 2, t); break;
#endif
#if TILE_ROWS >= 14
    case 12: sum_tile(12, 2, t); break;
    case 14: sum_tile(14, 2, t); break;
#endif
    case -1: sum_tile(1, 1, t); break;
    case -2: sum_tile(2, 1, t); break;
#if THIN_ROWS >= 8
    case -3: sum_tile(3, 1, t); break;
    case -4: sum_tile(4, 1, t); break;
    case -5: sum_tile(5, 1, t); break;
    case -6: sum_tile(6, 1, t); break;
    case -7: sum_tile(7, 1, t); break;
    case -8: sum_tile(8, 1, t); break;
#endif
#if THIN_ROWS >= 10
    case -10: sum_tile(10, 1, t); break;
#endif
#if THIN_ROWS >= 14
    case -12: sum_tile(12, 1, t); break;
    case -14: sum_tile(14, 1, t); break;
#endif
    }
}
