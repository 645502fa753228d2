"""Holds the rooms: imports point down one list, mpi4py and numpy stay where they belong, and names in configs are the tables' own."""

import ast
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import distmlp
from distmlp import config
from distmlp.activations import ACTIVATIONS
from distmlp.costs import COSTS
from distmlp.initializers import INITIALIZERS

PACKAGE = Path(distmlp.__file__).parent

#: The floors, lowest first, and the rooms on each in their order: a room imports only from rooms before it.
FLOORS = {
    "mathematics": "randomness layout activations costs initializers network optimizers exact shards",
    "ground": "config arithmetic",
    "storage": "dataset checkpoint rundirectory conversion export",
    "parallel": "hostmemory communicator",
    "training": "feed step evaluation recovery reporting preparation training",
    "outside": "commands submission comparison __init__ cli __main__",
}
#: A room's compiled part, `_ROOM.c`, is the room's own business.
COMPILED = [path.stem for path in PACKAGE.glob("*.c")]
ROOMS = [room for rooms in FLOORS.values() for room in rooms.split()]
MATHEMATICS = FLOORS["mathematics"].split()


def parsed(room):
    return ast.parse((PACKAGE / f"{room}.py").read_text(encoding="utf-8"))


def imports_of(tree):
    """(node, dotted name) of all that is imported, anywhere in a module; `from a import b` is a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "rooms are imported by their full names"
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def rooms_imported(room):
    """The rooms that a room imports; a name that is no room's is one of distmlp/__init__.py's own."""
    for _, name in imports_of(parsed(room)):
        top, *below = name.split(".")
        if top == "distmlp" and below[:1] != [f"_{room}"]:
            yield below[0] if below and below[0] in ROOMS else "__init__"


def test_a_compiled_part_belongs_to_a_room():
    assert sorted(COMPILED) == ["_activations", "_exact", "_hostmemory", "_network"] and all(name[1:] in ROOMS for name in COMPILED)


def test_every_room_is_on_a_floor():
    assert sorted(ROOMS) == sorted(path.stem for path in PACKAGE.glob("*.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_down(room):
    before = ROOMS[: ROOMS.index(room)]
    assert sorted(set(rooms_imported(room)) - set(before)) == []


@pytest.mark.parametrize("room", ROOMS)
def test_only_communicator_imports_mpi4py_and_only_when_asked(room):
    tree = parsed(room)
    found = [node for node, name in imports_of(tree) if name.split(".")[0] == "mpi4py"]
    inside = [
        node for function in ast.walk(tree) if isinstance(function, (ast.FunctionDef, ast.Lambda)) for node in ast.walk(function)
    ]
    assert bool(found) == (room == "communicator")
    assert all(node in inside for node in found)


@pytest.mark.parametrize("room", MATHEMATICS)
def test_mathematics_imports_numpy_and_nothing_else(room):
    others = {name.split(".")[0] for _, name in imports_of(parsed(room))} - {"distmlp"} - sys.stdlib_module_names
    assert others == {"numpy"}
    assert set(rooms_imported(room)) <= set(MATHEMATICS)


def modules_after(code):
    command = [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_importing_distmlp_imports_no_numpy_no_h5py_and_no_mpi():
    found = modules_after("import distmlp, distmlp.cli, distmlp.arithmetic")
    assert "distmlp.config" in found
    assert not found & {"numpy", "h5py", "mpi4py"}


def test_mathematics_runs_without_mpi_and_files():
    found = modules_after("\n".join(f"import distmlp.{room}" for room in MATHEMATICS))
    assert "numpy" in found
    assert not found & {"h5py", "mpi4py"}


def choices(cls, key):
    """The names that config.py declares for a key."""
    (declared,) = (f for f in fields(cls) if f.name == key)
    words = declared.metadata["expected"].removeprefix("one of ")
    names = words.split(", ")
    assert all(declared.metadata["accepts"](name) for name in names)
    assert not declared.metadata["accepts"](names[0] + "x")
    return sorted(names)


def test_names_in_a_config_are_the_tables_keys():
    assert choices(config.NetworkConfig, "activation") == sorted(ACTIVATIONS)
    assert choices(config.NetworkConfig, "output") == sorted(ACTIVATIONS)
    assert choices(config.NetworkConfig, "cost") == sorted({cost for cost, _ in COSTS})
    assert choices(config.NetworkConfig, "initializer") == sorted(INITIALIZERS)


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
        config.from_tables(tables(cost=cost, output=output))
        accepted = True
    except config.InputError:
        accepted = False
    assert accepted == ((cost, output) in COSTS)


def test_every_optimizer_of_a_config_is_one_that_training_makes():
    from distmlp import optimizers, preparation

    made = set()
    for name in choices(config.OptimizerConfig, "name"):
        made.add(type(preparation.optimizer_of(config.from_tables({**tables(), "optimizer": {"name": name, "learning_rate": 1.0}}))))
    assert made == {optimizers.SGD, optimizers.Adam}


@pytest.mark.parametrize("schedule", choices(config.OptimizerConfig, "schedule"))
def test_every_schedule_of_a_config_is_one_of_its_own(schedule):
    from distmlp.optimizers import learning_rate

    rates = {name: [learning_rate(1.0, name, 0.5, epoch, 4) for epoch in range(4)] for name in choices(config.OptimizerConfig, "schedule")}
    assert [name for name, rate in rates.items() if rate == rates[schedule]] == [schedule]
