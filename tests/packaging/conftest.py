"""What users of the wheel have: the package built from a copy of the sources, and environments outside the checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from launching import ROOT

#: What a checkout has and a clone has not: at its top, and anywhere.
AT_THE_TOP = {"build", "dist", "runs"}
ANYWHERE = shutil.ignore_patterns(
    ".git", ".venv*", ".machines", "*.egg-info", "*.so", "__pycache__", ".*_cache"
)


def run(*words, timeout=600, cwd=None, **environment) -> str:
    """What a command prints; its failure is the test's, with all that it said."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "DISTMLP_"))}
    done = subprocess.run(
        list(map(str, words)),
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=cwd,
        env={**kept, **environment},
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class Environment:
    """A virtual environment outside the checkout."""

    def __init__(self, place: Path):
        self.place = place
        self.bin = place / "bin"
        run(sys.executable, "-m", "venv", place)

    def install(self, *words, **environment) -> "Environment":
        pip = ("-m", "pip", "--disable-pip-version-check", "install", "--quiet")
        run(self.bin / "python", *pip, *words, cwd=self.place, **environment)
        return self

    def python(self, *words, **options) -> str:
        return run(self.bin / "python", *words, **options)


@pytest.fixture(scope="session")
def sources(tmp_path_factory):
    """A copy of the tree, so that a build leaves nothing in the checkout and finds nothing there."""
    place = tmp_path_factory.mktemp("sources") / "distmlp"

    def left_by_work(folder, names):
        top = AT_THE_TOP & set(names) if Path(folder) == ROOT else set()
        return ANYWHERE(folder, names) | top

    shutil.copytree(ROOT, place, ignore=left_by_work)
    return place


@pytest.fixture(scope="session")
def built(sources, tmp_path_factory):
    """The directory of the sdist, and of the wheel that is built from the sdist alone."""
    place = tmp_path_factory.mktemp("built")
    run(sys.executable, "-m", "build", "--outdir", place, sources, cwd=place)
    return place


@pytest.fixture(scope="session")
def sdist(built):
    (found,) = built.glob("*.tar.gz")
    return found


@pytest.fixture(scope="session")
def wheel(built):
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def plain_wheel(sdist, tmp_path_factory):
    """The wheel of a machine without a C compiler."""
    place = tmp_path_factory.mktemp("plain")
    pip = ("-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps")
    run(sys.executable, *pip, "--wheel-dir", place, sdist, cwd=place, CC="/bin/false")
    (found,) = place.glob("*.whl")
    return found


@pytest.fixture
def environment(tmp_path):
    return Environment(tmp_path / "environment")


@pytest.fixture
def quickstart(tmp_path):
    """The quickstart's config and data, copied out of the checkout: the config's path."""
    for name in ("launch/digits.toml", "datasets/digits.h5"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path / "launch" / "digits.toml"
