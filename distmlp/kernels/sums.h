/* Sums in a written-down order: eight lanes side by side, whatever the width of the registers.

   Lane i adds x[i], x[i + 8], x[i + 16], … to +0, one after another.  Then lanes 4 to 7 are added to lanes 0 to 3, of these
   the upper two to the lower two, and the second to the first. */

#define SUM_LANES 8

#define sum_vec NAME(sum_vec)
#define sum_vec_in_memory NAME(sum_vec_in_memory)
#define add_to_lanes NAME(add_to_lanes)
#define sum_of_lanes NAME(sum_of_lanes)
#define sum_in_lanes NAME(sum_in_lanes)

typedef real sum_vec __attribute__((vector_size(SUM_LANES * (BITS / 8))));
typedef real sum_vec_in_memory __attribute__((vector_size(SUM_LANES * (BITS / 8)), aligned(BITS / 8), may_alias));

/* Adds x[0] … x[n − 1] to the lanes, the first to lane 0. */
INLINE void add_to_lanes(sum_vec *lanes, const real *x, ptrdiff_t n)
{
    ptrdiff_t j = 0;
    for (; j + SUM_LANES <= n; j += SUM_LANES)
        *lanes += *(const sum_vec_in_memory *)(x + j);
    for (ptrdiff_t i = 0; j + i < n; i++)
        (*lanes)[i] += x[j + i];
}

INLINE real sum_of_lanes(const sum_vec *lanes)
{
    const sum_vec l = *lanes;
    return ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]));
}

INLINE real sum_in_lanes(const real *x, ptrdiff_t n)
{
    sum_vec lanes = {0};
    add_to_lanes(&lanes, x, n);
    return sum_of_lanes(&lanes);
}
