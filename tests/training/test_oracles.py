"""v is PyTorch's within 1e-9 after 50 steps, for every optimizer, penalty, cost, activation and schedule that both have."""

import json

import numpy as np
import pytest
from example import tables
from launching import ROOT
from oracles import BASE, CASES, ROWS, STEPS, batch, layers_of, start
from simulated import micro_batches

from distmlp.config import sections
from distmlp.config.reading import from_tables
from distmlp.mathematics.shards import Shards
from distmlp.parallel.communicator import SingleProcess
from distmlp.runs.checkpoint import AVERAGE
from distmlp.training.parts import (
    network_of,
    optimizer_of,
    shaping_of,
    smoothing_of,
    state_arrays,
)
from distmlp.training.state import State
from distmlp.training.step import Step

THEIRS = json.loads((ROOT / "tests" / "oracles.json").read_text())["v"]


def config_of(case):
    return from_tables(
        tables(
            {
                "dtype": "float64",
                "network.layers": list(layers_of(case)),
                "training.batch_size": ROWS,
                "training.micro_batch_size": 5,
                "training.epochs": STEPS,
                **BASE,
                **case,
            }
        )
    )


def ours(case):
    """v, or its average, after STEPS steps of three micro-batches each."""
    config = config_of(case)
    network, optimizer = network_of(config), optimizer_of(config)
    v = start(layers_of(case))
    state = State(v, {name: np.zeros_like(v) for name in state_arrays(config)}, optimizer.scalars)
    step = Step(
        network,
        optimizer,
        "float64",
        True,
        SingleProcess(),
        3,
        shaping_of(config),
        average=config.regularization.average,
    )
    cut = Shards(ROWS, ROWS, 5)
    smoothing = smoothing_of(config)
    for number in range(STEPS):
        x, y = batch(case, number)
        y = np.pad(
            y, ((0, 0), (0, network.layers[-1] - y.shape[1]))
        )  # gaussian-nll's spreads have no target
        if smoothing is not None:
            y = y * smoothing[0] + smoothing[1]
        grid = step.gradient(state, micro_batches(cut, range(3), x, y))
        step.update(state, grid, config.optimizer.learning_rate)
    return state.arrays.get(AVERAGE, state.v)


@pytest.mark.parametrize("case", CASES)
def test_v_is_pytorchs(case):
    found, expected = ours(CASES[case]), np.array(THEIRS[case])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    assert np.abs(found - start(layers_of(CASES[case]))).max() > 1e-3


def test_every_name_has_a_case():
    """lbfgs has SciPy's to be held to; PyTorch's hidden softmax is no one's layer."""
    taken = {name: {BASE[name]} for name in BASE}
    for case in CASES.values():
        for name, value in case.items():
            taken.setdefault(name, set()).add(
                json.dumps(value) if isinstance(value, list) else value
            )
    assert taken["optimizer.name"] == {*sections.OPTIMIZERS} - {"lbfgs"}
    assert taken["network.cost"] == {*sections.COSTS}
    assert taken["network.activation"] == {*sections.ACTIVATIONS} - {"softmax"}
