/* The kernels for 128-bit registers, which any CPU can run: NEON on ARM; SSE2, with the fma in software, on x86. */

#define WIDTH 16
#define UNIT 128
#include "unit.h"
