"""The elementary functions in numpy: the bits of kernels/functions.h, where no compiled part is.

Each is a written-down sequence of IEEE additions, multiplications, divisions and comparisons, with no
fused multiply-add, so numpy gives the same bits as C on every CPU.  docs/arithmetic.md has the sequences;
tests/kernels/coefficients.py derives the coefficients.

All take and give arrays of float32 or float64, of any shape, and leave their arguments as they are.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Constants:
    """What the functions need for one dtype.

    round: adding it to a small number rounds that to a whole number.  ln2, ln2_rest: ln 2 in two parts,
    the first of so few bits that its products with exponents are exact.  exp, log: coefficients, the
    lowest first.  least_exp, most_exp: e^x is 0 below and infinite above.  mantissa, bias: of the format.
    saturated_sigmoid, saturated_tanh, saturated_expm1: below, the function is that of minus infinity.
    offset: sigmoid's exponents are lowered by it, so that e^-z stays finite.  sqrt_half: the bits of √½.
    """

    dtype: type
    whole: type
    mantissa: int
    bias: int
    round: float
    log2e: float
    ln2: float
    ln2_rest: float
    exp: tuple[float, ...]
    log: tuple[float, ...]
    least_exp: float
    most_exp: float
    saturated_sigmoid: float
    saturated_tanh: float
    saturated_expm1: float
    offset: int
    sqrt_half: int


_32 = Constants(
    dtype=np.float32,
    whole=np.int32,
    mantissa=23,
    bias=127,
    round=float.fromhex("0x1.8p23"),
    log2e=float.fromhex("0x1.715476p+0"),
    ln2=float.fromhex("0x1.62e4p-1"),
    ln2_rest=float.fromhex("0x1.7f7d1cp-20"),
    exp=tuple(
        map(
            float.fromhex,
            (
                "0x1p-1",
                "0x1.555556p-3",
                "0x1.5554ep-5",
                "0x1.110ffp-7",
                "0x1.6d56b2p-10",
                "0x1.a26ed4p-13",
            ),
        )
    ),
    log=tuple(map(float.fromhex, ("0x1.5555b6p-1", "0x1.9929aep-2", "0x1.36fad8p-2"))),
    least_exp=-104.5,
    most_exp=89.5,
    saturated_sigmoid=-30.0,
    saturated_tanh=-20.0,
    saturated_expm1=-20.0,
    offset=24,
    sqrt_half=0x3F3504F3,
)

_64 = Constants(
    dtype=np.float64,
    whole=np.int64,
    mantissa=52,
    bias=1023,
    round=float.fromhex("0x1.8p52"),
    log2e=float.fromhex("0x1.71547652b82fep+0"),
    ln2=float.fromhex("0x1.62e42fefa3p-1"),
    ln2_rest=float.fromhex("0x1.3de6af278ece6p-42"),
    exp=tuple(
        map(
            float.fromhex,
            (
                "0x1p-1",
                "0x1.555555555555cp-3",
                "0x1.5555555555558p-5",
                "0x1.111111110e963p-7",
                "0x1.6c16c16c14fb0p-10",
                "0x1.a01a01b4a3babp-13",
                "0x1.a01a01adad005p-16",
                "0x1.71dded478e272p-19",
                "0x1.27e4cb841a00fp-22",
                "0x1.af70d85e6050cp-26",
                "0x1.1f8cf0f8e7c54p-29",
            ),
        )
    ),
    log=tuple(
        map(
            float.fromhex,
            (
                "0x1.555555555554fp-1",
                "0x1.999999999c145p-2",
                "0x1.24924921e8f9dp-2",
                "0x1.c71c748ac8fcap-3",
                "0x1.745c4c249f924p-3",
                "0x1.3b35941e02a4cp-3",
                "0x1.0dcea489cb702p-3",
                "0x1.1b6c45686a18ap-3",
            ),
        )
    ),
    least_exp=-746.0,
    most_exp=710.0,
    saturated_sigmoid=-40.0,
    saturated_tanh=-42.0,
    saturated_expm1=-42.0,
    offset=64,
    sqrt_half=0x3FE6A09E667F3BCD,
)

CONSTANTS = {np.dtype(np.float32): _32, np.dtype(np.float64): _64}


def polynomial(x: np.ndarray, coefficients: tuple[float, ...]) -> np.ndarray:
    """Σ c_k x^k as E(x²) + x O(x²), the even and the odd powers by Horner's rule each."""
    c = [x.dtype.type(number) for number in coefficients]
    square = x * x
    even, odd = c[(len(c) - 1) // 2 * 2], c[len(c) // 2 * 2 - 1]
    for k in range((len(c) - 1) // 2 * 2 - 2, -1, -2):
        even = c[k] + square * even
    for k in range(len(c) // 2 * 2 - 3, 0, -2):
        odd = c[k] + square * odd
    return even + x * odd


def power_of_2(k: np.ndarray, C: Constants, offset: int = 0) -> np.ndarray:
    """2^(n + offset), where k is n + C.round and the power is in the range of normal numbers."""
    bits = k.view(C.whole) << C.whole(C.mantissa)
    return (bits + C.whole((C.bias + offset) << C.mantissa)).view(C.dtype)


def exp_parts(t: np.ndarray, C: Constants) -> tuple[np.ndarray, np.ndarray]:
    """(k, p) with e^t = 2^n (1 + p), n the whole number nearest to t/ln 2, and k = n + C.round."""
    t = np.ascontiguousarray(t)
    k = t * C.dtype(C.log2e) + C.dtype(C.round)
    n = k - C.dtype(C.round)
    high = t - n * C.dtype(C.ln2)  # exact
    rest = n * C.dtype(C.ln2_rest)
    r = high - rest
    lost = (high - r) - rest  # what r lacks
    return k, r + (r * r * polynomial(r, C.exp) + lost)


def _constants(x: np.ndarray) -> tuple[np.ndarray, Constants]:
    x = np.asarray(x)
    return x, CONSTANTS[x.dtype]


def _clamped(x: np.ndarray, least: float, most: float) -> np.ndarray:
    """x within [least, most]; a NaN stays."""
    x = np.where(x > most, x.dtype.type(most), x)
    return np.where(x < least, x.dtype.type(least), x)


@np.errstate(all="ignore")
def exp(x: np.ndarray) -> np.ndarray:
    """e^x, in two factors, so that it may overflow, and underflow gradually."""
    x, C = _constants(x)
    k, p = exp_parts(_clamped(x, C.least_exp, C.most_exp), C)
    s = np.where(x < 0, power_of_2(k, C, 64), power_of_2(k, C, -64))
    return (s + s * p) * np.where(x < 0, C.dtype(2.0**-64), C.dtype(2.0**64))


@np.errstate(all="ignore")
def exp_of_negative(x: np.ndarray) -> np.ndarray:
    """e^x for x ≤ 0: the bits of exp, in fewer operations."""
    x, C = _constants(x)
    k, p = exp_parts(_clamped(x, C.least_exp, np.inf), C)
    s = power_of_2(k, C, 64)
    return (s + s * p) * C.dtype(2.0**-64)


@np.errstate(all="ignore")
def expm1_of_negative(x: np.ndarray) -> np.ndarray:
    """e^x − 1 for x ≤ 0."""
    x, C = _constants(x)
    k, p = exp_parts(_clamped(x, C.saturated_expm1, np.inf), C)
    s = power_of_2(k, C)
    return (s - 1) + s * p


@np.errstate(all="ignore")
def sigmoid(z: np.ndarray) -> np.ndarray:
    """1/(1 + e^-z) as c/(c + c e^-z), where c is a power of two that keeps c e^-z finite."""
    z, C = _constants(z)
    k, p = exp_parts(_clamped(-z, C.saturated_sigmoid, -C.least_exp), C)
    c, s = C.dtype(2.0**-C.offset), power_of_2(k, C, -C.offset)
    larger, smaller = np.where(s > c, s, c), np.where(s > c, c, s)
    return c / (larger + (smaller + s * p))


@np.errstate(all="ignore")
def tanh(x: np.ndarray) -> np.ndarray:
    """(1 − e)/(1 + e) with e = e^(−2|x|), and the sign of x."""
    x, C = _constants(x)
    k, p = exp_parts(_clamped(np.abs(x) * C.dtype(-2), C.saturated_tanh, np.inf), C)
    s = power_of_2(k, C)
    sp = s * p
    return np.copysign(((1 - s) - sp) / ((1 + s) + sp), x)


def _log_parts(f: np.ndarray, C: Constants) -> np.ndarray:
    """s (f − R) with ln(1 + f) = f − s (f − R), for s = f/(2 + f)."""
    s = f / (2 + f)
    square = s * s
    return s * (f - square * polynomial(square, C.log))


@np.errstate(all="ignore")
def log1p_of_fraction(x: np.ndarray) -> np.ndarray:
    """ln(1 + x) for 0 ≤ x ≤ 1; above ½ as ln 2 + ln(1 + (x − 1)/2)."""
    x, C = _constants(x)
    above, zero = x > 0.5, C.dtype(0)
    f = np.where(above, (x - 1) * C.dtype(0.5), x)
    high, rest = np.where(above, C.dtype(C.ln2), zero), np.where(above, C.dtype(C.ln2_rest), zero)
    return high + (f - (_log_parts(f, C) - rest))


@np.errstate(all="ignore")
def log(x: np.ndarray) -> np.ndarray:
    """ln x = e ln 2 + ln m with x = 2^e m and √½ ≤ m < √2."""
    x, C = _constants(x)
    tiny = x < np.finfo(C.dtype).tiny
    normal = np.ascontiguousarray(np.where(tiny, x * C.dtype(2.0**64), x))
    bits = normal.view(C.whole) + C.whole((C.bias << C.mantissa) - C.sqrt_half)
    low = C.whole((1 << C.mantissa) - 1)
    m = ((bits & low) + C.whole(C.sqrt_half)).view(C.dtype)
    e = (bits >> C.whole(C.mantissa)).astype(C.dtype) - C.dtype(C.bias)
    e = np.where(tiny, e - 64, e)
    f = m - 1
    y = e * C.dtype(C.ln2) + (f - (_log_parts(f, C) - e * C.dtype(C.ln2_rest)))
    y = np.where(x > 0, y, np.where(x == 0, C.dtype(-np.inf), C.dtype(np.nan)))
    return np.where(x == np.inf, x, y)


@np.errstate(all="ignore")
def softplus(z: np.ndarray) -> np.ndarray:
    """ln(1 + e^z) = max(z, 0) + ln(1 + e^−|z|)."""
    z, C = _constants(z)
    return np.where(z > 0, z, C.dtype(0)) + log1p_of_fraction(exp_of_negative(-np.abs(z)))
