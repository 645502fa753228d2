"""Fixtures that tests of whole commands share; what needs an MPI that is not there is skipped, and says why."""

import time

import pytest
from launching import found_mpis, remove_abandoned_shared_memory


def pytest_ignore_collect(collection_path, config):
    # They run inside mpirun; tests/test_collective.py starts it.
    if collection_path.name == "collective" and not config.getoption("--with-mpi", default=False):
        return True


@pytest.fixture(scope="session", autouse=True)
def leave_no_shared_memory():
    begun = time.time()
    yield
    remove_abandoned_shared_memory(begun)


@pytest.fixture(scope="session")
def mpis():
    return found_mpis()


def _found(mpis, name):
    if isinstance(mpis[name], str):
        pytest.skip(mpis[name])
    return mpis[name]


@pytest.fixture(params=["openmpi", "mpich"])
def mpi(request, mpis):
    """Each MPI in turn."""
    return _found(mpis, request.param)


@pytest.fixture
def openmpi(mpis):
    return _found(mpis, "openmpi")


@pytest.fixture
def mpich(mpis):
    return _found(mpis, "mpich")


@pytest.fixture
def launcher(mpis):
    """launcher(name): that MPI, or None for "alone", which is no mpirun at all."""
    return lambda name: None if name == "alone" else _found(mpis, name)
