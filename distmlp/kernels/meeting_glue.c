/* Where the ranks of one host meet, in memory that they share and without MPI, as Python calls it.

   A meeting is 32 whole numbers of 32 bits, zeros at first.  The first is its state: how many have come, how often all
   have met, and whether a rank has given it up.  So one compare-and-swap decides between "all have met" and "given up",
   and every rank sees the same outcome.  The seventeenth, on a cache line of its own, counts who sleeps. */

#include "glue.h"

#include <errno.h>
#include <time.h>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

#define GIVEN_UP 0x80000000u
#define COME 0x0000ffffu
#define TIMES (~(GIVEN_UP | COME)) /* how often all have met, which wraps */

enum { SLEEPERS = 16, WORDS = 32 };

/* What Python is told; else the ticket of a rank that has come and waits still. */
enum { MET = -1, LEFT = -2 };

/* Spinning is short of this, and holds Python's lock, before it lets other threads run. */
#define HOLD 5e-6

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline void pause_a_little(void)
{
#if defined(__x86_64__) || defined(__i386__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void sleep_on(uint32_t *word, uint32_t seen, double seconds)
{
    const struct timespec most = {(time_t)seconds, (long)(1e9 * (seconds - (double)(time_t)seconds))};
#if defined(__linux__)
    syscall(SYS_futex, word, FUTEX_WAIT, seen, &most, NULL, 0);
#else
    const struct timespec little = {0, 50000};
    (void)word, (void)seen, (void)most;
    nanosleep(&little, NULL);
#endif
}

static void wake_all(uint32_t *words)
{
#if defined(__linux__)
    if (__atomic_load_n(words + SLEEPERS, __ATOMIC_SEQ_CST))
        syscall(SYS_futex, words, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
#else
    (void)words;
#endif
}

/* One rank more has come: its ticket, or LEFT. */
static Py_ssize_t come(uint32_t *words, uint32_t ranks)
{
    uint32_t seen = __atomic_load_n(words, __ATOMIC_SEQ_CST), next;
    do {
        if (seen & GIVEN_UP)
            return LEFT;
        next = (seen & COME) + 1 == ranks ? ((seen | COME) + 1) & TIMES : seen + 1;
    } while (!__atomic_compare_exchange_n(words, &seen, next, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    if (!(next & COME))
        wake_all(words);
    return seen & TIMES;
}

static Py_ssize_t outcome(uint32_t seen, Py_ssize_t ticket)
{
    if ((seen & TIMES) != (uint32_t)ticket)
        return MET;
    return seen & GIVEN_UP ? LEFT : ticket;
}

static Py_ssize_t spin(uint32_t *words, Py_ssize_t ticket, double until)
{
    Py_ssize_t found;
    int turns = 0;
    while ((found = outcome(__atomic_load_n(words, __ATOMIC_ACQUIRE), ticket)) >= 0) {
        if (++turns % 32 == 0 && now() > until)
            break;
        pause_a_little();
    }
    return found;
}

static Py_ssize_t sleep_until_met(uint32_t *words, Py_ssize_t ticket, double seconds)
{
    __atomic_add_fetch(words + SLEEPERS, 1, __ATOMIC_SEQ_CST);
    const double until = now() + seconds;
    Py_ssize_t found;
    for (;;) {
        const uint32_t seen = __atomic_load_n(words, __ATOMIC_SEQ_CST);
        const double left = until - now();
        found = outcome(seen, ticket);
        if (found < 0 || left <= 0)
            break;
        errno = 0;
        sleep_on(words, seen, left);
        if (errno == EINTR) {
            found = outcome(__atomic_load_n(words, __ATOMIC_SEQ_CST), ticket);
            break; /* Python may have a signal's handler to call */
        }
    }
    __atomic_sub_fetch(words + SLEEPERS, 1, __ATOMIC_SEQ_CST);
    return found;
}

/* Waits for the others, spinning at first; MET, LEFT, or the ticket where neither has come within so many seconds. */
static Py_ssize_t wait_for_all(uint32_t *words, Py_ssize_t ticket, double spinning, double seconds)
{
    Py_ssize_t found = outcome(__atomic_load_n(words, __ATOMIC_ACQUIRE), ticket);
    if (found >= 0 && spinning > 0)
        found = spin(words, ticket, now() + (spinning < HOLD ? spinning : HOLD));
    if (found >= 0) {
        PyThreadState *const thread = PyEval_SaveThread();
        if (spinning > HOLD)
            found = spin(words, ticket, now() + spinning - HOLD);
        if (found >= 0 && seconds > 0)
            found = sleep_until_met(words, ticket, seconds);
        PyEval_RestoreThread(thread);
    }
    return found;
}

static PyObject *meet(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    static const char usage[] = "meet(words, ranks, ticket, spinning, seconds): 32 whole numbers, the ranks, a ticket or -1, two numbers";
    struct call call;
    (void)module;
    if (!take_arguments(&call, given, count, "Inndd", usage))
        return NULL;
    const struct argument *words = call.arguments;
    const Py_ssize_t ranks = words[1].integer;
    Py_ssize_t ticket = words[2].integer;
    const int fits = call.itemsize == 4 && words->size == WORDS && ranks >= 1 && ranks < (Py_ssize_t)COME;
    if (fits && ticket < 0)
        ticket = come((uint32_t *)words->data, (uint32_t)ranks);
    if (fits && ticket >= 0)
        ticket = wait_for_all((uint32_t *)words->data, ticket, words[3].number, words[4].number);
    PyObject *const done = finish_call(&call, fits, usage);
    if (!done)
        return NULL;
    Py_DECREF(done);
    return PyLong_FromSsize_t(ticket);
}

static PyObject *give_up(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    static const char usage[] = "give_up(words, ticket): 32 whole numbers, the ticket of a rank that has come, or -1";
    struct call call;
    (void)module;
    if (!take_arguments(&call, given, count, "In", usage))
        return NULL;
    uint32_t *const words = (uint32_t *)call.arguments[0].data;
    const Py_ssize_t ticket = call.arguments[1].integer;
    const int fits = call.itemsize == 4 && call.arguments[0].size == WORDS;
    Py_ssize_t found = LEFT;
    if (fits) {
        uint32_t seen = __atomic_load_n(words, __ATOMIC_SEQ_CST);
        do {
            found = ticket < 0 ? LEFT : outcome(seen, ticket);
        } while (found != MET && !__atomic_compare_exchange_n(words, &seen, seen | GIVEN_UP, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
        if (found != MET)
            wake_all(words);
    }
    PyObject *const done = finish_call(&call, fits, usage);
    if (!done)
        return NULL;
    Py_DECREF(done);
    return PyBool_FromLong(found == MET);
}

PyMethodDef meeting_functions[] = {
    {"meet", (PyCFunction)(void (*)(void))meet, METH_FASTCALL,
     "meet(words, ranks, ticket, spinning, seconds): comes to a meeting, or goes on waiting in it with the ticket of before; "
     "-1 where all have come, -2 where it is given up, else the ticket."},
    {"give_up", (PyCFunction)(void (*)(void))give_up, METH_FASTCALL,
     "give_up(words, ticket): ends a meeting, but for those who have met already; whether this rank has."},
    {NULL, NULL, 0, NULL},
};
