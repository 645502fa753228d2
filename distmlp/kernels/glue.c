/* What the functions that Python calls share. */

#include "glue.h"

#include <fenv.h>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

/* Whether an array's numbers have 8 bytes, whatever the others have. */
static int of_64_bits(char kind)
{
    return strchr("eEqQ", kind) != NULL;
}

/* A buffer's letter of the struct module; that of another byte order than this machine's is '<' or '>'. */
static char letter_of(const Py_buffer *buffer)
{
    const char *format = buffer->format ? buffer->format : "B";
    const uint16_t one = 1;
    const char ours = *(const char *)&one ? '<' : '>';
    return format[*format == '@' || *format == '=' || *format == ours];
}

static int take_array(struct argument *argument, PyObject *given, char kind)
{
    const int written = kind < 'a', either = kind == 't' || kind == 'T';
    if (PyObject_GetBuffer(given, &argument->buffer, PyBUF_ND | PyBUF_FORMAT | (written ? PyBUF_WRITABLE : 0)) < 0)
        return 0;
    const Py_buffer *buffer = &argument->buffer;
    const char letter = letter_of(buffer);
    const int floats = letter == 'f' || letter == 'd', whole = letter && strchr("ilqILQ", letter);
    const int wants_floats = either || strchr("fFeE", kind), wants_whole = either || strchr("iIqQ", kind);
    const int right = kind == 'x' ? letter && strchr("?bBhHiIlLqQfd", letter)
                                  : ((floats && wants_floats) || (whole && wants_whole)) && (!of_64_bits(kind) || buffer->itemsize == 8);
    argument->floats = floats;
    argument->letter = letter;
    argument->data = buffer->buf;
    argument->size = buffer->len / buffer->itemsize;
    argument->columns = buffer->ndim ? buffer->shape[buffer->ndim - 1] : 1;
    argument->rows = 1;
    for (int i = 0; i < buffer->ndim - 1; i++)
        argument->rows *= buffer->shape[i];
    if (right)
        return 1;
    PyBuffer_Release(&argument->buffer);
    return 0;
}

/* One argument; 0 where it does not fit. */
static int take_argument(struct call *call, struct argument *argument, PyObject *given, char kind, int optional)
{
    argument->data = NULL;
    argument->rows = argument->columns = argument->size = 0;
    argument->buffer.obj = NULL;
    if (optional && given == Py_None)
        return 1;
    if (kind == 'd') {
        argument->number = PyFloat_AsDouble(given);
        return !(argument->number == -1.0 && PyErr_Occurred());
    }
    if (kind == 'n') {
        argument->integer = PyNumber_AsSsize_t(given, PyExc_OverflowError);
        return !(argument->integer == -1 && PyErr_Occurred());
    }
    if (!take_array(argument, given, kind))
        return 0;
    if (of_64_bits(kind) || kind == 'x')
        return 1;
    if (!call->itemsize)
        call->itemsize = argument->buffer.itemsize;
    if (call->itemsize == argument->buffer.itemsize)
        return 1;
    PyBuffer_Release(&argument->buffer);
    return 0;
}

int take_arguments(struct call *call, PyObject *const *given, Py_ssize_t count, const char *format, const char *usage)
{
    call->taken = 0;
    call->itemsize = 0;
    int fits = 1;
    while (*format && fits) {
        const int optional = *format == '?';
        format += optional;
        fits = call->taken < count && call->taken < MOST_ARGUMENTS &&
               take_argument(call, call->arguments + call->taken, given[call->taken], *format++, optional);
        call->taken += fits;
    }
    if (fits && call->taken == count)
        return 1;
    give_back(call);
    PyErr_Clear();
    PyErr_SetString(PyExc_ValueError, usage);
    return 0;
}

void give_back(struct call *call)
{
    for (int i = 0; i < call->taken; i++)
        if (call->arguments[i].buffer.obj)
            PyBuffer_Release(&call->arguments[i].buffer);
    call->taken = 0;
}

PyObject *finish_call(struct call *call, int fits, const char *usage)
{
    give_back(call);
    if (fits)
        Py_RETURN_NONE;
    PyErr_SetString(PyExc_ValueError, usage);
    return NULL;
}

#if defined(__x86_64__) || defined(__SSE2__)

enum { FLAGS = 0x3f, DEFAULT = 0x1f80 };

struct mode default_mode(void)
{
    const unsigned csr = _mm_getcsr();
    const struct mode mode = {csr, (csr & ~(unsigned)FLAGS) != DEFAULT};
    if (mode.changed)
        _mm_setcsr(DEFAULT | (csr & FLAGS));
    return mode;
}

void restore_mode(struct mode mode)
{
    if (mode.changed)
        _mm_setcsr((unsigned)mode.before);
}

#elif defined(__aarch64__)

struct mode default_mode(void)
{
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    const struct mode mode = {fpcr, fpcr != 0};
    if (mode.changed)
        __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0));
    return mode;
}

void restore_mode(struct mode mode)
{
    if (mode.changed)
        __asm__ volatile("msr fpcr, %0" : : "r"(mode.before));
}

#else

struct mode default_mode(void)
{
    const int rounding = fegetround();
    const struct mode mode = {(uint64_t)rounding, rounding != FE_TONEAREST};
    if (mode.changed)
        fesetround(FE_TONEAREST);
    return mode;
}

void restore_mode(struct mode mode)
{
    if (mode.changed)
        fesetround((int)mode.before);
}

#endif

struct run begin_run(double operations)
{
    const struct run run = {default_mode(), operations > 1e5 ? PyEval_SaveThread() : NULL};
    return run;
}

void end_run(struct run run)
{
    restore_mode(run.mode);
    if (run.thread)
        PyEval_RestoreThread(run.thread);
}
