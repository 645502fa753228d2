/* The compiled part of hostmemory.py: `add` with stores that go past the caches.

   The same bits as add_in_numpy there, which says what it does and stands in where no C compiler was at hand.
   A store to a line that another core has read must first take it away from that core's cache, which is slow where
   the two share no cache; one that goes to memory, or to the cache that both share, waits for nothing. */

#include "_compiled.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* Bytes that are added up before they are stored; they stay in a core's first cache. */
#define BLOCK 4096

static void store(char *out, const char *from, Py_ssize_t bytes)
{
    Py_ssize_t i = 0;
#if defined(__SSE2__)
    if (((uintptr_t)out & 15) == 0)
        for (; i + 16 <= bytes; i += 16)
            _mm_stream_si128((__m128i *)(out + i), _mm_loadu_si128((const __m128i *)(from + i)));
#endif
    memcpy(out + i, from + i, bytes - i);
}

/* What has been stored past the caches is there before what is stored after this. */
static void settle(void)
{
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

/* Whole numbers are added as unsigned ones: they wrap, as numpy's do. */
#define DEFINE(number)                                                                                                  \
    FOR_EACH_CPU static void add_##number(const number *mine, const char *others, Py_ssize_t rows, Py_ssize_t stride,   \
                                          number *out, Py_ssize_t n)                                                    \
    {                                                                                                                   \
        number block[BLOCK / sizeof(number)];                                                                           \
        for (Py_ssize_t start = 0, m; start < n; start += m) {                                                          \
            m = n - start < (Py_ssize_t)(BLOCK / sizeof(number)) ? n - start : (Py_ssize_t)(BLOCK / sizeof(number));    \
            const number *from = mine + start;                                                                          \
            for (Py_ssize_t row = 0; row < rows; row++, from = block) {                                                 \
                const number *other = (const number *)(others + row * stride) + start;                                  \
                for (Py_ssize_t i = 0; i < m; i++)                                                                      \
                    block[i] = from[i] + other[i];                                                                      \
            }                                                                                                           \
            store((char *)(out + start), (const char *)from, m * (Py_ssize_t)sizeof(number));                           \
        }                                                                                                               \
        settle();                                                                                                       \
    }

DEFINE(uint32_t)
DEFINE(uint64_t)
DEFINE(float)
DEFINE(double)

static PyObject *add(PyObject *module, PyObject *const *arguments, Py_ssize_t given)
{
    static const char expected[] = "add(mine, others, out): numbers of one kind, (n,), (s, n) and (n,)";
    Py_buffer arrays[3];
    (void)module;
    if (given != 3) {
        PyErr_SetString(PyExc_TypeError, expected);
        return NULL;
    }
    if (!take(arguments, arrays, 3, 2))
        return NULL;
    const Py_buffer *mine = arrays, *others = arrays + 1, *out = arrays + 2;
    const int real = strchr("fd", *mine->format) != NULL;
    const int fits = mine->ndim == 1 && others->ndim == 2 && out->ndim == 1 && mine->shape[0] == out->shape[0] &&
                     others->shape[1] == out->shape[0] && real == (strchr("fd", *others->format) != NULL) &&
                     real == (strchr("fd", *out->format) != NULL);
    if (fits) {
        const Py_ssize_t n = out->shape[0], rows = others->shape[0], stride = others->strides[0];
        PyThreadState *save = n > WORTH_A_THREAD ? PyEval_SaveThread() : NULL;
        if (out->itemsize == 4 && real)
            add_float(mine->buf, others->buf, rows, stride, out->buf, n);
        else if (out->itemsize == 4)
            add_uint32_t(mine->buf, others->buf, rows, stride, out->buf, n);
        else if (real)
            add_double(mine->buf, others->buf, rows, stride, out->buf, n);
        else
            add_uint64_t(mine->buf, others->buf, rows, stride, out->buf, n);
        if (save)
            PyEval_RestoreThread(save);
    }
    return finish(arrays, 3, fits, expected);
}

static PyMethodDef functions[] = {
    {"add", (PyCFunction)(void (*)(void))add, METH_FASTCALL, "add(mine, others, out): as hostmemory.add_in_numpy"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "distmlp._hostmemory", .m_doc = "The compiled part of distmlp.hostmemory.", .m_methods = functions,
};

PyMODINIT_FUNC PyInit__hostmemory(void) { return PyModuleDef_Init(&definition); }
