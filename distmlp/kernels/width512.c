/* The kernels for 512-bit registers: AVX-512 F, DQ, BW and VL. */

#if defined(__x86_64__) || defined(__i386__)
#define WIDTH 64
#define UNIT 512
#include "unit.h"
#endif
