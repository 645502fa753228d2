"""What the fault tests share, and the table of what they did."""

import os
from pathlib import Path

import pytest
import testhosts
from broken import ROWS, Bench, Resilient
from tabulate import tabulate


@pytest.fixture(scope="session")
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("faults"))


@pytest.fixture
def ulfm(openmpi):
    return Resilient("ulfm", openmpi.bin)


@pytest.fixture(params=["ulfm", "openmpi", "mpich"])
def way(request):
    """Each MPI, and Open MPI with and without fault tolerance."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def hosts():
    """Three test hosts."""
    with testhosts.hosts(3) as made:
        made.give_up_soon()
        yield made


def pytest_terminal_summary(terminalreporter):
    if not ROWS:
        return
    same = {True: "yes", False: "NO", None: ""}
    lines = tabulate(
        [
            [
                r.fault,
                r.moment,
                r.mpi,
                r.before,
                r.after,
                "" if r.seconds is None else f"{r.seconds:.2f}",
                same[r.same],
            ]
            for r in ROWS
        ],
        ["fault", "moment", "MPI", "ranks before", "after", "seconds", "same bits"],
        tablefmt="github",
        disable_numparse=True,
    )
    terminalreporter.section("faults")
    terminalreporter.write_line(lines)
    if os.environ.get("DISTMLP_FAULT_TABLE"):  # a file to write it to, as Markdown
        Path(os.environ["DISTMLP_FAULT_TABLE"]).write_text(f"{lines}\n", encoding="utf-8")
