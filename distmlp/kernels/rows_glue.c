/* A set's rows, as Python calls what is done to them. */

#include "glue.h"

static PyObject *take_rows(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    static const char usage[] = "take_rows(rows, order, scale, out): numbers (R, n), 64-bit numbers from 0 to R - 1 (k,), a number, floats (k, n)";
    struct call call;
    (void)module;
    if (!take_arguments(&call, given, count, "xqdF", usage))
        return NULL;
    const struct argument *rows = call.arguments, *order = rows + 1, *out = rows + 3;
    const int64_t *const numbers = (const int64_t *)order->data;
    int fits = out->rows == order->size && out->columns == rows->columns;
    for (Py_ssize_t i = 0; fits && i < order->size; i++)
        fits = numbers[i] >= 0 && numbers[i] < rows->rows;
    int finite = 1;
    if (fits) {
        const struct run run = begin_run((double)out->size);
        finite = kernels_for(call.itemsize)->take_rows(rows->data, rows->letter, numbers, order->size, out->columns, rows[2].number, out->data);
        end_run(run);
    }
    PyObject *const done = finish_call(&call, fits, usage);
    if (!done)
        return NULL;
    Py_DECREF(done);
    return PyBool_FromLong(finite);
}

static PyObject *hash_rows(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    static const char usage[] =
        "hash_rows(x, y, keys, numbers, first): bytes (rows, n), bytes (rows, k) or None, 64-bit numbers, one a word of 8 bytes, "
        "64-bit numbers (rows,) or None, a number";
    struct call call;
    (void)module;
    if (!take_arguments(&call, given, count, "x?xq?qn", usage))
        return NULL;
    const struct argument *x = call.arguments, *y = x + 1, *keys = x + 2, *numbers = x + 3;
    const Py_ssize_t x_words = (x->columns + 7) / 8, y_words = (y->columns + 7) / 8;
    const int bytes = x->letter == 'B' && (!y->data || y->letter == 'B');
    const int fits = bytes && (!y->data || y->rows == x->rows) && keys->size == x_words + y_words && (!numbers->data || numbers->size == x->rows);
    uint64_t total = 0;
    if (fits) {
        const struct rows rows = {
            .x = (const unsigned char *)x->data, .y = (const unsigned char *)y->data, .rows = x->rows,
            .x_bytes = x->columns, .y_bytes = y->columns, .keys = (const uint64_t *)keys->data,
            .numbers = (const int64_t *)numbers->data, .first = x[4].integer,
        };
        const struct run run = begin_run((double)(x->size + y->size));
        total = kernels_for(8)->hash(&rows);
        end_run(run);
    }
    PyObject *const done = finish_call(&call, fits, usage);
    if (!done)
        return NULL;
    Py_DECREF(done);
    return PyLong_FromUnsignedLongLong(total);
}

PyMethodDef row_functions[] = {
    {"take_rows", (PyCFunction)(void (*)(void))take_rows, METH_FASTCALL,
     "take_rows(rows, order, scale, out): out is the rows in an order, as numbers of its type, times the scale; whether all that come from floats are finite."},
    {"hash_rows", (PyCFunction)(void (*)(void))hash_rows, METH_FASTCALL,
     "hash_rows(x, y, keys, numbers, first): the sum of the rows' hashes, mod 2^64."},
    {NULL, NULL, 0, NULL},
};
