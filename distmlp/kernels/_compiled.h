/* What the rooms' compiled parts share. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* AVX2 where the CPU has it, found out when the module is loaded; the binary runs without it too. */
#ifndef FOR_EACH_CPU
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__has_attribute)
#if __has_attribute(target_clones)
#define FOR_EACH_CPU __attribute__((target_clones("avx2", "default")))
#endif
#endif
#endif
#ifndef FOR_EACH_CPU
#define FOR_EACH_CPU
#endif

/* Lets other threads run from here to `take_back`, where so many numbers are worth it, as in numpy. */
static inline PyThreadState *let_go(Py_ssize_t numbers)
{
    return numbers > 500 ? PyEval_SaveThread() : NULL;
}

static inline void take_back(PyThreadState *thread)
{
    if (thread)
        PyEval_RestoreThread(thread);
}

/* function_float(...) or function_double(...), by the width of the numbers. */
#define BY_WIDTH(itemsize, function, ...) ((itemsize) == 4 ? function##_float(__VA_ARGS__) : function##_double(__VA_ARGS__))

/* Bytes that are worked on at a time; they stay in a core's first cache. */
#define BLOCK 4096

/* memcpy with stores that go past the caches.  A store to a line that another core has read must first take it away
   from that core's cache, which is slow where the two share no cache; one that goes to memory, or to the cache that
   both share, waits for nothing, and what is there is not read to be written over. */
static inline void store_past_caches(void *to, const void *from, Py_ssize_t bytes)
{
    char *out = to;
    const char *in = from;
    Py_ssize_t i = 0;
#if defined(__SSE2__)
    i = (Py_ssize_t)(-(uintptr_t)out & 15);
    i = i < bytes ? i : bytes;
    memcpy(out, in, i);
    for (; i + 16 <= bytes; i += 16)
        _mm_stream_si128((__m128i *)(out + i), _mm_loadu_si128((const __m128i *)(in + i)));
#endif
    memcpy(out + i, in + i, bytes - i);
}

/* What has been stored past the caches is there before what is stored after this. */
static inline void settle(void)
{
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

/* The most samples that network.py calls few: as many as there are registers for their sums. */
#define FEW 6

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* function(R, ...), with R a constant that loops can be unrolled for. */
#define WITH_CONSTANT(R, function, ...)                                                                                \
    switch (R) {                                                                                                       \
    case 1: function(1, __VA_ARGS__); break;                                                                           \
    case 2: function(2, __VA_ARGS__); break;                                                                           \
    case 3: function(3, __VA_ARGS__); break;                                                                           \
    case 4: function(4, __VA_ARGS__); break;                                                                           \
    case 5: function(5, __VA_ARGS__); break;                                                                           \
    default: function(6, __VA_ARGS__); break;                                                                          \
    }

/* row_of_REAL(R, d, a, m, out): m entries of a row of the sum of R samples' delta a^T, one sample after another.
   d: each sample's entry of delta. */
#define DEFINE_ROW(real)                                                                                               \
    ALWAYS_INLINE void row_of_##real(const int R, const real *d, const real *const *a, Py_ssize_t m, real *out)        \
    {                                                                                                                  \
        for (Py_ssize_t j = 0; j < m; j++) {                                                                           \
            real sum = d[0] * a[0][j];                                                                                 \
            _Pragma("GCC unroll 6") for (int r = 1; r < R; r++) sum += d[r] * a[r][j];                                 \
            out[j] = sum;                                                                                              \
        }                                                                                                              \
    }

/* n arrays of numbers of one width, their last dimension without gaps; those from `written` on are written to. */
static int take(PyObject *const *arguments, Py_buffer *arrays, int n, int written)
{
    int taken = 0, fits = 1;
    for (; taken < n; taken++)
        if (PyObject_GetBuffer(arguments[taken], arrays + taken, PyBUF_STRIDES | PyBUF_FORMAT | (taken >= written ? PyBUF_WRITABLE : 0)) < 0)
            break;
    if (taken == n)
        for (int i = 0; i < n; i++) {
            const Py_ssize_t width = arrays[i].itemsize, last = arrays[i].ndim - 1;
            fits = fits && (width == 4 || width == 8) && width == arrays[0].itemsize && last >= 0 &&
                   (arrays[i].strides[last] == width || arrays[i].shape[last] < 2);
        }
    if (taken == n && fits)
        return 1;
    while (taken--)
        PyBuffer_Release(arrays + taken);
    if (!fits)
        PyErr_SetString(PyExc_ValueError, "arrays must be of one width, 4 or 8 bytes, and without gaps in the last dimension");
    return 0;
}

/* Where row j of block i of an array lies. */
ALWAYS_INLINE void *at(const Py_buffer *array, Py_ssize_t i, Py_ssize_t j)
{
    return (char *)array->buf + i * array->strides[0] + j * array->strides[1];
}

/* None, or a ValueError where the shapes do not fit. */
static PyObject *finish(Py_buffer *arrays, int n, int fits, const char *expected)
{
    for (int i = 0; i < n; i++)
        PyBuffer_Release(arrays + i);
    if (fits)
        Py_RETURN_NONE;
    PyErr_SetString(PyExc_ValueError, expected);
    return NULL;
}
