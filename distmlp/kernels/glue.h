/* What the functions that Python calls share: taking arrays, and the CPU's mode. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "kernels.h"

/* The most arguments that a function takes. */
#define MOST_ARGUMENTS 20

/* An argument: an array without gaps, as the memory that it is and what it holds, or a number. */
struct argument {
    char *data;           /* NULL for None, and for a number */
    Py_ssize_t size;      /* entries */
    Py_ssize_t columns;   /* the length of the last dimension */
    Py_ssize_t rows;      /* the product of the others */
    int floats;           /* whether it is an array of floats */
    char letter;          /* its type, as the struct module writes it */
    double number;        /* d: a float */
    Py_ssize_t integer;   /* n: a whole number */
    Py_buffer buffer;
};

/* The arguments of a call. */
struct call {
    struct argument arguments[MOST_ARGUMENTS];
    int taken;
    Py_ssize_t itemsize;  /* of the arrays */
};

/* Takes a call's arguments as `format` says, one letter each:

       f  floats              F  floats that are written to
       i  whole numbers       I  whole numbers that are written to
       t  either              T  either, written to
       e  doubles             E  doubles that are written to
       q  64-bit numbers      Q  64-bit numbers that are written to
       x  numbers of any type
       ?f etc.                the same, or None
       d  a number            n  a whole number

   All arrays but those of e, E, q, Q and x have one width, 4 or 8 bytes.  Returns 0 with a Python error set, and nothing to give back, where they do not fit;
   `usage` is then the message. */
int take_arguments(struct call *call, PyObject *const *given, Py_ssize_t count, const char *format, const char *usage);

/* Gives the arrays back. */
void give_back(struct call *call);

/* Gives the arrays back, and is None, or a ValueError with `usage` where `fits` is 0. */
PyObject *finish_call(struct call *call, int fits, const char *usage);

/* The CPU's mode of arithmetic: to nearest even, subnormals kept, nothing trapped.  Another library may have left a
   different one; `default_mode` sets it and returns what was there, for `restore_mode`. */
struct mode {
    uint64_t before;
    int changed;
};
struct mode default_mode(void);
void restore_mode(struct mode mode);

/* A kernel's run: the mode is set, and other threads may run where `operations` are many. */
struct run {
    struct mode mode;
    PyThreadState *thread;
};
struct run begin_run(double operations);
void end_run(struct run run);

/* The functions that each of these files gives to the module. */
extern PyMethodDef product_functions[];
extern PyMethodDef function_functions[];
extern PyMethodDef message_functions[];
extern PyMethodDef meeting_functions[];
extern PyMethodDef row_functions[];
