/* The compiled part of exact.py: `count`, `mean` and `descend` in one pass over memory where numpy takes five, two and
   four, `count_products` without one over the products, and `units` in one call where numpy takes four.

   The same bits as NAME_in_numpy there, which say what each does and stand in where no C compiler was at hand;
   tests/mathematics/exact holds the two together.  Every operation is
   on one entry alone, or a maximum, so neither the width of the CPU's registers nor the order can change a bit.

   float32 goes with int32, float64 with int64.  Arrays are taken as they are, by their size and strides:
   exact.py is the only caller, and hands over nothing else. */

#include "_compiled.h"

#include <math.h>

/* Of finite |x| the bits have the order of the numbers; infinity comes after them, and NaN after that.
   A count beyond the whole numbers may become any of them: `largest` tells, and the step is done again. */
#define DEFINE(real, whole, unsigned_whole, rint, ceil)                                                                          \
    enum { BLOCK_##real = BLOCK / sizeof(real) };                                                                                \
                                                                                                                                 \
    ALWAYS_INLINE void count_block_##real(const real *from, whole *sum, Py_ssize_t m, int first, real *largest)                  \
    {                                                                                                                            \
        const whole magnitude = (whole)(~(unsigned_whole)0 >> 1);                                                                \
        whole top;                                                                                                               \
        memcpy(&top, largest, sizeof top);                                                                                       \
        if (first)                                                                                                               \
            for (Py_ssize_t j = 0; j < m; j++) {                                                                                 \
                whole bits;                                                                                                      \
                memcpy(&bits, from + j, sizeof bits);                                                                            \
                bits &= magnitude;                                                                                               \
                top = bits > top ? bits : top;                                                                                   \
                sum[j] = (whole)rint(from[j]);                                                                                   \
            }                                                                                                                    \
        else                                                                                                                     \
            for (Py_ssize_t j = 0; j < m; j++) {                                                                                 \
                whole bits;                                                                                                      \
                memcpy(&bits, from + j, sizeof bits);                                                                            \
                bits &= magnitude;                                                                                               \
                top = bits > top ? bits : top;                                                                                   \
                sum[j] = (whole)((unsigned_whole)sum[j] + (unsigned_whole)(whole)rint(from[j]));                                 \
            }                                                                                                                    \
        memcpy(largest, &top, sizeof top);                                                                                       \
    }                                                                                                                            \
                                                                                                                                 \
    FOR_EACH_CPU static void count_##real(const char *G, Py_ssize_t stride, Py_ssize_t s, whole *total, Py_ssize_t n,            \
                                          int first, int past, real *largest)                                                    \
    {                                                                                                                            \
        whole block[BLOCK_##real];                                                                                               \
        for (Py_ssize_t start = 0, m; start < n; start += m) {                                                                   \
            m = n - start < BLOCK_##real ? n - start : BLOCK_##real;                                                             \
            whole *const sum = past ? block : total + start;                                                                     \
            if (past && !first)                                                                                                  \
                memcpy(block, total + start, m * sizeof(whole));                                                                 \
            for (Py_ssize_t i = 0; i < s; i++)                                                                                   \
                count_block_##real((const real *)(G + i * stride) + start, sum, m, first && i == 0, largest + i);                \
            if (past)                                                                                                            \
                store_past_caches(total + start, sum, m * sizeof(whole));                                                        \
        }                                                                                                                        \
        if (past)                                                                                                                \
            settle();                                                                                                            \
    }                                                                                                                            \
                                                                                                                                 \
    FOR_EACH_CPU static void count_products_##real(const Py_buffer *delta, const Py_buffer *a, real scale, Py_ssize_t start,     \
                                                   whole *total, Py_ssize_t n, int first, int past, real *largest)               \
    {                                                                                                                            \
        const Py_ssize_t s = a->shape[0], width = a->shape[2];                                                                   \
        const int R = (int)a->shape[1];                                                                                          \
        whole block[BLOCK_##real];                                                                                               \
        real made[BLOCK_##real];                                                                                                 \
        for (Py_ssize_t done = 0, m; done < n; done += m) {                                                                      \
            const Py_ssize_t row = (start + done) / width, column = (start + done) % width;                                      \
            m = width - column < BLOCK_##real ? width - column : BLOCK_##real;                                                   \
            m = n - done < m ? n - done : m;                                                                                     \
            whole *const sum = past ? block : total + done;                                                                      \
            if (past && !first)                                                                                                  \
                memcpy(block, total + done, m * sizeof(whole));                                                                  \
            for (Py_ssize_t i = 0; i < s; i++) {                                                                                 \
                real d[FEW];                                                                                                     \
                const real *from[FEW];                                                                                           \
                for (int r = 0; r < R; r++) {                                                                                    \
                    d[r] = ((const real *)at(delta, i, r))[row] * scale;                                                         \
                    from[r] = (const real *)at(a, i, r) + column;                                                                \
                }                                                                                                                \
                WITH_CONSTANT(R, row_of_##real, d, from, m, made)                                                                \
                count_block_##real(made, sum, m, first && i == 0, largest + i);                                                  \
            }                                                                                                                    \
            if (past)                                                                                                            \
                store_past_caches(total + done, sum, m * sizeof(whole));                                                         \
        }                                                                                                                        \
        if (past)                                                                                                                \
            settle();                                                                                                            \
    }                                                                                                                            \
                                                                                                                                 \
    FOR_EACH_CPU static void mean_##real(const whole *total, real factor, real *out, Py_ssize_t n)                               \
    {                                                                                                                            \
        for (Py_ssize_t i = 0; i < n; i++)                                                                                       \
            out[i] = (real)total[i] * factor;                                                                                    \
    }                                                                                                                            \
    FOR_EACH_CPU static void descend_##real(const whole *total, real factor, real alpha, real *v, Py_ssize_t n)                  \
    {                                                                                                                            \
        for (Py_ssize_t i = 0; i < n; i++)                                                                                       \
            v[i] -= alpha * ((real)total[i] * factor);                                                                           \
    }                                                                                                                            \
    FOR_EACH_CPU static int units_##real(const char *largest, Py_ssize_t stride, Py_ssize_t s, real unit, real most, whole *out) \
    {                                                                                                                            \
        int finite = 1;                                                                                                          \
        whole sum = 0;                                                                                                           \
        for (Py_ssize_t i = 0; i < s; i++) {                                                                                     \
            real T;                                                                                                              \
            memcpy(&T, largest + i * stride, sizeof T);                                                                          \
            finite = finite && T - T == 0;                                                                                       \
            const real units = ceil(T * unit);                                                                                   \
            sum += (whole)(units < most ? units : most);                                                                         \
        }                                                                                                                        \
        *out = sum;                                                                                                              \
        return finite;                                                                                                           \
    }

DEFINE_ROW(float)
DEFINE_ROW(double)
DEFINE(float, int32_t, uint32_t, rintf, ceilf)
DEFINE(double, int64_t, uint64_t, rint, ceil)

static PyObject *count(PyObject *module, PyObject *const *arguments, Py_ssize_t given)
{
    static const char expected[] = "count(G, total, largest, first, past_caches): floats (s, n), whole numbers (n,), floats (s,), true or false, twice";
    Py_buffer arrays[3];
    (void)module;
    if (given != 5) {
        PyErr_SetString(PyExc_TypeError, expected);
        return NULL;
    }
    const int first = PyObject_IsTrue(arguments[3]), past = PyObject_IsTrue(arguments[4]);
    if (first < 0 || past < 0 || !take(arguments, arrays, 3, 1))
        return NULL;
    const Py_buffer *G = arrays, *total = arrays + 1, *largest = arrays + 2;
    const int fits = G->ndim == 2 && total->ndim == 1 && largest->ndim == 1 && G->shape[1] == total->shape[0] && G->shape[0] == largest->shape[0];
    if (fits) {
        const Py_ssize_t s = G->shape[0], n = G->shape[1], stride = G->strides[0];
        PyThreadState *thread = let_go(s * n);
        BY_WIDTH(G->itemsize, count, G->buf, stride, s, total->buf, n, first, past, largest->buf);
        take_back(thread);
    }
    return finish(arrays, 3, fits, expected);
}

static PyObject *count_products(PyObject *module, PyObject *const *arguments, Py_ssize_t given)
{
    static const char expected[] =
        "count_products(delta, a, total, largest, scale, start, first, past_caches): floats (s, M, n), (s, M, m), whole numbers "
        "(…,), floats (s,), a number, a whole number, true or false, twice; M from 1 to 6";
    Py_buffer arrays[4];
    (void)module;
    if (given != 8) {
        PyErr_SetString(PyExc_TypeError, expected);
        return NULL;
    }
    const double scale = PyFloat_AsDouble(arguments[4]);
    const Py_ssize_t start = PyLong_AsSsize_t(arguments[5]);
    const int first = PyObject_IsTrue(arguments[6]), past = PyObject_IsTrue(arguments[7]);
    if (PyErr_Occurred() || !take(arguments, arrays, 4, 2))
        return NULL;
    const Py_buffer *delta = arrays, *a = arrays + 1, *total = arrays + 2, *largest = arrays + 3;
    const int fits = delta->ndim == 3 && a->ndim == 3 && total->ndim == 1 && largest->ndim == 1 && delta->shape[0] == a->shape[0] &&
                     delta->shape[1] == a->shape[1] && a->shape[1] >= 1 && a->shape[1] <= FEW && largest->shape[0] == a->shape[0] &&
                     start >= 0 && start + total->shape[0] <= delta->shape[2] * a->shape[2];
    if (fits) {
        const Py_ssize_t n = total->shape[0];
        PyThreadState *thread = let_go(a->shape[0] * n);
        BY_WIDTH(total->itemsize, count_products, delta, a, scale, start, total->buf, n, first, past, largest->buf);
        take_back(thread);
    }
    return finish(arrays, 4, fits, expected);
}

/* mean(total, factor, out) with alpha NULL, else descend(total, factor, alpha, v). */
static PyObject *from_counts(PyObject *total, PyObject *by, PyObject *alpha, PyObject *floats, const char *expected)
{
    PyObject *const arguments[] = {total, floats};
    Py_buffer arrays[2];
    const double factor = PyFloat_AsDouble(by), step = alpha ? PyFloat_AsDouble(alpha) : 0.0;
    if (PyErr_Occurred() || !take(arguments, arrays, 2, 1))
        return NULL;
    const Py_buffer *counts = arrays, *out = arrays + 1;
    const int fits = counts->ndim == 1 && out->ndim == 1 && counts->shape[0] == out->shape[0];
    if (fits) {
        const Py_ssize_t n = out->shape[0];
        PyThreadState *thread = let_go(n);
        if (alpha)
            BY_WIDTH(out->itemsize, descend, counts->buf, factor, step, out->buf, n);
        else
            BY_WIDTH(out->itemsize, mean, counts->buf, factor, out->buf, n);
        take_back(thread);
    }
    return finish(arrays, 2, fits, expected);
}

static PyObject *mean(PyObject *module, PyObject *const *arguments, Py_ssize_t given)
{
    static const char expected[] = "mean(total, factor, out): whole numbers (n,), a number, floats (n,)";
    (void)module;
    if (given == 3)
        return from_counts(arguments[0], arguments[1], NULL, arguments[2], expected);
    PyErr_SetString(PyExc_TypeError, expected);
    return NULL;
}

static PyObject *descend(PyObject *module, PyObject *const *arguments, Py_ssize_t given)
{
    static const char expected[] = "descend(total, factor, alpha, v): whole numbers (n,), two numbers, floats (n,)";
    (void)module;
    if (given == 4)
        return from_counts(arguments[0], arguments[1], arguments[2], arguments[3], expected);
    PyErr_SetString(PyExc_TypeError, expected);
    return NULL;
}

static PyObject *units(PyObject *module, PyObject *const *arguments, Py_ssize_t given)
{
    static const char expected[] = "units(largest, unit, most, out): floats (s, n), two numbers, whole numbers of their width (n,)";
    Py_buffer largest, out;
    (void)module;
    if (given != 4) {
        PyErr_SetString(PyExc_TypeError, expected);
        return NULL;
    }
    const double unit = PyFloat_AsDouble(arguments[1]), most = PyFloat_AsDouble(arguments[2]);
    if (PyErr_Occurred() || PyObject_GetBuffer(arguments[0], &largest, PyBUF_STRIDES) < 0)
        return NULL;
    if (PyObject_GetBuffer(arguments[3], &out, PyBUF_ND | PyBUF_WRITABLE) < 0) {
        PyBuffer_Release(&largest);
        return NULL;
    }
    int fits = largest.ndim == 2 && out.ndim == 1 && largest.shape[1] == out.shape[0] && largest.itemsize == out.itemsize &&
               (out.itemsize == 4 || out.itemsize == 8);
    int finite = 1;
    for (Py_ssize_t tensor = 0; fits && tensor < out.shape[0]; tensor++) {
        const char *from = (const char *)largest.buf + tensor * largest.strides[1];
        void *to = (char *)out.buf + tensor * out.itemsize;
        finite &= BY_WIDTH(out.itemsize, units, from, largest.strides[0], largest.shape[0], unit, most, to);
    }
    PyBuffer_Release(&largest);
    PyBuffer_Release(&out);
    if (fits)
        return PyBool_FromLong(finite);
    PyErr_SetString(PyExc_ValueError, expected);
    return NULL;
}

static PyMethodDef functions[] = {
    {"count", (PyCFunction)(void (*)(void))count, METH_FASTCALL, "count(G, total, largest, first, past_caches): as exact.count_in_numpy"},
    {"count_products", (PyCFunction)(void (*)(void))count_products, METH_FASTCALL,
     "count_products(delta, a, total, largest, scale, start, first, past_caches): as exact.count_products_in_numpy"},
    {"mean", (PyCFunction)(void (*)(void))mean, METH_FASTCALL, "mean(total, factor, out): as exact.mean_in_numpy"},
    {"descend", (PyCFunction)(void (*)(void))descend, METH_FASTCALL, "descend(total, factor, alpha, v): as exact.descend_in_numpy"},
    {"units", (PyCFunction)(void (*)(void))units, METH_FASTCALL, "units(largest, unit, most, out): as exact.units_in_numpy"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "distmlp.kernels._exact", .m_doc = "The compiled part of distmlp.mathematics.exact.", .m_methods = functions,
};

PyMODINIT_FUNC PyInit__exact(void) { return PyModuleDef_Init(&definition); }
