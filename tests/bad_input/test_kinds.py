"""Bad input: exit status 2, one sentence that names what is wrong, within seconds, and nothing written.

CASES has every kind of it.  All of them go through the command's own code in one process, which is
fast; then the first of each kind goes through the real command, alone and on three ranks.
"""

import json

import bad_configs  # noqa: F401 (its cases)
import bad_sets  # noqa: F401
import pytest
from bad_cases import CASES, IN_ONE_PROCESS, SECONDS, contents, is_one_sentence
from example import write_config, write_set
from launching import distmlp, run_ranks

NAMES = [f"{i}-{case.kind.replace(' ', '-')}" for i, case in enumerate(CASES)]
FIRST = {case.kind: name for name, case in reversed(list(zip(NAMES, CASES, strict=True)))}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A directory for each case, with all that it needs and a good set beside."""
    home = tmp_path_factory.mktemp("bad")
    for name, case in zip(NAMES, CASES, strict=True):
        place = home / name
        place.mkdir()
        write_set(place / "set.h5")
        if case.words[1:2] == ["config.toml"] or case.changes:
            write_config(place / "config.toml", case.changes)
        for file, write in case.files.items():
            write(place / file)
    return home


ALL_CASES = """
for place, words in json.load(open(sys.argv[1])):
    os.chdir(place)
    answer(*run(words))
"""


@pytest.fixture(scope="module")
def outcomes(home):
    """{name: (files before, exit status, what was said on standard error)} of all cases, run in one process."""
    before = [contents(home / name) for name in NAMES]
    todo = [(str(home / name), case.words) for name, case in zip(NAMES, CASES, strict=True)]
    (home / "todo.json").write_text(json.dumps(todo))
    done = run_ranks(None, 1, ["-c", IN_ONE_PROCESS + ALL_CASES, home / "todo.json"], timeout=120)
    found = [json.loads(line) for line in done.out.splitlines()]
    assert len(found) == len(CASES), f"the process ended at {NAMES[len(found)]}: {done.err}"
    return {
        name: (files, status, said)
        for name, files, (status, said) in zip(NAMES, before, found, strict=True)
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_case(name, home, outcomes):
    case = CASES[NAMES.index(name)]
    before, status, said = outcomes[name]
    assert status == 2, said
    is_one_sentence(said, case.parts)
    assert contents(home / name) == before, "something was written"
    assert not (home / name / "run").exists()


@pytest.mark.parametrize("kind", FIRST)
@pytest.mark.slow
def test_each_kind_by_the_real_command(kind, home):
    name = FIRST[kind]
    case, before = CASES[NAMES.index(name)], contents(home / name)
    done = distmlp(*case.words, cwd=home / name, timeout=SECONDS)
    assert done.status == 2, done.err
    is_one_sentence(done.err, case.parts)
    assert contents(home / name) == before and not (home / name / "run").exists()


@pytest.mark.parametrize("i, kind", list(enumerate(FIRST)))
def test_each_kind_on_three_ranks(i, kind, home, launcher):
    """One of the two MPIs in turn: rank 0 alone says it, and every rank ends with 2."""
    mpi = launcher(("openmpi", "mpich")[i % 2])
    name = FIRST[kind]
    case, before = CASES[NAMES.index(name)], contents(home / name)
    done = distmlp(*case.words, mpi=mpi, ranks=3, cwd=home / name, timeout=SECONDS)
    assert done.status == 2, done.err
    is_one_sentence("\n".join(done.said), case.parts)
    assert contents(home / name) == before and not (home / name / "run").exists()
