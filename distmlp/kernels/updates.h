/* The optimizers' updates of a part of v, each in one pass, with ∇C = total · factor on the way.

   Every operation is on one entry alone, so v may be cut anywhere. */

#define update_entries NAME(update_entries)
#define update_run NAME(update_run)
#define update_vec NAME(update_vec)
#define update_state NAME(update_state)
#define update_part NAME(update_part)
#define shaped_gradient NAME(shaped_gradient)
#define not_subnormal NAME(not_subnormal)

#undef LEAST_NORMAL
#if BITS == 32
#define LEAST_NORMAL 0x1p-126f
#else
#define LEAST_NORMAL 0x1p-1022
#endif

/* v and the optimizer's arrays, a vector of each. */
struct update_state {
    vec v, first, second;
};

/* The gradient cut to [−clip, clip], with the penalties' slopes l2 v and l1 sign(v). */
INLINE vec shaped_gradient(const struct update_call *c, vec g, vec v)
{
    const vec clip = v_all((real)c->clip), l1 = v_all((real)c->l1);
    g = v_max(-clip, v_min(clip, g));
    return g + v * v_all((real)c->l2) + v_select(v > 0, l1, v_select(v < 0, -l1, v_all(0)));
}

/* x, or 0 where it is subnormal.  What an entry whose gradient is 0 remembers of its gradients gets smaller and smaller: it
   would be subnormal for ever, and CPUs are slow with such numbers. */
INLINE vec not_subnormal(vec x)
{
    return v_select(v_abs(x) < v_all(LEAST_NORMAL), v_all(0), x);
}

/* notes: v' = v - alpha grad C; mathematics/optimizers.py has the recurrences of the others. */
INLINE void update_vec(const struct update_call *c, const int rule, vec g, struct update_state *state)
{
    const vec alpha = v_all((real)c->alpha);
    if (rule == MOMENTUM || rule == NESTEROV) {
        const vec mu = v_all((real)c->constants[0]);
        state->first = not_subnormal(state->first * mu + g);
        g = rule == NESTEROV ? g + state->first * mu : state->first;
    }
    if (rule == RMSPROP || rule == ADAGRAD) {
        const vec square = g * g;
        if (rule == RMSPROP)
            state->first = not_subnormal(state->first * v_all((real)c->constants[0]) + square * v_all((real)c->constants[1]));
        else
            state->first = state->first + square;
        g = g / (v_sqrt(state->first) + v_all((real)c->constants[5]));
    }
    if (rule == ADAM || rule == NADAM) {
        const vec beta1 = v_all((real)c->constants[0]), rest1 = v_all((real)c->constants[1]);
        const vec beta2 = v_all((real)c->constants[2]), rest2 = v_all((real)c->constants[3]);
        state->first = not_subnormal(state->first * beta1 + g * rest1);
        state->second = not_subnormal(state->second * beta2 + g * g * rest2);
        const vec root = v_sqrt(state->second / v_all((real)c->constants[4])) + v_all((real)c->constants[5]);
        if (rule == NADAM)
            g = (g * v_all((real)c->constants[6]) + state->first * v_all((real)c->constants[7])) / root;
        else
            g = state->first / root;
    }
    state->v = state->v - g * alpha;
}

INLINE void update_run(const struct update_call *call, const int rule, const int floats, const int shaped)
{
    const struct update_call here = *call, *const c = &here; /* which no store to v changes */
    const int has_first = rule != SGD, has_second = rule == ADAM || rule == NADAM;
    real *v = c->v, *first = c->first, *second = c->second;
    const vec factor = v_all((real)c->factor);
    for (ptrdiff_t i = 0; i < c->n; i += LANES) {
        const ptrdiff_t count = c->n - i < LANES ? c->n - i : LANES;
        const int whole_vec = count == LANES;
        struct update_state state = {0};
        vec g;
        if (whole_vec) {
            g = floats ? v_load((const real *)c->total + i) : v_from_whole(v_load_whole((const whole *)c->total + i));
            state.v = v_load(v + i);
            if (has_first)
                state.first = v_load(first + i);
            if (has_second)
                state.second = v_load(second + i);
        } else {
            const vec total = v_load_first((const real *)c->total + i, count);
            g = floats ? total : v_from_whole((ivec)total);
            state.v = v_load_first(v + i, count);
            if (has_first)
                state.first = v_load_first(first + i, count);
            if (has_second)
                state.second = v_load_first(second + i, count);
        }
        g = g * factor;
        if (shaped) {
            g = shaped_gradient(c, g, state.v);
            state.v = state.v - state.v * v_all((real)c->decay);
        }
        update_vec(c, rule, g, &state);
        if (whole_vec) {
            v_store(v + i, state.v);
            if (has_first)
                v_store(first + i, state.first);
            if (has_second)
                v_store(second + i, state.second);
        } else {
            v_store_first(v + i, state.v, count);
            if (has_first)
                v_store_first(first + i, state.first, count);
            if (has_second)
                v_store_first(second + i, state.second, count);
        }
    }
}

INLINE void update_entries(const struct update_call *c, const int rule)
{
    if (c->floats)
        update_run(c, rule, 1, c->shaped);
    else if (c->shaped)
        update_run(c, rule, 0, 1);
    else
        update_run(c, rule, 0, 0);
}

static void update_part(const struct update_call *c)
{
    switch (c->rule) {
    case SGD: update_entries(c, SGD); break;
    case MOMENTUM: update_entries(c, MOMENTUM); break;
    case NESTEROV: update_entries(c, NESTEROV); break;
    case ADAM: update_entries(c, ADAM); break;
    case RMSPROP: update_entries(c, RMSPROP); break;
    case ADAGRAD: update_entries(c, ADAGRAD); break;
    case NADAM: update_entries(c, NADAM);
    }
}

/* Sums over v, in double whatever the numbers are, in the lanes of sums.h. */

#define wide_lanes NAME(wide_lanes)
#define add_squares NAME(add_squares)
#define sum_of_wide_lanes NAME(sum_of_wide_lanes)
#define sum_of_squares NAME(sum_of_squares)

struct wide_lanes {
    double lane[SUM_LANES];
};

/* Adds x[i]² to lane i modulo SUM_LANES; n entries. */
INLINE void add_squares(struct wide_lanes *sum, const real *x, ptrdiff_t n)
{
    ptrdiff_t j = 0;
    for (; j + SUM_LANES <= n; j += SUM_LANES)
        for (int i = 0; i < SUM_LANES; i++)
            sum->lane[i] += (double)x[j + i] * (double)x[j + i];
    for (ptrdiff_t i = 0; j + i < n; i++)
        sum->lane[i] += (double)x[j + i] * (double)x[j + i];
}

INLINE double sum_of_wide_lanes(const struct wide_lanes *sum)
{
    const double *l = sum->lane;
    return ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]));
}

/* Σ x². */
static double sum_of_squares(const void *total, ptrdiff_t n, int floats)
{
    enum { PIECE = 128 };
    struct wide_lanes sum = {{0}};
    if (floats)
        add_squares(&sum, total, n);
    else
        for (ptrdiff_t j = 0; j < n; j += PIECE) {
            real numbers[PIECE];
            const ptrdiff_t count = n - j < PIECE ? n - j : PIECE;
            for (ptrdiff_t i = 0; i < count; i++)
                numbers[i] = (real)((const whole *)total)[j + i];
            add_squares(&sum, numbers, count);
        }
    return sum_of_wide_lanes(&sum);
}
