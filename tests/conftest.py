"""Fixtures that tests of whole commands share; what needs an MPI that is not there is skipped, and says why."""

import time

import pytest
from launching import found_mpis, remove_abandoned_shared_memory
from small_runs import DIGESTS

#: The marks that a folder gives to all of its tests, and a fixture to those that use it.
OF_FOLDERS = {
    "faults": ["faults", "alone"],
    "slurm": ["slurm", "root", "alone"],
    "collective": ["mpi"],
    "machines": ["slow", "alone"],
    "packaging": ["alone"],
}
OF_FIXTURES = {
    "mpis": ["mpi"],
    "hosts": ["root", "alone"],
    "mounted": ["root", "alone"],
    "mounting": ["root", "alone"],
}


def pytest_ignore_collect(collection_path, config):
    # They run inside mpirun; tests/test_collective.py starts it, with pytest-mpi, whose option this is.
    if collection_path.name == "collective" and not config.getoption("--with-mpi", default=False):
        return True
    return None


def pytest_collection_modifyitems(items):
    for item in items:
        marks = set()
        for folder in item.path.parts:
            marks.update(OF_FOLDERS.get(folder, ()))
        params = item.callspec.params if hasattr(item, "callspec") else {}
        # A test's own parameter may have a fixture's name.
        for fixture in set(item.fixturenames).difference(params):
            marks.update(OF_FIXTURES.get(fixture, ()))
        names = {value for value in params.values() if isinstance(value, str)}
        if "alone" in names and not names & {"openmpi", "mpich"}:
            marks.discard("mpi")  # one process, without a launcher
        for mark in sorted(marks):
            item.add_marker(mark)


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


@pytest.fixture(scope="session")
def digests():
    """What each run of small_runs.py ends with, on any machine."""
    return DIGESTS
