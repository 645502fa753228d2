/* Functions, activations, costs, updates and random numbers, as Python calls them. */

#include "glue.h"

static PyObject *function(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    static const char usage[] = "function(number, x): a number, floats";
    struct call call;
    (void)module;
    if (!take_arguments(&call, given, count, "nF", usage))
        return NULL;
    const struct argument *number = call.arguments, *x = number + 1;
    const struct run run = begin_run(10.0 * (double)x->size);
    kernels_for(call.itemsize)->function((int)number->integer, x->data, x->size);
    end_run(run);
    return finish_call(&call, 1, usage);
}

static PyObject *activate(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    static const char usage[] = "activate(activation, z): a number, floats (…, n)";
    struct call call;
    (void)module;
    if (!take_arguments(&call, given, count, "nF", usage))
        return NULL;
    const struct argument *number = call.arguments, *z = number + 1;
    if (z->size) {
        const struct run run = begin_run(10.0 * (double)z->size);
        kernels_for(call.itemsize)->activation((int)number->integer, z->data, z->rows, z->columns);
        end_run(run);
    }
    return finish_call(&call, 1, usage);
}

static PyObject *chain_rule(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    static const char usage[] = "chain_rule(activation, a, g): a number, floats (…, n), twice";
    struct call call;
    (void)module;
    if (!take_arguments(&call, given, count, "nfF", usage))
        return NULL;
    const struct argument *number = call.arguments, *a = number + 1, *g = number + 2;
    const int fits = a->rows == g->rows && a->columns == g->columns;
    if (fits && g->size) {
        const struct run run = begin_run(10.0 * (double)g->size);
        kernels_for(call.itemsize)->chain((int)number->integer, a->data, g->data, g->rows, g->columns);
        end_run(run);
    }
    return finish_call(&call, fits, usage);
}

static PyObject *cost_values(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    static const char usage[] = "cost_values(cost, z, a, y, values): a number, floats (s, M, n), three times, doubles (s,)";
    struct call call;
    (void)module;
    if (!take_arguments(&call, given, count, "nfffE", usage))
        return NULL;
    const struct argument *number = call.arguments, *z = number + 1, *a = number + 2, *y = number + 3, *values = number + 4;
    const Py_ssize_t s = values->size, M = s ? z->rows / s : 0, n = z->columns;
    const int fits = a->rows == z->rows && y->rows == z->rows && a->columns == n && y->columns == n && s * M == z->rows;
    if (fits) {
        const struct run run = begin_run(20.0 * (double)z->size);
        kernels_for(8)->cost_values((int)number->integer, z->data, a->data, y->data, s, M, n, call.itemsize == 4, (double *)values->data);
        end_run(run);
    }
    return finish_call(&call, fits, usage);
}

static PyObject *cost_gradient(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    static const char usage[] = "cost_gradient(cost, a, y, out): a number, floats (…, n), three times";
    struct call call;
    (void)module;
    if (!take_arguments(&call, given, count, "nffF", usage))
        return NULL;
    const struct argument *number = call.arguments, *a = number + 1, *y = number + 2, *out = number + 3;
    const int fits = a->size == out->size && y->size == out->size;
    if (fits) {
        const struct run run = begin_run((double)out->size);
        kernels_for(call.itemsize)->gradient_of_cost((int)number->integer, a->data, y->data, out->data, out->rows, out->columns);
        end_run(run);
    }
    return finish_call(&call, fits, usage);
}

static PyObject *update(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    static const char usage[] =
        "update(rule, total, v, first, second, alpha, factors, ends, penalties, clip, c0, …, c7): a number, floats or whole numbers (k,), "
        "floats (k,), floats (k,) or None, twice, a number, doubles (p,), the parts' ends (p,), doubles (p, 3) or None, numbers";
    struct call call;
    (void)module;
    if (!take_arguments(&call, given, count, "ntF?F?Fdeq?eddddddddd", usage))
        return NULL;
    const struct argument *rule = call.arguments, *total = rule + 1, *v = rule + 2, *first = rule + 3, *second = rule + 4, *ends = rule + 7, *penalties = rule + 8;
    const Py_ssize_t k = v->size, parts = ends->size;
    const int64_t *end = (const int64_t *)ends->data;
    int fits = total->size == k && rule[6].size == parts && (first->data ? first->size == k : rule->integer == SGD) &&
               (second->data ? second->size == k : rule->integer != ADAM && rule->integer != NADAM) &&
               (!penalties->data || penalties->size == 3 * parts);
    for (Py_ssize_t i = 0; i < parts; i++)
        fits = fits && end[i] >= (i ? end[i - 1] : 0) && end[i] <= k;
    if (fits) {
        struct update_call u = {.rule = (int)rule->integer, .floats = total->floats, .alpha = rule[5].number};
        const double clip = rule[9].number;
        for (int i = 0; i < 8; i++)
            u.constants[i] = rule[10 + i].number;
        const struct run run = begin_run((double)k);
        for (Py_ssize_t i = 0; i < parts; i++) {
            const Py_ssize_t start = i ? end[i - 1] : 0, offset = start * call.itemsize;
            const double none[3] = {0}, *const penalty = penalties->data ? (const double *)penalties->data + 3 * i : none;
            u.n = end[i] - start;
            u.clip = clip;
            u.l2 = penalty[0];
            u.l1 = penalty[1];
            u.decay = penalty[2];
            u.shaped = clip < __builtin_inf() || u.l2 != 0 || u.l1 != 0 || u.decay != 0;
            u.factor = ((const double *)rule[6].data)[i];
            u.total = total->data + offset;
            u.v = v->data + offset;
            u.first = first->data ? first->data + offset : NULL;
            u.second = second->data ? second->data + offset : NULL;
            kernels_for(call.itemsize)->update(&u);
        }
        end_run(run);
    }
    return finish_call(&call, fits, usage);
}

static PyObject *hits(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    static const char usage[] = "hits(a, labels): floats (rows, n), 64-bit numbers (rows,)";
    struct call call;
    (void)module;
    if (!take_arguments(&call, given, count, "fq", usage))
        return NULL;
    const struct argument *a = call.arguments, *labels = a + 1;
    const int fits = a->rows == labels->size && a->columns > 0;
    const Py_ssize_t found = fits ? kernels_for(call.itemsize)->hits(a->data, (const int64_t *)labels->data, a->rows, a->columns) : 0;
    PyObject *const done = finish_call(&call, fits, usage);
    if (!done)
        return NULL;
    Py_DECREF(done);
    return PyLong_FromSsize_t(found);
}

static PyObject *squares(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    static const char usage[] = "squares(total, ends, out): floats or whole numbers (k,), the parts' ends (p,), doubles (p,)";
    struct call call;
    (void)module;
    if (!take_arguments(&call, given, count, "tqE", usage))
        return NULL;
    const struct argument *total = call.arguments, *ends = total + 1, *out = total + 2;
    const int64_t *end = (const int64_t *)ends->data;
    int fits = ends->size == out->size;
    for (Py_ssize_t i = 0; fits && i < ends->size; i++)
        fits = end[i] >= (i ? end[i - 1] : 0) && end[i] <= total->size;
    if (fits) {
        const struct run run = begin_run((double)total->size);
        for (Py_ssize_t i = 0; i < ends->size; i++) {
            const Py_ssize_t start = i ? end[i - 1] : 0;
            ((double *)out->data)[i] = kernels_for(call.itemsize)->squares(total->data + start * call.itemsize, end[i] - start, total->floats);
        }
        end_run(run);
    }
    return finish_call(&call, fits, usage);
}

static PyObject *drop(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    static const char usage[] = "drop(x, words, keep, scale, out): floats, 64-bit numbers, numbers, floats; four entries a word";
    struct call call;
    (void)module;
    if (!take_arguments(&call, given, count, "fqndF", usage))
        return NULL;
    const struct argument *x = call.arguments, *words = x + 1, *out = x + 4;
    const int fits = x->size == out->size && 4 * words->size >= x->size;
    if (fits) {
        const struct run run = begin_run((double)x->size);
        kernels_for(call.itemsize)->drop(x->data, (const uint64_t *)words->data, (int)x[2].integer, x[3].number, out->data, x->size);
        end_run(run);
    }
    return finish_call(&call, fits, usage);
}

static PyObject *normals(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    static const char usage[] = "normals(words, out): 64-bit numbers and doubles, of one even size";
    struct call call;
    (void)module;
    if (!take_arguments(&call, given, count, "qE", usage))
        return NULL;
    const struct argument *words = call.arguments, *out = words + 1;
    const int fits = words->size == out->size && out->size % 2 == 0;
    if (fits) {
        const struct run run = begin_run(10.0 * (double)out->size);
        kernels_for(8)->normals((const uint64_t *)words->data, (double *)out->data, out->size / 2);
        end_run(run);
    }
    return finish_call(&call, fits, usage);
}

/* The upper 64 bits of the product. */
static uint64_t upper_half(uint64_t x, uint64_t y)
{
#ifdef __SIZEOF_INT128__
    return (uint64_t)(((unsigned __int128)x * y) >> 64);
#else
    const uint64_t low = 0xffffffff, x1 = x >> 32, x0 = x & low, y1 = y >> 32, y0 = y & low;
    const uint64_t middle = x1 * y0 + (x0 * y0 >> 32), other = x0 * y1 + (middle & low);
    return x1 * y1 + (middle >> 32) + (other >> 32);
#endif
}

/* Steps of R. Fisher and F. Yates's shuffle, in R. Durstenfeld's form, of the entries 0 … left − 1 of order.  A batch's
   places are known before they are exchanged, so that the memory can be fetched early. */
static void shuffle_steps(int64_t *order, Py_ssize_t left, const uint64_t *words, Py_ssize_t steps)
{
    enum { BATCH = 32 };
    uint64_t places[BATCH];
    for (Py_ssize_t done = 0; done < steps; done += BATCH) {
        const Py_ssize_t batch = steps - done < BATCH ? steps - done : BATCH;
        for (Py_ssize_t i = 0; i < batch; i++) {
            places[i] = upper_half(words[done + i], (uint64_t)(left - done - i));
            __builtin_prefetch(order + places[i], 1);
        }
        for (Py_ssize_t i = 0; i < batch; i++) {
            int64_t *const last = order + (left - done - i - 1), *const chosen = order + places[i];
            const int64_t taken = *chosen;
            *chosen = *last;
            *last = taken;
        }
    }
}

static PyObject *shuffle(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    static const char usage[] = "shuffle(order, words, left): 64-bit numbers, twice, at least as many left as words";
    struct call call;
    (void)module;
    if (!take_arguments(&call, given, count, "Qqn", usage))
        return NULL;
    const struct argument *order = call.arguments, *words = order + 1;
    const Py_ssize_t left = order[2].integer;
    const int fits = left <= order->size && words->size <= left;
    if (fits) {
        const struct run run = begin_run((double)words->size);
        shuffle_steps((int64_t *)order->data, left, (const uint64_t *)words->data, words->size);
        end_run(run);
    }
    return finish_call(&call, fits, usage);
}

/* Words of the blocks after `counter`, four a block: Philox4x64-10 (Salmon, Moraes, Dror and Shaw, SC 2011).  Several blocks
   at a time, so that one's products are made while the others' are on their way. */
static void philox_words(const uint64_t key[2], const uint64_t counter[4], uint64_t *out, Py_ssize_t n)
{
    enum { BLOCKS = 3, ROUNDS = 10 };
    const uint64_t M0 = 0xD2E7470EE14C6C93, M1 = 0xCA5A826395121157, W0 = 0x9E3779B97F4A7C15, W1 = 0xBB67AE8584CAA73B;
    for (Py_ssize_t done = 0; done < n; done += 4 * BLOCKS) {
        uint64_t words[4 * BLOCKS], key0 = key[0], key1 = key[1], x0[BLOCKS], x1[BLOCKS], x2[BLOCKS], x3[BLOCKS];
        for (int i = 0; i < BLOCKS; i++) {
            x0[i] = counter[0] + (uint64_t)(done / 4 + i + 1);
            x1[i] = counter[1];
            x2[i] = counter[2];
            x3[i] = counter[3];
        }
#pragma GCC unroll 10
        for (int round = 0; round < ROUNDS; round++, key0 += W0, key1 += W1)
            for (int i = 0; i < BLOCKS; i++) {
                const uint64_t left = x0[i], right = x2[i];
                x0[i] = upper_half(M1, right) ^ x1[i] ^ key0;
                x1[i] = M1 * right;
                x2[i] = upper_half(M0, left) ^ x3[i] ^ key1;
                x3[i] = M0 * left;
            }
        for (int i = 0; i < BLOCKS; i++) {
            words[4 * i] = x0[i];
            words[4 * i + 1] = x1[i];
            words[4 * i + 2] = x2[i];
            words[4 * i + 3] = x3[i];
        }
        const Py_ssize_t some = n - done < 4 * BLOCKS ? n - done : 4 * BLOCKS;
        memcpy(out + done, words, (size_t)some * sizeof *out);
    }
}

static PyObject *random_words(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    static const char usage[] =
        "random_words(key, counter, out): 64-bit numbers (2,), (4,), (s, n); the counter's first has room for n / 4 more, its last for s more";
    struct call call;
    (void)module;
    if (!take_arguments(&call, given, count, "qqQ", usage))
        return NULL;
    const struct argument *key = call.arguments, *counter = key + 1, *out = key + 2;
    uint64_t place[4] = {UINT64_MAX};
    if (key->size == 2 && counter->size == 4)
        memcpy(place, counter->data, sizeof place);
    const int fits = place[0] < UINT64_MAX - (uint64_t)out->columns / 4 - 1 && place[3] <= UINT64_MAX - (uint64_t)out->rows;
    if (fits) {
        const struct run run = begin_run(5.0 * (double)out->size);
        for (Py_ssize_t row = 0; row < out->rows; row++, place[3]++)
            philox_words((const uint64_t *)key->data, place, (uint64_t *)out->data + row * out->columns, out->columns);
        end_run(run);
    }
    return finish_call(&call, fits, usage);
}

#define ENTRY(name, says) {#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL, says}

PyMethodDef function_functions[] = {
    ENTRY(function, "function(number, x): x becomes an elementary function of x."),
    ENTRY(activate, "activate(activation, z): z becomes a = σ(z)."),
    ENTRY(chain_rule, "chain_rule(activation, a, g): g = ∂C/∂a becomes ∂C/∂z."),
    ENTRY(hits, "hits(a, labels): how many rows have their largest entry where the labels say."),
    ENTRY(cost_values, "cost_values(cost, z, a, y, values): the cost of each micro-batch."),
    ENTRY(cost_gradient, "cost_gradient(cost, a, y, out): ∂C/∂a of the output layer."),
    ENTRY(update, "update(rule, total, v, first, second, alpha, factors, ends, …): v and the optimizer's arrays take a step."),
    ENTRY(squares, "squares(total, ends, out): the sum of the squares of each part."),
    ENTRY(drop, "drop(x, words, keep, scale, out): entries that are chosen by random words become 0, the others are scaled."),
    ENTRY(normals, "normals(words, out): two words become two normal numbers."),
    ENTRY(shuffle, "shuffle(order, words, left): as many steps of a shuffle as there are words."),
    ENTRY(random_words, "random_words(key, counter, out): rows of the words of Philox4x64-10 after a counter, whose last number grows by one a row."),
    {NULL, NULL, 0, NULL},
};
