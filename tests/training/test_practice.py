"""Penalties, clipping, dropout, smoothing, averages and the optimizers: the same v on any ranks and after a resume."""

import math

import numpy as np
import pytest
from example import lawful
from preparing import config_in
from simulated import on_ranks

from distmlp.errors import InputError
from distmlp.mathematics.adaptive import Adagrad, NAdam, RMSprop
from distmlp.mathematics.dropout import Drawn, Dropout
from distmlp.mathematics.layout import Layout
from distmlp.mathematics.optimizers import SGD, Adam, Mean
from distmlp.mathematics.penalties import Shaping, norm
from distmlp.parallel.communicator import SingleProcess
from distmlp.runs import checkpoint
from distmlp.training.loop import train
from distmlp.training.reporting import LogOnly

LAYOUT = Layout((3, 4, 2))
ALPHA, STEPS = 0.01, 50

#: Numbers of which the squares' plain sum and the exact one, rounded, have different square roots.
PARTS = (
    "0x1.30983fbed2925p+1",
    "0x1.4de1e23662b9ep+0",
    "0x1.2f64ee720ec06p+2",
    "0x1.12d913ac19be8p-14",
)


def gradient(v, step):
    """Of some function that bends, and noise."""
    return np.sin(3.0 * v) + v + 0.3 * np.random.default_rng(step).normal(size=len(v))


def ours(optimizer, shaping=None):
    """v after STEPS steps."""
    v = np.random.default_rng(0).normal(size=LAYOUT.size)
    arrays = {name: np.zeros_like(v) for name in optimizer.arrays}
    scalars = optimizer.scalars
    ends = np.array([part.stop for part in LAYOUT.slices])
    for step in range(STEPS):
        mean = Mean(gradient(v, step), np.ones(len(ends)), ends)
        if shaping is not None:
            mean = shaping.shaped(mean, LAYOUT, ALPHA)
        optimizer.advance(scalars)
        optimizer.update(v, mean, arrays, scalars, ALPHA)
    return v


OPTIMIZERS = {
    "sgd": SGD(0.9, True),
    "adam": Adam(),
    "rmsprop": RMSprop(),
    "adagrad": Adagrad(1e-10),
    "nadam": NAdam(),
}


def test_the_norm_is_that_of_the_mean():
    random = np.random.default_rng(1)
    ends = np.array([part.stop for part in LAYOUT.slices])
    total = random.integers(-(2**40), 2**40, LAYOUT.size)
    factors = 2.0 ** -random.integers(30, 44, len(ends))
    mean = total * np.repeat(factors, np.diff([0, *ends]))
    found = norm(Mean(total, factors, ends))
    assert found == pytest.approx(math.sqrt(math.fsum((mean * mean).tolist())), rel=1e-14)


def test_the_norm_adds_its_parts_one_after_another():
    """Python's own sum() of floats does so up to 3.11 only."""
    parts = list(map(float.fromhex, PARTS))
    found = norm(Mean(np.array(parts), np.ones(4), np.arange(1, 5)))
    assert found.hex() == "0x1.5d95d858c5c20p+2"
    assert math.sqrt(math.fsum(part * part for part in parts)).hex() == "0x1.5d95d858c5c21p+2"


def test_frozen_layers_stay():
    start = np.random.default_rng(0).normal(size=LAYOUT.size)
    everything = Shaping(l2=0.1, l1=0.1, weight_decay=0.1, clip_norm=1.0, frozen=(1,))
    for mine in OPTIMIZERS.values():
        v = ours(mine, everything)
        same = [(v[part] == start[part]).all() for part in LAYOUT.slices]
        assert same == [True, False, True, False]


def test_dropout_is_a_function_of_the_place_and_keeps_the_mean():
    dropout = Dropout(7, hidden=0.25, inputs=0.1)
    layers = (5, 301, 3)
    x = np.ones((4, 13, 301), np.float32)
    found = np.empty_like(x)
    drawn = Drawn(dropout, layers)
    drawn.draw(11, 2, 4, 13)
    drawn.drop(1, x, found)
    assert (found == 0).mean() == pytest.approx(0.25, abs=0.01)
    assert found.mean() == pytest.approx(1.0, abs=0.02)
    one = np.empty_like(x[:1])
    for i in range(4):  # each micro-batch by itself, as some other rank would
        drawn.draw(11, 2 + i, 1, 13)
        drawn.drop(1, x[:1], one)
        assert (one[0] == found[i]).all()
    drawn.draw(12, 2, 4, 13)
    drawn.drop(1, x, x)
    assert (x != found).any()


@pytest.mark.parametrize("M", [1, 3, 13])
def test_what_is_dropped_follows_from_numpys_philox(M):
    """The definition, in numpy alone: 16 bits of each word after another, the lowest first, a layer from a whole word on."""
    drawn, layers = Drawn(Dropout(2**64 - 1, hidden=0.25, inputs=0.1), (5, 7, 6, 3)), (5, 7, 6)
    for step, shard, s in ((3, 9, 2), (4, 0, 1), (5, 1, 3)):  # one after another
        drawn.draw(step, shard, s, M)
        for i in range(s):
            key = np.array([2**64 - 1, 4], np.uint64)
            counter = np.array([0, 0, step, shard + i], np.uint64)
            words = np.random.Philox(key=key, counter=counter).random_raw(999).astype("<u8")
            place = 0
            for l, n in enumerate(layers):
                count = -(-M * n // 4)
                draws = words[place : place + count].view("<u2")[: M * n].reshape(M, n)
                place += count
                keep = round((0.75 if l else 0.9) * 65536)
                x = np.random.default_rng(l).normal(size=(s, M, n))
                found = np.empty_like(x)
                drawn.drop(l, x, found)
                scaled = x[i] * (65536 / keep)
                np.testing.assert_array_equal(found[i], np.where(draws < keep, scaled, 0))


EVERYTHING = {
    "network.activation": "gelu",
    "optimizer.name": "nadam",
    "optimizer.learning_rate": 0.01,
    "training.epochs": 3,
    "regularization.l2": 1e-3,
    "regularization.l1": 1e-4,
    "regularization.weight_decay": 0.01,
    "regularization.dropout": 0.2,
    "regularization.input_dropout": 0.1,
    "regularization.clip_norm": 0.5,
    "regularization.label_smoothing": 0.1,
    "regularization.average": 0.9,
}
NUMBERS = {
    "network.activation": "silu",
    "network.output": "identity",
    "network.layers": [20, 13, 2],
    "network.cost": "gaussian-nll",
    "optimizer.name": "rmsprop",
    "optimizer.learning_rate": 0.01,
    "regularization.clip_value": 0.1,
    "regularization.dropout": 0.1,
    "training.frozen": [1],
}


def run(place, name, size, changes, **more):
    changes = {**changes, "run.directory": str(place / name)}
    config = config_in(place, changes)
    found = on_ranks(
        size,
        lambda comm: train(config, comm, report=LogOnly() if comm.rank == 0 else None, **more),
    )
    assert not [outcome for outcome in found if isinstance(outcome, Exception)], found
    return found[0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classes", "numbers"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_bits_on_any_ranks_and_after_a_resume(tmp_path, dtype, kind):
    changes = {"dtype": dtype, **(EVERYTHING if kind == "classes" else NUMBERS)}
    if kind == "numbers":
        from example import rows, write_set

        (x, _), (x_test, _) = rows(1009), rows(301, seed=1)
        y, y_test = (np.sin(part[:, 0]) + 0.1 * part[:, 1] for part in (x, x_test))
        write_set(tmp_path / "set.h5", train=(x, y), test=(x_test, y_test))
    alone = run(tmp_path, "alone", 1, changes)
    first, last = lawful(tmp_path / "alone")[0], lawful(tmp_path / "alone")[-1]
    assert last["validation_cost"] < first["validation_cost"]
    run(tmp_path, "resumed", 3, changes, until=25)
    assert run(tmp_path, "resumed", 2, changes).v_sha256 == alone.v_sha256
    assert lawful(tmp_path / "resumed") == lawful(tmp_path / "alone")
    without = {**changes, "regularization.dropout": 0.0}
    assert run(tmp_path, "without", 1, without).v_sha256 != alone.v_sha256


def test_the_average_is_what_is_evaluated(tmp_path):
    changes = {"regularization.average": 0.9, "training.epochs": 1}
    result = run(tmp_path, "averaged", 1, changes)
    found, _ = checkpoint.find(tmp_path / "averaged", "last")
    average = found.arrays["average"]
    assert (average != found.v).any() and (found.v == result.v).all()
    from distmlp.results import checkpoint_commands

    metrics = checkpoint_commands.evaluate(tmp_path / "averaged", None, SingleProcess(), "last")
    assert metrics.cost == result.record["validation_cost"]
    used = checkpoint.averaged(found)
    assert (used.v == average).all() and used.facts["v_sha256"] == checkpoint.v_sha256(average)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"network.cost": "hinge"}, 'network.cost is "hinge" with network.output "softmax"'),
        ({"network.cost": "gaussian-nll"}, 'network.cost is "gaussian-nll"'),
        ({"optimizer.name": "adamw"}, "regularization.weight_decay is 0"),
        ({"optimizer.rho": 0.5}, 'it belongs to "rmsprop"'),
        ({"training.frozen": [1, 2]}, "some of the layers 1 … 2"),
        ({"regularization.clip_norm": 1.0, "regularization.clip_value": 1.0}, "one of them"),
        ({"regularization.dropout": 0.5, "network.activation": "softmax"}, "add up to 1"),
        ({"regularization.dropout": 0.5, "network.layers": [20, 5]}, "no hidden layer"),
        ({"regularization.label_smoothing": 0.1, "network.cost": "mse"}, '"cross-entropy"'),
        ({"regularization.dropout": 1.0}, "less than 1"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, changes, words):
    with pytest.raises(InputError) as error:
        config_in(tmp_path, changes)
    assert words in str(error.value)
