/* What a unit offers: a table of plain functions for each type of numbers.

   Arrays are `void *`, since one table type serves both; a kernel's own comment says what they hold. */

#ifndef DISTMLP_KERNELS_H
#define DISTMLP_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* The activations, by number. */
enum { IDENTITY, RELU, SIGMOID, TANH, SOFTPLUS, SOFTMAX, LEAKY_RELU, ELU, GELU, SILU };

/* The costs, by number. */
enum { MSE, BINARY_CROSS_ENTROPY, CATEGORICAL_CROSS_ENTROPY, MAE, HUBER, LOG_COSH, GAUSSIAN_NLL, HINGE };

/* The elementary functions, by number; see functions.h. */
enum { EXP, EXP_OF_NEGATIVE, EXPM1_OF_NEGATIVE, LOG, LOG1P_OF_FRACTION };

/* The optimizers' rules, by number, and what one is given; see updates.h. */
enum { SGD, MOMENTUM, NESTEROV, ADAM, RMSPROP, ADAGRAD, NADAM };
struct update_call {
    int rule, floats;        /* floats: the total is floats, not whole numbers */
    const void *total;       /* n entries; the gradient is total · factor */
    void *v, *first, *second; /* n entries each; NULL where the rule has no such array */
    ptrdiff_t n;
    double factor, alpha, constants[8];
    int shaped;               /* whether any of these is in force; see shaped_gradient */
    double clip, l2, l1, decay;
};

/* What a gradient is made of and added to; see gradient.h. */
struct gradient_call {
    const void *delta, *a;
    ptrdiff_t s, M, n, m;
    void *total_w, *total_b, *largest_w, *largest_b;
    double scale_w, scale_b;
    int first, last, exact;
    ptrdiff_t kept, kept_end;
    ptrdiff_t neuron, neuron_end;
};

/* Rows of bytes to hash; see hashes.h. */
struct rows {
    const unsigned char *x, *y;
    ptrdiff_t rows, x_bytes, y_bytes; /* of a row; 0 for a y that is not there */
    const uint64_t *keys;
    const int64_t *numbers; /* the rows', or NULL where they go up from `first` */
    int64_t first;
};

/* Rows of a set that become the network's inputs, and what is done to them on the way: see rows.h. */
struct taking {
    const void *rows;
    char letter;                   /* the type of what is stored, as the struct module writes it */
    const int64_t *order;          /* (count,), the rows that are taken */
    ptrdiff_t count, n;            /* rows of n columns */
    double scale;
    const double *shift, *divisor; /* (n,), or NULL */
    const double *fill;            /* (n,), or NULL */
    const int64_t *indicators;     /* (indicated,), columns */
    ptrdiff_t indicated;
    void *out;                     /* (count, n + indicated) */
};

struct kernels {
    int lanes;
    void (*function)(int function, void *x, ptrdiff_t n);
    void (*activation)(int activation, void *z, ptrdiff_t rows, ptrdiff_t n);
    void (*chain)(int activation, const void *a, void *g, ptrdiff_t rows, ptrdiff_t n);
    void (*gradient_of_cost)(int cost, const void *a, const void *y, void *out, ptrdiff_t rows, ptrdiff_t n);
    ptrdiff_t (*hits)(const void *a, const int64_t *labels, ptrdiff_t rows, ptrdiff_t n);
    void (*update)(const struct update_call *call);
    double (*squares)(const void *total, ptrdiff_t n, int floats);
    void (*drop)(const void *x, const uint64_t *words, int keep, double scale, void *out, ptrdiff_t n);
    void (*fma)(const void *x, const void *y, const void *c, void *out, ptrdiff_t n);
    void (*forward)(const void *w, const void *b, const void *below, void *a, void *z, ptrdiff_t S, ptrdiff_t n, ptrdiff_t m, int activation);
    void (*backward)(const void *w, const void *above, const void *a, void *delta, ptrdiff_t S, ptrdiff_t n, ptrdiff_t m, int activation);
    int (*gradient)(const struct gradient_call *call);
    int (*units)(const void *T, double unit, double most, void *out, ptrdiff_t tensors, ptrdiff_t s, int floats);
    void (*add_rows)(const void *rows, ptrdiff_t count, ptrdiff_t step, ptrdiff_t n, void *out, int floats);
    int (*take_rows)(const struct taking *t);
    /* Of the table for doubles only. */
    void (*cost_values)(int cost, const void *z, const void *a, const void *y, ptrdiff_t s, ptrdiff_t M, ptrdiff_t n, int floats, double *values);
    void (*normals)(const uint64_t *words, double *out, ptrdiff_t n);
    uint64_t (*hash)(const struct rows *rows);
};

/* The units, {float's, double's} each; those that the compiler's target lacks are not there. */
extern const struct kernels *const kernels_512[2];
extern const struct kernels *const kernels_256[2];
extern const struct kernels *const kernels_128[2];
extern const struct kernels *const kernels_plain[2];

/* The kernels that run, by the bytes of a number, 4 or 8. */
const struct kernels *kernels_for(ptrdiff_t itemsize);

#endif
