/* The kernels one number at a time: the oracle that the other units are held to. */

#define WIDTH 0
#define UNIT plain
#include "unit.h"
