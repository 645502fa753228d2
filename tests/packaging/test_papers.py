"""Holds the project's papers to each other: license, version, and what is linted."""

import re
import tomllib

from launching import ROOT

from distmlp import __version__

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_license_is_one():
    (license,) = re.findall(r"^license: (.*)$", text("CITATION.cff"), re.MULTILINE)
    assert license == PYPROJECT["project"]["license"] == "BSD-3-Clause"
    (holder,) = re.findall(r"^Copyright \(c\) \d{4}, (.*)$", text("LICENSE"), re.MULTILINE)
    assert [{"name": holder}] == PYPROJECT["project"]["authors"]


def test_the_changelog_has_this_version():
    version = re.match(r"\d+\.\d+\.\d+", __version__)[0]
    newest = re.findall(r"^## (.*)$", text("CHANGELOG.md"), re.MULTILINE)[0]
    assert version in newest
    assert ("[Unreleased]" in newest) == (version != __version__)


def test_the_notes_are_cited():
    for name in ("CITATION.cff", "README.md", "docs/notes-to-code.md"):
        assert "Notes: Multi Layer Perceptron (MLP)" in text(name) and "Sarkar" in text(name), name


def test_scripts_without_an_ending_are_linted():
    scripts = {
        str(path.relative_to(ROOT))
        for folder in ("benchmarks", "launch", "slurm", "datasets", "tests")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and not path.suffix and re.match(rb"#!.*python", path.read_bytes()[:100])
    }
    assert scripts and scripts == set(PYPROJECT["tool"]["ruff"]["extend-include"])
