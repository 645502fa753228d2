"""Ranks that die under Open MPI's ULFM: at every moment, any of them, several at once, one after another, at random.

The others go on, to the log and the v of the undisturbed run, with exit status 0; real processes, real SIGKILL.
"""

import random

import pytest
from broken import ROWS, Row, kill

# 4 ranks, of which a first one dies, then a second, then a third: (ranks, victim) from 4 to 2.
CHAINS = {"first": (0, 1, 2), "middle": (2, 1, 0), "last": (3, 2, 1)}
STEPS = (8, 29, 50)


def dies(bench, mpi, ranks, faults, left, changes={}, fault="kill -9"):
    """Runs it, puts its recoveries into the table, and holds that the survivors came to the undisturbed end."""
    outcome = bench.run(mpi, ranks, faults, changes)
    same = outcome.is_complete and outcome.log == bench.undisturbed(changes)
    before = ranks
    for causes, seconds, after in outcome.recoveries():
        moment = "; ".join(dict.fromkeys(cause["moment"] for cause in causes if cause["what"] == "kill"))
        who = ", ".join(str(cause["rank"]) for cause in causes if cause["what"] == "kill")
        ROWS.append(Row(f"{fault} of rank {who}", moment, before, after, seconds, same))
        assert seconds < 1.0 + 0.5 * ranks, outcome.explain()  # on cores that the ranks share; alone it is some 0.02 s
        before = after
    assert outcome.done.status == 0, outcome.explain()
    assert same, outcome.explain()
    assert before == left, outcome.explain()
    lost = [line for line in outcome.done.said if line.startswith("distmlp: lost ")]
    assert lost and sum(line.count("(process ") for line in lost) == ranks - left, outcome.explain()
    return outcome


def chain(moment, victims, **more):
    """The faults that kill the victims, one after another, at a moment."""
    return [kill(victim, moment, step, **more) for victim, step in zip(victims, STEPS)]


def inside(moment, before, victims):
    """Kills from another thread while the victim waits in a call for the others, who come late."""
    faults = []
    for number, (victim, step) in enumerate(zip(victims, STEPS)):
        faults.append(kill(victim, moment, step, after=0.02))
        faults += [kill(rank, before, step, do="delay", seconds=0.1) for rank in range(4) if rank not in victims[: number + 1]]
    return faults


@pytest.mark.parametrize("which", CHAINS)
@pytest.mark.parametrize("moment", ["before the sum", "after the sum", "evaluating"])
def test_at_a_moment(moment, which, bench, ulfm):
    dies(bench, ulfm, 4, chain(moment, CHAINS[which]), 1)


@pytest.mark.parametrize("which", CHAINS)
@pytest.mark.parametrize("moment, before", [("inside the sum", "before the sum"), ("inside the evaluation", "evaluating")])
def test_inside_an_allreduce(moment, before, which, bench, ulfm):
    dies(bench, ulfm, 4, inside(moment, before, CHAINS[which]), 1)


@pytest.mark.parametrize("which", CHAINS)
def test_while_a_checkpoint_is_written(which, bench, ulfm):
    """The writer, with half of the file written, and the others while it writes slowly."""
    faults, writer = [kill("all", "renaming", do="slow", seconds=0.05)], 0
    left = [0, 1, 2, 3]
    for victim, step in zip(CHAINS[which], STEPS):
        is_writer = victim == left[0]
        faults.append(kill(victim, "writing", step) if is_writer else kill(victim, "saving", step, after=0.01))
        left.remove(victim)
    outcome = dies(bench, ulfm, 4, faults, 1, {"run.checkpoint_every": "5 steps"})
    assert not list((outcome.run / "checkpoints").glob("*.writing"))


@pytest.mark.parametrize("moment", ["copying", "opening", "renaming", "renamed", "pruning", "marking"])
def test_the_writer_at_each_of_its_moments(moment, bench, ulfm):
    dies(bench, ulfm, 2, [kill(0, moment, 20)], 1)


def test_at_other_moments(bench, ulfm):
    dies(bench, ulfm, 4, [kill(1, "reading", 3), kill(0, "computing", 22), kill(2, "updated", 47)], 1)
    dies(bench, ulfm, 4, [kill(3, "prepared"), kill(1, "comparing", 22), kill(0, "ending")], 2)


@pytest.mark.parametrize("moment", ["scanning", "beginning", "begun"])
def test_before_the_training_begins(moment, bench, ulfm):
    outcome = bench.run(ulfm, 3, [kill(0, moment), kill(2, "begun")])
    same = outcome.log == bench.undisturbed()
    ROWS.append(Row("kill -9 of ranks 0 and 2", f"{moment}; begun", 3, 1, None, same))
    assert outcome.done.status == 0 and same, outcome.explain()
    assert any("before the training began" in line for line in outcome.done.said)


@pytest.mark.parametrize("victims", [(0, 3), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize("moment", ["before the sum", "after the sum"])
def test_several_at_once(moment, victims, bench, ulfm):
    dies(bench, ulfm, 4, [kill(victim, moment, 24) for victim in victims], 4 - len(victims))


# What a recovery consists of, and two ranks for each to die in it: 5 ranks, of which one dies and then
# another while the rest recovers, and again with the three that are left.
RECOVERY = ["losing", "revoked", "shrinking", "shrunk", "meeting", "furthest", "channel", "inside the channel", "channel made"]
PAIRS = {"first": ((0, 1), (2, 3)), "middle": ((1, 2), (3, 0)), "last": ((3, 4), (1, 2))}


@pytest.mark.parametrize("number, moment", list(enumerate(RECOVERY)))
def test_during_a_recovery(number, moment, bench, ulfm):
    which = list(PAIRS)[number % 3]
    (a, b), (c, d) = PAIRS[which]
    more = {"after": 0.001 * number} if moment.startswith("inside") else {}
    faults = [
        kill(a, "before the sum", 8),
        kill(b, moment, recovery=1, **more),
        kill(c, "after the sum", 29),
        # The recovery before may have taken one turn or two.
        *(kill(d, moment, 29, recovery=recovery, **more) for recovery in (2, 3)),
    ]
    dies(bench, ulfm, 5, faults, 1)


@pytest.mark.parametrize("moment", ["revoked", "meeting", "furthest", "channel made"])
@pytest.mark.parametrize("pair", [(0, 1), (2, 0), (3, 2)])
def test_during_a_recovery_of_four(moment, pair, bench, ulfm):
    dies(bench, ulfm, 4, [kill(pair[0], "before the sum", 8), kill(pair[1], moment, recovery=1)], 2)


def test_the_new_rank_0_as_it_takes_over(bench, ulfm):
    dies(bench, ulfm, 4, [kill(0, "before the sum", 8), kill(1, "taking over", recovery=1), kill(2, "taking over")], 1)


@pytest.mark.parametrize("unlucky", [0, 1])
@pytest.mark.parametrize("moment", ["given the sum", "given the evaluation"])
def test_a_sum_that_did_not_reach_all(unlucky, moment, bench, ulfm):
    """MPI may tell one survivor that a sum is there and another that it is not; they agree on that."""
    dies(bench, ulfm, 3, [kill(2, moment, 20), kill(unlucky, moment, 20, do="lose")], 2)


def test_the_last_two(bench, ulfm):
    """Nobody is left, which mpirun does not call a failure; the same command goes on."""
    outcome = bench.run(ulfm, 2, [kill(0, "before the sum", 29), kill(1, "losing", recovery=1)])
    assert not outcome.is_complete
    again = bench.resume(outcome)
    same = again.log == bench.undisturbed()
    ROWS.append(Row("kill -9 of rank 0, then 1", "before the sum; losing", 2, 0, None, same))
    assert again.done.status == 0 and "resuming from" in again.done.out and same, again.explain()


SOAK = {"training.epochs": 30, "run.checkpoint_every": "7 steps", "run.check_every": 10, "run.keep": 3}


def test_a_hundred_at_random(bench, ulfm):
    """Each run loses all but one of its ranks, at random times: some at once, some in recoveries, some as it begins."""
    undisturbed, kills, same, seconds = bench.undisturbed(SOAK), 0, True, []
    number = 0
    while kills < 100:
        randomly = random.Random(number)
        ranks = 5
        victims = randomly.sample(range(ranks), ranks - 1)
        faults = [kill(victim, "any", between=[0.0, 0.6], seed=1000 * number + victim) for victim in victims]
        outcome = bench.run(ulfm, ranks, faults, SOAK)
        kills += sum(event["what"] == "kill" for event in outcome.events)
        seconds += [passed for _, passed, _ in outcome.recoveries()]
        same = same and outcome.is_complete and outcome.log == undisturbed
        assert outcome.done.status == 0 and same, f"run {number}: {outcome.explain()}"
        number += 1
    ROWS.append(Row(f"{kills} kills -9 in {number} runs", "any, at random", 5, 1, max(seconds), same))
