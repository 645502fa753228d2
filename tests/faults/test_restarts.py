"""Holds how distmlp launch starts a run again that has crashed as a whole: a bounded number of times, and not where the crash repeats."""

import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parent.parent)
)  # the helpers beside the other tests

from broken import NAMES, ROWS, Outcome, Row, kill, python_that_injects
from launching import launched

CHANGES = {"run.checkpoint_every": "1 steps", "run.keep": 3}


def crashes(bench, mpi, faults, *options) -> Outcome:
    """distmlp launch of a run whose every start has these faults in it; that it says so once, at the end."""
    name = bench.name()
    plan, _ = bench.plan(faults)
    python = python_that_injects(bench.directory / f"{name}.bin", mpi, plan)
    with launched(python, ["-n", 2, *options, bench.config(name, CHANGES)]) as running:
        outcome = Outcome(running.wait(60), bench.directory / name)
    assert outcome.done.status not in (0, 2, 3, 75) and not outcome.is_complete, outcome.explain()
    (summary,) = [
        line
        for line in outcome.done.err.splitlines()
        if line.startswith("distmlp launch: crashed after ")
    ]
    starts = [
        line
        for line in outcome.done.err.splitlines()
        if line.startswith("distmlp launch:   start ")
    ]
    assert summary.startswith(f"distmlp launch: crashed after {len(starts)} starts"), (
        outcome.explain()
    )
    return outcome


def goes_on(bench, outcome: Outcome) -> bool:
    """Whether the same command, when the fault is mended, comes to the undisturbed bits."""
    again = bench.resume(outcome, CHANGES)
    assert again.done.status == 0, again.explain()
    return again.log == bench.undisturbed()


def test_a_crash_at_the_same_step_is_a_bug_and_not_tried_again(bench, mpi):
    outcome = crashes(bench, mpi, [kill(1, "computing", 30, do="raise")], "--restarts", 5)
    assert "crashed twice in step 31: that is a bug and no fault" in outcome.done.err, (
        outcome.explain()
    )
    assert outcome.done.err.count("distmlp launch:   start ") == 2, outcome.explain()
    assert "distmlp launch:     rank 1 of 2" in outcome.done.err, (
        outcome.explain()
    )  # the summary says why
    same = goes_on(bench, outcome)
    ROWS.append(
        Row(
            "the same exception at each start", "computing", 2, "ended", None, same, NAMES[mpi.name]
        )
    )
    assert same


def test_the_starts_are_bounded(bench, mpi):
    """Each start comes further than the one before, and all of its ranks are killed a second later."""
    slow = kill("all", "computing", do="slow", seconds=0.05)
    outcome = crashes(bench, mpi, [slow, kill("all", "prepared", after=1)], "--restarts", 1)
    assert "crashed 2 times (--restarts 1)" in outcome.done.err, outcome.explain()
    same = goes_on(bench, outcome)
    ROWS.append(
        Row(
            "all ranks are killed, at each start",
            "training",
            2,
            "ended",
            None,
            same,
            NAMES[mpi.name],
        )
    )
    assert same
