"""What the fault tests share, and the table of what they did."""

import os
from pathlib import Path

import pytest
from broken import ROWS, Bench, Resilient
from launching import found_mpis


@pytest.fixture(scope="session")
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("faults"))


@pytest.fixture
def ulfm(openmpi):
    """Open MPI as launch/train starts it on one host."""
    return Resilient(openmpi.name, openmpi.bin)


@pytest.fixture(params=["ulfm", "openmpi", "mpich"])
def way(request):
    """Each MPI, and Open MPI with and without fault tolerance."""
    found = found_mpis()["openmpi" if request.param == "ulfm" else request.param]
    if isinstance(found, str):
        pytest.skip(found)
    return Resilient(found.name, found.bin) if request.param == "ulfm" else found


def pytest_terminal_summary(terminalreporter):
    if not ROWS:
        return
    headers = ("fault", "moment", "ranks before", "after", "seconds", "same bits")
    rows = [
        (
            row.fault,
            row.moment,
            str(row.before),
            str(row.after),
            "" if row.seconds is None else f"{row.seconds:.2f}",
            {True: "yes", False: "NO", None: ""}[row.same],
        )
        for row in ROWS
    ]
    widths = [max(map(len, column)) for column in zip(headers, *rows)]
    lines = [" | ".join(word.ljust(width) for word, width in zip(line, widths)) for line in (headers, ["-" * w for w in widths], *rows)]
    terminalreporter.section("faults")
    for line in lines:
        terminalreporter.line(line.rstrip())
    if os.environ.get("DISTMLP_FAULT_TABLE"):  # a file to write it to, as Markdown
        Path(os.environ["DISTMLP_FAULT_TABLE"]).write_text("".join(f"| {line} |\n" for line in lines), encoding="utf-8")
