/* One unit: every kernel, for registers of WIDTH bytes, for float and for double.

   To be included with WIDTH and UNIT, the unit's name.  What it gives is kernels_UNIT, {float's, double's}. */

#include "kernels.h"
#include "names.h"
#include "target_begin.h"

#define real float
#define whole int32_t
#define unsigned_whole uint32_t
#define BITS 32
#include "all.h"
#undef real
#undef whole
#undef unsigned_whole
#undef BITS

#define real double
#define whole int64_t
#define unsigned_whole uint64_t
#define BITS 64
#include "all.h"
#undef real
#undef whole
#undef unsigned_whole
#undef BITS

#include "target_end.h"

const struct kernels *const NAME_OF(kernels, UNIT)[2] = {&table_float, &table_double};
