"""Trainings that PyTorch repeats: the same start, the same batches, float64; what it came to stands in oracles.json.

    python tests/oracles.py > tests/oracles.json                     with torch beside what the tests need

Each case is a part of a distmlp config; `theirs` says what it is in PyTorch's words.  PyTorch has no log-cosh and no such hinge:
their costs are written out below, and PyTorch finds the slopes.  Its clip_grad_norm_ adds 1e-6 to the norm, so that too is
written out.
"""

import json
import sys
from itertools import pairwise

import numpy as np
from small_runs import scattered

LAYERS, ROWS, STEPS, ALPHA = (5, 4, 3), 12, 50, 0.05
BASE = {
    "network.activation": "tanh",
    "network.output": "identity",
    "network.cost": "mse",
    "optimizer.name": "sgd",
    "optimizer.learning_rate": ALPHA,
}
CLASSES = {"network.output": "softmax", "network.cost": "cross-entropy"}

CASES = {
    "sgd": {},
    "momentum": {"optimizer.momentum": 0.9},
    "nesterov": {"optimizer.momentum": 0.9, "optimizer.nesterov": True},
    "adam": {"optimizer.name": "adam"},
    "adam, other numbers": {
        "optimizer.name": "adam",
        "optimizer.beta1": 0.8,
        "optimizer.beta2": 0.95,
        "optimizer.epsilon": 1e-3,
    },
    "adamw": {"optimizer.name": "adamw", "regularization.weight_decay": 0.3},
    "rmsprop": {"optimizer.name": "rmsprop", "optimizer.rho": 0.9},
    "adagrad": {"optimizer.name": "adagrad", "optimizer.epsilon": 1e-10},
    "nadam": {"optimizer.name": "nadam"},
    **{
        f"{name} with {what}": {"optimizer.name": name, **how}
        for name in ("sgd", "adam", "rmsprop", "adagrad", "nadam")
        for what, how in {
            "l2": {"regularization.l2": 0.1},
            "l1": {"regularization.l1": 0.05},
            "decay": {"regularization.weight_decay": 0.3},
            "both and a norm": {
                "regularization.l2": 0.1,
                "regularization.l1": 0.05,
                "regularization.clip_norm": 0.5,
            },
            "a largest value": {"regularization.clip_value": 0.1, "regularization.l2": 0.1},
        }.items()
    },
    "a frozen layer": {"training.frozen": [1], "optimizer.momentum": 0.9},
    "an average": {"regularization.average": 0.9},
    "smoothing": {**CLASSES, "regularization.label_smoothing": 0.1},
    "cross-entropy of classes": CLASSES,
    "cross-entropy of yes and no": {
        "network.output": "sigmoid",
        "network.cost": "cross-entropy",
    },
    **{name: {"network.cost": name} for name in ("mae", "huber", "log-cosh")},
    "hinge": {"network.cost": "hinge"},
    "gaussian-nll": {"network.cost": "gaussian-nll"},
    "mse of a sigmoid": {"network.output": "sigmoid"},
    **{
        name: {"network.activation": name}
        for name in ("sigmoid", "relu", "softplus", "identity", "leaky-relu", "elu", "gelu", "silu")
    },
}


def layers_of(case):
    """gaussian-nll has two outputs for each number."""
    return (5, 4, 4) if case.get("network.cost") == "gaussian-nll" else LAYERS


def start(layers):
    """v before the first step."""
    k = sum((m + 1) * n for m, n in pairwise(layers))
    return scattered(1, k, first=77)[0] / 200.0


def batch(case, step):
    """x (ROWS, inputs) and y (ROWS, outputs) of a step: numbers, or 0 and 1 with one 1 a row."""
    x = scattered(ROWS, LAYERS[0], first=1000 * step) / 64.0
    cost = case.get("network.cost", "mse")
    if cost in ("cross-entropy", "hinge") or case.get("network.output") == "sigmoid":
        of_row = scattered(ROWS, 1, first=1000 * step + 500)[:, 0] % LAYERS[-1]
        return x, np.eye(LAYERS[-1])[of_row]
    numbers = 2 if cost == "gaussian-nll" else LAYERS[-1]
    return x, scattered(ROWS, numbers, first=1000 * step + 500) / 100.0


# What PyTorch makes of them


def theirs(case):
    """v, or its average, after STEPS steps of PyTorch."""
    import torch

    c = {**BASE, **case}
    layers, rate = layers_of(case), c["optimizer.learning_rate"]
    parts = tensors(torch.tensor(start(layers)), layers)
    parts = [torch.nn.Parameter(part.clone()) for part in parts]
    frozen = [l - 1 for l in c.get("training.frozen", ())]
    trained = [part for i, part in enumerate(parts) if i % 2 not in frozen]
    weights = [part for part in trained if part.ndim == 2]
    biases = [part for part in trained if part.ndim == 1]
    optimizer = optimizer_of(torch, c, weights, biases, rate)
    module = torch.nn.ParameterList(parts)
    averaged = torch.optim.swa_utils.AveragedModel(
        module, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
    )
    for step in range(STEPS):
        x, y = map(torch.tensor, batch(case, step))
        optimizer.zero_grad()
        cost_of(torch, c, parts, x, y).backward()
        if "regularization.clip_norm" in c:
            norm = torch.sqrt(sum((part.grad**2).sum() for part in trained))
            for part in trained:
                part.grad *= min(1.0, c["regularization.clip_norm"] / float(norm))
        if "regularization.clip_value" in c:
            torch.nn.utils.clip_grad_value_(trained, c["regularization.clip_value"])
        for weight in weights:
            weight.grad += c.get("regularization.l1", 0.0) * weight.detach().sign()
            if c["optimizer.name"] != "adamw":  # which has a decay of its own
                weight.data *= 1.0 - rate * c.get("regularization.weight_decay", 0.0)
        optimizer.step()
        averaged.update_parameters(module)
    if "regularization.average" in c:
        parts = list(averaged.module)
    return torch.cat([part.detach().ravel() for part in parts]).tolist()


def tensors(v, layers):
    """w(1), w(2), b(1), b(2) of v."""
    (m, n, o), shapes, begin = layers, [], 0
    for shape in ((n, m), (o, n), (n,), (o,)):
        size = int(np.prod(shape))
        shapes.append(v[begin : begin + size].reshape(shape))
        begin += size
    return shapes


def cost_of(torch, c, parts, x, y):
    """The mean cost of a batch."""
    F = torch.nn.functional
    activations = {
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "relu": torch.relu,
        "softplus": F.softplus,
        "identity": lambda z: z,
        "leaky-relu": F.leaky_relu,
        "elu": F.elu,
        "gelu": lambda z: F.gelu(z, approximate="tanh"),
        "silu": F.silu,
    }
    w1, w2, b1, b2 = parts
    z = activations[c["network.activation"]](x @ w1.T + b1) @ w2.T + b2
    cost, t = c["network.cost"], len(x)
    if cost == "cross-entropy" and c["network.output"] == "softmax":
        smoothing = c.get("regularization.label_smoothing", 0.0)
        return F.cross_entropy(z, y.argmax(1), label_smoothing=smoothing)
    if cost == "cross-entropy":
        return F.binary_cross_entropy_with_logits(z, y, reduction="sum") / t
    a = torch.sigmoid(z) if c["network.output"] == "sigmoid" else z
    if cost == "gaussian-nll":
        return F.gaussian_nll_loss(a[:, :2], y, a[:, 2:].exp(), eps=1e-300, reduction="sum") / t
    sums = {
        "mse": lambda: 0.5 * F.mse_loss(a, y, reduction="sum"),
        "mae": lambda: F.l1_loss(a, y, reduction="sum"),
        "huber": lambda: F.huber_loss(a, y, reduction="sum"),
        "log-cosh": lambda: torch.log(torch.cosh(a - y)).sum(),
        "hinge": lambda: torch.relu(1.0 - (2.0 * y - 1.0) * a).sum(),
    }
    return sums[cost]() / t


def optimizer_of(torch, c, weights, biases, rate):
    """PyTorch's optimizer, whose weight_decay is a penalty of the weights, or with AdamW a decay."""
    betas = c.get("optimizer.beta1", 0.9), c.get("optimizer.beta2", 0.999)
    epsilon = c.get("optimizer.epsilon", 1e-8)
    make, how = {
        "sgd": (
            torch.optim.SGD,
            {
                "momentum": c.get("optimizer.momentum", 0.0),
                "nesterov": c.get("optimizer.nesterov", False),
            },
        ),
        "adam": (torch.optim.Adam, {"betas": betas, "eps": epsilon}),
        "adamw": (torch.optim.AdamW, {"betas": betas, "eps": epsilon}),
        "rmsprop": (
            torch.optim.RMSprop,
            {"alpha": c.get("optimizer.rho", 0.99), "eps": epsilon},
        ),
        "adagrad": (torch.optim.Adagrad, {"eps": epsilon}),
        "nadam": (torch.optim.NAdam, {"betas": betas, "eps": epsilon}),
    }[c["optimizer.name"]]
    adamw = c["optimizer.name"] == "adamw"
    decay = c.get(f"regularization.{'weight_decay' if adamw else 'l2'}", 0.0)
    groups = [{"params": weights, "weight_decay": decay}, {"params": biases, "weight_decay": 0.0}]
    return make(groups, lr=rate, **how)


def main():
    import torch

    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    made = {name: theirs(case) for name, case in CASES.items()}
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(v)}" for name, v in made.items())
    sys.stdout.write(f'{{"torch": {json.dumps(torch.__version__)}, "v": {{\n{lines}\n}}}}\n')


if __name__ == "__main__":
    main()
