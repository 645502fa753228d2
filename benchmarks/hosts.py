"""Hosts to measure a network with, on one machine: the tests' (tests/faults/testhosts.py), with a shaped network.  Root only.

What a host sends is delayed and paced by the kernel (tc netem); a kernel without netem can only pace it
(tbf), and the delay is then what TCP itself takes.  Nothing leaves the machine; the hosts share its cores
and its memory.
"""

import os
import subprocess
import sys
from contextlib import contextmanager

import measuring

from distmlp.parallel import openmpi

sys.path.append(str(measuring.HERE.parent / "tests" / "faults"))
import testhosts


def why_not() -> str | None:
    """Why there can be no such hosts here, or None."""
    if (
        "Open MPI"
        not in subprocess.run(
            [*measuring.mpirun(), "--version"], capture_output=True, text=True
        ).stdout
    ):
        return "the agent in the place of ssh is for Open MPI's mpirun"
    return testhosts.why_not()


def shaping(delay: str, rate: str) -> str:
    """How the kernel can shape what a host sends, as words for tc."""
    if testhosts.why_no_netem() is None:
        return f"netem limit 100000 delay {delay} rate {rate}"
    # A message smaller than tbf's burst is not paced, so the burst is kept near one segment.
    return f"tbf rate {rate} burst 64kb latency 100ms"


@contextmanager
def hosts(count: int, delay: str, rate: str, ranks: int = 1):
    """The mpirun, as words before `-n`, that starts so many ranks on each of `count` hosts; they go with the block.

    delay, rate: of what a host sends, such as "20us" and "10gbit".  Where hosts have several ranks, mpirun is told
    what distmlp launch tells it.
    """
    with testhosts.hosts(count) as made:
        for i in range(1, count + 1):
            made.limit_segments(i, 32768)
            made.shape(i, *shaping(delay, rate).split())
        yield _launcher(made, ranks)


def _launcher(made: testhosts.Hosts, ranks: int) -> list[str]:
    passed = [
        word
        for variable in ("PATH", "PYTHONPATH")
        if variable in os.environ
        for word in ("-x", variable)
    ]
    settings = {"btl": "tcp,self", "pml": "ob1"}
    more = []
    if ranks > 1:
        settings = {}
        more = [*openmpi.fault_tolerance(len(made.addresses), detect=10), "--map-by", "node"]
    if len(made.addresses) * ranks > measuring.cores():
        settings["mpi_yield_when_idle"] = "1"
    return [
        *made.inside(1, "env", *(f"{name}={value}" for name, value in made.environment.items())),
        *measuring.mpirun(),
        *("--bind-to", "none"),
        *(word for key, value in settings.items() for word in ("--mca", key, value)),
        *more,
        *("-H", ",".join(f"{address}:{ranks}" for address in made.addresses)),
        *passed,
    ]
