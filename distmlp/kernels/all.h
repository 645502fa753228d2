/* Every kernel of one type of numbers and one width, and the table that the dispatch chooses. */

#include "simd.h"

#define table NAME(table)

static const struct kernels table = {
    .lanes = LANES,
};
