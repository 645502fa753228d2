"""scikit-learn's partial_fit, which for classes has softmax and log-loss whatever the network has."""

import time

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor
from trainers.problem import Problem, answer, load


def train(task: dict) -> dict:
    problem = load(task)
    case = problem.case
    settings = {
        "hidden_layer_sizes": case.layers[1:-1],
        "activation": {"sigmoid": "logistic"}.get(case.activation, case.activation),
        "solver": "adam" if case.optimizer == "adam" else "sgd",
        "alpha": 0.0,
        "batch_size": case.batch,
        "learning_rate_init": case.rate,
        "momentum": case.momentum,
        "nesterovs_momentum": case.optimizer == "nesterov",
        "shuffle": False,
        "random_state": 1,
    }
    counted = case.warm_up * case.batch
    if case.is_regression:
        model = MLPRegressor(**settings)
        y = problem.y[:, 0] if case.layers[-1] == 1 else problem.y
        model.partial_fit(problem.x[:counted], y[:counted])
    else:
        model = MLPClassifier(**settings)
        y = problem.y
        model.partial_fit(problem.x[:counted], y[:counted], classes=np.arange(case.layers[-1]))
    began = time.perf_counter()
    model.partial_fit(problem.x[counted:], y[counted:])
    seconds = (time.perf_counter() - began) / case.steps
    parameters = [(w.T, b) for w, b in zip(model.coefs_, model.intercepts_, strict=True)]
    return answer(_as_learnt(problem), seconds, parameters)


def _as_learnt(problem: Problem) -> Problem:
    """The same with the output that MLPClassifier has, judged by the network's own cost."""
    from dataclasses import replace

    if problem.case.output != "sigmoid":
        return problem
    return replace(problem, case=replace(problem.case, output="softmax"))
