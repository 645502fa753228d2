"""Runs tests/collective, which all ranks run together, under each MPI with 1 to 4 ranks."""

import re

import pytest
from launching import ROOT, run_ranks

COLLECTIVE = ROOT / "tests" / "collective"
PYTEST = [
    "-m",
    "pytest",
    "-p",
    "pytest_mpi",
    "--with-mpi",
    "-m",
    "mpi",
    "-p",
    "no:cacheprovider",
    "--timeout=60",
    "--color=no",
    "-q",
]


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_on_ranks(mpi, ranks):
    done = run_ranks(mpi, ranks, [*PYTEST, COLLECTIVE], timeout=120)
    assert done.status == 0, done.out + done.err
    assert "MPI Information" in done.out  # pytest-mpi's
    (counts,) = re.findall(r"passed on the ranks: \[(.*)\]", done.out)
    counts = [int(count) for count in counts.split(",")]
    assert len(counts) == ranks and len(set(counts)) == 1 and counts[0] > 40, counts


@pytest.mark.parametrize(
    "test, words",
    [
        ("test_after_the_others_have_gone_on", "rank 1's own fault"),
        ("test_while_the_others_wait", "rank 1 never came"),
    ],
)
def test_one_failing_rank_fails_them_all_at_once(mpi, test, words):
    done = run_ranks(
        mpi,
        3,
        [*PYTEST, COLLECTIVE / "one_rank_fails.py", "-k", test],
        timeout=30,
        env={"DISTMLP_TEST_PATIENCE": "2"},
    )
    assert done.status != 0
    assert f"ArithmeticError: {words}" in done.out
    assert "passed on the ranks: [1" not in done.out
