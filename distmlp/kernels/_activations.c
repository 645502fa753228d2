/* The compiled part of activations.py: `sigmoid_of_tanh` and `sigmoid_chain` in one pass over memory where numpy takes
   two and three, and `halve` in one that has no Python number to look at first.

   The same bits as NAME_in_numpy there, which say what each does and stand in where no C compiler was at hand;
   tests/test_activations.py holds the two together.  Every operation is on one entry alone, so
   the width of the CPU's registers cannot change a bit.

   Arrays are taken as they are: activations.py is the only caller. */

#include "_compiled.h"

#define DEFINE(real)                                                                                                   \
    FOR_EACH_CPU static void halve_##real(real *z, Py_ssize_t n)                                                       \
    {                                                                                                                  \
        for (Py_ssize_t i = 0; i < n; i++)                                                                             \
            z[i] *= (real)0.5;                                                                                         \
    }                                                                                                                  \
                                                                                                                       \
    FOR_EACH_CPU static void sigmoid_of_tanh_##real(real *z, Py_ssize_t n)                                             \
    {                                                                                                                  \
        for (Py_ssize_t i = 0; i < n; i++)                                                                             \
            z[i] = z[i] * (real)0.5 + (real)0.5;                                                                       \
    }                                                                                                                  \
                                                                                                                       \
    FOR_EACH_CPU static void sigmoid_chain_##real(const real *a, real *g, Py_ssize_t n)                                \
    {                                                                                                                  \
        for (Py_ssize_t i = 0; i < n; i++)                                                                             \
            g[i] *= (1 - a[i]) * a[i];                                                                                 \
    }

DEFINE(float)
DEFINE(double)

#define DEFINE_IN_PLACE(name)                                                                                          \
    static PyObject *name(PyObject *module, PyObject *z)                                                               \
    {                                                                                                                  \
        Py_buffer array;                                                                                               \
        (void)module;                                                                                                  \
        if (!take(&z, &array, 1, 0))                                                                                   \
            return NULL;                                                                                               \
        const int fits = PyBuffer_IsContiguous(&array, 'C');                                                           \
        if (fits) {                                                                                                    \
            const Py_ssize_t n = array.len / array.itemsize;                                                           \
            PyThreadState *thread = let_go(n);                                                                         \
            BY_WIDTH(array.itemsize, name, array.buf, n);                                                              \
            take_back(thread);                                                                                         \
        }                                                                                                              \
        return finish(&array, 1, fits, #name "(z): floats without gaps");                                              \
    }

DEFINE_IN_PLACE(halve)
DEFINE_IN_PLACE(sigmoid_of_tanh)

static PyObject *sigmoid_chain(PyObject *module, PyObject *const *arguments, Py_ssize_t given)
{
    static const char expected[] = "sigmoid_chain(a, g, t): floats without gaps, of one size; t is left alone";
    Py_buffer arrays[2];
    (void)module;
    if (given != 3) {
        PyErr_SetString(PyExc_TypeError, expected);
        return NULL;
    }
    if (!take(arguments, arrays, 2, 1))
        return NULL;
    const Py_buffer *a = arrays, *g = arrays + 1;
    const int fits = a->len == g->len && PyBuffer_IsContiguous(a, 'C') && PyBuffer_IsContiguous(g, 'C');
    if (fits) {
        const Py_ssize_t n = g->len / g->itemsize;
        PyThreadState *thread = let_go(n);
        BY_WIDTH(g->itemsize, sigmoid_chain, a->buf, g->buf, n);
        take_back(thread);
    }
    return finish(arrays, 2, fits, expected);
}

static PyMethodDef functions[] = {
    {"halve", (PyCFunction)halve, METH_O, "halve(z): as activations.halve_in_numpy"},
    {"sigmoid_of_tanh", (PyCFunction)sigmoid_of_tanh, METH_O, "sigmoid_of_tanh(z): as activations.sigmoid_of_tanh_in_numpy"},
    {"sigmoid_chain", (PyCFunction)(void (*)(void))sigmoid_chain, METH_FASTCALL, "sigmoid_chain(a, g, t): as activations.sigmoid_chain_in_numpy"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "distmlp.kernels._activations", .m_doc = "The compiled part of distmlp.mathematics.activations.", .m_methods = functions,
};

PyMODINIT_FUNC PyInit__activations(void) { return PyModuleDef_Init(&definition); }
