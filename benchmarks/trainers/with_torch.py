"""PyTorch, alone or with DistributedDataParallel over gloo, as a user who knows it would set it."""

import os
import time

import numpy as np
import torch
from torch import distributed, nn
from trainers.problem import Problem, answer, first_parameters, load, timed

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}
#: Which is fastest depends on the network, so each is tried for a few steps.
FORMS = ({"fused": True}, {"foreach": True}, {"foreach": False})


def train(task: dict) -> dict | None:
    torch.set_num_threads(task["threads"])
    problem = load(task)
    rank, processes = int(os.environ["RANK"]), task["processes"]
    if processes > 1:
        distributed.init_process_group(
            "gloo", init_method=task["meeting"], rank=rank, world_size=processes
        )
    trials = [_trial(_Training(problem, rank, processes, form)) for form in FORMS]
    chosen = [trials.index(min(trials))]
    if processes > 1:
        distributed.broadcast_object_list(chosen, src=0)
    training = _Training(problem, rank, processes, FORMS[chosen[0]])
    seconds = timed(problem.case, training.step)
    if processes > 1:
        distributed.destroy_process_group()
    if rank:
        return None
    return answer(problem, seconds, training.parameters(), form=str(FORMS[chosen[0]]))


def _trial(training) -> float:
    steps = training.problem.case.warm_up
    for number in range(2):
        training.step(number)
    began = time.perf_counter()
    for number in range(steps):
        training.step(number)
    return (time.perf_counter() - began) / steps


class _Training:
    """A network with its first parameters and an optimizer of a form."""

    def __init__(self, problem: Problem, rank: int, processes: int, form: dict):
        self.problem, case = problem, problem.case
        self.x = torch.from_numpy(problem.x)
        classes = case.cost == "cross-entropy"
        self.y = torch.from_numpy(problem.y if classes else problem.targets)
        self.share = case.batch // processes
        self.first = rank * self.share
        self.loss = nn.functional.cross_entropy if classes else self._half_squares
        self.network = _network(case)
        self.model = self.network
        if processes > 1:
            self.model = nn.parallel.DistributedDataParallel(
                self.network, gradient_as_bucket_view=True, static_graph=True
            )
        self.optimizer = _optimizer(case, self.model.parameters(), form)

    def _half_squares(self, a, y):
        return nn.functional.mse_loss(a, y, reduction="sum") * (0.5 / self.share)

    def step(self, number: int) -> None:
        start = number * self.problem.case.batch + self.first
        batch = slice(start, start + self.share)
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(self.model(self.x[batch]), self.y[batch]).backward()
        self.optimizer.step()

    def parameters(self) -> list[tuple[np.ndarray, np.ndarray]]:
        return [
            (part.weight.detach().numpy(), part.bias.detach().numpy())
            for part in self.network
            if isinstance(part, nn.Linear)
        ]


def _network(case) -> nn.Sequential:
    """cross_entropy takes z, so softmax is not a layer; identity is none either."""
    parts = []
    for w, b in first_parameters(case):
        part = nn.Linear(*reversed(w.shape), dtype=getattr(torch, case.dtype))
        with torch.no_grad():
            part.weight.copy_(torch.from_numpy(w))
            part.bias.copy_(torch.from_numpy(b))
        parts += [part, ACTIVATIONS[case.activation]()]
    parts.pop()
    if case.output == "sigmoid":
        parts.append(nn.Sigmoid())
    return nn.Sequential(*parts)


def _optimizer(case, parameters, form: dict):
    if case.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=case.rate, **form)
    return torch.optim.SGD(
        parameters,
        lr=case.rate,
        momentum=case.momentum,
        nesterov=case.optimizer == "nesterov",
        **form,
    )
