"""Known answers: a few small cases of all that the kernels compute, whose SHA-256 stand here.

`check` computes them at the start of a process, in about a millisecond.  A CPU, a build or a mode of
arithmetic that gives different bits is refused by name, before it can train a different v.
"""

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike

from distmlp.errors import InputError
from distmlp.kernels import choice
from distmlp.kernels.numbers import Activation, CostFunction, Function, Rule


def _drawn(*shape: int, dtype: DTypeLike = np.float64, seed: int = 1) -> np.ndarray:
    """Numbers between −2 and 2 of 16 bits each, by whole numbers alone; every seventh is far smaller."""
    count = int(np.prod(shape))
    k = (
        np.arange(seed, seed + count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    ) >> np.uint64(48)
    x = (k.astype(np.float64) - 2.0**15) * 2.0**-14
    x[::7] *= 2.0**-80
    return x.astype(dtype).reshape(shape)


def _products(dtype: DTypeLike) -> list[np.ndarray]:
    """The three products, the last of them counted, of whole tiles and parts of one, with some subnormal factors."""
    S, n, m = 17, 43, 24
    w, b, below = (
        _drawn(n, m, dtype=dtype),
        _drawn(n, dtype=dtype),
        _drawn(S, m, dtype=dtype, seed=9),
    )
    below[0, :3] *= np.finfo(dtype).tiny
    a, z, delta = _drawn(S, n, dtype=dtype), _drawn(S, n, dtype=dtype), _drawn(S, m, dtype=dtype)
    choice.forward(w, b, below, a, z, Activation.SIGMOID)
    choice.backward(w, z, below, delta, Activation.TANH)
    whole = np.int32 if dtype is np.float32 else np.int64
    total_w, total_b = np.empty(n * m, whole), np.empty(n, whole)
    largest_w, largest_b = (np.zeros_like(b[:1]) for _ in range(2))
    choice.gradient(
        a,
        below,
        S,
        1024.0,
        512.0,
        total_w,
        total_b,
        largest_w,
        largest_b,
        True,
        True,
        0,
        n * m,
        0,
        n,
    )
    return [a, z, delta, total_w, total_b, largest_w, largest_b]


def _functions() -> list[np.ndarray]:
    """Every elementary function and activation, with results that are subnormal, and every cost."""
    made: list[np.ndarray] = []
    for dtype in (np.float32, np.float64):
        # made here and not written as numbers, which Python reads in the mode that this is to find out
        subnormal = np.ldexp(np.array([3.0, 5.0]), [-135, -1035])
        x = np.append(8.0 * _drawn(28), [-100.0, -740.0, *subnormal]).astype(dtype)
        size, g = np.abs(x), x[::-1].reshape(4, -1)
        for function in Function:
            y = -size
            if function in (Function.LOG, Function.LOG1P_OF_FRACTION):
                y = size / dtype(1 if function is Function.LOG else 128)
            choice.function(function, y)
            made.append(y)
        for activation in Activation:
            a, delta = x.reshape(4, -1).copy(), g.copy()
            choice.activate(activation, a)
            choice.chain_rule(activation, a, delta)
            made += [a, delta]
        z, y = x.reshape(2, 2, -1), (size / dtype(128)).reshape(2, 2, -1)
        for cost in CostFunction:
            values = np.empty(2)
            choice.cost_values(cost, z, z, y, values)
            slope = np.empty_like(z)
            choice.cost_gradient(cost, z, y, slope)
            made += [values, slope]
    return made


def _updates() -> list[np.ndarray]:
    """Every optimizer's update, of both dtypes, with penalties and without; sums over v, and what dropout leaves."""
    made: list[np.ndarray] = []
    factors, ends = np.ldexp(np.divide([1.0], [3.0]), -30), np.array([21])
    constants = 0.875, 0.125, 0.96875, 0.03125, 0.296875, 2.0**-26, 0.34375, 0.65625
    words = np.arange(1, 7, dtype=np.uint64) * np.uint64(0xD1342543DE82EF95)
    for dtype, whole in ((np.float32, np.int32), (np.float64, np.int64)):
        x = _drawn(21, dtype=dtype)
        total = (x * dtype(2.0**29)).astype(whole)
        for rule in Rule:
            for penalties, clip in ((None, np.inf), (np.array([[0.0625, 0.125, 0.25]]), 0.1875)):
                arrays = x[::-1].copy(), np.abs(x) if rule > Rule.ADAM else x.copy(), np.abs(x)
                how = factors, ends, penalties, clip, *constants
                choice.update(rule, total, *arrays, 0.109375, *how)
                made += arrays
        sums, kept = np.empty(1), np.empty_like(x)
        choice.squares(total, ends, sums)
        choice.drop(x, words, 40000, 1.6384, kept)
        made += [sums, kept]
    return made


def _random_numbers() -> list[np.ndarray]:
    """Normal numbers, a shuffle, and random words, of which the last block is a part."""
    words = np.arange(1, 65, dtype=np.uint64) * np.uint64(0xD1342543DE82EF95)
    made, order, drawn = np.empty(64), np.arange(65), np.empty(27, np.uint64)
    choice.normals(words, made)
    choice.shuffle(order, words, 65)
    choice.random_words(words[:2], words[2:6], drawn)
    return [made, order, drawn]


#: what is computed -> (how, its SHA-256)
ANSWERS: dict[str, tuple[Callable[[], list[np.ndarray]], str]] = {
    "products in float32": (
        lambda: _products(np.float32),
        "3e17fccbfee4b32dae9f9a7533fb7c286a7bd0995f1274cb8bc8f02ffc1d5f9d",
    ),
    "products in float64": (
        lambda: _products(np.float64),
        "6a3690166f8ee50a68c7d3ae5f7537f15c3b53bf6e54f813fc240ae07b860ed7",
    ),
    "exp, log, the activations and the costs": (
        _functions,
        "92ab34a42afcf859866cfc4212079ca4b0e4113c1b95de570a244bc7ef145a83",
    ),
    "the optimizers' updates, sums over v and dropout": (
        _updates,
        "59dc3c6879a700b93ea20a70b6046ef028fbeacaf64cb94b3dab718cf20e3056",
    ),
    "random numbers": (
        _random_numbers,
        "a823940f0f0d9779d841abde9df0ee24210f4fc1a9ca5b6ef37ee1f9973dacd6",
    ),
}


def digest(arrays: list[np.ndarray]) -> str:
    """The SHA-256 of arrays' bytes, the lowest byte of each number first."""
    made = hashlib.sha256()
    for array in arrays:
        made.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    return made.hexdigest()


def _rounds_to_nearest() -> bool:
    one, step = np.ones(1), np.full(1, 2.0**-53)
    return bool((one + step == one) & (-one - step == -one) & (one - step / 2 == one))


def _keeps_subnormals() -> bool:
    half = np.full(1, np.finfo(np.float64).tiny) / 2
    return bool((half > 0) & (half * 2 == np.finfo(np.float64).tiny))


def check() -> bool:
    """Compares the answers with those that stand here; returns whether it had to switch subnormal numbers on.

    A library that was loaded earlier may have switched them off; this thread, and those that it starts later,
    keep them from now on.  Raises InputError where an answer differs, and where numbers are not rounded to
    nearest: then Python has already read numbers wrongly; and as `choice.check` does.
    """
    choice.check()
    if not _rounds_to_nearest():
        raise InputError(
            "This process does not round to the nearest number; a library that it loaded has changed that."
        )
    mended = choice.compiled is not None and choice.compiled.set_mode()
    with np.errstate(all="ignore"):
        wrong = [name for name, (compute, known) in ANSWERS.items() if digest(compute()) != known]
    if wrong:
        reason = (
            "" if _keeps_subnormals() else ", since this process takes subnormal numbers for zero"
        )
        raise InputError(
            f"This machine computes {' and '.join(wrong)} to different bits than distmlp's known answers"
            f"{reason}. The kernels are {choice.name()}."
        )
    return mended
