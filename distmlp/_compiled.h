/* What the rooms' compiled parts share. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

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

/* Numbers from which on another thread may run meanwhile, as in numpy. */
#define WORTH_A_THREAD 500

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
