/* What a unit offers: a table of plain functions for each type of numbers.

   Arrays are `void *`, since one table type serves both; a kernel's own comment says what they hold. */

#ifndef DISTMLP_KERNELS_H
#define DISTMLP_KERNELS_H

#include <stddef.h>
#include <stdint.h>

struct kernels {
    int lanes;
};

/* The units, {float's, double's} each; those that the compiler's target lacks are not there. */
extern const struct kernels *const kernels_512[2];
extern const struct kernels *const kernels_256[2];
extern const struct kernels *const kernels_128[2];
extern const struct kernels *const kernels_plain[2];

/* The kernels that run, by the bytes of a number, 4 or 8. */
const struct kernels *kernels_for(ptrdiff_t itemsize);

#endif
