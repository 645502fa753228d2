/* The kernels for 256-bit registers: AVX2 and FMA. */

#if defined(__x86_64__) || defined(__i386__)
#define WIDTH 32
#define UNIT 256
#include "unit.h"
#endif
