"""Holds what lost hosts and broken networks do to a run of distmlp launch on three hosts: it goes on, or starts again, to the same bits.

The hosts are network namespaces (testhosts.py).  Whatever is lost, nothing hangs and nothing is left running.
"""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(
    0, str(Path(__file__).resolve().parent.parent)
)  # the helpers beside the other tests

import testhosts
from broken import INJECT, ROWS, Outcome, Row, read_events
from hostjobs import DETECT, ends_everywhere, job, losses, starts, tell

pytestmark = pytest.mark.skipif(testhosts.why_not() is not None, reason=str(testhosts.why_not()))


def test_a_host_is_cut_off(bench, openmpi, hosts):
    with job(bench, openmpi, hosts) as a:
        a.strike(hosts.cut, 3)
        outcome = a.end(30)
    seconds = a.seconds(outcome)
    tell(
        "the host of the last ranks is cut off",
        "3 × 2",
        "2 × 2",
        seconds,
        outcome,
        bench.undisturbed(),
    )
    assert starts(outcome.done) == 1 and "4 go on" in outcome.done.err, outcome.explain()
    assert seconds < DETECT + 5, outcome.explain()
    ends_everywhere(hosts, outcome)


def test_mpirun_does_not_find_out_that_a_host_is_silent(bench, openmpi, hosts):
    """It would end the job then, after 8 minutes, whoever has gone on."""
    with job(bench, openmpi, hosts, ranks_a_host=1) as a:
        a.strike(hosts.cut, 2)
        daemons = [
            line
            for line in hosts.connections(1)
            if "prterun" in line and hosts.addresses[1] in line
        ]
        assert daemons and not any("keepalive" in line for line in daemons), hosts.connections(1)
        outcome = a.end(30)
    tell(
        "the host of the middle rank is cut off",
        "3 × 1",
        "2 × 1",
        a.seconds(outcome),
        outcome,
        bench.undisturbed(),
    )


def test_the_host_of_rank_0_and_mpirun_is_cut_off(bench, openmpi, hosts):
    """It has the run directory's lock, so it goes on, and the others end."""
    with job(bench, openmpi, hosts) as a:
        a.strike(hosts.cut, 1)
        outcome = a.end(40)
    tell(
        "the host of rank 0 and mpirun is cut off",
        "3 × 2",
        "1 × 2",
        a.seconds(outcome),
        outcome,
        bench.undisturbed(),
    )
    assert starts(outcome.done) == 1 and "2 go on" in outcome.done.err, outcome.explain()
    ends_everywhere(hosts, outcome)


def test_the_host_of_rank_0_and_mpirun_dies_silently(bench, openmpi, hosts):
    """Nobody is left to say how the run ends, but its ranks on the other hosts bring it there."""

    def die(i):
        hosts.cut(i)
        hosts.kill(i)

    with job(bench, openmpi, hosts) as a:
        a.strike(die, 1)
        done = a.running.wait(5)
        assert not hosts.left(within=40), "nobody ends what is left"
        outcome = Outcome(done, a.run, read_events(a.events))
    same = outcome.is_complete and outcome.log == bench.undisturbed()
    ROWS.append(
        Row(
            "the host of rank 0 and mpirun dies",
            "training, 3 hosts",
            "3 × 2",
            "2 × 2",
            a.seconds(outcome),
            same,
        )
    )
    assert same, outcome.explain()


def test_a_host_dies_with_its_daemon(bench, openmpi, hosts):
    """mpirun does not go on without a daemon; distmlp launch starts again on the hosts that answer."""

    def die(i):
        hosts.kill(i)
        while hosts.processes(
            i
        ):  # mpirun is to hear of it, so its connection must be closed before
            time.sleep(0.01)
        hosts.cut(i)

    with job(bench, openmpi, hosts) as a:
        a.strike(die, 3)
        outcome = a.end(40)
    tell(
        "a host's ranks and daemon are killed",
        "3 × 2",
        "2 × 2, started again",
        a.seconds(outcome),
        outcome,
        bench.undisturbed(),
    )
    assert starts(outcome.done) == 2 and "10.77.0.3 does not answer" in outcome.done.err, (
        outcome.explain()
    )
    ends_everywhere(hosts, outcome)


def test_all_ranks_die_and_a_host_is_gone(bench, openmpi, hosts):
    """mpirun waits for the lost host, and is ended; the hosts that are left start from the newest checkpoint."""

    def die(i):
        hosts.cut(i)
        for pid in hosts.processes(1) + hosts.processes(2) + hosts.processes(3):
            if str(INJECT) in testhosts.command_line(pid):
                os.kill(pid, signal.SIGKILL)

    with job(bench, openmpi, hosts) as a:
        a.strike(die, 3)
        outcome = a.end(40)
    tell(
        "all ranks are killed, a host is gone",
        "3 × 2",
        "2 × 2, started again",
        a.seconds(outcome),
        outcome,
        bench.undisturbed(),
    )
    assert starts(outcome.done) == 2 and "10.77.0.3 does not answer" in outcome.done.err, (
        outcome.explain()
    )
    ends_everywhere(hosts, outcome)


def test_without_fault_tolerance_a_lost_host_costs_a_restart(bench, mpich, hosts):
    """The others wait in the sum for run.stall_timeout, and end."""
    with job(bench, mpich, hosts, changes={"run.stall_timeout": "3 seconds"}) as a:
        a.strike(hosts.cut, 3)
        outcome = a.end(60)
    seconds = a.seconds(outcome)
    tell(
        "the host of the last ranks is cut off",
        "3 × 2",
        "2 × 2, started again",
        seconds,
        outcome,
        bench.undisturbed(),
        mpi="MPICH",
    )
    assert starts(outcome.done) == 2 and "10.77.0.3 does not answer" in outcome.done.err, (
        outcome.explain()
    )
    ends_everywhere(hosts, outcome)


def test_a_link_comes_back(bench, openmpi, hosts):
    """Those who were given up come back to others who have gone on, or have come to the end, without them."""

    def blink(i):
        hosts.cut(i)
        time.sleep(2 * DETECT)
        hosts.join(i)

    with job(bench, openmpi, hosts, step=0.1) as a:
        a.strike(blink, 3)
        outcome = a.end(60)
    tell(
        f"a link is away for {2 * DETECT:g} s",
        "3 × 2",
        "",
        a.seconds(outcome),
        outcome,
        bench.undisturbed(),
    )
    ends_everywhere(hosts, outcome)


def test_a_short_outage_is_sat_out(bench, openmpi, hosts):
    def blink(i):
        hosts.cut(i)
        time.sleep(DETECT / 4)
        hosts.join(i)

    with job(bench, openmpi, hosts) as a:
        a.strike(blink, 3)
        outcome = a.end(40)
    tell(
        f"a link is away for {DETECT / 4:g} s", "3 × 2", "3 × 2", None, outcome, bench.undisturbed()
    )
    assert starts(outcome.done) == 1 and not losses(outcome.done), outcome.explain()


#: How the link is made slow.  A connection whose first packets are lost comes 1 s later, 3 s, 7 s.
SLOW = {
    "400 kbit/s": lambda hosts: hosts.shape(
        3, "tbf", "rate", "400kbit", "burst", "3000", "latency", "500ms"
    ),
    "1 Mbit/s, a queue of 3 packets": lambda hosts: hosts.shape(
        3, "tbf", "rate", "1mbit", "burst", "3000", "limit", "4000"
    ),
    "20 ms each way, 1 % lost": lambda hosts: hosts.delay(3, 0.02, 0.01),
}


@pytest.mark.parametrize("how", SLOW)
def test_a_slow_link_is_not_taken_for_a_lost_one(how, bench, openmpi, hosts):
    if "ms" in how and testhosts.why_no_slow_cable():
        pytest.skip(testhosts.why_no_slow_cable())
    SLOW[how](hosts)
    # A connection that loses its first packets five times comes after 31 s, for which others here have no patience.
    with job(bench, openmpi, hosts, options=("--patience", 60), step=0) as a:
        outcome = a.end(120)
    tell(f"a slow link: {how}", "3 × 2", "3 × 2", None, outcome, bench.undisturbed())
    assert starts(outcome.done) == 1 and not losses(outcome.done), outcome.explain()
