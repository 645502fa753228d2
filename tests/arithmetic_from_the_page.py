"""Random numbers, products and functions as docs/arithmetic.md defines them, with nothing of distmlp: see from_the_page.py.

Beside each step stands the section of that page which says the step.  Arrays are of float32 or float64, and constants are
rounded to their dtype.  Logarithms, and what needs them, are there in float64 alone: no small run needs them in float32.
"""

import ctypes
import math
import subprocess
import tempfile
from functools import cache, reduce
from pathlib import Path

import numpy as np


def numbers(text):
    return [float.fromhex(word) for word in text.split()]


#: Functions: what rounds to whole numbers, log₂e, and ln 2 in two parts.
PARTS_32 = numbers("0x1.8p23 0x1.715476p+0 0x1.62e4p-1 0x1.7f7d1cp-20")
PARTS_64 = numbers("0x1.8p52 0x1.71547652b82fep+0 0x1.62e42fefa3p-1 0x1.3de6af278ece6p-42")

# Functions: the coefficients, the lowest power first.
EXP_32 = numbers("0x1p-1 0x1.555556p-3 0x1.5554ep-5 0x1.110ffp-7 0x1.6d56b2p-10 0x1.a26ed4p-13")
EXP_64 = numbers("""
    0x1p-1 0x1.555555555555cp-3 0x1.5555555555558p-5 0x1.111111110e963p-7 0x1.6c16c16c14fb0p-10
    0x1.a01a01b4a3babp-13 0x1.a01a01adad005p-16 0x1.71dded478e272p-19 0x1.27e4cb841a00fp-22
    0x1.af70d85e6050cp-26 0x1.1f8cf0f8e7c54p-29""")
LOG = numbers("""
    0x1.555555555554fp-1 0x1.999999999c145p-2 0x1.24924921e8f9dp-2 0x1.c71c748ac8fcap-3
    0x1.745c4c249f924p-3 0x1.3b35941e02a4cp-3 0x1.0dcea489cb702p-3 0x1.1b6c45686a18ap-3""")
SINE = numbers("""
    0x1.921fb54442d18p-1 -0x1.4abbce625be09p-4 0x1.466bc67754fe4p-9 -0x1.32d2ccdfe644ap-15
    0x1.50782d5b6b2d1p-22 -0x1.e2fe733e88a92p-30 0x1.e356905f06f74p-38""")
COSINE = numbers("""
    -0x1.3bd3cc9be45dep-2 0x1.03c1f081b5a65p-6 -0x1.55d3c7e3c2d7bp-12 0x1.e1f5067b057f8p-19
    -0x1.a6d1e6b52f412p-26 0x1.f9c840cb57470p-34 -0x1.b14b5b3de0d19p-42""")

#: Functions: the parts, P, and the least argument of e^x and of the e^x in tanh.
CONSTANTS = {"float32": (PARTS_32, EXP_32, -104.5, -20), "float64": (PARTS_64, EXP_64, -746, -42)}

#: Products: chains of 256 links.  z[r][j] is start[j] and the sum of x[r][k] y[j][k] over k.
PRODUCT = """
#include <math.h>
void product(long rows, long columns, long links, const REAL *x, const REAL *y, const REAL *start, REAL *z) {
    for (long r = 0; r < rows; r++)
        for (long j = 0; j < columns; j++) {
            REAL sum = 0;
            for (long first = 0; first < links; first += 256) {
                REAL c = first ? 0 : start[j];
                for (long k = first; k < links && k < first + 256; k++)
                    c = FMA(x[r * links + k], y[j * links + k], c);
                sum = first ? sum + c : c;
            }
            z[r * columns + j] = sum;
        }
}
"""


def words(key, place, count):
    """The first words of 64 bits that belong to a key (seed, purpose) and a place of three numbers."""
    # Random numbers: the counter's lowest word is not the place's.
    key, counter = np.array(key, np.uint64), np.array([0, *place], np.uint64)
    return np.random.Philox(key=key, counter=counter).random_raw(count)


def permutation(key, place, count):
    """The numbers 0 … count − 1 in random order."""
    # Random numbers, permutation
    order = np.arange(count)
    for left, word in zip(range(count, 1, -1), words(key, place, count - 1), strict=True):
        other = int(word) * left >> 64
        order[[left - 1, other]] = order[[other, left - 1]]
    return order


def uniform(key, place, count):
    """Float64 between −1 and 1."""
    # Random numbers, uniform
    k = (words(key, place, count) >> np.uint64(12)).astype(np.float64)
    return (2 * k + 1) * 2.0**-52 - 1


def normals(key, place, count):
    """Float64 of N(0, 1): two from two words, so that the last one is thrown away where count is odd."""
    # Random numbers, normal
    drawn = words(key, place, count + count % 2)
    u = (2 * (drawn >> np.uint64(12)).astype(np.float64) + 1) * 2.0**-53
    radius, f, octant = np.sqrt(-2 * log(u[::2])), u[1::2], drawn[1::2]
    # Learning rates: the polynomials of sine and cosine.
    sine, cosine = f * polynomial(f * f, SINE), 1 + f * f * polynomial(f * f, COSINE)
    # The octant's bits: whether the two change places, and the sign of each place.
    swapped, first_below, second_below = ((octant & np.uint64(bit)) > 0 for bit in (1, 2, 4))
    first, second = np.where(swapped, (sine, cosine), (cosine, sine))
    first, second = np.where(first_below, -first, first), np.where(second_below, -second, second)
    return np.stack([radius * first, radius * second], axis=1).ravel()[:count]


@cache
def compiled_product(dtype):
    """PRODUCT for a dtype, in C since numpy has no fused multiply-add."""
    real, fma = {"float32": ("float", "fmaf"), "float64": ("double", "fma")}[dtype.name]
    options = ["-O2", "-ffp-contract=off", "-shared", "-fPIC", f"-DREAL={real}", f"-DFMA={fma}"]
    with tempfile.TemporaryDirectory() as home:
        library = Path(home) / "product.so"
        command = ["cc", *options, "-x", "c", "-", "-o", library, "-lm"]
        subprocess.run(command, input=PRODUCT.encode(), check=True)
        function = ctypes.CDLL(str(library)).product
    array = np.ctypeslib.ndpointer(dtype, flags="C_CONTIGUOUS")
    function.argtypes = [*[ctypes.c_long] * 3, *[array] * 4]
    function.restype = None
    return function


def product(x, y, start=None):
    """(rows, columns) of x (rows, links) and y (columns, links); start is (columns,), or +0."""
    # Products
    x, y = np.ascontiguousarray(x), np.ascontiguousarray(y)
    z = np.empty((len(x), len(y)), x.dtype)
    start = np.zeros(len(y), x.dtype) if start is None else start
    compiled_product(x.dtype)(*z.shape, x.shape[1], x, y, start, z)
    return z


def polynomial(x, coefficients):
    # Functions: P(x) is E(x²) and x O(x²), each by Horner's rule.
    even, odd = (reduce(lambda c, k: c * (x * x) + k, coefficients[i::2][::-1]) for i in (0, 1))
    return even + x * odd


def exp_parts(t):
    """(n, p) with e^t = 2^n (1 + p)."""
    # Functions, parts of e^t
    (rounding, log2e, ln2, ln2_rest), P, *_ = CONSTANTS[t.dtype.name]
    n = (t * log2e + rounding) - rounding
    high, rest = t - n * ln2, n * ln2_rest
    r = high - rest
    return n, r + (r * r * polynomial(r, P) + ((high - r) - rest))


def power_of_2(n):
    return np.ldexp(n.dtype.type(1), n.astype(int))


def exp(x):
    """e^x for x ≤ 0."""
    # Functions, e^x
    n, p = exp_parts(np.maximum(x, CONSTANTS[x.dtype.name][2]))
    s = power_of_2(n + 64)
    return (s + s * p) * 2.0**-64


def tanh(x):
    # Functions, tanh x
    n, p = exp_parts(np.maximum(-2 * np.abs(x), CONSTANTS[x.dtype.name][3]))
    s = power_of_2(n)
    return np.copysign(((1 - s) - s * p) / ((1 + s) + s * p), x)


def sigmoid(z):
    """Of float64 alone, as expm1: their least and largest arguments are those of float64."""
    # Functions, σ(z)
    n, p = exp_parts(np.clip(-z, -40, 746))
    c, s = 2.0**-64, power_of_2(n - 64)
    return c / (np.maximum(c, s) + (np.minimum(c, s) + s * p))


def expm1(x):
    """e^x − 1 for x ≤ 0."""
    # Functions, parts of e^t
    n, p = exp_parts(np.maximum(x, -42))
    s = power_of_2(n)
    return (s - 1) + s * p


def log_of_parts(e, f):
    """The logarithm of 2^e (1 + f)."""
    # Functions, ln x
    _, _, ln2, ln2_rest = PARTS_64
    s = f / (2 + f)
    R = s * s * polynomial(s * s, LOG)
    return e * ln2 + (f - (s * (f - R) - e * ln2_rest))


def log(x):
    # Functions, ln x: 1 + f is at least √½, and less than √2.
    m, e = np.frexp(x)
    low = m < math.sqrt(0.5)
    return log_of_parts(np.where(low, e - 1, e), np.where(low, 2 * m, m) - 1)


def log1p(x):
    """ln(1 + x) for 0 ≤ x ≤ 1."""
    # Functions, ln(1 + x)
    high = x > 0.5
    return log_of_parts(high * 1.0, np.where(high, (x - 1) * 0.5, x))


def softplus(z):
    # Functions, softplus z
    return np.maximum(z, 0) + log1p(exp(-np.abs(z)))


def lanes(x):
    """The sum of each row, (rows, 1)."""
    # Functions, sums over outputs
    lane = np.zeros((len(x), 8), x.dtype)
    for k, column in enumerate(x.T):
        lane[:, k % 8] += column
    for half in (4, 2, 1):
        lane = lane[:, :half] + lane[:, half:]
    return lane


def softmax(z):
    # Functions, softmax
    e = exp(z - np.max(z, axis=1, keepdims=True))
    return e / lanes(e)


ACTIVATIONS = {
    "identity": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "sigmoid": sigmoid,
    "softmax": softmax,
    "softplus": softplus,
    "tanh": tanh,
}
#: Functions, slopes: g ⊗ σ'(z), from g and a.
SLOPES = {
    "identity": lambda g, a: g,
    "relu": lambda g, a: g * (a > 0),
    "sigmoid": lambda g, a: g * ((1 - a) * a),
    "softplus": lambda g, a: g * -expm1(-a),
    "tanh": lambda g, a: g * (1 - a * a),
}
