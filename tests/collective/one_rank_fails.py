"""Not collected by its name: tests that must fail, for tests/test_collective.py to see that they do."""

import pytest
from mpi4py import MPI

pytestmark = pytest.mark.mpi


def test_after_the_others_have_gone_on():
    if MPI.COMM_WORLD.rank == 1:
        raise ArithmeticError("rank 1's own fault")


def test_while_the_others_wait():
    if MPI.COMM_WORLD.rank == 1:
        raise ArithmeticError("rank 1 never came")
    MPI.COMM_WORLD.Barrier()
