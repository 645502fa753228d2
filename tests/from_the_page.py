"""Training as docs/arithmetic.md and the pages that it names define it, with nothing of distmlp.

It was written from these pages, to find whether they say enough for the same bits.  Beside each step stands the page, and
the section of it, that says the step.  What is here is what the small runs of small_runs.py ask for, and scaled inputs,
missing ones, windows, dropout, l2 and clip_norm.  Batches have 64 micro-batches at most.  Each step has a row for every
micro-batch, and no gradient of zeros alone.

Layers are counted as in the notes, l from 1 to N.  w[0], b[0] and delta[0] are None, and a[0] is x.  A row of a, z and
delta is a sample.  A list over the tensors of v is in v's order: w(1) … w(N), b(1) … b(N).
"""

import hashlib
import math
from decimal import Decimal, localcontext
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
    words,
)

#: config.md: what a config has that does not say otherwise.
SEED, BETA1, BETA2, EPSILON = 1, 0.9, 0.999, 1e-8

#: config.md, data.chunk_rows: that of a file without HDF5 chunks, as those of the small runs are.
CHUNK_ROWS = 256

# arithmetic.md, Random numbers: the purpose is the second part of the key.
INITIALIZE, ORDER_CHUNKS, ORDER_ROWS, DROPOUT = ((SEED, purpose) for purpose in (1, 2, 3, 4))

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


def window_steps(data, batch, S, numbers, itemsize, stored):
    """W; numbers: of a row, each of itemsize bytes.  stored: the bytes of each row in the file."""
    # arithmetic.md, Order of samples: W
    M = round(float(data.get("window", "256 MB").removesuffix(" MB")) * 10**6)
    M -= sum(stored) if 2 * sum(stored) <= M else 0
    return max(1, M // (2 * batch * (numbers * itemsize + 16) + stored[0] * math.ceil(batch / S)))


def epoch_order(rows, batch, S, W, epoch):
    """The steps of an epoch, each the rows of its S micro-batches."""
    # arithmetic.md, Order of samples: chunks in random order, end to end.
    chunks = np.split(np.arange(rows), range(CHUNK_ROWS, rows, CHUNK_ROWS))
    drawn = permutation(ORDER_CHUNKS, (0, 0, epoch), len(chunks))
    stream = np.concatenate([chunks[c] for c in drawn])
    # arithmetic.md, Order of samples: sizes that differ by one at most, the larger ones first.
    batches = [min(batch, rows - i) for i in range(0, rows, batch)]
    sizes = np.array([[t // S + (s < t % S) for s in range(S)] for t in batches])
    # arithmetic.md, Order of samples: a run for each shard, and its windows of W micro-batches, each shuffled.
    runs = np.split(stream, np.cumsum(sizes.sum(axis=0))[:-1])
    shards = []
    for s, run in enumerate(runs):
        ends = np.cumsum(sizes[:, s])
        windows = np.split(run, ends[W - 1 : -1 : W])
        shuffled = [
            window[permutation(ORDER_ROWS, (epoch, s, number), len(window))]
            for number, window in enumerate(windows)
        ]
        shards.append(np.split(np.concatenate(shuffled), ends[:-1]))
    return list(zip(*shards, strict=True))


def masks(regularization, layers, M, place):
    """What each layer's a is multiplied by, of M samples: 1, or 0 and more than 1."""
    # arithmetic.md, Random numbers: dropout
    parts = [regularization.get("input_dropout", 0)]
    parts += [regularization.get("dropout", 0)] * (len(layers) - 2)
    counts = [math.ceil(M * n / 4) if p else 0 for p, n in zip(parts, layers, strict=False)]
    drawn = np.split(words(DROPOUT, (0, *place), sum(counts)), np.cumsum(counts)[:-1])
    found = []
    for p, n, mine in zip(parts, layers, drawn, strict=False):
        k = round(65536 * (1 - p))
        draws = mine.astype("<u8").view("<u2")[: M * n].reshape(M, n) if p else 0
        found.append(np.where(draws < k, 65536 / k, 0.0))
    return found


def passed(network, w, b, x, y, dropped):
    """(what each layer is given, delta, the cost) of a micro-batch; dropped: its masks."""
    # arithmetic.md, Products: forward and backward.
    N = len(w) - 1
    dropped = [mask.astype(x.dtype) for mask in dropped]
    a, below = [x], []
    for l in range(1, N + 1):
        below.append(a[l - 1] * dropped[l - 1])
        z = product(below[l - 1], w[l], b[l])
        a.append(ACTIVATIONS[network["output" if l == N else "activation"]](z))
    # arithmetic.md, Costs: the slope of a cross-entropy cancels that of its output.
    delta = [None] * N + [a[N] - y]
    if network["cost"] == "mse":
        delta[N] = SLOPES[network["output"]](delta[N], a[N])
    for l in range(N - 1, 0, -1):
        g = product(delta[l + 1], w[l + 1].T)
        delta[l] = SLOPES[network["activation"]](g, a[l]) * dropped[l]
    return below, delta, cost(network, *(x.astype(np.float64) for x in (z, a[N], y)))


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
    for below, delta, _ in passes:
        for l in range(1, N + 1):
            G[l - 1].append(product((delta[l] * 2.0 ** e[l - 1]).T, below[l - 1].T))
            G[N + l - 1].append(reduce(add, delta[l]) * 2.0 ** e[N + l - 1])
    return G


def largest(g):
    return float(np.max(np.abs(g)))


def gradient(passes, e, samples):
    """(total, f) of each tensor for a step of so many samples, and the next step's e; e is None in the first step."""
    N, dtype = len(passes[0][0]), passes[0][0][0].dtype
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
    # arithmetic.md, The sum and its grid: whole numbers are added, and their sum is rounded to the dtype.
    totals = [sum(np.rint(g).astype(np.int64) for g in part).astype(dtype).ravel() for part in G]
    return [
        (total, 1 / (samples * 2.0**k)) for total, k in zip(totals, used, strict=True)
    ], following


def shaped(regularization, totals, v):
    """∇C with what regularization does to it."""
    # arithmetic.md, Updates: before the optimizer
    clip, l2 = regularization.get("clip_norm", 0), regularization.get("l2", 0)
    squares = [lanes(np.square(total.astype(np.float64))[None, :])[0, 0] for total, _ in totals]
    lengths = [math.sqrt(square) * f for square, (_, f) in zip(squares, totals, strict=True)]
    norm = math.sqrt(reduce(add, [length * length for length in lengths]))
    shrink = clip / norm if clip and norm > clip else 1.0
    g = np.concatenate([total * v.dtype.type(f * shrink) for total, f in totals])
    weights = sum(len(total) for total, _ in totals[: len(totals) // 2])
    if l2:
        g[:weights] += v[:weights] * v.dtype.type(l2)
    return g


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


def standardised(x):
    """x in float64, a missing value the mean, (x − mean) / deviation by column."""
    # arithmetic.md, Inputs and targets
    x = x.astype(np.float64)
    for column in x.T:
        there = [Fraction(value) for value in column[~np.isnan(column)].tolist()]
        mean = sum(there) / len(there)
        variance = sum(value * value for value in there) / len(there) - mean * mean
        with localcontext(prec=60):
            deviation = float((Decimal(variance.numerator) / variance.denominator).sqrt())
        column[np.isnan(column)] = float(mean)
        column[:] = (column - float(mean)) / deviation
    return x


def read(path, outputs, dtype, data):
    """x and y of /train, a row for each sample, and the bytes of each row there."""
    with h5py.File(path) as file:
        x, y = file["train/x"][...], file["train/y"][...]
    stored = [x[0].nbytes + y[0].nbytes] * len(x)
    # config.md, data.targets: classes are made one-hot.
    y = np.eye(outputs)[y] if outputs > 1 else y[:, None]
    x = standardised(x) if "scale_inputs" in data else x
    return x.astype(dtype), y.astype(dtype), stored


def train(config, path):
    """What a run of /train of an HDF5 file ends with: v_sha256, and the last epoch's cost."""
    network, training = config["network"], config["training"]
    layers, dtype = network["layers"], np.dtype(config["dtype"])
    data, regularization = config.get("data", {}), config.get("regularization", {})
    x, y, stored = read(path, layers[-1], dtype, data)
    batch = training["batch_size"]
    S = math.ceil(batch / training["micro_batch_size"])
    W = window_steps(data, batch, S, layers[0] + layers[-1], dtype.itemsize, stored)
    v, e = first_v(layers, network["initializer"]).astype(dtype), None
    steps = 0
    kept = dict.fromkeys(("u", "m", "q"), np.zeros_like(v)) | {"beta1": 1.0, "beta2": 1.0}
    for epoch in range(training["epochs"]):
        costs = []
        for step in epoch_order(len(x), batch, S, W, epoch):
            w, b = tensors(layers, v)
            passes = []
            for i, rows in enumerate(step):
                dropped = masks(regularization, layers, len(rows), (steps, i))
                passes.append(passed(network, w, b, x[rows], y[rows], dropped))
            totals, e = gradient(passes, e, sum(map(len, step)))
            v = update(config["optimizer"], kept, v, shaped(regularization, totals, v))
            costs += [C for _, _, C in passes]
            steps += 1
    # config.md, log.jsonl: cost and v_sha256
    stored = v.astype(dtype.newbyteorder("<")).tobytes()
    return {"v_sha256": hashlib.sha256(stored).hexdigest(), "cost": float(sum(costs) / len(x))}
