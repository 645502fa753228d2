/* Functions and activations of whole arrays, as the table has them. */

#define function_of NAME(function_of)
#define apply_to_all NAME(apply_to_all)
#define apply_function NAME(apply_function)
#define activate_array NAME(activate_array)
#define chain_rule_of_array NAME(chain_rule_of_array)

INLINE vec function_of(const int function, vec x)
{
    switch (function) {
    case EXP: return v_exp(x);
    case EXP_OF_NEGATIVE: return v_exp_of_negative(x);
    case EXPM1_OF_NEGATIVE: return v_expm1_of_negative(x);
    case LOG: return v_log(x);
    default: return v_log1p_of_fraction(x);
    }
}

INLINE void apply_to_all(const int function, real *x, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v_store(x + i, function_of(function, v_load(x + i)));
    if (i < n)
        v_store_first(x + i, function_of(function, v_load_first(x + i, n - i)), n - i);
}

/* x becomes the function of x. */
static void apply_function(int function, void *x, ptrdiff_t n)
{
    switch (function) {
    case EXP: apply_to_all(EXP, x, n); break;
    case EXP_OF_NEGATIVE: apply_to_all(EXP_OF_NEGATIVE, x, n); break;
    case EXPM1_OF_NEGATIVE: apply_to_all(EXPM1_OF_NEGATIVE, x, n); break;
    case LOG: apply_to_all(LOG, x, n); break;
    case LOG1P_OF_FRACTION: apply_to_all(LOG1P_OF_FRACTION, x, n);
    }
}

static void activate_array(int activation, void *z, ptrdiff_t rows, ptrdiff_t n)
{
    activate(activation, z, rows, n, n);
}

static void chain_rule_of_array(int activation, const void *a, void *g, ptrdiff_t rows, ptrdiff_t n)
{
    chain_rule(activation, a, g, rows, n, n);
}
