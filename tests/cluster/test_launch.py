"""`distmlp launch` without MPI: an mpirun of the test's own does what a run would do, so every end can be had.

tests/faults has the same with real ranks.
"""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import example
import pytest
from launching import ROOT, launched

from distmlp.runs import events

#: What each start of the false mpirun does, in Python: the statements of its words, in order.
MPIRUN = """\
#!{python}
import fcntl, json, os, signal, sys, time
from pathlib import Path
from distmlp.runs import events
if "--version" in sys.argv:
    sys.exit(print("a mpirun of this test's own"))
here, run = Path({place!r}), Path({place!r}) / "run"
with open(here / "commands", "a") as file:
    print(json.dumps(sys.argv[1:]), file=file)
number = len((here / "commands").read_text().splitlines())

def work():
    run.mkdir(exist_ok=True)
    lock = open(run / "lock", "a")
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.utime(run / "lock")
    return lock

def complete():
    (run / "finished.json").write_text('{{"step": 42}}')

exec(json.loads({starts!r})[number - 1])
"""


class Place:
    """A directory with a config and a false mpirun."""

    def __init__(self, place: Path):
        self.place, self.run, self.config = place, place / "run", place / "config.toml"
        example.write_set(place / "set.h5")
        example.write_config(self.config)

    def starts(self, *deeds: str) -> None:
        """mpirun does the first of these when it is started first, and so on."""
        path = self.place / "mpirun"
        plan = json.dumps([textwrap.dedent(deed) for deed in deeds])
        path.write_text(MPIRUN.format(python=sys.executable, place=str(self.place), starts=plan))
        path.chmod(0o755)

    def launch(self, *words, signals=()):
        """(exit status, what it said) of distmlp launch; signals: sent one by one, once each is written in `ready`."""
        with launched(self.place / "python", words) as running:
            for number in signals:
                running.until(lambda: (self.place / "ready").exists())
                (self.place / "ready").unlink()
                running.process.send_signal(number)
            done = running.wait(30)
        return done.status, done.err

    @property
    def commands(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.place / "commands").read_text().splitlines()]


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


COMPLETE = "work(); complete()"


def crash(step, place=None):
    """A start that comes to a step and fails."""
    return f"""
        lock = work()
        (run / "checkpoints").mkdir(exist_ok=True)
        (run / "checkpoints" / "step-{step:09d}.h5").touch()
        events.append(run, events.failed(1, "rank 1 of 2 failed", {place!r}))
        sys.exit(1)
    """


def test_a_run_that_completes(place):
    place.starts(COMPLETE)
    status, said = place.launch(
        "-n", 3, place.config, "--set", "training.epochs=9", "--resume", "never"
    )
    assert status == 0
    assert said.startswith("distmlp launch: complete after 1 start and ")
    (command,) = place.commands
    assert command[: command.index("distmlp") + 3] == [
        *("-n", "3", str(place.place / "python"), "-P", "-m", "distmlp", "train"),
        str(place.config),
    ]
    assert command[-5:] == ["--set", "training.epochs=9", "--all-ranks", "--resume", "never"]


@pytest.mark.slow
def test_the_mark_of_a_run_counts_and_not_what_mpirun_returns(place):
    place.starts("work(); complete(); sys.exit(7)")
    assert place.launch(place.config)[0] == 0
    place.starts("complete()", "work(); sys.exit(0)", "work(); sys.exit(0)")
    (place.place / "commands").unlink()
    (place.run / "finished.json").unlink()
    assert place.launch(place.config)[0] == 0
    # An end mark that was there before says nothing, and neither does mpirun's 0.
    assert place.launch("--restarts", 1, place.config)[0] == 1


@pytest.mark.slow
@pytest.mark.parametrize("status", [2, 3, 75])
def test_an_end_of_its_own_is_not_started_again(status, place):
    said = f"events.append(run, events.failed(0, 'why', None, {status}))"
    place.starts(f"work(); {said}; sys.exit({status})")
    assert place.launch(place.config)[0] == status
    assert len(place.commands) == 1


@pytest.mark.slow
@pytest.mark.parametrize("status", [2, 3])
def test_a_rank_that_died_of_a_signal_is_no_end_of_its_own(status, place):
    """MPICH's mpirun returns the signal's number."""
    place.starts(f"work(); sys.exit({status})", "work(); complete()")
    assert place.launch(place.config)[0] == 0
    assert len(place.commands) == 2


def test_a_stop_is_one_whatever_mpirun_returns(place):
    place.starts("work(); events.append(run, events.stopped(7)); sys.exit(0)")
    status, said = place.launch(place.config)
    assert status == 75
    assert "stopped; the same command goes on after 1 start" in said


@pytest.mark.slow
@pytest.mark.parametrize("form", [["--resume", "never"], ["--resume=never"]])
def test_after_a_crash_it_goes_on_from_what_is_there(form, place):
    place.starts(crash(10), crash(20), COMPLETE)
    status, said = place.launch(place.config, *form)
    assert status == 0
    assert [("--resume" in command) for command in place.commands] == [True, False, False]
    assert "crashed at step 10; starting again with 2 ranks" in said
    assert "complete after 3 starts" in said
    assert said.count("distmlp launch:     rank 1 of 2 failed") == 2


@pytest.mark.slow
@pytest.mark.parametrize("at", ["step 31", None])
def test_a_crash_that_repeats_is_a_bug(at, place):
    place.starts(crash(10), crash(30, at), crash(40 if at else 30, at))
    status, said = place.launch(place.config)
    assert status == 1
    assert f"crashed twice in {at or 'the steps after 30'}: that is a bug and no fault" in said
    assert len(place.commands) == 3


@pytest.mark.slow
def test_the_first_start_begins_with_all_ranks_or_not_at_all(place):
    """And what the user asked of the beginning still holds for a second that finds nothing begun."""
    place.starts("sys.exit(1)", crash(10), COMPLETE)
    assert place.launch(place.config, "--resume", "never")[0] == 0
    asked = [{"--all-ranks", "never"} & {*command} for command in place.commands]
    assert asked == [{"--all-ranks", "never"}, {"never"}, set()]


@pytest.mark.slow
def test_crashes_before_the_run_is_at_work(place):
    place.starts("sys.exit(9)", "sys.exit(9)")
    status, said = place.launch(place.config)
    assert status == 9
    assert "crashed twice before it was at work" in said


@pytest.mark.slow
def test_starts_are_bounded(place):
    place.starts(*(crash(step) for step in (10, 20, 30)))
    status, said = place.launch("--restarts", 2, place.config)
    assert status == 1
    assert "crashed 3 times (--restarts 2)" in said


@pytest.mark.slow
def test_what_an_earlier_start_has_left_is_not_taken_for_news(place):
    place.run.mkdir()
    events.append(place.run, events.stopped(5))
    events.append(place.run, events.failed(0, "long ago", "step 5"))
    place.starts("sys.exit(9)", COMPLETE)
    status, said = place.launch(place.config)
    assert status == 0
    assert "long ago" not in said


def test_lost_ranks_are_in_the_summary(place):
    place.starts('work(); events.append(run, events.lost(["rank 1 on b"], 3, 8)); complete()')
    status, said = place.launch(place.config)
    assert status == 0
    assert "distmlp launch:     lost rank 1 on b; 3 go on from step 8\n" in said


@pytest.mark.slow
def test_an_mpirun_that_does_not_end_is_ended(place):
    place.starts("work(); complete(); time.sleep(600)")
    status, said = place.launch("--patience", 0.3, "--restarts", 0, place.config)
    assert status == 0
    assert "mpirun did not end by itself" not in said  # nothing to tell: the run is complete
    place.starts(*2 * ["lock = work(); lock.close(); time.sleep(600)"])
    (place.run / "finished.json").unlink()
    (place.place / "commands").unlink()
    status, said = place.launch("--patience", 0.3, place.config)
    assert status == 1
    assert said.count("mpirun did not end by itself and was ended after 0.3 s") == 2


STOPS = """
    lock = work()
    def stop(*_):
        events.append(run, events.stopped(3))
        sys.exit(75)
    signal.signal(signal.SIGUSR1, stop)
    time.sleep(0.3)
    (here / "ready").touch()
    time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_stops_the_run(number, place):
    place.starts(STOPS)
    assert place.launch(place.config, signals=[number])[0] == 75


@pytest.mark.slow
def test_a_second_interrupt_ends_it_at_once(place):
    place.starts(
        """
        lock = work()
        def ready(*_):
            time.sleep(0.6)  # two within half a second are one
            (here / "ready").touch()
        signal.signal(signal.SIGUSR1, ready)
        (here / "ready").touch()
        while True:
            time.sleep(1)
        """
    )
    assert place.launch(place.config, signals=[signal.SIGINT, signal.SIGINT])[0] == 130


@pytest.mark.slow
def test_a_crash_after_it_was_told_to_stop_is_not_started_again(place):
    place.starts(STOPS.replace("events.append(run, events.stopped(3))", "pass").replace("75", "9"))
    assert place.launch(place.config, signals=[signal.SIGTERM])[0] == 75
    assert len(place.commands) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "CONFIG.toml is missing"),
        (["-n", 0, "config.toml"], "-n is 0, but expected a number of ranks"),
        (["missing.toml"], "missing.toml"),
        (["config.toml", "--set", "training.epoch=3"], "training.epoch"),
    ],
)
def test_bad_input_starts_nothing(words, expected, place, monkeypatch):
    place.starts(COMPLETE)
    words = [place.place / word if str(word).endswith(".toml") else word for word in words]
    status, said = place.launch(*words)
    assert status == 2
    assert expected in said
    assert said.startswith("distmlp launch: ")
    assert not (place.place / "commands").exists()


@pytest.mark.slow
def test_the_options_of_fault_tolerance_are_printed_for_a_job_script():
    command = [sys.executable, "-m", "distmlp", "launch", "--detect", "5", "--print-options"]
    one, two = (subprocess.check_output([*command, hosts], text=True) for hosts in "12")
    assert one == "--with-ft ulfm --mca pml ob1\n"
    assert two.startswith(one.strip() + " --mca mpi_ft_detector true ")
    assert "mpi_ft_detector_timeout 5 --mca mpi_ft_detector_period 1 " in two


def test_it_imports_no_numpy_no_h5py_and_no_mpi():
    code = "import distmlp.cli.main, distmlp.cluster.launch, sys; print(*sys.modules)"
    found = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())
    assert "distmlp.cluster.mpirun" in found
    assert not found & {"numpy", "h5py", "mpi4py"}


@pytest.mark.parametrize("found", ["on the path", "of launch/quickstart"])
def test_launch_train_is_a_way_to_call_it(found, tmp_path):
    bin = tmp_path / "bin"
    bin.mkdir()
    (bin / "distmlp").write_text('#!/bin/sh\necho "$@"\n')
    (bin / "distmlp").chmod(0o755)
    path = f"{bin}:/usr/bin:/bin" if found == "on the path" else "/usr/bin:/bin"
    env = {**os.environ, "PATH": path, "DISTMLP_VENV": str(tmp_path)}
    command = [ROOT / "launch" / "train", "-n", "2", "a.toml"]
    assert subprocess.check_output(command, env=env, text=True) == "launch -n 2 a.toml\n"


def test_launch_train_without_a_distmlp(tmp_path):
    env = {**os.environ, "PATH": "/usr/bin:/bin", "DISTMLP_VENV": str(tmp_path)}
    done = subprocess.run(
        [ROOT / "launch" / "train", "a.toml"], env=env, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("train: no distmlp on the path")
