"""The notes' mathematics, one sample at a time, in plain Python loops: what the tests compare with.

No numpy, and nothing of distmlp: written from the notes by index.  Layers, neurons and samples are
lists; w[l][j][k], b[l][j] as in the notes, w[0] and b[0] unused.
"""

import itertools
import math

SIGMA = {
    "sigmoid": lambda z: 1.0 / (1.0 + math.exp(-z)),
    "tanh": math.tanh,
    "relu": lambda z: z if z > 0.0 else 0.0,
    "softplus": lambda z: math.log(1.0 + math.exp(z)),
    "identity": lambda z: z,
}

#: sigma'(z), each in terms of z and never of a, which is how the code under test has it.
SLOPE = {
    "sigmoid": lambda z: math.exp(-z) / (1.0 + math.exp(-z)) ** 2,
    "tanh": lambda z: 1.0 / math.cosh(z) ** 2,
    "relu": lambda z: 1.0 if z > 0.0 else 0.0,
    "softplus": lambda z: 1.0 / (1.0 + math.exp(-z)),
    "identity": lambda z: 1.0,
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
    if cost == "mse":
        return 0.5 * sum((y_j - a_j) ** 2 for a_j, y_j in zip(a, y, strict=True))
    if output == "softmax":
        return -sum(y_j * math.log(a_j) for a_j, y_j in zip(a, y, strict=True))
    return -sum(
        y_j * math.log(a_j) + (1.0 - y_j) * math.log(1.0 - a_j)
        for a_j, y_j in zip(a, y, strict=True)
    )


def cost_slope(cost, output, a, y):
    """dC/da of the output layer."""
    if cost == "mse":
        return [a_j - y_j for a_j, y_j in zip(a, y, strict=True)]
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
