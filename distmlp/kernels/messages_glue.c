/* What ranks say to one another, as Python calls it. */

#include "glue.h"

static PyObject *units(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    static const char usage[] = "units(largest, unit, most, out): floats (tensors, s), two numbers, whole numbers or floats (tensors,)";
    struct call call;
    (void)module;
    if (!take_arguments(&call, given, count, "fddT", usage))
        return NULL;
    const struct argument *T = call.arguments, *out = T + 3;
    int finite = 1;
    const int fits = T->rows == out->size;
    if (fits) {
        const struct run run = begin_run((double)T->size);
        finite = kernels_for(call.itemsize)->units(T->data, T[1].number, T[2].number, out->data, T->rows, T->columns, out->floats);
        end_run(run);
    }
    PyObject *const done = finish_call(&call, fits, usage);
    if (!done)
        return NULL;
    Py_DECREF(done);
    return PyBool_FromLong(finite);
}

static PyObject *add_rows(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    static const char usage[] = "add_rows(rows, start, out): whole numbers or floats (s, n), the first column, and (k,) of the same kind";
    struct call call;
    (void)module;
    if (!take_arguments(&call, given, count, "tnT", usage))
        return NULL;
    const struct argument *rows = call.arguments, *out = rows + 2;
    const Py_ssize_t start = rows[1].integer;
    const int fits = rows->floats == out->floats && start >= 0 && start + out->size <= rows->columns;
    if (fits) {
        const struct run run = begin_run((double)rows->rows * out->size);
        kernels_for(call.itemsize)->add_rows(rows->data + start * call.itemsize, rows->rows, rows->columns, out->size, out->data, out->floats);
        end_run(run);
    }
    return finish_call(&call, fits, usage);
}

PyMethodDef message_functions[] = {
    {"units", (PyCFunction)(void (*)(void))units, METH_FASTCALL,
     "units(largest, unit, most, out): out is the sum of each row, rounded up entry by entry; whether all are finite."},
    {"add_rows", (PyCFunction)(void (*)(void))add_rows, METH_FASTCALL, "add_rows(rows, start, out): out is the sum of the rows from a column on."},
    {NULL, NULL, 0, NULL},
};
