/* The costs: their value for each micro-batch, in double whatever the numbers are, and ∂C/∂a of the output layer. */

#define cost_gradient NAME(cost_gradient)

/* out = ∂C/∂a of n entries.  A saturated a is kept off 0 and 1, so that the quotient stays finite. */
static void cost_gradient(int cost, const void *activations, const void *desired, void *gradient, ptrdiff_t n)
{
    const real *a = activations, *y = desired;
    real *out = gradient;
    const real tiny = SMALLEST_NORMAL;
    switch (cost) {
    case MSE:
        for (ptrdiff_t i = 0; i < n; i++)
            out[i] = a[i] - y[i];
        break;
    case BINARY_CROSS_ENTROPY:
        for (ptrdiff_t i = 0; i < n; i++) {
            const real slope = a[i] * (1 - a[i]);
            out[i] = (a[i] - y[i]) / (slope < tiny ? tiny : slope);
        }
        break;
    case CATEGORICAL_CROSS_ENTROPY:
        for (ptrdiff_t i = 0; i < n; i++)
            out[i] = -(y[i] / (a[i] < tiny ? tiny : a[i]));
    }
}

#if BITS == 64

/* Entries of a row that are worked on at a time; a whole number of vectors and of lanes. */
#define CHUNK 128

/* n entries of an array of floats or doubles, from `start` on, as doubles; and zeros up to a whole vector. */
INLINE void take_chunk(double *to, const void *from, ptrdiff_t start, ptrdiff_t n, int floats)
{
    if (floats)
        for (ptrdiff_t j = 0; j < n; j++)
            to[j] = ((const float *)from)[start + j];
    else
        for (ptrdiff_t j = 0; j < n; j++)
            to[j] = ((const double *)from)[start + j];
    for (ptrdiff_t j = n; j % LANES; j++)
        to[j] = 0;
}

/* A row's largest z, and the logarithm of the sum of e^(z − largest). */
static void logarithm_of_sum(const void *z, ptrdiff_t start, ptrdiff_t n, int floats, double *largest, double *logarithm)
{
    double chunk[CHUNK], top = -__builtin_inf();
    sum_vec lanes = {0};
    for (ptrdiff_t j = 0; j < n; j++) {
        const double next = floats ? ((const float *)z)[start + j] : ((const double *)z)[start + j];
        top = next > top ? next : top;
    }
    for (ptrdiff_t j = 0; j < n; j += CHUNK) {
        const ptrdiff_t count = n - j < CHUNK ? n - j : CHUNK;
        take_chunk(chunk, z, start + j, count, floats);
        for (ptrdiff_t i = 0; i < count; i += LANES)
            v_store(chunk + i, v_exp_of_negative(v_load(chunk + i) - v_all(top)));
        add_to_lanes(&lanes, chunk, count);
    }
    *largest = top;
    *logarithm = v_log(v_all(sum_of_lanes(&lanes)))[0];
}

/* C of one sample, but for mse's factor: its terms added in lanes. */
INLINE double cost_of_sample(const int cost, const void *z, const void *a, const void *y, ptrdiff_t start, ptrdiff_t n, const int floats)
{
    double of_z[CHUNK], of_y[CHUNK], top = 0, logarithm = 0;
    sum_vec lanes = {0};
    if (cost == CATEGORICAL_CROSS_ENTROPY)
        logarithm_of_sum(z, start, n, floats, &top, &logarithm);
    for (ptrdiff_t j = 0; j < n; j += CHUNK) {
        const ptrdiff_t count = n - j < CHUNK ? n - j : CHUNK;
        take_chunk(of_z, cost == MSE ? a : z, start + j, count, floats);
        take_chunk(of_y, y, start + j, count, floats);
        for (ptrdiff_t i = 0; i < count; i += LANES) {
            const vec s = v_load(of_z + i), d = v_load(of_y + i);
            if (cost == MSE)
                v_store(of_z + i, (d - s) * (d - s));
            else if (cost == BINARY_CROSS_ENTROPY)
                v_store(of_z + i, v_softplus(s) - d * s);
            else
                v_store(of_z + i, d * (v_all(logarithm) - (s - v_all(top))));
        }
        add_to_lanes(&lanes, of_z, count);
    }
    return sum_of_lanes(&lanes);
}

/* values[i] = C of micro-batch i, its M samples added one after another; arrays (s, M, n) of floats or doubles. */
static void cost_values(int cost, const void *z, const void *a, const void *y, ptrdiff_t s, ptrdiff_t M, ptrdiff_t n, int floats, double *values)
{
    for (ptrdiff_t i = 0; i < s; i++) {
        double sum = 0;
        for (ptrdiff_t sample = i * M; sample < (i + 1) * M; sample++)
            switch (cost) {
            case MSE: sum += cost_of_sample(MSE, z, a, y, sample * n, n, floats); break;
            case BINARY_CROSS_ENTROPY: sum += cost_of_sample(BINARY_CROSS_ENTROPY, z, a, y, sample * n, n, floats); break;
            default: sum += cost_of_sample(CATEGORICAL_CROSS_ENTROPY, z, a, y, sample * n, n, floats);
            }
        values[i] = cost == MSE ? 0.5 * sum : sum; /* notes: C = 1/2 sum |y_i - a_i(N)|^2 */
    }
}

#endif
