/* The three products, as Python calls them. */

#include "glue.h"

static PyObject *fma_(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    static const char usage[] = "fma(x, y, c, out): floats of one size";
    struct call call;
    (void)module;
    if (!take_arguments(&call, given, count, "fffF", usage))
        return NULL;
    const struct argument *x = call.arguments, *y = x + 1, *c = x + 2, *out = x + 3;
    const int fits = x->size == out->size && y->size == out->size && c->size == out->size;
    if (fits) {
        const struct run run = begin_run((double)out->size);
        kernels_for(call.itemsize)->fma(x->data, y->data, c->data, out->data, out->size);
        end_run(run);
    }
    return finish_call(&call, fits, usage);
}

static PyObject *forward(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    static const char usage[] = "forward(w, b, below, a, z or None, activation): floats (n, m), (n,), (S, m), (S, n), (S, n), a number";
    struct call call;
    (void)module;
    if (!take_arguments(&call, given, count, "fffF?Fn", usage))
        return NULL;
    const struct argument *w = call.arguments, *b = w + 1, *below = w + 2, *a = w + 3, *z = w + 4;
    const Py_ssize_t S = a->rows, n = w->rows, m = w->columns;
    const int fits = b->size == n && below->columns == m && below->rows == S && a->columns == n && (!z->data || z->size == S * n) && m > 0;
    if (fits && S > 0 && n > 0) {
        const struct run run = begin_run((double)S * n * m);
        kernels_for(call.itemsize)->forward(w->data, b->data, below->data, a->data, z->data, S, n, m, (int)w[5].integer);
        end_run(run);
    }
    return finish_call(&call, fits, usage);
}

static PyObject *backward(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    static const char usage[] = "backward(w, above, a, delta, activation): floats (n, m), (S, n), (S, m), (S, m), a number";
    struct call call;
    (void)module;
    if (!take_arguments(&call, given, count, "fffFn", usage))
        return NULL;
    const struct argument *w = call.arguments, *above = w + 1, *a = w + 2, *delta = w + 3;
    const Py_ssize_t S = delta->rows, n = w->rows, m = w->columns;
    const int fits = above->columns == n && above->rows == S && a->columns == m && a->rows == S && delta->columns == m && n > 0;
    if (fits && S > 0 && m > 0) {
        const struct run run = begin_run((double)S * n * m);
        kernels_for(call.itemsize)->backward(w->data, above->data, a->data, delta->data, S, n, m, (int)w[4].integer);
        end_run(run);
    }
    return finish_call(&call, fits, usage);
}

static PyObject *gradient(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    static const char usage[] =
        "gradient(delta, a, M, scale_w, scale_b, total_w, total_b, largest_w, largest_b, first, last, kept, kept_end, neuron, neuron_end): floats (s M, n), "
        "(s M, m), a number, two scales, totals (n m,), (n,) of whole numbers or of floats, floats (s,), (s,), six numbers";
    struct call call;
    (void)module;
    if (!take_arguments(&call, given, count, "ffnddTTFFnnnnnn", usage))
        return NULL;
    const struct argument *delta = call.arguments, *a = delta + 1, *total_w = delta + 5, *total_b = delta + 6;
    const Py_ssize_t M = delta[2].integer, S = delta->rows, s = M > 0 ? S / M : 0, n = delta->columns, m = a->columns;
    const struct gradient_call g = {
        .delta = delta->data, .a = a->data, .s = s, .M = M, .n = n, .m = m,
        .scale_w = delta[3].number, .scale_b = delta[4].number,
        .total_w = total_w->data, .total_b = total_b->data, .largest_w = delta[7].data, .largest_b = delta[8].data,
        .first = delta[9].integer != 0, .last = delta[10].integer != 0, .exact = !total_w->floats,
        .kept = delta[11].integer, .kept_end = delta[12].integer,
        .neuron = delta[13].integer, .neuron_end = delta[14].integer,
    };
    const int fits = M > 0 && s * M == S && a->rows == S && total_w->size == n * m && total_b->size == n && delta[7].size == s &&
                     delta[8].size == s && total_w->floats == total_b->floats && m > 0 && n > 0 && g.neuron >= 0 && g.neuron <= g.neuron_end && g.neuron_end <= n;
    int made = 1;
    if (fits) {
        const struct run run = begin_run((double)S * (g.neuron_end - g.neuron) * m);
        made = kernels_for(call.itemsize)->gradient(&g);
        end_run(run);
    }
    if (made)
        return finish_call(&call, fits, usage);
    give_back(&call);
    return PyErr_NoMemory();
}

PyMethodDef product_functions[] = {
    {"fma", (PyCFunction)(void (*)(void))fma_, METH_FASTCALL, "fma(x, y, c, out): out = x y + c, rounded once."},
    {"forward", (PyCFunction)(void (*)(void))forward, METH_FASTCALL, "forward(w, b, below, a, z, activation): a = σ(w below + b); z, where given, is kept."},
    {"backward", (PyCFunction)(void (*)(void))backward, METH_FASTCALL, "backward(w, above, a, delta, activation): delta = (wᵀ above) ⊙ σ'(z), taken from a = σ(z)."},
    {"gradient", (PyCFunction)(void (*)(void))gradient, METH_FASTCALL,
     "gradient(delta, a, M, scale_w, scale_b, total_w, total_b, largest_w, largest_b, first, last, kept, kept_end, neuron, neuron_end): adds the micro-batches' gradients."},
    {NULL, NULL, 0, NULL},
};
