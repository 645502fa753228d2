"""What every trainer of benchmarks/peers is given, and how what it has reached is judged.  Needs numpy."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import networks
import numpy as np


@dataclass(frozen=True)
class Problem:
    """x: (rows, inputs), shuffled.  y: (rows,) classes, or (rows, outputs) targets.  targets: y, classes one-hot."""

    case: networks.Case
    x: np.ndarray
    y: np.ndarray
    targets: np.ndarray

    def batch(self, number: int) -> slice:
        return slice(number * self.case.batch, (number + 1) * self.case.batch)


def load(task: dict) -> Problem:
    case = case_of(task)
    x, y = np.load(f"{task['floats']}-x.npy"), np.load(f"{task['floats']}-y.npy")
    targets = y if case.is_regression else np.eye(case.layers[-1], dtype=case.dtype)[y]
    return Problem(case, x, y, targets)


def case_of(task: dict) -> networks.Case:
    return networks.case(task["network"]).shortened(task["quick"])


def first_parameters(case: networks.Case) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each layer w, (n, m), of distmlp's distribution, and b = 0, (n,)."""
    random = np.random.default_rng(1)
    variance = 2.0 if case.activation == "relu" else 1.0
    return [
        (
            (random.standard_normal((n, m)) * (variance / m) ** 0.5).astype(case.dtype),
            np.zeros(n, case.dtype),
        )
        for m, n in pairwise(case.layers)
    ]


def activate(name: str, z: np.ndarray) -> np.ndarray:
    if name == "sigmoid":
        return 1 / (1 + np.exp(-z))
    if name == "tanh":
        return np.tanh(z)
    if name == "relu":
        return np.maximum(z, 0)
    if name == "softmax":
        exponentials = np.exp(z - z.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)
    return z


def forward(case: networks.Case, parameters, x: np.ndarray) -> list[np.ndarray]:
    """a of every layer, x the first."""
    a = [x]
    for l, (w, b) in enumerate(parameters, start=1):
        z = a[-1] @ w.T + b
        a.append(activate(case.output if l == len(parameters) else case.activation, z))
    return a


def answer(problem: Problem, seconds: float, parameters, **more) -> dict:
    """A worker's answer: seconds of a step, and the mean cost of the first thousand samples."""
    case, some = problem.case, slice(0, 1000)
    a = forward(case, parameters, problem.x[some])[-1].astype(np.float64)
    y = problem.targets[some]
    if case.cost == "cross-entropy":
        each = -np.log(np.maximum((a * y).sum(axis=1), np.finfo(np.float64).tiny))
    else:
        each = 0.5 * ((a - y) ** 2).sum(axis=1)
    return {"seconds": seconds, "cost": float(each.mean()), **more}


def timed(
    case: networks.Case,
    step: Callable[[int], object],
    *,
    of: int = 1,
    finish: Callable[[], object] = lambda: None,
) -> float:
    """Seconds of one step in a steady state.  of: steps that one call makes; finish: waits until all are done."""
    warm_up, calls = -(-case.warm_up // of), max(1, case.steps // of)
    for number in range(warm_up):
        step(number)
    finish()
    began = time.perf_counter()
    for number in range(warm_up, warm_up + calls):
        step(number)
    finish()
    return (time.perf_counter() - began) / (calls * of)
