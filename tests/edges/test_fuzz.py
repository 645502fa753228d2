"""Random command lines, random damage to what a run keeps, random configs: no traceback, no hang, the same bits.

All is drawn by hypothesis from fixed seeds, in one process a test, so that a failure comes again.
"""

import json

import pytest
from bad_cases import IN_ONE_PROCESS
from example import write_config, write_set
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from launching import distmlp, run_ranks

DRAWN = (
    IN_ONE_PROCESS
    + """
import shutil, signal, traceback
from pathlib import Path
from hypothesis import HealthCheck, given, settings, strategies as st

home, count = Path(sys.argv[1]), int(sys.argv[2])
os.chdir(home)

def told(words):
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(30)  # a hang ends the test
    try:
        status, said = run(words)
    finally:
        signal.alarm(0)
    if isinstance(status, str) and status.startswith("SystemExit(0"):
        status = 0  # --help
    lines = [line for line in said.splitlines() if "Traceback" in line]
    return status, said, lines

def drawn(strategy):
    def tested(check):
        many = settings(max_examples=count, derandomize=True, deadline=None, database=None,
                        suppress_health_check=list(HealthCheck))
        try:
            many(given(strategy)(check))()
        except BaseException:
            print(traceback.format_exc(), file=answers, flush=True)  # standard error is the last command's
            raise
    return tested
"""
)

COMMAND_LINES = """
words = st.one_of(
    st.sampled_from([
        *("train", "evaluate", "predict", "inspect", "verify", "export", "compare", "status", "many", "convert"),
        *("config.toml", "run", "set.h5", "set.h5:/train", "set.h5:/test", "set.h5:/", "nothing", ".", "..", "/", ""),
        *("--set", "--resume", "--json", "--data", "--output", "--help", "--progress", "--whole", "--which", "--"),
        *("out.h5", "out.npz", "/dev/null", "/dev/stdin", "never", "best", "none", "training.epochs=1", "a.b=c"),
        *("run.directory=run", "seed=" + "9" * 5000, "a=" + "[" * 3000, "=", "-1", "1e400", "\\0"),
    ]),
    st.text(max_size=6),
)
first = st.sampled_from(["train", "evaluate", "predict", "inspect", "export", "compare", "status", "convert"])

@drawn(st.tuples(first, st.lists(words, max_size=5)))
def check(drawn):
    command, rest = drawn
    status, said, lines = told([command, *rest])
    assert status in (0, 2, 75) and not lines, (command, rest, status, said)
    answer(status)
"""

DAMAGE = """
FILES = sorted(str(path.relative_to("run")) for path in Path("run").rglob("*") if path.is_file())
COMMANDS = {
    "inspect": ["inspect", "copy"], "best": ["inspect", "copy", "--which", "best"],
    "evaluate": ["evaluate", "copy"], "compare": ["compare", "copy", "--output", "table.csv", "--overwrite"],
    "export": ["export", "copy", "out.npz", "--overwrite"], "verify": ["verify", "copy"],
    "status": ["status", "config.toml", "--set", "run.directory=copy"],
    "ends": ["status", "config.toml", "--set", "run.directory=copy", "--ends"],
    "predict": ["predict", "copy", "--data", "set.h5:/test", "--output", "out.h5", "--overwrite"],
    "train": ["train", "config.toml", "--set", "run.directory=copy"],
    "never": ["train", "config.toml", "--set", "run.directory=copy", "--resume", "never"],
}

def damaged(path, kind, number, content):
    whole = path.read_bytes()
    if kind == "flipped" and whole:
        place = number % len(whole)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << number % 8]) + whole[place + 1:])
    elif kind == "cut":
        path.write_bytes(whole[:number % (len(whole) + 1)])
    elif kind == "other":
        path.write_bytes(content)
    elif kind == "more":
        path.write_bytes(whole + content)
    else:
        path.unlink()
        if kind == "directory":
            path.mkdir()
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "dangling":
            path.symlink_to("nowhere")
        elif kind == "link":
            Path("precious").write_bytes(whole)
            path.symlink_to(Path("precious").resolve())

kinds = ["flipped", "cut", "other", "more", "removed", "directory", "fifo", "dangling", "link"]
contents = st.one_of(st.binary(max_size=40), st.sampled_from(
    [b"{}", b"[]", b"null", b'{"step": "x"}', b'{"step": 1e400}', b"[" * 9999, b'{"event": "lost"}', b"9" * 5000, b"a = 1"]))

@drawn(st.tuples(st.sampled_from(FILES), st.sampled_from(kinds), st.integers(0, 2**40), contents,
                 st.sampled_from(sorted(COMMANDS))))
def check(drawn):
    name, kind, number, content, command = drawn
    shutil.rmtree("copy", ignore_errors=True)
    shutil.copytree("run", "copy")
    damaged(Path("copy") / name, kind, number, content)
    precious = Path("precious").read_bytes() if kind == "link" else None
    status, said, lines = told(COMMANDS[command])
    allowed = (0, 1, 2, 75) if command == "verify" else (0, 2, 75)
    assert status in allowed and not lines, (drawn, status, said)
    assert precious is None or Path("precious").read_bytes() == precious, drawn
    answer(status)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A directory with a set and a complete run."""
    place = tmp_path_factory.mktemp("home")
    write_set(place / "set.h5")
    config = write_config(place / "config.toml", {"run.checkpoint_every": "10 steps"})
    assert distmlp("train", config).status == 0
    return place


@pytest.mark.slow
@pytest.mark.parametrize("name, count", [("COMMAND_LINES", 150), ("DAMAGE", 60)])
def test_no_traceback_and_no_hang(name, count, home):
    done = run_ranks(None, 1, ["-c", DRAWN + globals()[name], home, count], timeout=200)
    assert done.status == 0, done.out[-3000:]
    assert len(done.out.splitlines()) >= count // 2


# Random configs, at several rank counts, in one go and resumed

CONFIGS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**64 - 1),
        "dtype": st.sampled_from(["float32", "float64"]),
        "network.layers": st.lists(st.integers(1, 40), max_size=3).map(lambda n: [20, *n, 5]),
        "network.activation": st.sampled_from(["sigmoid", "tanh", "relu", "softplus", "identity"]),
        "network.output": st.sampled_from(["sigmoid", "softmax"]),
        "network.cost": st.sampled_from(["mse", "cross-entropy"]),
        "training.batch_size": st.integers(50, 300),
        "training.micro_batch_size": st.integers(1, 50),
        "optimizer": st.sampled_from(
            [
                {"learning_rate": 0.1},
                {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True},
                {"learning_rate": 0.01, "name": "adam"},
            ]
        ),
        "data.window": st.sampled_from(["256 MB", "20 kB", "1 kB"]),
        "run.checkpoint_every": st.sampled_from(["1 epoch", "3 steps"]),
    }
)

TRAINED = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from example import lawful, tables
from distmlp.config.reading import from_tables
from distmlp.parallel import launchers
from distmlp.training.loop import train
from distmlp.training.reporting import LogOnly

place, way, stops = Path(sys.argv[2]), sys.argv[3], sys.argv[4] == "stops"
comm = launchers.world()
for number, changes in enumerate(json.loads((place / "configs.json").read_text())):
    run = str(place / f"{way}-{number}")
    config = from_tables(tables({**changes, "run.directory": run, "data.train": f"{place}/set.h5:/train",
                                 "data.validation": f"{place}/set.h5:/test"}))
    if stops:
        train(config, comm, until=3 + number, report=LogOnly())
    result = train(config, comm, report=LogOnly())
    if comm.rank == 0:
        print(json.dumps([result.v_sha256, lawful(Path(run))]))
"""


def test_random_configs_come_to_the_same_bits(openmpi, tmp_path):
    drawn = []

    @settings(
        max_examples=5, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(CONFIGS)
    def draw(config):
        drawn.append(config)

    draw()
    write_set(tmp_path / "set.h5")
    (tmp_path / "configs.json").write_text(json.dumps(drawn))
    here = str(__file__).rpartition("/edges/")[0]
    found = {}
    for way, mpi, ranks, stops, env in (
        ("alone", None, 1, "", {}),
        ("numpy", None, 1, "stops", {"DISTMLP_COMPILED": "0"}),
        ("three", openmpi, 3, "stops", {}),
    ):
        words = ["-W", "ignore", "-c", TRAINED, here, tmp_path, way, stops or "straight"]
        done = run_ranks(mpi, ranks, words, timeout=200, env=env)
        assert done.status == 0, done.err[-3000:]
        found[way] = [json.loads(line) for line in done.out.splitlines() if line.startswith("[")]
    assert len(found["alone"]) == len(drawn) == 5
    assert found["alone"] == found["numpy"] == found["three"]
