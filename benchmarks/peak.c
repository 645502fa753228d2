/* What a core of this CPU can do at most.  limits.py compiles it for each type and width of registers.

   REAL: float or double.  WIDTH: bytes of a register. */

typedef REAL vector __attribute__((vector_size(WIDTH)));

/* A CPU begins up to two fused multiply-adds a cycle, each of which takes four or five: so many chains keep it busy. */
enum { CHAINS = 12 };

/* Takes `rounds` fused multiply-adds in each lane of each chain; returns what keeps a compiler from leaving them out. */
REAL multiply_add(long rounds, REAL a, REAL b)
{
    vector chains[CHAINS], factor, addend;
    for (unsigned lane = 0; lane < WIDTH / sizeof(REAL); lane++) {
        factor[lane] = a;
        addend[lane] = b;
    }
    for (int i = 0; i < CHAINS; i++)
        chains[i] = addend + (REAL)i;
    for (long round = 0; round < rounds; round++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            chains[i] = chains[i] * factor + addend;
    }
    vector sum = chains[0];
    for (int i = 1; i < CHAINS; i++)
        sum += chains[i];
    return sum[0];
}

/* v -= alpha g, `rounds` times: reads both and writes one. */
void descend(long rounds, long entries, REAL *v, const REAL *g, REAL alpha)
{
    for (long round = 0; round < rounds; round++)
        for (long i = 0; i < entries; i++)
            v[i] -= alpha * g[i];
}
