"""Plans: the configs that a command trains, the same on every machine; what cannot be planned is named."""

import pytest
from example import tables

from distmlp.config.reading import from_tables
from distmlp.errors import InputError
from distmlp.many import plan
from distmlp.runs.directory import RunDirectory


@pytest.fixture
def config(tmp_path):
    return from_tables(tables({"run.directory": str(tmp_path / "many")}))


def test_an_ensemble_has_the_seeds_from_the_configs_on(config):
    assert plan.seeds(config, 3) == [{"seed": 7}, {"seed": 8}, {"seed": 9}]
    last = from_tables(tables({"seed": 2**64 - 1}))
    assert plan.seeds(last, 2) == [{"seed": 2**64 - 1}, {"seed": 0}]


def test_a_grid_has_every_combination_the_last_key_fastest():
    given = ["optimizer.learning_rate=[0.1,1]", 'network.activation=["tanh","relu"]']
    assert [tuple(of.values()) for of in plan.grid(given)] == [
        (0.1, "tanh"),
        (0.1, "relu"),
        (1, "tanh"),
        (1, "relu"),
    ]


def test_draws_are_constants_and_a_longer_plan_begins_with_a_shorter_one(config):
    given = [
        "optimizer.learning_rate=log:0.001:1",
        "training.batch_size=whole:8:64",
        "optimizer.momentum=uniform:0:0.9",
        "network.layers=[[20,13,5],[20,30,5]]",
    ]
    found = plan.random(config, 40, given)
    assert found[:10] == plan.random(config, 10, given)
    assert found[0] == FIRST
    rates = [of["optimizer.learning_rate"] for of in found]
    assert 0.001 <= min(rates) < 0.01 < 0.1 < max(rates) <= 1
    assert {of["training.batch_size"] for of in found} <= set(range(8, 65))
    assert {len(of["network.layers"]) for of in found} == {3}
    assert len({str(of) for of in found}) == 40


#: A constant: the same on every machine.
FIRST = {
    "optimizer.learning_rate": 0.378716,
    "training.batch_size": 60,
    "optimizer.momentum": 0.822931,
    "network.layers": [20, 13, 5],
}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda c: plan.grid(["seed"]), "expected section.key=[value, value]"),
        (lambda c: plan.grid(["seed=3"]), "expected section.key=[value, value]"),
        (lambda c: plan.grid(["seed=[1]", "seed=[2]"]), "names a key twice"),
        (lambda c: plan.random(c, 2, ["seed=log:0:1"]), "the lower first"),
        (lambda c: plan.random(c, 2, ["seed=uniform:2:1"]), "the lower first"),
        (lambda c: plan.random(c, 2, ["seed=uniform:a:b"]), "the lower first"),
        (lambda c: plan.random(c, 2, ["seed=whole:1.2:1.8"]), "no whole number from 1.2 to 1.8"),
        (lambda c: plan.random(c, 2, ["seed=[1]", "seed=[2]"]), "names seed a second time"),
        (lambda c: plan.grid(["seed=[1]\ndtype=2"]), "expected section.key=[value, value]"),
        (lambda c: plan.random(c, 2, ["seed=normal:0:1"]), "expected section.key=[value, value]"),
        (
            lambda c: plan.config_of(c, plan.Member("2", {"seed": -1})),
            "network 2 (seed = -1): seed",
        ),
        (lambda c: plan.config_of(c, plan.Member("1", {"sed": 1})), "did you mean seed?"),
        (lambda c: plan.config_of(c, plan.Member("1", {"run.keep": 1})), "run.keep cannot be set"),
        (lambda c: plan.config_of(c, plan.Member("1", {"no.key": 1})), "no.key cannot be set"),
        (lambda c: plan.members_of([{}] * (plan.MOST + 1)), "is the most"),
    ],
)
def test_what_cannot_be_planned(config, make, words):
    with pytest.raises(InputError) as error:
        make(config)
    assert words in str(error.value)


def test_whole_numbers_are_drawn_between_their_ends(config):
    found = plan.random(config, 40, ["seed=whole:1.5:4.5"])
    assert {of["seed"] for of in found} == {2, 3, 4}


def test_paths_of_a_plan_are_taken_from_the_current_directory(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {"data.train": "a.h5:/x", "data.validation": "b.h5:/y", "network.start_from": "old"}
    found = plan.config_of(config, plan.Member("1", settings))
    assert found.data.train == f"{tmp_path}/a.h5:/x"
    assert found.data.validation == f"{tmp_path}/b.h5:/y"
    assert found.network.start_from == f"{tmp_path}/old"


def test_a_members_config_differs_in_what_is_set_and_in_its_directory(config):
    member = plan.members_of(plan.folds(3, "classes"))[1]
    without = from_tables(tables({"data.validation": None, "run.directory": "x"}))
    found = plan.config_of(without, member)
    assert (found.data.folds, found.data.fold, found.data.fold_by) == (3, 2, "classes")
    assert found.run.directory == "x/2"
    assert found.network == config.network and member.words == "fold 2 of 3"


def test_a_plan_is_kept_and_may_only_grow(config):
    members = plan.members_of(plan.seeds(config, 2))
    assert plan.kept(config.run.directory) is None
    plan.keep(config, members)
    assert plan.kept(config.run.directory) == members
    longer = plan.members_of(plan.seeds(config, 3))
    plan.keep(config, longer)
    plan.keep(config, members)  # a part of it
    assert plan.kept(config.run.directory) == longer
    with pytest.raises(InputError, match=r"network 1 was seed = 7, but is now seed = 1"):
        plan.keep(config, plan.members_of([{"seed": 1}]))


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"optimizer.learning_rate": 0.7}, "network 1 has optimizer.learning_rate = 0.3"),
        ({"training.epochs": 9}, "network 1 has training.epochs = 2, but the config now has 9"),
    ],
)
def test_networks_that_have_begun_keep_their_config(config, tmp_path, changes, words):
    """Else a directory's table, and its mean, would be of networks that differ in more than the plan says."""
    members = plan.members_of(plan.seeds(config, 2))
    plan.keep(config, members)
    begun = plan.config_of(config, members[0])
    directory = RunDirectory(begun.run.directory)
    directory.prepare(begun, True)
    directory.release()
    plan.keep(config, members)
    other = from_tables(tables({"run.directory": config.run.directory, **changes}))
    with pytest.raises(InputError, match=words):
        plan.keep(other, plan.members_of(plan.seeds(other, 2)))


def test_a_run_of_one_network_and_a_damaged_plan_are_refused(config, tmp_path):
    directory = tmp_path / "many"
    directory.mkdir()
    (directory / plan.PLAN).write_text("{")
    with pytest.raises(InputError, match="damaged"):
        plan.kept(directory)
    (directory / "config.toml").write_text("")
    with pytest.raises(InputError, match="holds a run of one network"):
        plan.keep(config, plan.members_of(plan.seeds(config, 2)))


def test_the_table_is_what_the_job_array_reads():
    settings = plan.grid(["network.layers=[[20,13,5]]", 'optimizer.name=["adam"]'])
    assert plan.table(plan.members_of(settings)) == (
        'network.layers optimizer.name\n[20,13,5] "adam"\n'
    )
