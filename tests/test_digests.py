"""The digests of five runs are constants: any MPI, rank count, width of vectors and compiler gives them.

README names them too.  Only a change of the arithmetic itself, docs/arithmetic.md, may change one; the changelog then says so.
tests/machines holds them on CPUs of other kinds, tests/test_arithmetic_law.py in hostile surroundings.
"""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from launching import ROOT, run_ranks, train_small_runs


def test_one_process(tmp_path, digests):
    assert train_small_runs(tmp_path) == digests


def test_the_readme_names_them(digests):
    said = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, record in digests.items():
        assert re.search(rf"^\| {name} \|.*`{record['v_sha256']}`", said, re.M), name


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 7])
def test_any_rank_count_under_any_mpi(mpi, ranks, tmp_path, digests):
    assert train_small_runs(tmp_path, mpi=mpi, ranks=ranks) == digests


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_built_by_another_compiler(tmp_path, digests):
    """The package is built from a copy of the sources; what Python finds there hides what is installed."""
    if not shutil.which("clang"):
        pytest.skip("no clang on the path")
    sources, place = tmp_path / "sources", tmp_path / "place"
    sources.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, sources)
    shutil.copytree(ROOT / "distmlp", sources / "distmlp", ignore=shutil.ignore_patterns("*.so"))
    pip = [sys.executable, "-m", "pip", "--quiet", "install", "--no-deps", "--target", place]
    env = {**os.environ, "CC": "clang", "LDSHARED": "clang -shared"}
    subprocess.run([*pip, sources], env=env, check=True)
    assert b"clang" in next(place.glob("distmlp/kernels/_kernels*.so")).read_bytes()
    script = ROOT / "tests" / "small_runs.py"
    done = run_ranks(None, 1, [script, tmp_path], env={"PYTHONPATH": str(place)})
    assert done.status == 0, done.err
    assert json.loads(done.out) == digests
