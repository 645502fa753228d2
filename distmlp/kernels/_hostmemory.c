/* The compiled part of hostmemory.py: `add` with stores that go past the caches.

   The same bits as add_in_numpy there, which says what it does and stands in where no C compiler was at hand. */

#include "_compiled.h"

/* Whole numbers are added as unsigned ones: they wrap, as numpy's do. */
#define DEFINE(number)                                                                                                 \
    FOR_EACH_CPU static void add_##number(const number *first, const char *others, Py_ssize_t rows, Py_ssize_t stride, \
                                          number *out, Py_ssize_t n)                                                   \
    {                                                                                                                  \
        number block[BLOCK / sizeof(number)];                                                                          \
        for (Py_ssize_t start = 0, m; start < n; start += m) {                                                         \
            m = n - start < (Py_ssize_t)(BLOCK / sizeof(number)) ? n - start : (Py_ssize_t)(BLOCK / sizeof(number));   \
            const number *from = first + start;                                                                        \
            for (Py_ssize_t row = 0; row < rows; row++, from = block) {                                                \
                const number *other = (const number *)(others + row * stride) + start;                                 \
                for (Py_ssize_t i = 0; i < m; i++)                                                                     \
                    block[i] = from[i] + other[i];                                                                     \
            }                                                                                                          \
            store_past_caches(out + start, from, m * (Py_ssize_t)sizeof(number));                                      \
        }                                                                                                              \
        settle();                                                                                                      \
    }

DEFINE(uint32_t)
DEFINE(uint64_t)
DEFINE(float)
DEFINE(double)

static PyObject *add(PyObject *module, PyObject *const *arguments, Py_ssize_t given)
{
    static const char expected[] = "add(first, others, out): numbers of one kind, (n,), (s, n) and (n,)";
    Py_buffer arrays[3];
    (void)module;
    if (given != 3) {
        PyErr_SetString(PyExc_TypeError, expected);
        return NULL;
    }
    if (!take(arguments, arrays, 3, 2))
        return NULL;
    const Py_buffer *first = arrays, *others = arrays + 1, *out = arrays + 2;
    const int real = strchr("fd", *first->format) != NULL;
    const int fits = first->ndim == 1 && others->ndim == 2 && out->ndim == 1 && first->shape[0] == out->shape[0] &&
                     others->shape[1] == out->shape[0] && real == (strchr("fd", *others->format) != NULL) &&
                     real == (strchr("fd", *out->format) != NULL);
    if (fits) {
        const Py_ssize_t n = out->shape[0], rows = others->shape[0], stride = others->strides[0];
        PyThreadState *thread = let_go(n);
        if (out->itemsize == 4 && real)
            add_float(first->buf, others->buf, rows, stride, out->buf, n);
        else if (out->itemsize == 4)
            add_uint32_t(first->buf, others->buf, rows, stride, out->buf, n);
        else if (real)
            add_double(first->buf, others->buf, rows, stride, out->buf, n);
        else
            add_uint64_t(first->buf, others->buf, rows, stride, out->buf, n);
        take_back(thread);
    }
    return finish(arrays, 3, fits, expected);
}

static PyMethodDef functions[] = {
    {"add", (PyCFunction)(void (*)(void))add, METH_FASTCALL, "add(first, others, out): as hostmemory.add_in_numpy"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "distmlp.kernels._hostmemory", .m_doc = "The compiled part of distmlp.parallel.hostmemory.", .m_methods = functions,
};

PyMODINIT_FUNC PyInit__hostmemory(void) { return PyModuleDef_Init(&definition); }
