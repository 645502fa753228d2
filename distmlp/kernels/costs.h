/* The costs: their value for each micro-batch, in double whatever the numbers are, and ∂C/∂a of the output layer. */

#define cost_gradient NAME(cost_gradient)
#define gradient_of_log_cosh NAME(gradient_of_log_cosh)
#define gradient_of_gaussian NAME(gradient_of_gaussian)

static void gradient_of_log_cosh(const real *a, const real *y, real *out, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v_store(out + i, v_tanh(v_load(a + i) - v_load(y + i)));
    if (i < n)
        v_store_first(out + i, v_tanh(v_load_first(a + i, n - i) - v_load_first(y + i, n - i)), n - i);
}

/* Of one row: the means of n outputs, then the logarithms of their variances. */
static void gradient_of_gaussian(const real *a, const real *y, real *out, ptrdiff_t n)
{
    const vec one = v_all(1), half = v_all((real)0.5);
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        const vec e = v_load(a + i) - v_load(y + i), p = v_exp(-v_load(a + n + i));
        v_store(out + i, e * p);
        v_store(out + n + i, (one - e * e * p) * half);
    }
    if (i < n) {
        const vec e = v_load_first(a + i, n - i) - v_load_first(y + i, n - i), p = v_exp(-v_load_first(a + n + i, n - i));
        v_store_first(out + i, e * p, n - i);
        v_store_first(out + n + i, (one - e * e * p) * half, n - i);
    }
}

/* out = ∂C/∂a of rows of `outputs` entries.  A saturated a is kept off 0 and 1, so that the quotient stays finite. */
static void cost_gradient(int cost, const void *activations, const void *desired, void *gradient, ptrdiff_t rows, ptrdiff_t outputs)
{
    const real *a = activations, *y = desired;
    real *out = gradient;
    const ptrdiff_t n = rows * outputs;
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
        break;
    case MAE:
        for (ptrdiff_t i = 0; i < n; i++)
            out[i] = (real)((a[i] > y[i]) - (a[i] < y[i]));
        break;
    case HUBER:
        for (ptrdiff_t i = 0; i < n; i++) {
            const real e = a[i] - y[i];
            out[i] = e > 1 ? 1 : e < -1 ? -1 : e;
        }
        break;
    case HINGE:
        for (ptrdiff_t i = 0; i < n; i++) {
            const real side = 2 * y[i] - 1;
            out[i] = side * a[i] < 1 ? -side : 0;
        }
        break;
    case LOG_COSH: gradient_of_log_cosh(a, y, out, n); break;
    case GAUSSIAN_NLL:
        for (ptrdiff_t row = 0; row < rows; row++)
            gradient_of_gaussian(a + row * outputs, y + row * outputs, out + row * outputs, outputs / 2);
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

/* A term of a cost of the difference of a and y, or of y's side. */
INLINE vec cost_term(const int cost, vec a, vec y)
{
    const vec size = v_abs(y - a), half = v_all(0.5);
    const vec missing = v_all(1) - (v_all(2) * y - v_all(1)) * a;
    switch (cost) {
    case MAE: return size;
    case HUBER: return v_select(size <= 1, size * size * half, size - half);
    case LOG_COSH: return (size + v_log1p_of_fraction(v_exp_of_negative(size * v_all(-2)))) - v_all(0x1.62e42fefa39efp-1);
    case HINGE: return v_select(missing <= 0, v_all(0), missing);
    default: return (y - a) * (y - a);
    }
}

/* C of one sample under gaussian-nll: n outputs' means, then the logarithms of their variances. */
static double gaussian_of_sample(const void *a, const void *y, ptrdiff_t start, ptrdiff_t n, int floats)
{
    double of_a[CHUNK], of_y[CHUNK], of_log[CHUNK];
    sum_vec lanes = {0};
    for (ptrdiff_t j = 0; j < n; j += CHUNK) {
        const ptrdiff_t count = n - j < CHUNK ? n - j : CHUNK;
        take_chunk(of_a, a, start + j, count, floats);
        take_chunk(of_log, a, start + n + j, count, floats);
        take_chunk(of_y, y, start + j, count, floats);
        for (ptrdiff_t i = 0; i < count; i += LANES) {
            const vec e = v_load(of_a + i) - v_load(of_y + i), log = v_load(of_log + i);
            v_store(of_a + i, (log + e * e * v_exp(-log)) * v_all(0.5));
        }
        add_to_lanes(&lanes, of_a, count);
    }
    return sum_of_lanes(&lanes);
}

/* C of one sample, but for mse's factor: its terms added in lanes. */
INLINE double cost_of_sample(const int cost, const void *z, const void *a, const void *y, ptrdiff_t start, ptrdiff_t n, const int floats)
{
    double of_z[CHUNK], of_y[CHUNK], top = 0, logarithm = 0;
    sum_vec lanes = {0};
    const int of_entropy = cost == BINARY_CROSS_ENTROPY || cost == CATEGORICAL_CROSS_ENTROPY;
    if (cost == GAUSSIAN_NLL)
        return gaussian_of_sample(a, y, start, n / 2, floats);
    if (cost == CATEGORICAL_CROSS_ENTROPY)
        logarithm_of_sum(z, start, n, floats, &top, &logarithm);
    for (ptrdiff_t j = 0; j < n; j += CHUNK) {
        const ptrdiff_t count = n - j < CHUNK ? n - j : CHUNK;
        take_chunk(of_z, of_entropy ? z : a, start + j, count, floats);
        take_chunk(of_y, y, start + j, count, floats);
        for (ptrdiff_t i = 0; i < count; i += LANES) {
            const vec s = v_load(of_z + i), d = v_load(of_y + i);
            if (!of_entropy)
                v_store(of_z + i, cost_term(cost, s, d));
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
            case MAE: sum += cost_of_sample(MAE, z, a, y, sample * n, n, floats); break;
            case HUBER: sum += cost_of_sample(HUBER, z, a, y, sample * n, n, floats); break;
            case LOG_COSH: sum += cost_of_sample(LOG_COSH, z, a, y, sample * n, n, floats); break;
            case GAUSSIAN_NLL: sum += cost_of_sample(GAUSSIAN_NLL, z, a, y, sample * n, n, floats); break;
            case HINGE: sum += cost_of_sample(HINGE, z, a, y, sample * n, n, floats); break;
            default: sum += cost_of_sample(CATEGORICAL_CROSS_ENTROPY, z, a, y, sample * n, n, floats);
            }
        values[i] = cost == MSE ? 0.5 * sum : sum; /* notes: C = 1/2 sum |y_i - a_i(N)|^2 */
    }
}

#endif

#define hits_of NAME(hits_of)

/* How many rows of a, (rows, n), have their largest entry, the first of equal ones, where labels say; a NaN is the largest.
   A single entry says 1 where it is above 1/2, else 0. */
static ptrdiff_t hits_of(const void *a, const int64_t *labels, ptrdiff_t rows, ptrdiff_t n)
{
    const real *row = a;
    ptrdiff_t hits = 0;
    for (ptrdiff_t r = 0; r < rows; r++, row += n) {
        ptrdiff_t best = n == 1 ? row[0] > (real)0.5 : 0;
        for (ptrdiff_t j = 1; j < n && row[best] == row[best]; j++)
            if (!(row[j] <= row[best]))
                best = j;
        hits += best == labels[r];
    }
    return hits;
}
