/* The notes' three products, and what follows each while it is in a core's cache.

   The definition.  An entry of a product is a chain c = fma(x_k, y_k, c) for k = 0, 1, …  A chain has CHAIN links; the
   first begins at the bias or at +0, later ones at +0, and their sums are added in order.  Chains of different entries
   do not meet, so they may run side by side, in any number: how many do is all that is decided here.

       forward    z = w a + b, a = σ(z)         chains over the layer below
       backward   δ = (wᵀ δ) ⊙ σ'(z)            chains over the layer above
       gradient   G = Σ δ aᵀ, counted on a grid    chains over the samples of a micro-batch

   How the first two are made.  A tile of FAR_ROWS × 2 vectors of chains lies in registers.  Each link takes one number for each
   row of the tile, and one vector for each of its columns from a panel: columns of the right factor, link after link,
   packed so that they lie in the first cache.  Rows are read where they are. */

/* Bytes of the rows that are read again for each panel, or of the block that they make where that is more, and the block's
   columns: both are to stay in the second cache, which mostly has a MB where registers have 512 bits. */
#undef ROWS_BYTES
#define ROWS_BYTES ((WIDTH == 64 ? 384 : 192) * 1024)
#undef COLUMNS
#define COLUMNS (8 * PANEL)

/* Rows of a tile of two vectors, and of a thin one.  They are read where they are, far apart: of lines that lie a multiple
   of 4096 bytes apart, as those of 1024 floats do, a first cache holds eight, or a few more. */
#undef FAR_ROWS
#undef FAR_THIN_ROWS
#define FAR_ROWS (WIDTH == 64 ? 7 : TILE_ROWS)
#define FAR_THIN_ROWS (WIDTH == 64 ? 8 : THIN_ROWS)

#define product NAME(product)
#define chains_of_block NAME(chains_of_block)
#define block_of_product NAME(block_of_product)
#define rows_at_a_time NAME(rows_at_a_time)
#define make_forward NAME(make_forward)
#define make_backward NAME(make_backward)

/* A product of rows, (R, K), with a right factor that has N columns; transposed, it is given as (N, K), else as (K, N). */
struct product {
    const real *rows, *right, *start;
    ptrdiff_t K, N;
    int transposed;
    real *out;
};

/* Rows first … last of a product, columns from … to, at most COLUMNS: the chains that begin at link k. */
static void chains_of_block(const struct product *p, ptrdiff_t k, ptrdiff_t first, ptrdiff_t last, ptrdiff_t from, ptrdiff_t to)
{
    const ptrdiff_t links = p->K - k < CHAIN ? p->K - k : CHAIN;
    real panels[CHAIN * COLUMNS] __attribute__((aligned(64))), start[PANEL];
    if (!p->transposed)
        pack(p->right + k * p->N + from, p->N, to - from, links, panels);
    for (ptrdiff_t j = from; j < to; j += PANEL) {
        real *const panel = p->transposed ? panels : panels + (j - from) * links;
        struct tile t = {.row_step = p->K, .link_step = 1, .panel = panel, .out_step = p->N, .links = links, .later = k > 0};
        t.columns = to - j < PANEL ? to - j : PANEL;
        t.panel_step = t.columns > LANES ? PANEL : LANES;
        t.start = start;
        for (int v = 0; v * LANES < t.columns; v++)
            v_store(start + v * LANES, p->start && k == 0 ? load_part(p->start + j, v, t.columns) : v_all(0));
        if (p->transposed)
            pack_transposed(p->right + j * p->K + k, p->K, t.columns, links, panel);
        const ptrdiff_t most = t.columns > LANES ? FAR_ROWS : FAR_THIN_ROWS;
        for (ptrdiff_t i = first, R; i < last; i += R) {
            R = rows_of_next_tile(last - i, most);
            t.rows = p->rows + i * p->K + k;
            t.out = p->out + i * p->N + j;
            sum_tiles(R, &t);
        }
    }
}

/* Rows first … last of a product, columns from … to. */
static void block_of_product(const struct product *p, ptrdiff_t first, ptrdiff_t last, ptrdiff_t from, ptrdiff_t to)
{
    for (ptrdiff_t j = from; j < to; j += COLUMNS)
        for (ptrdiff_t k = 0; k < p->K; k += CHAIN)
            chains_of_block(p, k, first, last, j, to - j < COLUMNS ? to : j + COLUMNS);
}

/* As many rows at a time as stay in the second cache, in equal shares. */
INLINE ptrdiff_t rows_at_a_time(ptrdiff_t R, ptrdiff_t K, ptrdiff_t N)
{
    const ptrdiff_t links = K < CHAIN ? K : CHAIN, columns = N < COLUMNS ? N : COLUMNS;
    const ptrdiff_t most = ROWS_BYTES / (ptrdiff_t)sizeof(real) / (links > columns ? links : columns);
    const ptrdiff_t shares = (R + most - 1) / most;
    return shares < 2 ? R : (R / shares + FAR_ROWS) / FAR_ROWS * FAR_ROWS;
}

/* z = w a + b and a = σ(z) for S samples.  w: (n, m).  b: (n,).  below: (S, m), the activations of the layer below.
   a: (S, n).  z: (S, n), or NULL where nobody wants it. */
static void make_forward(const void *w, const void *b, const void *below, void *a, void *z, ptrdiff_t S, ptrdiff_t n, ptrdiff_t m, int activation)
{
    const struct product p = {.rows = below, .right = w, .start = b, .K = m, .N = n, .transposed = 1, .out = a};
    const ptrdiff_t share = rows_at_a_time(S, m, n), wide = activation == SOFTMAX ? n : COLUMNS;
    for (ptrdiff_t s = 0; s < S; s += share)
        for (ptrdiff_t j = 0; j < n; j += wide) {
            const ptrdiff_t rows = S - s < share ? S - s : share, columns = n - j < wide ? n - j : wide;
            block_of_product(&p, s, s + rows, j, j + columns);
            if (z)
                for (ptrdiff_t i = s; i < s + rows; i++)
                    memcpy((real *)z + i * n + j, p.out + i * n + j, (size_t)columns * sizeof(real));
            activate(activation, p.out + s * n + j, rows, columns, n);
        }
}

/* δ = (wᵀ δ) ⊙ σ'(z) for S samples.  w: (n, m).  above: (S, n), the δ of the layer above.  a, delta: (S, m). */
static void make_backward(const void *w, const void *above, const void *a, void *delta, ptrdiff_t S, ptrdiff_t n, ptrdiff_t m, int activation)
{
    const struct product p = {.rows = above, .right = w, .K = n, .N = m, .out = delta};
    const ptrdiff_t share = rows_at_a_time(S, n, m), wide = activation == SOFTMAX ? m : COLUMNS;
    for (ptrdiff_t s = 0; s < S; s += share)
        for (ptrdiff_t k = 0; k < m; k += wide) {
            const ptrdiff_t rows = S - s < share ? S - s : share, columns = m - k < wide ? m - k : wide;
            block_of_product(&p, s, s + rows, k, k + columns);
            chain_rule(activation, (const real *)a + s * m + k, p.out + s * m + k, rows, columns, m);
        }
}
