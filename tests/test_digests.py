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


@pytest.fixture(scope="module")
def other_build(tmp_path_factory):
    """A folder for PYTHONPATH: the package built by clang, with the source for 512 bits built for AVX2.

    It is built from a copy of the sources; what Python finds there hides what is installed.
    """
    if not shutil.which("clang"):
        pytest.skip("no clang on the path")
    home = tmp_path_factory.mktemp("other_build")
    sources, place = home / "sources", home / "place"
    sources.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, sources)
    shutil.copytree(ROOT / "distmlp", sources / "distmlp", ignore=shutil.ignore_patterns("*.so"))
    pip = [sys.executable, "-m", "pip", "--quiet", "install", "--no-deps", "--target", place]
    env = {"CC": "clang", "LDSHARED": "clang -shared", "CFLAGS": "-DEMULATED_512"}
    subprocess.run([*pip, sources], env={**os.environ, **env}, check=True)
    assert b"clang" in next(place.glob("distmlp/kernels/_kernels*.so")).read_bytes()
    return place


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_built_by_another_compiler(other_build, tmp_path, digests):
    script = ROOT / "tests" / "small_runs.py"
    done = run_ranks(None, 1, [script, tmp_path], env={"PYTHONPATH": str(other_build)})
    assert done.status == 0, done.err
    assert json.loads(done.out) == digests


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_kernels_of_another_compiler_at_512_bits_on_any_cpu(other_build):
    """Also where this CPU has no AVX-512: how its tiles, panels and parts of vectors are cut is the same source."""
    words = ["-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/kernels"]
    env = {**os.environ, "PYTHONPATH": str(other_build)}
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-5000:]
    at_512 = "import distmlp.kernels._kernels as k; print(k.__file__, k.widths())"
    found = subprocess.run(
        [sys.executable, "-P", "-c", at_512], env=env, capture_output=True, text=True
    )
    assert str(other_build) in found.stdout
    assert "512" in found.stdout
