/* The module distmlp.kernels._kernels: the compiled kernels, for the widest registers that this CPU has.

   choice.py is the only caller; it says which kernels run, and stands in numpy's for them where these are not there. */

#include "glue.h"

#include "dispatch.h"

static PyObject *widths(PyObject *module, PyObject *nothing)
{
    (void)module, (void)nothing;
    PyObject *found = PyList_New(0);
    for (int i = 0; found && unit_at(i); i++) {
        if (!unit_at(i)->runs())
            continue;
        PyObject *width = PyUnicode_FromString(unit_at(i)->width);
        if (!width || PyList_Append(found, width) < 0)
            Py_CLEAR(found);
        Py_XDECREF(width);
    }
    return found;
}

static PyObject *name(PyObject *module, PyObject *nothing)
{
    (void)module, (void)nothing;
    return PyUnicode_FromString(unit_chosen()->name);
}

static PyObject *use(PyObject *module, PyObject *width)
{
    (void)module;
    const char *asked = width == Py_None ? NULL : PyUnicode_AsUTF8(width);
    if (PyErr_Occurred())
        return NULL;
    if (choose_unit(asked))
        Py_RETURN_NONE;
    return PyErr_Format(PyExc_ValueError, "this CPU has no kernels of width %R", width);
}

static PyObject *set_mode(PyObject *module, PyObject *nothing)
{
    (void)module, (void)nothing;
    return PyBool_FromLong(default_mode().changed);
}

static PyMethodDef functions[] = {
    {"widths", widths, METH_NOARGS, "widths(): the widths that this CPU can run, the widest first."},
    {"name", name, METH_NOARGS, "name(): what runs, for people."},
    {"set_mode", set_mode, METH_NOARGS,
     "set_mode(): this thread rounds to nearest and keeps subnormal numbers from now on; whether it did not before."},
    {"use", use, METH_O, "use(width): from now on run the kernels of a width, or of the widest for None; ValueError where there are none."},
    {NULL, NULL, 0, NULL},
};

/* How Python calls these functions; choice.py says the same, so that an old build is not called in a new way. */
enum { INTERFACE = 4 };

static int fill(PyObject *module)
{
    choose_unit(NULL);
    PyMethodDef *const all[] = {
        product_functions, function_functions, message_functions, meeting_functions, row_functions,
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (PyModule_AddFunctions(module, all[i]) < 0)
            return -1;
    return PyModule_AddIntMacro(module, INTERFACE);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)fill}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "distmlp.kernels._kernels", .m_doc = "The compiled kernels.", .m_methods = functions, .m_slots = slots,
};

PyMODINIT_FUNC PyInit__kernels(void) { return PyModuleDef_Init(&definition); }
