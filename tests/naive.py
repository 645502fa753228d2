"""The notes' mathematics, one sample at a time, in plain Python loops: what the tests compare with.

No numpy, and nothing of distmlp: written from the notes by index.  Layers, neurons and samples are
lists; w[l][j][k], b[l][j] as in the notes, w[0] and b[0] unused.
"""

import itertools
import math

GELU = math.sqrt(2.0 / math.pi)

SIGMA = {
    "sigmoid": lambda z: 1.0 / (1.0 + math.exp(-z)),
    "tanh": math.tanh,
    "relu": lambda z: z if z > 0.0 else 0.0,
    "softplus": lambda z: math.log(1.0 + math.exp(z)),
    "identity": lambda z: z,
    "leaky-relu": lambda z: z if z > 0.0 else 0.01 * z,
    "elu": lambda z: z if z > 0.0 else math.expm1(z),
    "gelu": lambda z: 0.5 * z * (1.0 + math.tanh(GELU * (z + 0.044715 * z**3))),
    "silu": lambda z: z / (1.0 + math.exp(-z)),
}

#: sigma'(z), each in terms of z and never of a, which is how the code under test has it.
SLOPE = {
    "sigmoid": lambda z: math.exp(-z) / (1.0 + math.exp(-z)) ** 2,
    "tanh": lambda z: 1.0 / math.cosh(z) ** 2,
    "relu": lambda z: 1.0 if z > 0.0 else 0.0,
    "softplus": lambda z: 1.0 / (1.0 + math.exp(-z)),
    "identity": lambda z: 1.0,
    "leaky-relu": lambda z: 1.0 if z > 0.0 else 0.01,
    "elu": lambda z: 1.0 if z > 0.0 else math.exp(z),
    "gelu": lambda z: (
        0.5 * (1.0 + math.tanh(GELU * (z + 0.044715 * z**3)))
        + 0.5
        * z
        * (1.0 - math.tanh(GELU * (z + 0.044715 * z**3)) ** 2)
        * GELU
        * (1.0 + 0.134145 * z**2)
    ),
    "silu": lambda z: (
        1.0 / (1.0 + math.exp(-z)) + z * math.exp(-abs(z)) / (1.0 + math.exp(-abs(z))) ** 2
    ),
}


def sign(x):
    return (x > 0.0) - (x < 0.0)


def huber(e):
    return 0.5 * e * e if abs(e) <= 1.0 else abs(e) - 0.5


#: name -> (C of one output, dC/da of it); both of (a, y).
OF_EACH_OUTPUT = {
    "mse": (lambda a, y: 0.5 * (y - a) ** 2, lambda a, y: a - y),
    "mae": (lambda a, y: abs(y - a), lambda a, y: float(sign(a - y))),
    "huber": (lambda a, y: huber(y - a), lambda a, y: max(-1.0, min(1.0, a - y))),
    "log-cosh": (lambda a, y: math.log(math.cosh(y - a)), lambda a, y: math.tanh(a - y)),
    "hinge": (
        lambda a, y: max(0.0, 1.0 - (2.0 * y - 1.0) * a),
        lambda a, y: 1.0 - 2.0 * y if (2.0 * y - 1.0) * a < 1.0 else 0.0,
    ),
}


def parts(layers, v):
    """w and b from the flat v: every weight matrix row by row, then every bias."""
    entries = iter(v)
    w, b = [None], [None]
    for m, n in itertools.pairwise(layers):
        w.append([[next(entries) for _ in range(m)] for _ in range(n)])
    for n in layers[1:]:
        b.append([next(entries) for _ in range(n)])
    return w, b


def activate(name, z):
    """a = sigma(z) of one layer."""
    if name == "softmax":
        powers = [math.exp(x) for x in z]
        total = sum(powers)
        return [p / total for p in powers]
    return [SIGMA[name](x) for x in z]


def jacobian(name, z):
    """J[i][j] = da_i/dz_j: diagonal, but for softmax."""
    n = len(z)
    if name == "softmax":
        a = activate(name, z)
        return [[a[i] * ((1.0 if i == j else 0.0) - a[j]) for j in range(n)] for i in range(n)]
    return [[SLOPE[name](z[j]) if i == j else 0.0 for j in range(n)] for i in range(n)]


def cost_of_output(cost, output, a, y):
    if cost in OF_EACH_OUTPUT:
        return sum(OF_EACH_OUTPUT[cost][0](a_j, y_j) for a_j, y_j in zip(a, y, strict=True))
    if cost == "gaussian-nll":
        k = len(a) // 2
        return 0.5 * sum(a[k + j] + (y[j] - a[j]) ** 2 / math.exp(a[k + j]) for j in range(k))
    if output == "softmax":
        return -sum(y_j * math.log(a_j) for a_j, y_j in zip(a, y, strict=True))
    return -sum(
        y_j * math.log(a_j) + (1.0 - y_j) * math.log(1.0 - a_j)
        for a_j, y_j in zip(a, y, strict=True)
    )


def cost_slope(cost, output, a, y):
    """dC/da of the output layer."""
    if cost in OF_EACH_OUTPUT:
        return [OF_EACH_OUTPUT[cost][1](a_j, y_j) for a_j, y_j in zip(a, y, strict=True)]
    if cost == "gaussian-nll":
        k = len(a) // 2
        means = [(a[j] - y[j]) / math.exp(a[k + j]) for j in range(k)]
        return means + [0.5 - 0.5 * (y[j] - a[j]) ** 2 / math.exp(a[k + j]) for j in range(k)]
    if output == "softmax":
        return [-y_j / a_j for a_j, y_j in zip(a, y, strict=True)]
    return [-y_j / a_j + (1.0 - y_j) / (1.0 - a_j) for a_j, y_j in zip(a, y, strict=True)]


def forward(layers, names, w, b, x):
    """z and a of every layer for one sample; names[l] is layer l's activation."""
    z, a = [None], [list(x)]
    for l in range(1, len(layers)):
        z.append(
            [
                sum(w[l][j][k] * a[l - 1][k] for k in range(layers[l - 1])) + b[l][j]
                for j in range(layers[l])
            ]
        )
        a.append(activate(names[l], z[l]))
    return z, a


def sample(layers, activation, output, cost, v, x, y):
    """C and the flat gradient of one sample."""
    N = len(layers) - 1
    names = [None] + [activation] * (N - 1) + [output]
    w, b = parts(layers, v)
    z, a = forward(layers, names, w, b, x)
    delta = [None] * (N + 1)
    for l in range(N, 0, -1):
        if l == N:
            slope = cost_slope(cost, output, a[N], y)
        else:
            slope = [
                sum(delta[l + 1][k] * w[l + 1][k][j] for k in range(layers[l + 1]))
                for j in range(layers[l])
            ]
        J = jacobian(names[l], z[l])
        delta[l] = [sum(slope[i] * J[i][j] for i in range(layers[l])) for j in range(layers[l])]
    weights = [
        delta[l][j] * a[l - 1][k]
        for l in range(1, N + 1)
        for j in range(layers[l])
        for k in range(layers[l - 1])
    ]
    biases = [delta[l][j] for l in range(1, N + 1) for j in range(layers[l])]
    return cost_of_output(cost, output, a[N], y), weights + biases


def mean(layers, activation, output, cost, v, X, Y):
    """C and the gradient as the notes average them: (1/t) of the sums over t samples, each sum exactly rounded."""
    found = [sample(layers, activation, output, cost, v, x, y) for x, y in zip(X, Y, strict=True)]
    t = len(found)
    C = math.fsum(c for c, _ in found) / t
    gradient = [math.fsum(g[i] for _, g in found) / t for i in range(len(v))]
    return C, gradient
