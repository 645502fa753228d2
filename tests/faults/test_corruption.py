"""Wrong bits: a flipped one is found, named, and repaired or stopped at; ranks that compute otherwise are refused at the start."""

import socket

import pytest
from broken import ROWS, Row, kill

OFTEN = {"run.checkpoint_every": "5 steps", "run.check_every": 3}
HOST = socket.gethostname()


def tell(fault, moment, ranks, after, same, mpi="Open MPI"):
    ROWS.append(Row(fault, moment, ranks, after, None, same, mpi))


@pytest.mark.parametrize("what", ["flip v", "flip optimizer"])
@pytest.mark.parametrize("rank", [0, 2])
def test_a_flipped_bit_is_named_and_repaired(rank, what, bench, openmpi):
    outcome = bench.run(openmpi, 3, [kill(rank, "computing", 13, what)], OFTEN)
    same = outcome.is_complete and outcome.log == bench.undisturbed()
    tell(f"{what} on rank {rank}", "training, repaired", 3, 3, same)
    assert outcome.done.status == 0 and same, outcome.explain()
    (words,) = [line for line in outcome.done.said if "a bit has flipped" in line]
    assert (
        words.startswith(f"distmlp: rank {rank} on {HOST} (process ")
        and "all go back to step " in words
    )


def test_a_loss_after_a_repair_goes_on_from_the_repaired_state(bench, ulfm):
    """Not from the state that had the wrong bit, which would be found, and repaired, a second time."""
    faults = [kill(2, "computing", 13, "flip v"), kill(3, "before the sum", 17)]
    outcome = bench.run(ulfm, 4, faults, OFTEN)
    same = outcome.is_complete and outcome.log == bench.undisturbed()
    tell("flip v on rank 2, then kill rank 3", "training, repaired", 4, 3, same)
    assert outcome.done.status == 0 and same, outcome.explain()
    assert len([line for line in outcome.done.said if "a bit has flipped" in line]) == 1
    (lost,) = [line for line in outcome.done.said if "lost rank 3" in line]
    assert "3 go on from step 17" in lost


@pytest.mark.parametrize("what", ["flip v", "flip optimizer"])
@pytest.mark.parametrize(
    "ranks, changes",
    [(2, {}), (3, {"run.on_corruption": "stop"})],
    ids=["no majority", "as the config says"],
)
def test_a_flipped_bit_stops_the_run_before_it_is_saved(what, ranks, changes, bench, openmpi):
    changes = {**OFTEN, **changes}
    outcome = bench.run(openmpi, ranks, [kill(1, "computing", 13, what)], changes)
    assert outcome.done.status == 1 and not outcome.is_complete, outcome.explain()
    words = outcome.done.said[-1]
    named = (
        f"rank 1 on {HOST} (process "
        if ranks > 2
        else f"the ranks' states differ at step 15, and with 2 ranks on {HOST} no majority"
    )
    assert named in words and "the last good checkpoint is " in words, outcome.explain()
    again = bench.resume(outcome, changes)
    same = again.is_complete and again.log == bench.undisturbed()
    tell(f"{what} on rank 1", "training, stopped", ranks, "ended", same)
    assert same, again.explain()


@pytest.mark.parametrize("ranks", [2, 3])
def test_an_audit_finds_a_flipped_bit_in_a_gradient(ranks, bench, openmpi):
    victim = 12 % ranks  # the rank whose turn it is to be audited
    outcome = bench.run(
        openmpi, ranks, [kill(victim, "computed", 12, "flip gradient")], {"run.audit_every": 1}
    )
    same = outcome.is_complete and outcome.log == bench.undisturbed()
    tell(f"flip gradient of rank {victim}, audited", "training, redone", ranks, ranks, same)
    assert outcome.done.status == 0 and same, outcome.explain()
    (words,) = [line for line in outcome.done.said if "another gradient" in line]
    assert f"rank {victim} on {HOST} " in words and "the step is done again" in words


def test_a_machine_that_adds_up_wrongly_again_is_not_trained_with(bench, openmpi):
    faults = [kill(0, "computed", 12, "flip gradient", again=True)]
    outcome = bench.run(
        openmpi, 3, faults, {"run.audit_every": 1, "run.checkpoint_every": "5 steps"}
    )
    assert outcome.done.status == 1, outcome.explain()
    assert f"rank 0 on {HOST} added up another gradient at step 13" in outcome.done.said[-1]
    assert (
        "twice: replace or leave out the faulty machine; the last good checkpoint is "
        in outcome.done.said[-1]
    )
    again = bench.resume(outcome)
    tell(
        "flip gradient of rank 0, again and again",
        "training, stopped",
        3,
        "ended",
        again.log == bench.undisturbed(),
    )
    assert again.log == bench.undisturbed(), again.explain()
