/* Every kernel of one type of numbers and one width, and the table that the dispatch chooses. */

#include "simd.h"

#include "fma.h"
#include "functions.h"
#include "sums.h"
#include "activations.h"
#include "costs.h"
#include "updates.h"
#include "dropout.h"
#include "random.h"
#include "functions_table.h"
#include "messages.h"
#include "rows.h"
#include "hashes.h"
#if WIDTH == 0
#include "plain_products.h"
#else
#include "packing.h"
#include "tile.h"
#include "products.h"
#include "counting.h"
#include "gradient.h"
#endif

#define table NAME(table)
#define fma_of_arrays NAME(fma_of_arrays)

/* out = x y + c, each rounded once, of n entries. */
static void fma_of_arrays(const void *x, const void *y, const void *c, void *out, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v_store((real *)out + i, v_fma(v_load((const real *)x + i), v_load((const real *)y + i), v_load((const real *)c + i)));
    for (; i < n; i++)
        ((real *)out)[i] = real_fma(((const real *)x)[i], ((const real *)y)[i], ((const real *)c)[i]);
}

static const struct kernels table = {
    .lanes = LANES,
    .function = apply_function,
    .activation = activate_array,
    .chain = chain_rule_of_array,
    .gradient_of_cost = cost_gradient,
    .update = update_part,
    .squares = sum_of_squares,
    .drop = drop_entries,
#if BITS == 64
    .cost_values = cost_values,
    .normals = normals,
    .hash = hash_of_rows,
#endif
    .hits = hits_of,
    .fma = fma_of_arrays,
    .forward = make_forward,
    .backward = make_backward,
    .gradient = make_gradient,
    .units = units_of,
    .add_rows = sum_of_rows,
    .take_rows = rows_taken,
};
