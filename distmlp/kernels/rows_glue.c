/* A set's rows, as Python calls what is done to them. */

#include "glue.h"

static PyObject *take_rows(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    static const char usage[] =
        "take_rows(rows, order, scale, shift, divisor, fill, indicators, out): numbers (R, n), 64-bit numbers from 0 to R - 1 (k,), a number, "
        "doubles (n,) twice or None twice, doubles (n,) or None, 64-bit numbers from 0 to n - 1 (i,) or None, floats (k, n + i)";
    struct call call;
    (void)module;
    if (!take_arguments(&call, given, count, "xqd?e?e?e?qF", usage))
        return NULL;
    const struct argument *rows = call.arguments, *order = rows + 1, *shift = rows + 3, *divisor = rows + 4, *fill = rows + 5;
    const struct argument *indicators = rows + 6, *out = rows + 7;
    const struct taking t = {
        .rows = rows->data, .letter = rows->letter, .order = (const int64_t *)order->data, .count = order->size, .n = rows->columns,
        .scale = rows[2].number, .shift = (const double *)shift->data, .divisor = (const double *)divisor->data,
        .fill = (const double *)fill->data, .indicators = (const int64_t *)indicators->data, .indicated = indicators->size, .out = out->data,
    };
    int fits = out->rows == t.count && out->columns == t.n + t.indicated && !t.shift == !t.divisor;
    for (int i = 3; i < 6; i++)
        fits = fits && (!rows[i].data || rows[i].size == t.n);
    for (Py_ssize_t i = 0; fits && i < t.count; i++)
        fits = t.order[i] >= 0 && t.order[i] < rows->rows;
    for (Py_ssize_t i = 0; fits && i < t.indicated; i++)
        fits = t.indicators[i] >= 0 && t.indicators[i] < t.n;
    int finite = 1;
    if (fits) {
        const struct run run = begin_run((double)out->size);
        finite = kernels_for(call.itemsize)->take_rows(&t);
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
     "take_rows(rows, order, scale, shift, divisor, fill, indicators, out): out is the rows in an order, transformed; whether all are finite, of whole numbers that are only scaled always so."},
    {"hash_rows", (PyCFunction)(void (*)(void))hash_rows, METH_FASTCALL,
     "hash_rows(x, y, keys, numbers, first): the sum of the rows' hashes, mod 2^64."},
    {NULL, NULL, 0, NULL},
};
