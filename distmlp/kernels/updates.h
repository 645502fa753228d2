/* The optimizers' updates of a part of v, each in one pass, with ∇C = total · factor on the way.

   Every operation is on one entry alone, so v may be cut anywhere. */

#define update_entries NAME(update_entries)
#define update_run NAME(update_run)
#define update_vec NAME(update_vec)
#define update_state NAME(update_state)
#define update_part NAME(update_part)

/* v and the optimizer's arrays, a vector of each. */
struct update_state {
    vec v, first, second;
};

/* notes: v' = v - alpha grad C; mathematics/optimizers.py has the recurrences of the others. */
INLINE void update_vec(const struct update_call *c, const int rule, vec g, struct update_state *state)
{
    const vec alpha = v_all((real)c->alpha);
    if (rule == MOMENTUM || rule == NESTEROV) {
        const vec mu = v_all((real)c->constants[0]);
        state->first = state->first * mu + g;
        g = rule == NESTEROV ? g + state->first * mu : state->first;
    }
    if (rule == ADAM) {
        const vec beta1 = v_all((real)c->constants[0]), rest1 = v_all((real)c->constants[1]);
        const vec beta2 = v_all((real)c->constants[2]), rest2 = v_all((real)c->constants[3]);
        state->first = state->first * beta1 + g * rest1;
        state->second = state->second * beta2 + g * g * rest2;
        const vec root = v_sqrt(state->second / v_all((real)c->constants[4])) + v_all((real)c->constants[5]);
        g = state->first / root;
    }
    state->v = state->v - g * alpha;
}

INLINE void update_run(const struct update_call *c, const int rule, const int floats)
{
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
            if (rule != SGD)
                state.first = v_load(first + i);
            if (rule == ADAM)
                state.second = v_load(second + i);
        } else {
            const vec total = v_load_first((const real *)c->total + i, count);
            g = floats ? total : v_from_whole((ivec)total);
            state.v = v_load_first(v + i, count);
            if (rule != SGD)
                state.first = v_load_first(first + i, count);
            if (rule == ADAM)
                state.second = v_load_first(second + i, count);
        }
        update_vec(c, rule, g * factor, &state);
        if (whole_vec) {
            v_store(v + i, state.v);
            if (rule != SGD)
                v_store(first + i, state.first);
            if (rule == ADAM)
                v_store(second + i, state.second);
        } else {
            v_store_first(v + i, state.v, count);
            if (rule != SGD)
                v_store_first(first + i, state.first, count);
            if (rule == ADAM)
                v_store_first(second + i, state.second, count);
        }
    }
}

INLINE void update_entries(const struct update_call *c, const int rule)
{
    if (c->floats)
        update_run(c, rule, 1);
    else
        update_run(c, rule, 0);
}

static void update_part(const struct update_call *c)
{
    switch (c->rule) {
    case SGD: update_entries(c, SGD); break;
    case MOMENTUM: update_entries(c, MOMENTUM); break;
    case NESTEROV: update_entries(c, NESTEROV); break;
    case ADAM: update_entries(c, ADAM);
    }
}
