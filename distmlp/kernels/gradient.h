/* The gradients of micro-batches, G = Σ δ aᵀ and Σ δ, counted on the grid and added to the message as they are made.

   δ times the grid's scale is a number of units; each entry of a G is rounded to a whole number of them, and whole numbers
   are added in any order.  The largest |entry| of each G is kept, a NaN or an infinity too.  With plain floats as totals
   nothing is counted, and nothing looked at. */

/* Samples of the micro-batches that are taken at a time, and bytes of their activations that are packed at a time.  For no
   more samples than a chain has links there is room on the stack.  More of them bring their own: with few columns at a
   time, δ would be read from far away again and again. */
#define GROUP 512
#define PACKED_BYTES (128 * 1024)
#define LONG_PACKED_BYTES (512 * 1024)

/* Columns of a strip of the message that is made before it is stored past the caches. */
#undef STRIP
#define STRIP (32 * PANEL)

#define job NAME(job)
#define pack_scaled NAME(pack_scaled)
#define group_of_biases NAME(group_of_biases)
#define deliver NAME(deliver)
#define group_of_gradients NAME(group_of_gradients)
#define rows_of_gradients NAME(rows_of_gradients)
#define raise_largest NAME(raise_largest)
#define make_gradient NAME(make_gradient)

/* rows[s * TILE_ROWS + i] = scale · delta[s * n + i] for i < R; nothing from `end` on is read. */
static void pack_scaled(const real *delta, const real *end, ptrdiff_t n, ptrdiff_t samples, ptrdiff_t R, real scale, real *rows)
{
    const ptrdiff_t read = (R + LANES - 1) / LANES * LANES;
    ptrdiff_t s = 0;
    for (; s < samples && end - delta >= read; s++, delta += n)
        for (ptrdiff_t i = 0; i < R; i += LANES)
            v_store(rows + s * TILE_ROWS + i, v_load(delta + i) * v_all(scale));
    for (; s < samples; s++, delta += n)
        for (ptrdiff_t i = 0; i < R; i++)
            rows[s * TILE_ROWS + i] = scale * delta[i];
}

/* What is called with: see `gradient`, and `largest` lane by lane, of the micro-batches at hand. */
struct job {
    const real *delta, *a, *end;
    ptrdiff_t batches, M, n, m;
    ptrdiff_t neuron, neuron_end;
    real scale;
    real *total;
    ptrdiff_t kept, kept_end;
    int first, last, exact;
    ivec *largest;
    real *packed, *scaled;
    ptrdiff_t packed_size;
};

/* n entries of the message from `at` on become those of a row of the strip. */
static void deliver(const struct job *g, ptrdiff_t at, const real *row, ptrdiff_t n)
{
    const ptrdiff_t end = at + n;
    const ptrdiff_t kept = g->kept < at ? at : g->kept > end ? end : g->kept;
    const ptrdiff_t kept_end = g->kept_end < kept ? kept : g->kept_end > end ? end : g->kept_end;
    copy_past_caches(g->total + at, row, kept - at);
    memcpy(g->total + kept, row + (kept - at), (size_t)(kept_end - kept) * sizeof(real));
    copy_past_caches(g->total + kept_end, row + (kept_end - at), end - kept_end);
}

/* Rows j … j + R of the gradients, columns from … to, whose panels are packed. */
static void rows_of_gradients(const struct job *g, ptrdiff_t j, ptrdiff_t R, ptrdiff_t from, ptrdiff_t to)
{
    real strip[TILE_ROWS * STRIP] __attribute__((aligned(64)));
    const ptrdiff_t at = j * g->m + from, end = (j + R - 1) * g->m + to, samples = g->batches * g->M;
    const int past = g->last && (at < g->kept || end > g->kept_end);
    struct counted c = {.batches = g->batches, .M = g->M, .first = g->first, .exact = g->exact, .largest = g->largest};
    c.t = (struct tile){.rows = g->scaled, .row_step = 1, .link_step = TILE_ROWS, .links = g->M};
    c.t.out_step = past ? STRIP : g->m;
    real *const out = past ? strip : g->total + at;
    pack_scaled(g->delta + j, g->end, g->n, samples, R, g->scale, g->scaled);
    for (ptrdiff_t i = 0; i < R && past && !g->first; i++)
        memcpy(strip + i * STRIP, g->total + at + i * g->m, (size_t)(to - from) * sizeof(real));
    for (ptrdiff_t k = from; k < to; k += PANEL) {
        c.t.columns = to - k < PANEL ? to - k : PANEL;
        c.t.panel = g->packed + (k - from) * samples;
        c.t.panel_step = c.t.columns > LANES ? PANEL : LANES;
        c.t.out = out + (k - from);
        count_tiles(R, &c);
    }
    for (ptrdiff_t i = 0; i < R && past; i++)
        deliver(g, at + i * g->m, strip + i * STRIP, to - from);
}

/* The weights' gradients of the micro-batches at hand. */
static void group_of_gradients(const struct job *g)
{
    const ptrdiff_t samples = g->batches * g->M;
    ptrdiff_t columns = g->packed_size / samples / PANEL * PANEL;
    columns = columns > STRIP ? STRIP : columns;
    for (ptrdiff_t k = 0; k < g->m; k += columns) {
        const ptrdiff_t to = g->m - k < columns ? g->m : k + columns;
        pack(g->a + k, g->m, to - k, samples, g->packed);
        for (ptrdiff_t j = g->neuron, R; j < g->neuron_end; j += R) {
            R = rows_of_next_tile(g->neuron_end - j, TILE_ROWS);
            rows_of_gradients(g, j, R, k, to);
        }
    }
    if (g->last)
        settle();
}

/* The biases' gradients of the micro-batches at hand: the samples' δ added in order, times the scale. */
static void group_of_biases(const struct job *g)
{
    for (ptrdiff_t j = g->neuron; j < g->neuron_end; j += LANES) {
        const ptrdiff_t columns = g->neuron_end - j < LANES ? g->neuron_end - j : LANES;
        const real *delta = g->delta + j;
        real *const out = g->total + j;
        for (ptrdiff_t batch = 0; batch < g->batches; batch++) {
            vec sum = load_part(delta, 0, columns);
            delta += g->n;
            for (ptrdiff_t s = 1; s < g->M; s++, delta += g->n)
                sum = sum + load_part(delta, 0, columns);
            sum = sum * v_all(g->scale);
            const int first = g->first && batch == 0;
            if (g->exact) {
                g->largest[batch] = v_max_whole(g->largest[batch], (ivec)sum & magnitude());
                const ivec units = v_to_whole(sum);
                sum = (vec)(first ? units : (ivec)load_part(out, 0, columns) + units);
            } else if (!first)
                sum = load_part(out, 0, columns) + sum;
            store_part(out, 0, columns, sum);
        }
    }
}

/* T_i becomes the largest of its lanes, where that is larger. */
static void raise_largest(real *T, const ivec *largest, ptrdiff_t batches)
{
    for (ptrdiff_t i = 0; i < batches; i++) {
        whole most;
        memcpy(&most, T + i, sizeof most);
        for (int lane = 0; lane < LANES; lane++)
            most = largest[i][lane] > most ? largest[i][lane] : most;
        memcpy(T + i, &most, sizeof most);
    }
}

/* Adds the gradients of s micro-batches of M samples to the totals, or stores them there where they are the first.
   Returns 0 where there is no memory for it.

   delta: (s M, n).  a: (s M, m).  w and b: for the weights, (n, m), and the biases, (n,), the totals, the grid's scale
   and the largest entries, (s,), which are raised.  exact: whether totals are whole numbers.  last: nothing is added to
   these totals after this, so entries outside of kept … kept_end of w's go past the caches.
   neuron … neuron_end: those whose gradients are made. */
static int make_gradient(const struct gradient_call *c)
{
    const size_t size = sizeof(real);
    real packed[PACKED_BYTES / sizeof(real)] __attribute__((aligned(64))), scaled[CHAIN * TILE_ROWS + PANEL];
    ivec largest[GROUP];
    const ptrdiff_t at_a_time = c->M < GROUP ? GROUP / c->M : 1;
    struct job g = {.M = c->M, .n = c->n, .m = c->m, .neuron = c->neuron, .neuron_end = c->neuron_end, .exact = c->exact, .packed = packed, .scaled = scaled, .largest = largest};
    g.packed_size = PACKED_BYTES / (ptrdiff_t)size;
    g.end = (const real *)c->delta + c->s * c->M * c->n;
    void *room = NULL;
    if (c->s * c->M > CHAIN) {
        const ptrdiff_t fitting = LONG_PACKED_BYTES / (ptrdiff_t)size, samples = c->M > GROUP ? c->M : GROUP;
        g.packed_size = fitting < c->M * PANEL ? c->M * PANEL : fitting;
        const size_t needed = (size_t)(g.packed_size + samples * TILE_ROWS + PANEL) * size, line = 64;
        room = malloc(needed + line);
        if (!room)
            return 0;
        g.packed = (real *)(((uintptr_t)room + line - 1) / line * line);
        g.scaled = g.packed + g.packed_size;
    }
    for (ptrdiff_t i = 0; i < c->s; i += at_a_time) {
        g.batches = c->s - i < at_a_time ? c->s - i : at_a_time;
        g.delta = (const real *)c->delta + i * c->M * c->n;
        g.a = (const real *)c->a + i * c->M * c->m;
        g.first = c->first && i == 0;
        g.last = c->last && i + g.batches == c->s;
        g.kept = c->kept;
        g.kept_end = c->kept_end;
        g.total = c->total_w;
        g.scale = (real)c->scale_w;
        memset(largest, 0, (size_t)g.batches * sizeof(ivec));
        group_of_gradients(&g);
        if (g.exact)
            raise_largest((real *)c->largest_w + i, largest, g.batches);
        g.total = c->total_b;
        g.scale = (real)c->scale_b;
        memset(largest, 0, (size_t)g.batches * sizeof(ivec));
        group_of_biases(&g);
        if (g.exact)
            raise_largest((real *)c->largest_b + i, largest, g.batches);
    }
    free(room);
    return 1;
}
