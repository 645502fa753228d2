"""Training as docs/arithmetic.md and the pages that it names define it, with nothing of distmlp.

It was written from these pages, to find whether they say enough for the same bits.  Beside each step stands the page, and
the section of it, that says the step.  What is here is what the small runs of small_runs.py ask for, and no more.  Their
batches have 64 micro-batches at most.  Each of their steps has a row for every micro-batch, and no gradient of zeros alone.

Layers are counted as in the notes, l from 1 to N.  w[0], b[0] and delta[0] are None, and a[0] is x.  A row of a, z and
delta is a sample.  A list over the tensors of v is in v's order: w(1) … w(N), b(1) … b(N).
"""

import hashlib
import math
from fractions import Fraction
from functools import reduce
from itertools import pairwise
from operator import add

import h5py
import numpy as np
from arithmetic_from_the_page import (
    ACTIVATIONS,
    SLOPES,
    exp,
    lanes,
    log,
    normals,
    permutation,
    product,
    softplus,
    uniform,
)

#: config.md: what a config has that does not say otherwise.
SEED, BETA1, BETA2, EPSILON = 1, 0.9, 0.999, 1e-8

#: config.md, data.chunk_rows: that of a file without HDF5 chunks, as those of the small runs are.
CHUNK_ROWS = 256

# arithmetic.md, Random numbers: the purpose is the second part of the key.
INITIALIZE, ORDER_CHUNKS, ORDER_ROWS = (SEED, 1), (SEED, 2), (SEED, 3)

#: arithmetic.md, The sum and its grid: the bits of a sum, and the largest e.
GRIDS = {"float32": (31, 60), "float64": (63, 200)}

#: arithmetic.md, The sum and its grid: the bits to spare, and those of Σ Tᵢ in the header.
SPARE, ROOM = 3, 17

#: config.md, network.initializer
FIRST_W = {
    "glorot-uniform": lambda place, m, n: (
        uniform(INITIALIZE, place, m * n) * math.sqrt(6 / (n + m))
    ),
    "he-normal": lambda place, m, n: normals(INITIALIZE, place, m * n) * math.sqrt(2 / m),
    "scaled-normal": lambda place, m, n: normals(INITIALIZE, place, m * n) / math.sqrt(m),
    "normal": lambda place, m, n: normals(INITIALIZE, place, m * n),
}


def first_v(layers, initializer):
    """The initial v, in float64."""
    # arithmetic.md, Random numbers: w(1) … w(N) have the first N places, b(1) … b(N) the next.
    N = len(layers) - 1
    w = [FIRST_W[initializer]((0, 0, l), m, n) for l, (m, n) in enumerate(pairwise(layers))]
    if initializer == "normal":
        b = [normals(INITIALIZE, (0, 0, N + l), n) for l, n in enumerate(layers[1:])]
    else:
        b = [np.zeros(n) for n in layers[1:]]
    return np.concatenate(w + b)


def tensors(layers, v):
    """w and b as views of v."""
    # reference/checkpoint.md, /v: first all w, by rows, then all b.
    shapes = [(n, m) for m, n in pairwise(layers)] + [(n,) for n in layers[1:]]
    parts = np.split(v, np.cumsum([math.prod(shape) for shape in shapes])[:-1])
    views = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
    N = len(layers) - 1
    return [None, *views[:N]], [None, *views[N:]]


def epoch_order(rows, batch, S, epoch):
    """The steps of an epoch, each the rows of its S micro-batches."""
    # arithmetic.md, Order of samples: chunks in random order, end to end.
    chunks = np.split(np.arange(rows), range(CHUNK_ROWS, rows, CHUNK_ROWS))
    drawn = permutation(ORDER_CHUNKS, (0, 0, epoch), len(chunks))
    stream = np.concatenate([chunks[c] for c in drawn])
    # arithmetic.md, Order of samples: sizes that differ by one at most, the larger ones first.
    batches = [min(batch, rows - i) for i in range(0, rows, batch)]
    sizes = np.array([[t // S + (s < t % S) for s in range(S)] for t in batches])
    # arithmetic.md, Order of samples: a run for each shard, shuffled inside its window, here all of the run.
    runs = np.split(stream, np.cumsum(sizes.sum(axis=0))[:-1])
    shards = []
    for s, run in enumerate(runs):
        shuffled = run[permutation(ORDER_ROWS, (epoch, s, 0), len(run))]
        shards.append(np.split(shuffled, np.cumsum(sizes[:, s])[:-1]))
    return list(zip(*shards, strict=True))


def passed(network, w, b, x, y):
    """(a, delta, the cost) of a micro-batch."""
    # arithmetic.md, Products: forward and backward.
    N = len(w) - 1
    a = [x]
    for l in range(1, N + 1):
        z = product(a[l - 1], w[l], b[l])
        a.append(ACTIVATIONS[network["output" if l == N else "activation"]](z))
    # arithmetic.md, Costs: the slope of a cross-entropy cancels that of its output.
    delta = [None] * N + [a[N] - y]
    if network["cost"] == "mse":
        delta[N] = SLOPES[network["output"]](delta[N], a[N])
    for l in range(N - 1, 0, -1):
        delta[l] = SLOPES[network["activation"]](product(delta[l + 1], w[l + 1].T), a[l])
    return a, delta, cost(network, *(x.astype(np.float64) for x in (z, a[N], y)))


def cost(network, z, a, y):
    """C of a micro-batch, exactly as it is added up."""
    # arithmetic.md, Costs
    if network["cost"] == "mse":
        C = reduce(add, lanes((y - a) * (y - a))[:, 0]) * 0.5
    elif network["output"] == "sigmoid":
        C = reduce(add, lanes(softplus(z) - y * z)[:, 0])
    else:
        z = z - np.max(z, axis=1, keepdims=True)
        C = reduce(add, lanes(y * (log(lanes(exp(z))) - z))[:, 0])
    return Fraction(math.trunc(Fraction(C) * 2**128), 2**128)


def counted(passes, e):
    """The gradients in units of 2^-e, not yet rounded: of each tensor, one a micro-batch."""
    # arithmetic.md, Products: gradient of w, and of b.
    N = len(e) // 2
    G = [[] for _ in e]
    for a, delta, _ in passes:
        for l in range(1, N + 1):
            G[l - 1].append(product((delta[l] * 2.0 ** e[l - 1]).T, a[l - 1].T))
            G[N + l - 1].append(reduce(add, delta[l]) * 2.0 ** e[N + l - 1])
    return G


def largest(g):
    return float(np.max(np.abs(g)))


def gradient(passes, e, samples):
    """∇C of a step of so many samples, and the next step's e; e is None in the first step."""
    N, dtype = len(passes[0][0]) - 1, passes[0][0][0].dtype
    bits, finest = GRIDS[dtype.name]
    # arithmetic.md, The sum and its grid: Σ Tᵢ is in whole units, to which each Tᵢ is rounded up by itself.
    unit = 2.0 ** (bits - ROOM)
    used = e or [0] * (2 * N)
    G = counted(passes, used)
    units = [sum(math.ceil(largest(g) / unit) for g in part) for part in G]
    if e is None or max(units) >= 2**ROOM:
        # arithmetic.md, The sum and its grid: all micro-batches may be as large as the largest, which is below 2^x units.
        at_most = bits - SPARE - (len(passes) - 1).bit_length()
        x = [math.frexp(max(map(largest, part)))[1] for part in G]
        used = [min(at_most + k - x, finest) for k, x in zip(used, x, strict=True)]
        G = counted(passes, used)
        units = [sum(math.ceil(largest(g) / unit) for g in part) for part in G]
    # arithmetic.md, The sum and its grid: at once as coarse as the units ask, and finer by one bit at most.
    finer = [min(ROOM - SPARE - n.bit_length(), 1) for n in units]
    following = [min(k + more, finest) for k, more in zip(used, finer, strict=True)]
    # arithmetic.md, The sum and its grid: whole numbers are added.  Updates: ∇C is their sum, rounded to the dtype, times f.
    means = []
    for part, k in zip(G, used, strict=True):
        total = sum(np.rint(g).astype(np.int64) for g in part)
        means.append(total.astype(dtype).ravel() * (1 / (samples * 2.0**k)))
    return np.concatenate(means), following


def normal(x):
    # arithmetic.md, Updates: n(x)
    return np.where((x != 0) & (np.abs(x) < np.finfo(x.dtype).tiny), 0, x)


def update(optimizer, kept, v, g):
    """v after a step with the gradient g; kept is what the optimizer remembers."""
    # arithmetic.md, Updates: sgd, Nesterov, Adam
    alpha, mu = optimizer["learning_rate"], optimizer.get("momentum")
    if optimizer["name"] == "adam":
        kept["m"] = normal(kept["m"] * BETA1 + g * (1 - BETA1))
        kept["q"] = normal(kept["q"] * BETA2 + (g * g) * (1 - BETA2))
        kept["beta1"] *= BETA1
        kept["beta2"] *= BETA2
        root = np.sqrt(kept["q"] / (1 - kept["beta2"])) + EPSILON
        return v - kept["m"] / root * (alpha / (1 - kept["beta1"]))
    if mu is None:
        return v - g * alpha
    kept["u"] = normal(kept["u"] * mu + g)
    return v - (g + kept["u"] * mu) * alpha


def read(path, outputs, dtype):
    """x and y of /train, a row for each sample."""
    with h5py.File(path) as file:
        x, y = file["train/x"][...], file["train/y"][...]
    # config.md, data.targets: classes are made one-hot.
    y = np.eye(outputs)[y] if outputs > 1 else y[:, None]
    return x.astype(dtype), y.astype(dtype)


def train(config, path):
    """What a run of /train of an HDF5 file ends with: v_sha256, and the last epoch's cost."""
    network, training = config["network"], config["training"]
    layers, dtype = network["layers"], np.dtype(config["dtype"])
    x, y = read(path, layers[-1], dtype)
    batch = training["batch_size"]
    S = math.ceil(batch / training["micro_batch_size"])
    v, e = first_v(layers, network["initializer"]).astype(dtype), None
    kept = dict.fromkeys(("u", "m", "q"), np.zeros_like(v)) | {"beta1": 1.0, "beta2": 1.0}
    for epoch in range(training["epochs"]):
        costs = []
        for step in epoch_order(len(x), batch, S, epoch):
            w, b = tensors(layers, v)
            passes = [passed(network, w, b, x[rows], y[rows]) for rows in step]
            g, e = gradient(passes, e, sum(map(len, step)))
            v = update(config["optimizer"], kept, v, g)
            costs += [C for _, _, C in passes]
    # config.md, log.jsonl: cost and v_sha256
    stored = v.astype(dtype.newbyteorder("<")).tobytes()
    return {"v_sha256": hashlib.sha256(stored).hexdigest(), "cost": float(sum(costs) / len(x))}
