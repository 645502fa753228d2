"""The plain numpy loop that one would write."""

import numpy as np
from trainers.problem import answer, first_parameters, forward, load, timed

SLOPES = {
    "sigmoid": lambda a: a * (1 - a),
    "tanh": lambda a: 1 - a * a,
    "relu": lambda a: a > 0,
}


def train(task: dict) -> dict:
    problem = load(task)
    case, parameters = problem.case, first_parameters(problem.case)
    update = {"adam": _Adam, "sgd": _Descent}.get(case.optimizer, _Momentum)(case)
    slope = SLOPES[case.activation]

    def step(number: int) -> None:
        batch = problem.batch(number)
        a = forward(case, parameters, problem.x[batch])
        delta = a[-1] - problem.targets[batch]
        if case.output == "sigmoid":  # with its own cost, softmax has this δ too
            delta *= SLOPES["sigmoid"](a[-1])
        for l in reversed(range(len(parameters))):
            w, b = parameters[l]
            gradient_w, gradient_b = delta.T @ a[l] / case.batch, delta.mean(axis=0)
            if l:
                delta = (delta @ w) * slope(a[l])
            update(2 * l, w, gradient_w)
            update(2 * l + 1, b, gradient_b)

    return answer(problem, timed(case, step), parameters)


class _Descent:
    def __init__(self, case):
        self.rate = case.rate

    def __call__(self, tensor: int, v, g) -> None:
        v -= self.rate * g


class _Momentum:
    def __init__(self, case):
        self.rate, self.momentum = case.rate, case.momentum
        self.nesterov, self.velocity = case.optimizer == "nesterov", {}

    def __call__(self, tensor: int, v, g) -> None:
        u = self.velocity.setdefault(tensor, np.zeros_like(v))
        u *= self.momentum
        u += g
        v -= self.rate * (g + self.momentum * u if self.nesterov else u)


class _Adam:
    def __init__(self, case):
        self.rate, self.moments, self.steps = case.rate, {}, {}

    def __call__(self, tensor: int, v, g) -> None:
        mean, square = self.moments.setdefault(tensor, (np.zeros_like(v), np.zeros_like(v)))
        t = self.steps[tensor] = self.steps.get(tensor, 0) + 1
        mean *= 0.9
        mean += 0.1 * g
        square *= 0.999
        square += 0.001 * (g * g)
        v -= self.rate / (1 - 0.9**t) * mean / (np.sqrt(square / (1 - 0.999**t)) + 1e-8)
