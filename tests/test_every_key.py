"""The law for every value of every key of the config: the same log and v on 1 to 4 ranks, after a resume, and without a lost rank.

What is tried follows from the config's own declarations (every_key.py), so a new key is tried without anybody adding it here.
"""

import json
from contextlib import ExitStack

import pytest
from broken import Resilient
from every_key import CUT, NEEDS, config_of, declared, run, variants, write_set, write_start
from launching import ROOT, run_ranks

from distmlp.config import keys
from distmlp.errors import InputError
from distmlp.parallel.communicator import SingleProcess
from distmlp.training.preparation import prepare
from distmlp.training.reporting import Silent

VARIANTS = variants()

#: Free keys that may end a run earlier or later, and v with it; and where v begins, which a run that goes on has behind it.
CHANGING = (
    *("training.epochs", "training.epsilon", "training.patience", "training.least_improvement"),
    *("training.monitor", "network.start_from"),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("every_key")
    write_set(home / "set.h5")
    write_start(home)
    return home


@pytest.fixture(scope="module")
def alone(home):
    """alone(name, changes): what one process leaves, without a stop; made once."""
    made = {}

    def alone(name, changes):
        if name not in made:
            made[name] = run(home, name, changes, SingleProcess(), "straight")
        return made[name]

    return alone


def script(home, how, asked, mpi, ranks):
    """What every_key.py prints of a list of trainings."""
    (home / "asked.json").write_text(json.dumps(asked))
    words = [ROOT / "tests" / "every_key.py", home, how, home / "asked.json"]
    done = run_ranks(mpi, ranks, words, timeout=400)
    assert done.status == 0, done.err
    return json.loads(done.out)


def differing(found, alone, asked):
    """The names whose training left something that one process alone would not."""
    return [
        name for name in asked if found[name] != json.loads(json.dumps(alone(name, asked[name])))
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_each_value_after_a_stop_at_an_odd_step(name, home, alone):
    changes = VARIANTS[name]
    assert run(home, name, changes, SingleProcess(), "cut") == alone(name, changes)


def fit_together(home, changes):
    """Whether a config with these changes can be trained."""
    try:
        with ExitStack() as stack:
            config = config_of(home, home / "never", changes)
            prepare(config, SingleProcess(), Silent(), None, stack)
    except InputError:
        return False
    return True


@pytest.fixture(scope="module")
def packs(home):
    """All of VARIANTS in few configs, each with as many of them as go together."""
    packs = []
    for changes in VARIANTS.values():
        for pack in packs:
            both = {**pack, **changes}
            if all(both[key] == value for key, value in pack.items()) and fit_together(home, both):
                pack.update(changes)
                break
        else:
            packs.append(dict(changes))
    return {f"pack-{i}": pack for i, pack in enumerate(packs)}


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_on_any_ranks_after_a_stop_at_an_odd_step(ranks, home, packs, alone, openmpi):
    found = script(home, "cut", packs, openmpi, ranks)
    assert found["sizes"] == [ranks] * (len(packs) + 1)
    assert differing(found["found"], alone, packs) == []


def test_the_same_without_a_lost_rank(home, packs, alone, openmpi):
    tried = {
        name: changes for name, changes in packs.items() if alone(name, changes)["step"] >= CUT
    }
    left = list(tried)
    lost = 0
    while left:
        some, left = left[:3], left[3:]
        asked = {name: tried[name] for name in some}
        found = script(home, "lost", asked, Resilient("ulfm", openmpi.bin), 4)
        assert found["sizes"] == [4, 3, 2, 1][: len(some) + 1]
        assert differing(found["found"], alone, asked) == []
        lost += len(some)
    assert lost >= len(packs) - 2  # one that has converged at once loses nobody


@pytest.mark.slow
@pytest.mark.parametrize("key", declared())
def test_a_key_decides_the_law_where_it_says_so(key, alone, home):
    """What is not declared free changes the log for some value; what is free changes no v."""
    base = alone("base", {})
    found = []
    for name, changes in VARIANTS.items():
        if name.partition("=")[0] != key:
            continue
        others = {k: v for k, v in changes.items() if k != key}
        if others and not fit_together(home, others):
            others = {}
        before = alone(f"{name} without", others) if others else base
        found.append((alone(name, changes), before))
    if not found or key in CHANGING:
        return
    if keys.is_free(declared()[key]):
        assert all(
            [r["v_sha256"] for r in a["log"]] == [r["v_sha256"] for r in b["log"]] for a, b in found
        )
    else:
        assert any(a["log"] != b["log"] for a, b in found)


def test_what_is_needed_is_of_keys_that_there_are():
    assert {name.partition("=")[0] for name in NEEDS} <= set(declared())
    assert {name for name in NEEDS if "=" in name} <= set(VARIANTS)
