"""Ranks that die under Open MPI's ULFM: at every moment, any of them, several at once, one after another, at random.

The others go on, to the log and the v of the undisturbed run, with exit status 0; real processes, real SIGKILL.
"""

import random

import pytest
from broken import ROWS, Row, kill, tell_deaths, who

# 4 ranks, of which the first, a middle one or the last dies, then one of the three left, then one of the two.
CHAINS = {"first": (0, 1, 2), "middle": (2, 1, 0), "last": (3, 2, 1)}
STEPS = (8, 29, 50)


def dies(bench, mpi, ranks, faults, left, changes={}):
    """Runs it, puts its recoveries into the table, and holds that the survivors came to the undisturbed end."""
    outcome = bench.run(mpi, ranks, faults, changes)
    same = outcome.is_complete and outcome.log == bench.undisturbed(changes)
    # On cores that the ranks share; alone it is some 0.02 s.
    survivors = tell_deaths(outcome, ranks, same, slowest=1.0 + 0.5 * ranks)
    assert outcome.done.status == 0, outcome.explain()
    assert same, outcome.explain()
    assert survivors == left, outcome.explain()
    lost = [line for line in outcome.done.said if line.startswith("distmlp: lost ")]
    assert sum(line.count("(process ") for line in lost) == ranks - left, outcome.explain()
    return outcome


# One after another: each of these chains has a victim of 4 ranks, one of 3 and one of 2.


def chain(moment, victims):
    """The faults that kill the victims, one after another, at a moment."""
    return [kill(victim, moment, step) for victim, step in zip(victims, STEPS, strict=True)]


def inside(moment, before, victims):
    """Kills from another thread while the victim waits in a call for the others, who come late."""
    faults = []
    for number, (victim, step) in enumerate(zip(victims, STEPS, strict=True)):
        faults.append(kill(victim, moment, step, after=0.02))
        faults += [
            kill(rank, before, step, do="delay", seconds=0.1)
            for rank in range(4)
            if rank not in victims[: number + 1]
        ]
    return faults


@pytest.mark.parametrize("which", CHAINS)
@pytest.mark.parametrize("moment", ["reading", "before the sum", "after the sum", "evaluating"])
def test_at_a_moment(moment, which, bench, ulfm):
    dies(bench, ulfm, 4, chain(moment, CHAINS[which]), 1)


@pytest.mark.parametrize("which", CHAINS)
@pytest.mark.parametrize(
    "moment, before",
    [("inside the sum", "before the sum"), ("inside the evaluation", "evaluating")],
)
def test_inside_a_sum(moment, before, which, bench, ulfm):
    dies(bench, ulfm, 4, inside(moment, before, CHAINS[which]), 1)


@pytest.mark.parametrize("which", CHAINS)
def test_while_a_checkpoint_is_written(which, bench, ulfm):
    """The writer, with half of the file written, and the others while it writes slowly."""
    # A write lasts some steps, and ends before the next one is due.
    faults = [
        kill("all", "renaming", do="slow", seconds=0.015),
        kill("all", "computing", do="slow", seconds=0.005),
    ]
    writer = 0
    for victim, step in zip(CHAINS[which], STEPS, strict=True):
        faults.append(
            kill(victim, "writing", step)
            if victim == writer
            else kill(victim, "saving", step, after=0.005)
        )
        writer += victim == writer  # no chain leaves a gap before the next one
    outcome = dies(bench, ulfm, 4, faults, 1, {"run.checkpoint_every": "5 steps"})
    assert not list((outcome.run / "checkpoints").glob("*.writing"))


@pytest.mark.parametrize("which", CHAINS)
@pytest.mark.parametrize(
    "moments", [("prepared", "computing", "updated"), ("comparing", "evaluated", "ending")]
)
def test_at_other_moments(moments, which, bench, ulfm):
    left = 1 + ("ending" in moments)  # whoever is at the end has nothing to recover from
    faults = [
        kill(victim, moment, step)
        for victim, moment, step in zip(CHAINS[which], moments, (-1, 22, 47), strict=True)
    ]
    dies(bench, ulfm, 4, faults, left)


@pytest.mark.parametrize(
    "moment", ["copying", "opening", "renaming", "renamed", "pruning", "marking"]
)
def test_the_writer_at_each_of_its_moments(moment, bench, ulfm):
    dies(bench, ulfm, 2, [kill(0, moment, 20)], 1)


@pytest.mark.parametrize("moment", ["scanning", "holding", "held", "beginning", "begun"])
def test_before_the_training_begins(moment, bench, ulfm):
    outcome = bench.run(ulfm, 3, [kill(0, moment), kill(2, "begun")])
    same = outcome.log == bench.undisturbed()
    ROWS.append(
        Row("kill -9 of the first of 3, then the last of 2", f"{moment}; begun", 3, 1, None, same)
    )
    assert outcome.done.status == 0 and same, outcome.explain()
    assert any("before the training began" in line for line in outcome.done.said)


@pytest.mark.parametrize("victim", [0, 2])
def test_before_the_ranks_have_met(victim, bench, ulfm):
    outcome = bench.run(ulfm, 3, [kill(victim, "up")])
    same = outcome.log == bench.undisturbed()
    ROWS.append(Row(f"kill -9 of rank {victim}", "up", 3, 2, None, same))
    assert outcome.done.status == 0 and same, outcome.explain()
    assert (
        "lost 1 of the ranks that were started, while MPI came up; 2 begin" in outcome.done.err
    ), outcome.explain()


@pytest.mark.parametrize("victims", [(0, 3), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize("moment", ["before the sum", "after the sum"])
def test_several_at_once(moment, victims, bench, ulfm):
    dies(bench, ulfm, 4, [kill(victim, moment, 24) for victim in victims], 4 - len(victims))


# During a recovery: one rank dies, and of those left another while they recover.

RECOVERY = [
    "losing",
    "revoked",
    "shrinking",
    "shrunk",
    "meeting",
    "furthest",
    "channel",
    "inside the channel",
    "channel made",
]

# 5 ranks, of which 4 recover, and of the 3 left 2 recover; 4 ranks, of which 3 recover.
OF_4_THEN_2 = {"first": ((0, 1), (2, 3)), "middle": ((1, 2), (3, 0)), "last": ((3, 4), (1, 2))}
OF_3 = {"first": (0, 1), "middle": (1, 2), "last": (2, 3)}


@pytest.mark.parametrize("number, moment", list(enumerate(RECOVERY)))
def test_during_a_recovery_of_four_then_two(number, moment, bench, ulfm):
    (a, b), (c, d) = list(OF_4_THEN_2.values())[number % 3]
    more = {"after": 0.001 * number} if moment.startswith("inside") else {}
    faults = [
        kill(a, "before the sum", 8),
        kill(b, moment, recovery=1, **more),
        kill(c, "after the sum", 29),
        # The recovery before may have taken one turn or two.
        *(kill(d, moment, 29, recovery=recovery, **more) for recovery in (2, 3)),
    ]
    dies(bench, ulfm, 5, faults, 1)


@pytest.mark.parametrize("which", OF_3)
@pytest.mark.parametrize("moment", ["revoked", "channel made"])
def test_during_a_recovery_of_three(moment, which, bench, ulfm):
    a, b = OF_3[which]
    dies(bench, ulfm, 4, [kill(a, "before the sum", 8), kill(b, moment, recovery=1)], 2)


def test_the_new_rank_0_as_it_takes_over(bench, ulfm):
    dies(
        bench,
        ulfm,
        4,
        [kill(0, "before the sum", 8), kill(1, "taking over", recovery=1), kill(2, "taking over")],
        1,
    )


@pytest.mark.parametrize("unlucky", [0, 1])
@pytest.mark.parametrize("moment", ["given the sum", "added", "given the evaluation"])
def test_a_sum_that_did_not_reach_all(unlucky, moment, bench, ulfm):
    """MPI may tell one survivor that a sum is there and another that it is not; they agree on that."""
    dies(bench, ulfm, 3, [kill(2, moment, 20), kill(unlucky, moment, 20, do="lose")], 2)


def test_every_number_of_ranks_has_every_victim():
    """The plans above: with 4, 3 and 2 ranks, at each moment, the first, a middle one and the last."""

    def victims(ranks, killed):
        living, found = list(range(ranks)), set()
        for victim in killed:
            found.add((len(living), who(victim, living)))
            living.remove(victim)
        return found

    everyone = {
        (ranks, which) for ranks in (4, 3) for which in ("the first", "a middle one", "the last")
    } | {(2, "the first"), (2, "the last")}
    assert set().union(*(victims(4, killed) for killed in CHAINS.values())) == everyone
    recovering = [victims(5, (a, b, c, d)) for (a, b), (c, d) in OF_4_THEN_2.values()] + [
        victims(4, pair) for pair in OF_3.values()
    ]
    assert everyone <= set().union(*recovering)


def test_the_last_two(bench, ulfm):
    """Nobody is left, which mpirun does not call a failure; the same command goes on."""
    written = kill(
        0, "computing", 28, do="delay", seconds=0.5
    )  # the checkpoint of step 21, by its thread
    outcome = bench.run(
        ulfm, 2, [written, kill(0, "before the sum", 29), kill(1, "losing", recovery=1)]
    )
    assert not outcome.is_complete
    again = bench.resume(outcome)
    same = again.log == bench.undisturbed()
    ROWS.append(
        Row("kill -9 of the first of 2, then the last", "before the sum; losing", 2, 0, None, same)
    )
    assert again.done.status == 0 and "resuming from" in again.done.out and same, again.explain()


SOAK = {
    "training.epochs": 20,
    "run.checkpoint_every": "7 steps",
    "run.check_every": 10,
    "run.keep": 3,
}


def test_a_hundred_at_random(bench, ulfm):
    """Each run loses all but one of its ranks, at random times: some at once, some in recoveries, some as it begins.

    Open MPI 5.0 itself can crash the one that is left, where it hears of a loss while it makes a communicator
    (docs/reliability.md).  Then, and in no other case, nor often, the same command goes on.
    """
    undisturbed, kills, same, seconds = bench.undisturbed(SOAK), 0, True, []
    number = crashed = 0
    while kills < 100:
        randomly = random.Random(number)
        ranks = 5
        victims = randomly.sample(range(ranks), ranks - 1)
        faults = [
            kill(victim, "any", between=[0.0, 0.5], seed=1000 * number + victim)
            for victim in victims
        ]
        outcome = bench.run(ulfm, ranks, faults, SOAK)
        kills += len(outcome.of("kill"))
        seconds += [passed for _, passed, _ in outcome.recoveries(5)]
        if not outcome.is_complete and "ompi_comm_revoke_local" in outcome.done.err:
            crashed += 1
            assert crashed <= 2, outcome.explain()
            outcome = bench.resume(outcome, SOAK)
        same = same and outcome.is_complete and outcome.log == undisturbed
        assert outcome.done.status == 0 and same, f"run {number}: {outcome.explain()}"
        number += 1
    again = f", {crashed} of them started again" if crashed else ""
    ROWS.append(
        Row(f"{kills} kills -9 in {number} runs{again}", "any, at random", 5, 1, max(seconds), same)
    )
