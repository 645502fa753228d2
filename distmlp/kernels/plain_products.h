/* The three products straight from the definition (products.h), one number at a time: the oracle.

   Nothing here is fast, and nothing is to be. */

#define CHAIN 256

#define sum_of_chains NAME(sum_of_chains)
#define count_entry NAME(count_entry)
#define make_forward NAME(make_forward)
#define make_backward NAME(make_backward)
#define make_gradient NAME(make_gradient)

/* Chains over x[0], x[x_step] … times y[0], y[y_step] …, K links in all; the first begins at start. */
static real sum_of_chains(const real *x, ptrdiff_t x_step, const real *y, ptrdiff_t y_step, ptrdiff_t K, real scale, real start)
{
    real sum = start;
    for (ptrdiff_t first = 0; first < K; first += CHAIN) {
        real chain = first ? 0 : start;
        for (ptrdiff_t k = first; k < K && k < first + CHAIN; k++)
            chain = real_fma(scale * x[k * x_step], y[k * y_step], chain);
        sum = first ? sum + chain : chain;
    }
    return sum;
}

static void make_forward(const void *w, const void *b, const void *below, void *a, void *z, ptrdiff_t S, ptrdiff_t n, ptrdiff_t m, int activation)
{
    for (ptrdiff_t s = 0; s < S; s++)
        for (ptrdiff_t j = 0; j < n; j++)
            ((real *)a)[s * n + j] =
                sum_of_chains((const real *)w + j * m, 1, (const real *)below + s * m, 1, m, 1, ((const real *)b)[j]);
    if (z)
        memcpy(z, a, (size_t)(S * n) * sizeof(real));
    activate(activation, a, S, n, n);
}

static void make_backward(const void *w, const void *above, const void *a, void *delta, ptrdiff_t S, ptrdiff_t n, ptrdiff_t m, int activation)
{
    for (ptrdiff_t s = 0; s < S; s++)
        for (ptrdiff_t k = 0; k < m; k++)
            ((real *)delta)[s * m + k] = sum_of_chains((const real *)w + k, m, (const real *)above + s * n, 1, n, 1, 0);
    chain_rule(activation, a, delta, S, m, m);
}

/* One entry of a micro-batch's gradient is counted: rounded to a whole number, added, and looked at. */
static void count_entry(real entry, void *total, int first, int exact, real *largest)
{
    if (!exact) {
        *(real *)total = first ? entry : *(real *)total + entry;
        return;
    }
    const whole units = v_to_whole(v_all(entry))[0];
    *(whole *)total = first ? units : (whole)((unsigned_whole)*(whole *)total + (unsigned_whole)units);
    const real size = entry < 0 ? -entry : entry;
    if (!(size <= *largest) && *largest == *largest) /* a NaN comes, and stays */
        *largest = size;
}

static int make_gradient(const struct gradient_call *c)
{
    const ptrdiff_t n = c->n, m = c->m;
    for (ptrdiff_t i = 0; i < c->s; i++) {
        const real *const delta = (const real *)c->delta + i * c->M * n, *const a = (const real *)c->a + i * c->M * m;
        const int first = c->first && i == 0;
        for (ptrdiff_t j = c->neuron; j < c->neuron_end; j++) {
            for (ptrdiff_t k = 0; k < m; k++)
                count_entry(sum_of_chains(delta + j, n, a + k, m, c->M, (real)c->scale_w, 0), (real *)c->total_w + j * m + k, first,
                            c->exact, (real *)c->largest_w + i);
            real sum = delta[j];
            for (ptrdiff_t s = 1; s < c->M; s++)
                sum += delta[s * n + j];
            count_entry(sum * (real)c->scale_b, (real *)c->total_b + j, first, c->exact, (real *)c->largest_b + i);
        }
    }
    return 1;
}
