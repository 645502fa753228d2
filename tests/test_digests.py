"""The digests of five runs are constants: any MPI, rank count, width of vectors and compiler gives them.

README names them too.  Only a change of the arithmetic itself, docs/arithmetic.md, may change one; the changelog then says so.
tests/machines holds them on CPUs of other kinds, tests/test_arithmetic_law.py in hostile surroundings.
"""

import pytest
from launching import train_small_runs


def test_one_process(tmp_path, digests):
    assert train_small_runs(tmp_path) == digests


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 7])
def test_any_rank_count_under_any_mpi(mpi, ranks, tmp_path, digests):
    assert train_small_runs(tmp_path, mpi=mpi, ranks=ranks) == digests
