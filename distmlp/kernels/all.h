/* Every kernel of one type of numbers and one width, and the table that the dispatch chooses. */

#include "simd.h"

#include "functions.h"
#include "sums.h"
#include "activations.h"
#include "costs.h"
#include "updates.h"
#include "random.h"
#include "functions_table.h"

#define table NAME(table)

static const struct kernels table = {
    .lanes = LANES,
    .function = apply_function,
    .activation = activate_array,
    .chain = chain_rule_of_array,
    .gradient_of_cost = cost_gradient,
    .update = update_part,
#if BITS == 64
    .cost_values = cost_values,
    .normals = normals,
#endif
};
