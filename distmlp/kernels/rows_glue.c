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
    if (fits) {
        const struct run run = begin_run((double)out->size);
        kernels_for(call.itemsize)->take_rows(rows->data, rows->letter, numbers, order->size, out->columns, rows[2].number, out->data);
        end_run(run);
    }
    return finish_call(&call, fits, usage);
}

PyMethodDef row_functions[] = {
    {"take_rows", (PyCFunction)(void (*)(void))take_rows, METH_FASTCALL,
     "take_rows(rows, order, scale, out): out is the rows in an order, as numbers of its type, times the scale."},
    {NULL, NULL, 0, NULL},
};
