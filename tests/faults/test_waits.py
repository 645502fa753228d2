"""A rank that fails, exits, dies or stands still, under each MPI: nothing hangs, and a message names it.

With ULFM the others go on where the rank is lost; else the job ends in seconds, and the same command goes on.
"""

import socket

import pytest
from broken import NAMES, ROWS, Row, kill

DEEDS = {
    "raise": "an exception",
    "memory": "MemoryError",
    "sys.exit": "sys.exit",
    "exit": "os._exit",
    "segfault": "segmentation fault",
    "stop": "SIGSTOP",
    "hang": "a call that does not return",
}

# moment -> where the rank says it is, and where those are who wait for it
PLACES = {
    "computing": ("step 21", "step 21"),
    "evaluating": ("the evaluation after epoch 1", "the evaluation after epoch 1"),
    "saving": ("the checkpoint of step 21", "step 22"),
    "reading": ("the reading for step 22", "step 22"),
}

# Each deed under each MPI and at each of three moments, each MPI at each of them; the victims take turns.
MOMENTS = dict.fromkeys(DEEDS, ("computing", "evaluating", "saving")) | {
    "hang": ("reading", "computing", "evaluating")
}
CASES = [
    (deed, MOMENTS[deed][(i + j) % 3], way, (i // 3 + j) % 3)
    for i, deed in enumerate(DEEDS)
    for j, way in enumerate(NAMES)
]

#: Seconds of a step after which the ranks ask who is missing.
STALL = 2


@pytest.mark.parametrize("deed, moment, way, victim", CASES)
def test_nothing_hangs(deed, moment, way, victim, bench, request):
    mpi = request.getfixturevalue(way)
    changes = {"run.stall_timeout": f"{STALL} seconds", "run.checkpoint_every": "5 steps"}
    outcome = bench.run(mpi, 3, [kill(victim, moment, 20, deed)], changes)
    assert outcome.of(deed), outcome.explain()
    go_on = way == "ulfm" and deed in ("segfault", "stop")
    assert (outcome.done.status == 0) == outcome.is_complete == go_on, outcome.explain()
    assert outcome.done.status not in (2, 3, 75), outcome.explain()
    seconds = outcome.recoveries(3)[0][1] if go_on else outcome.seconds_to_end
    again = outcome if go_on else bench.resume(outcome, changes)
    same = again.is_complete and again.log == bench.undisturbed()
    ROWS.append(
        Row(
            f"{DEEDS[deed]} in one of 3",
            moment,
            3,
            2 if go_on else "ended",
            seconds,
            same,
            NAMES[way],
        )
    )
    assert seconds < 15, outcome.explain()
    assert same, again.explain()
    for words in said(deed, way, victim, *PLACES[moment]):
        assert words in outcome.done.err + outcome.done.out, outcome.explain()


def said(deed, way, victim, place, others) -> list[str]:
    """What must have been said, by distmlp or, of a rank that is gone at once, by its launcher."""
    host = socket.gethostname()
    if deed in ("raise", "memory", "sys.exit"):
        return [
            f"distmlp: rank {victim} of 3 on {host} failed and ends the others:",
            f"this was in {place}\n",
        ]
    if deed == "stop":
        return [
            f"distmlp: no progress for {STALL} s in {others}; waiting for rank {victim} on {host} (process "
        ]
    if deed == "hang":
        return [
            f"distmlp: no progress for {STALL} s in ",
            f"; waiting for rank {victim} on {host} (process ",
            f"), which is in {place} (",
        ]
    if deed == "segfault":
        launchers = {
            "ulfm": f"distmlp: lost rank {victim} on {host} (process ",
            "openmpi": f"process rank {victim} with PID ",
            "mpich": f" RUNNING AT {host}",
        }
        return ["Fatal Python error: Segmentation fault", "in train\n", launchers[way]]
    launchers = {
        "ulfm": [
            f"distmlp: rank {victim} on {host} (process ",
            f"has ended, and MPI has not noticed, in {others}; the job ends",
        ],
        "openmpi": [f"@1,{victim}]", "Exit code:    7"],
        "mpich": [],  # its mpirun ends the others without a word
    }
    return launchers[way]


def test_a_rank_that_dies_before_mpi_is_up(bench, way):
    """The others wait for it inside MPI_Init, where no Python runs."""
    outcome = bench.run(way, 3, [kill(1, "start")], {"run.stall_timeout": f"{STALL} seconds"})
    ROWS.append(
        Row(
            "kill -9 of one of 3",
            "before MPI is up",
            3,
            "ended",
            outcome.seconds_to_end,
            None,
            NAMES[way.name],
        )
    )
    assert outcome.done.status not in (2, 3, 75) and not outcome.run.exists(), outcome.explain()
    assert outcome.seconds_to_end < 15, outcome.explain()
