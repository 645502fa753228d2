/* The activations, a = σ(z), and the chain rule back through them.

   A new one is a number in kernels.h, a line each in `v_activate` and `v_slope`, one in the two switches, and its name in
   mathematics/activations.py. */

#define v_activate NAME(v_activate)
#define v_chained NAME(v_chained)
#define v_gate_of_gelu NAME(v_gate_of_gelu)
#define activate_run NAME(activate_run)
#define chain_run NAME(chain_run)
#define activate_rows NAME(activate_rows)
#define chain_rows NAME(chain_rows)
#define softmax_row NAME(softmax_row)
#define softmax_chain_row NAME(softmax_chain_row)
#define activate NAME(activate)
#define chain_rule NAME(chain_rule)

/* Below zero leaky ReLU is so much of z. */
#undef LEAK
#define LEAK ((real)0.01)

/* The tanh form of GELU: tanh(u) = 2 σ(2u) − 1, so a = z σ(2u) with 2u = 2 √(2/π) (z + 0.044715 z³). */
INLINE vec v_gate_of_gelu(vec z)
{
    return v_sigmoid((z + z * z * z * v_all((real)0.044715)) * v_all((real)1.5957691216057308));
}

/* σ(z) of an activation that works on one entry alone. */
INLINE vec v_activate(const int activation, vec z)
{
    switch (activation) {
    case RELU: return v_select(z < 0, v_all(0), z);
    case SIGMOID: return v_sigmoid(z);
    case TANH: return v_tanh(z);
    case SOFTPLUS: return v_softplus(z);
    case LEAKY_RELU: return v_select(z < 0, z * v_all(LEAK), z);
    case ELU: return v_select(z < 0, v_expm1_of_negative(v_select(z < 0, z, v_all(0))), z);
    case GELU: return z * v_gate_of_gelu(z);
    case SILU: return z * v_sigmoid(z);
    default: return z;
    }
}

/* g σ'(z), where a = σ(z) tells the slope; of GELU and SiLU a is z itself. */
INLINE vec v_chained(const int activation, vec a, vec g)
{
    const vec one = v_all(1);
    vec gate;
    switch (activation) {
    case RELU: return g * (vec)((ivec)one & (a > 0));
    case SIGMOID: return g * ((one - a) * a);
    case TANH: return g * (one - a * a);
    case SOFTPLUS: return g * -v_expm1_of_negative(-a);
    case LEAKY_RELU: return g * v_select(a < 0, v_all(LEAK), one);
    case ELU: return g * v_select(a < 0, a + one, one);
    case GELU:
        gate = v_gate_of_gelu(a);
        return g * (gate + a * (gate * (one - gate)) * ((one + a * a * v_all((real)0.134145)) * v_all((real)1.5957691216057308)));
    case SILU:
        gate = v_sigmoid(a);
        return g * (gate * (one + a * (one - gate)));
    default: return g;
    }
}

/* n entries in place.  The last LANES are read before they can have been written, and written last: what stands twice
   in a register becomes the same. */
INLINE void activate_run(const int activation, real *z, ptrdiff_t n)
{
    if (n < LANES) {
        v_store_first(z, v_activate(activation, v_load_first(z, n)), n);
        return;
    }
    const vec last = v_activate(activation, v_load(z + n - LANES));
    for (ptrdiff_t j = 0; j + LANES < n; j += LANES)
        v_store(z + j, v_activate(activation, v_load(z + j)));
    v_store(z + n - LANES, last);
}

INLINE void chain_run(const int activation, const real *a, real *g, ptrdiff_t n)
{
    if (n < LANES) {
        v_store_first(g, v_chained(activation, v_load_first(a, n), v_load_first(g, n)), n);
        return;
    }
    const vec last = v_chained(activation, v_load(a + n - LANES), v_load(g + n - LANES));
    for (ptrdiff_t j = 0; j + LANES < n; j += LANES)
        v_store(g + j, v_chained(activation, v_load(a + j), v_load(g + j)));
    v_store(g + n - LANES, last);
}

INLINE void activate_rows(const int activation, real *z, ptrdiff_t rows, ptrdiff_t n, ptrdiff_t step)
{
    if (n == step)
        activate_run(activation, z, rows * n);
    else
        for (ptrdiff_t s = 0; s < rows; s++)
            activate_run(activation, z + s * step, n);
}

INLINE void chain_rows(const int activation, const real *a, real *g, ptrdiff_t rows, ptrdiff_t n, ptrdiff_t step)
{
    if (n == step)
        chain_run(activation, a, g, rows * n);
    else
        for (ptrdiff_t s = 0; s < rows; s++)
            chain_run(activation, a + s * step, g + s * step, n);
}

/* e^(z − max z) over its sum; a NaN in the row makes the sum one. */
static void softmax_row(real *z, ptrdiff_t n)
{
    real top = z[0];
    for (ptrdiff_t j = 1; j < n; j++)
        top = z[j] > top ? z[j] : top;
    ptrdiff_t j = 0;
    for (; j + LANES <= n; j += LANES)
        v_store(z + j, v_exp_of_negative(v_load(z + j) - v_all(top)));
    if (j < n)
        v_store_first(z + j, v_exp_of_negative(v_load_first(z + j, n - j) - v_all(top)), n - j);
    const real sum = sum_in_lanes(z, n);
    for (j = 0; j < n; j++)
        z[j] = z[j] / sum;
}

/* The Jacobian is not diagonal: ∂C/∂z_j = a_j (g_j − Σ_k a_k g_k). */
static void softmax_chain_row(const real *a, real *g, ptrdiff_t n)
{
    real products[SUM_LANES];
    sum_vec lanes = {0};
    for (ptrdiff_t j = 0; j < n; j += SUM_LANES) {
        const ptrdiff_t count = n - j < SUM_LANES ? n - j : SUM_LANES;
        for (ptrdiff_t i = 0; i < count; i++)
            products[i] = a[j + i] * g[j + i];
        add_to_lanes(&lanes, products, count);
    }
    const real sum = sum_of_lanes(&lanes);
    for (ptrdiff_t j = 0; j < n; j++)
        g[j] = (g[j] - sum) * a[j];
}

/* z becomes σ(z): `rows` rows of n ≥ 1 entries, each `step` entries behind the one before.  Of softmax, whole rows. */
static void activate(int activation, real *z, ptrdiff_t rows, ptrdiff_t n, ptrdiff_t step)
{
    switch (activation) {
    case RELU: activate_rows(RELU, z, rows, n, step); break;
    case SIGMOID: activate_rows(SIGMOID, z, rows, n, step); break;
    case TANH: activate_rows(TANH, z, rows, n, step); break;
    case SOFTPLUS: activate_rows(SOFTPLUS, z, rows, n, step); break;
    case LEAKY_RELU: activate_rows(LEAKY_RELU, z, rows, n, step); break;
    case ELU: activate_rows(ELU, z, rows, n, step); break;
    case GELU: activate_rows(GELU, z, rows, n, step); break;
    case SILU: activate_rows(SILU, z, rows, n, step); break;
    case SOFTMAX:
        for (ptrdiff_t s = 0; s < rows; s++)
            softmax_row(z + s * step, n);
    }
}

/* g = ∂C/∂a becomes ∂C/∂z, with the slope taken from a = σ(z); rows as for `activate`. */
static void chain_rule(int activation, const real *a, real *g, ptrdiff_t rows, ptrdiff_t n, ptrdiff_t step)
{
    switch (activation) {
    case RELU: chain_rows(RELU, a, g, rows, n, step); break;
    case SIGMOID: chain_rows(SIGMOID, a, g, rows, n, step); break;
    case TANH: chain_rows(TANH, a, g, rows, n, step); break;
    case SOFTPLUS: chain_rows(SOFTPLUS, a, g, rows, n, step); break;
    case LEAKY_RELU: chain_rows(LEAKY_RELU, a, g, rows, n, step); break;
    case ELU: chain_rows(ELU, a, g, rows, n, step); break;
    case GELU: chain_rows(GELU, a, g, rows, n, step); break;
    case SILU: chain_rows(SILU, a, g, rows, n, step); break;
    case SOFTMAX:
        for (ptrdiff_t s = 0; s < rows; s++)
            softmax_chain_row(a + s * step, g + s * step, n);
    }
}
