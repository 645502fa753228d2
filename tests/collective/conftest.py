"""For tests that every rank of mpirun runs together: one rank's failure is every rank's, and never a hang.

    mpirun -n 3 python -m pytest -p pytest_mpi --with-mpi -m mpi tests/collective

After each test the ranks tell one another how it went, on a communicator of their own.  Where one has
raised while the others wait for it in a collective call, they cannot come to be told: then it prints
its traceback and ends them all.
"""

import os
import tempfile
import time
import traceback
from pathlib import Path

import pytest
from example import write_set
from mpi4py import MPI

#: Seconds that the ranks of a test may be apart at its end.
PATIENCE = float(os.environ.get("DISTMLP_TEST_PATIENCE", 30))

_outcomes = MPI.COMM_WORLD.Dup()
_passed = 0


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    global _passed
    fault = words = None
    try:
        result = yield
    except BaseException as error:
        fault, words = error, traceback.format_exc()

    request, until = _outcomes.Ibarrier(), time.monotonic() + PATIENCE
    while not request.Test():
        if time.monotonic() > until:
            with pyfuncitem.config.pluginmanager.get_plugin(
                "capturemanager"
            ).global_and_fixture_disabled():
                went = words or "here it passed\n"
                print(
                    f"\nrank {_outcomes.rank} waits in vain for the others at the end of {pyfuncitem.name}; {went}",
                    flush=True,
                )
                _outcomes.Abort(1)
        time.sleep(0.001)

    others = [
        f"rank {rank} failed:\n{words}"
        for rank, words in enumerate(_outcomes.allgather(words))
        if words
    ]
    if fault is not None:
        raise fault
    assert not others, "\n".join(others)
    _passed += 1
    return result


def pytest_sessionfinish(session, exitstatus):
    counts = _outcomes.allgather(_passed)
    if _outcomes.rank == 0:
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        reporter.write_line(f"passed on the ranks: {counts}")


@pytest.fixture
def shared(request):
    """A directory that all ranks see, with the example's set; gone after the test."""
    with tempfile.TemporaryDirectory() as mine:
        home = Path(MPI.COMM_WORLD.bcast(mine))
        if MPI.COMM_WORLD.rank == 0:
            write_set(home / "set.h5")
        MPI.COMM_WORLD.Barrier()
        yield home
        MPI.COMM_WORLD.Barrier()
