"""Words that a user gives: into a config, a job's file, a launch; and streams that nobody reads."""

import os
import signal
import subprocess
import sys

import pytest
from bad_cases import SECONDS, is_one_sentence
from example import steps, tables, write_config, write_set
from hypothesis import given, settings
from hypothesis import strategies as st
from launching import distmlp, started

from distmlp.cluster import submission
from distmlp.cluster.hosts import hosts_of
from distmlp.cluster.submission import Job
from distmlp.config.reading import from_tables, load
from distmlp.errors import InputError

# Into a job's file

#: What shells, SLURM and ssh treat in ways of their own, and plain text.
NASTY = st.text(
    st.sampled_from(list("ab /.%-=,:;&|<>()[]{}$`'\"\\#!*?~^\n\r\t\0")) | st.characters(),
    max_size=12,
)


def told_to_a_shell(text, run):
    """The words that a real shell makes of a job's file before its body."""
    head = text[: text.index("# How it works.")]
    shown = 'printf "%s\\0" "$@" "${DISTMLP_LAUNCH-}" "${DISTMLP_SETUP-}"'
    done = subprocess.run(
        ["bash", "-c", f"{head}\n{shown}\n"],
        capture_output=True,
        cwd=run,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.split(b"\0")[:-1]


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(NASTY, NASTY, NASTY, NASTY)
def test_nothing_but_words_comes_out_of_a_job(tmp_path_factory, directory, launch, setup, option):
    job = Job(1, 2, "1:00:00", launch=launch, setup=setup, more=(f"--comment={option}",))
    run = tmp_path_factory.getbasetemp() / f"run{directory}"
    try:
        submission.check(job)
        text = submission.script(job, run)
    except InputError as error:
        assert "\n" not in str(error)
        return
    options = [line for line in text.splitlines() if line.startswith("#SBATCH")]
    assert len(options) == 10
    told = told_to_a_shell(text, tmp_path_factory.getbasetemp())
    assert told == [str(run / "job.toml").encode(), launch.encode(), setup.encode()]


@pytest.mark.parametrize("name", ["a\nrm -rf x", 'a"b', "a'b", "a\\b", "a#b", "a\0b", "a\udcffb"])
def test_a_directory_that_no_job_can_name(name, tmp_path):
    with pytest.raises(InputError, match=r"run\.directory is "):
        submission.script(Job(1, 1, "1:00:00"), tmp_path / name)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(st.sampled_from(list("ab1-:,. \0\n$'")), max_size=12), st.integers(1, 64))
def test_hosts_are_names_and_counts(text, ranks):
    try:
        found = hosts_of(text, ranks)
    except InputError as error:
        assert error.args[0].startswith("-H ")
        return
    assert all(host.ranks > 0 and host.name[0] not in "-." for host in found)


# Into a config

CONFIGS = {
    "nested deeply": f"a = {'[' * 5000}{']' * 5000}",
    "many digits": f"seed = {'9' * 5000}",
    "a NUL": 'seed = "a\\u0000"',
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_that_cannot_be(name, tmp_path):
    (tmp_path / "config.toml").write_text(CONFIGS[name])
    with pytest.raises(InputError) as raised:
        load(tmp_path / "config.toml")
    assert len(str(raised.value)) < 1000 and "\n" not in str(raised.value)


@pytest.mark.parametrize("value", ["a\0b", "a\udcff"])
def test_a_name_that_no_file_can_have(value):
    for key in ("data.train", "run.directory", "data.inputs"):
        with pytest.raises(InputError, match=key):
            from_tables(tables({key: value}))


@pytest.mark.slow
def test_a_fifo_is_no_config_and_no_data(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InputError, match="not a regular file"):
        load(tmp_path / "fifo")
    config = write_config(tmp_path / "config.toml", {"data.train": "fifo:/train"})
    done = distmlp("train", config, timeout=SECONDS)
    assert done.status == 2
    is_one_sentence(done.err, ["fifo:/train", "not a regular file"])


@pytest.mark.slow
def test_layers_beyond_memory(tmp_path):
    write_set(tmp_path / "set.h5")
    config = write_config(tmp_path / "config.toml", {"network.layers": [20, 10**6, 10**6, 5]})
    done = distmlp("train", config, timeout=SECONDS)
    assert done.status == 2
    is_one_sentence(done.err, ["network.layers", "1000027000005 parameters", "GiB"])


# Streams, and signals

REDIRECTED = {
    "closed": ">&- 2>&-",
    "all closed": "<&- >&- 2>&-",
    "full": ">/dev/full 2>/dev/full",
    "a pipe whose reader left": "2>&1 | true",
}


@pytest.mark.slow
def test_nobody_has_to_listen(tmp_path):
    """The work's own status is the command's, whatever becomes of what it says."""
    write_set(tmp_path / "set.h5")
    (tmp_path / "bad.toml").write_text("seed = -1")
    python = f"{sys.executable} -m distmlp"
    env = {**os.environ, "PYTHONPATH": ""}
    for number, (name, how) in enumerate(REDIRECTED.items()):
        config = write_config(tmp_path / f"{number}.toml", {"run.directory": f"run-{number}"})
        for words, status in (
            (f"train {config} --progress bar", 0),
            (f"inspect run-{number} --json", 0),
            ("train bad.toml", 2),
        ):
            line = f"set -o pipefail; ({python} {words}) {how}"
            done = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=env, timeout=SECONDS)
            assert done.returncode == status, (name, words)
        assert steps(tmp_path / f"run-{number}")[-1] == 42


@pytest.mark.slow
def test_a_terminal_that_closes_leaves_a_checkpoint(tmp_path):
    write_set(tmp_path / "set.h5")
    config = write_config(tmp_path / "config.toml", {"training.epochs": 10**6})
    # where the tests themselves are run by nohup, what they start would not hear it
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with started(None, 1, ["-m", "distmlp", "train", config]) as running:
            running.until(lambda: (tmp_path / "run" / "log.jsonl").exists())
            running.process.send_signal(signal.SIGHUP)
            done = running.wait(SECONDS)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert done.status == 75 and steps(tmp_path / "run")
