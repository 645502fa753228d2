"""Holds that the names in a config are the tables' own: activations, costs, optimizers and schedules."""

from dataclasses import fields

import pytest

from distmlp.config import keys, reading, sections
from distmlp.errors import InputError
from distmlp.mathematics import adaptive, lbfgs, optimizers
from distmlp.mathematics.activations import ACTIVATIONS
from distmlp.mathematics.costs import COSTS
from distmlp.mathematics.initializers import INITIALIZERS
from distmlp.mathematics.schedules import Schedule
from distmlp.training import parts


def choices(cls, key):
    """The names that config/sections.py declares for a key."""
    (declared,) = (f for f in fields(cls) if f.name == key)
    words = keys.expected(declared).removeprefix("one of ")
    names = words.split(", ")
    assert all(keys.accepts(declared, name) for name in names)
    assert not keys.accepts(declared, names[0] + "x")
    return sorted(names)


def test_names_in_a_config_are_the_tables_keys():
    assert choices(sections.NetworkConfig, "activation") == sorted(ACTIVATIONS)
    assert choices(sections.NetworkConfig, "output") == sorted(ACTIVATIONS)
    assert choices(sections.NetworkConfig, "cost") == sorted({cost for cost, _ in COSTS})
    assert choices(sections.NetworkConfig, "initializer") == sorted(INITIALIZERS)


def tables(**network):
    return {
        "network": {"layers": [2, 3, 2], **network},
        "data": {"train": "a.h5:/train"},
        "optimizer": {"learning_rate": 1.0},
        "run": {"directory": "run"},
    }


@pytest.mark.parametrize("cost", sorted({cost for cost, _ in COSTS}))
@pytest.mark.parametrize("output", sorted(ACTIVATIONS))
def test_a_config_accepts_the_pairs_that_have_a_cost(cost, output):
    try:
        reading.from_tables(tables(cost=cost, output=output))
        accepted = True
    except InputError:
        accepted = False
    assert accepted == ((cost, output) in COSTS)


def test_every_optimizer_of_a_config_is_one_that_training_makes():
    made = set()
    for name in choices(sections.OptimizerConfig, "name"):
        made.add(
            type(
                parts.optimizer_of(
                    reading.from_tables(
                        {
                            **tables(),
                            "optimizer": {"name": name, "learning_rate": 1.0},
                            **(
                                {"training": {"batch_size": "all"}}
                                if name == "lbfgs"
                                else {"regularization": {"weight_decay": 0.01}}
                            ),
                        }
                    )
                )
            )
        )
    assert made == {
        optimizers.SGD,
        optimizers.Adam,
        adaptive.RMSprop,
        adaptive.Adagrad,
        adaptive.NAdam,
        lbfgs.LBFGS,
    }


@pytest.mark.parametrize("schedule", choices(sections.OptimizerConfig, "schedule"))
def test_every_schedule_of_a_config_is_one_of_its_own(schedule):
    how = {"by_step": True, "decay": 0.5, "milestones": (2,), "power": 2.0}
    rates = {
        name: [Schedule(name, 1.0, 4, 2, **how).rate(step, step // 3) for step in range(4)]
        for name in choices(sections.OptimizerConfig, "schedule")
    }
    assert [name for name, rate in rates.items() if rate == rates[schedule]] == [schedule]
