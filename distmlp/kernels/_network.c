/* The compiled part of network.py: `weighted_sums`, `outer_sums` and `sample_sums` in one pass over memory.

   The same bits as weighted_sums_in_numpy, outer_sums_in_numpy and sample_sums_in_numpy there, which say what
   each does and in which order it adds, and stand in where no C compiler was at hand; tests/test_network.py
   holds the two together.  A product is rounded before it is added, and what runs side by side is a fixed
   number of sums, so the width of the CPU's registers cannot change a bit.

   Arrays are taken as they are, by their size and strides: network.py is the only caller. */

#include "_compiled.h"

/* vector: 32 bytes of numbers, anywhere in memory.  LANES_BYTES of network.py are two of them. */
#define DEFINE(real)                                                                                                   \
    typedef real vector_##real __attribute__((vector_size(32), aligned(sizeof(real)), may_alias));                     \
                                                                                                                       \
    ALWAYS_INLINE void sums_of_##real(const int R, const real *w, real b, const real *const *a, Py_ssize_t m,          \
                                      real *const *z)                                                                  \
    {                                                                                                                  \
        enum { WIDTH = 32 / sizeof(real) };                                                                            \
        vector_##real even[FEW], odd[FEW];                                                                             \
        Py_ssize_t j = 0;                                                                                              \
        _Pragma("GCC unroll 6") for (int r = 0; r < R; r++) even[r] = odd[r] = (vector_##real){0};                     \
        for (; j + 2 * WIDTH <= m; j += 2 * WIDTH) {                                                                   \
            const vector_##real w0 = *(const vector_##real *)(w + j), w1 = *(const vector_##real *)(w + j + WIDTH);    \
            _Pragma("GCC unroll 6") for (int r = 0; r < R; r++) {                                                      \
                even[r] += w0 * *(const vector_##real *)(a[r] + j);                                                    \
                odd[r] += w1 * *(const vector_##real *)(a[r] + j + WIDTH);                                             \
            }                                                                                                          \
        }                                                                                                              \
        if (j < m) { /* what is left, filled up with zeros: +0 added to a sum that began at +0 leaves it */            \
            vector_##real rest[4] = {{0}, {0}, {0}, {0}};                                                              \
            memcpy(rest, w + j, (m - j) * sizeof(real));                                                               \
            _Pragma("GCC unroll 6") for (int r = 0; r < R; r++) {                                                      \
                memcpy(rest + 2, a[r] + j, (m - j) * sizeof(real));                                                    \
                even[r] += rest[0] * rest[2];                                                                          \
                odd[r] += rest[1] * rest[3];                                                                           \
            }                                                                                                          \
        }                                                                                                              \
        _Pragma("GCC unroll 6") for (int r = 0; r < R; r++) {                                                          \
            const vector_##real both = even[r] + odd[r];                                                               \
            real lanes[WIDTH];                                                                                         \
            _Pragma("GCC unroll 8") for (int k = 0; k < WIDTH; k++) lanes[k] = both[k];                                \
            _Pragma("GCC unroll 8") for (int half = WIDTH / 2; half; half /= 2)                                        \
                _Pragma("GCC unroll 8") for (int k = 0; k < half; k++)                                                 \
                    lanes[k] += lanes[k + half];                                                                       \
            *z[r] = lanes[0] + b;                                                                                      \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    FOR_EACH_CPU static void weighted_sums_##real(const real *w, const real *b, Py_ssize_t n, Py_ssize_t m, int R,     \
                                                  const real *const *a, real *const *z)                                \
    {                                                                                                                  \
        for (Py_ssize_t i = 0; i < n; i++, w += m) {                                                                   \
            real *here[FEW];                                                                                           \
            for (int r = 0; r < R; r++)                                                                                \
                here[r] = z[r] + i;                                                                                    \
            WITH_CONSTANT(R, sums_of_##real, w, b[i], a, m, here)                                                      \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    FOR_EACH_CPU static void outer_sums_##real(const real *delta, Py_ssize_t stride, Py_ssize_t n, int R,              \
                                               const real *const *a, Py_ssize_t m, real *out)                          \
    {                                                                                                                  \
        for (Py_ssize_t i = 0; i < n; i++, delta++, out += m) {                                                        \
            real d[FEW];                                                                                               \
            for (int r = 0; r < R; r++)                                                                                \
                d[r] = delta[r * stride];                                                                              \
            WITH_CONSTANT(R, row_of_##real, d, a, m, out)                                                              \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    FOR_EACH_CPU static void sample_sums_##real(const real *delta, Py_ssize_t stride, Py_ssize_t M, Py_ssize_t n, real scale, real *out) \
    {                                                                                                                  \
        memcpy(out, delta, n * sizeof(real));                                                                          \
        for (Py_ssize_t r = 1; r < M; r++)                                                                             \
            for (Py_ssize_t j = 0; j < n; j++)                                                                         \
                out[j] += delta[r * stride + j];                                                                       \
        for (Py_ssize_t j = 0; j < n; j++)                                                                             \
            out[j] *= scale;                                                                                           \
    }

DEFINE_ROW(float)
DEFINE_ROW(double)
DEFINE(float)
DEFINE(double)

static PyObject *weighted_sums(PyObject *module, PyObject *const *arguments, Py_ssize_t given)
{
    static const char expected[] = "weighted_sums(w, b, a, z): (n, m), (n,), (s, M, m), (s, M, n)";
    Py_buffer arrays[4];
    (void)module;
    if (given != 4) {
        PyErr_SetString(PyExc_TypeError, expected);
        return NULL;
    }
    if (!take(arguments, arrays, 4, 3))
        return NULL;
    const Py_buffer *w = arrays, *b = arrays + 1, *a = arrays + 2, *z = arrays + 3;
    int fits = w->ndim == 2 && b->ndim == 1 && a->ndim == 3 && z->ndim == 3 && w->shape[0] == b->shape[0] &&
               w->strides[0] == w->shape[1] * w->itemsize && a->shape[2] == w->shape[1] && z->shape[2] == w->shape[0] &&
               a->shape[0] == z->shape[0] && a->shape[1] == z->shape[1];
    if (fits) {
        const Py_ssize_t n = w->shape[0], m = w->shape[1], M = a->shape[1], samples = a->shape[0] * M;
        PyThreadState *thread = let_go(samples * n * m);
        for (Py_ssize_t done = 0; done < samples; done += FEW) {
            const int R = samples - done < FEW ? (int)(samples - done) : FEW;
            const void *from[FEW];
            void *to[FEW];
            for (int r = 0; r < R; r++) {
                from[r] = at(a, (done + r) / M, (done + r) % M);
                to[r] = at(z, (done + r) / M, (done + r) % M);
            }
            BY_WIDTH(w->itemsize, weighted_sums, w->buf, b->buf, n, m, R, (void *)from, (void *)to);
        }
        take_back(thread);
    }
    return finish(arrays, 4, fits, expected);
}

static PyObject *outer_sums(PyObject *module, PyObject *const *arguments, Py_ssize_t given)
{
    static const char expected[] = "outer_sums(delta, a, out): (s, M, n), (s, M, m), (s, n, m) without gaps; M from 1 to 6";
    Py_buffer arrays[3];
    (void)module;
    if (given != 3) {
        PyErr_SetString(PyExc_TypeError, expected);
        return NULL;
    }
    if (!take(arguments, arrays, 3, 2))
        return NULL;
    const Py_buffer *delta = arrays, *a = arrays + 1, *out = arrays + 2;
    int fits = delta->ndim == 3 && a->ndim == 3 && out->ndim == 3 && delta->shape[0] == out->shape[0] && a->shape[0] == out->shape[0] &&
               delta->shape[1] == a->shape[1] && a->shape[1] >= 1 && a->shape[1] <= FEW && delta->shape[2] == out->shape[1] &&
               a->shape[2] == out->shape[2] && out->strides[1] == out->shape[2] * out->itemsize;
    if (fits) {
        const Py_ssize_t s = out->shape[0], n = out->shape[1], m = out->shape[2], stride = delta->strides[1] / delta->itemsize;
        const int R = (int)a->shape[1];
        PyThreadState *thread = let_go(s * n * m);
        for (Py_ssize_t i = 0; i < s; i++) {
            const void *from[FEW];
            for (int r = 0; r < R; r++)
                from[r] = at(a, i, r);
            BY_WIDTH(out->itemsize, outer_sums, at(delta, i, 0), stride, n, R, (void *)from, m, at(out, i, 0));
        }
        take_back(thread);
    }
    return finish(arrays, 3, fits, expected);
}

static PyObject *sample_sums(PyObject *module, PyObject *const *arguments, Py_ssize_t given)
{
    static const char expected[] = "sample_sums(delta, out, scale): (s, M, n), (s, n), a number; M from 1";
    Py_buffer arrays[2];
    (void)module;
    if (given != 3) {
        PyErr_SetString(PyExc_TypeError, expected);
        return NULL;
    }
    const double scale = PyFloat_AsDouble(arguments[2]);
    if (PyErr_Occurred() || !take(arguments, arrays, 2, 1))
        return NULL;
    const Py_buffer *delta = arrays, *out = arrays + 1;
    int fits = delta->ndim == 3 && out->ndim == 2 && delta->shape[0] == out->shape[0] && delta->shape[2] == out->shape[1] && delta->shape[1] >= 1;
    if (fits) {
        const Py_ssize_t s = delta->shape[0], M = delta->shape[1], n = delta->shape[2], stride = delta->strides[1] / delta->itemsize;
        PyThreadState *thread = let_go(s * M * n);
        for (Py_ssize_t i = 0; i < s; i++) {
            void *to = (char *)out->buf + i * out->strides[0];
            BY_WIDTH(out->itemsize, sample_sums, at(delta, i, 0), stride, M, n, scale, to);
        }
        take_back(thread);
    }
    return finish(arrays, 2, fits, expected);
}

static PyMethodDef functions[] = {
    {"weighted_sums", (PyCFunction)(void (*)(void))weighted_sums, METH_FASTCALL, "weighted_sums(w, b, a, z): as network.weighted_sums_in_numpy"},
    {"outer_sums", (PyCFunction)(void (*)(void))outer_sums, METH_FASTCALL, "outer_sums(delta, a, out): as network.outer_sums_in_numpy"},
    {"sample_sums", (PyCFunction)(void (*)(void))sample_sums, METH_FASTCALL, "sample_sums(delta, out, scale): as network.sample_sums_in_numpy"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "distmlp.kernels._network", .m_doc = "The compiled part of distmlp.mathematics.network.", .m_methods = functions,
};

PyMODINIT_FUNC PyInit__network(void) { return PyModuleDef_Init(&definition); }
