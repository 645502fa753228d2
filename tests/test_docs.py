"""Holds the docs to what is there: links lead somewhere, paths and commands exist, examples run."""

import doctest
import importlib
import re
import string
import warnings
from pathlib import Path

import pytest
from example import write_config, write_set
from launching import ROOT, distmlp

PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("[!.]*/README.md"), *ROOT.glob("docs/**/*.md")],
    key=lambda path: path.relative_to(ROOT),
)
each_page = pytest.mark.parametrize(
    "page", PAGES, ids=[str(path.relative_to(ROOT)) for path in PAGES]
)
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "distmlp").rglob("*.py")
    if path.name != "__main__.py"
)
PACKAGE = ROOT / "distmlp"
#: What a path in the docs begins with.
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir()} | {".ci"}


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links name them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    kept = string.ascii_lowercase + string.digits + "-_ "
    return {
        "".join(c for c in heading.lower() if c in kept or c.isalpha()).replace(" ", "-")
        for heading in headings
    }


@each_page
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(there), f"{page.name}: {link}"


@each_page
def test_paths_exist(page):
    """Paths of the project in backticks; those that a run makes are no folders of the checkout."""
    text = page.read_text(encoding="utf-8")
    for words in re.findall(r"`([\w.]+/[\w./-]*[\w/])(?:::?\w+)?`", text):
        if words.split("/")[0] in FOLDERS - {"runs", "build", "dist"}:
            assert (ROOT / words).exists() or (PACKAGE / words).exists(), f"{page.name}: {words}"


@pytest.fixture(scope="module")
def commands():
    """The names of distmlp's commands, as its help has them."""
    done = distmlp("--help")
    assert done.status == 0, done.err
    return set(re.findall(r"^    ([a-z]+(?:-[a-z]+)?)(?: |$)", done.out, re.MULTILINE))


@each_page
def test_commands_exist(page, commands):
    text = page.read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"^ *```.*?^ *```", text, re.MULTILINE | re.DOTALL))
    named = set(re.findall(r"(?:^|[/ ])distmlp ([a-z]+(?:-[a-z]+)?)\b", blocks, re.MULTILINE))
    named |= set(re.findall(r"`distmlp ([a-z]+(?:-[a-z]+)?)\b", text))
    assert named <= commands


def test_commands_are_found(commands):
    """The test above reads what it is meant to."""
    assert {"train", "evaluate", "verify"} <= commands


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_the_examples_in_python_run(page, tmp_path, monkeypatch):
    """Each ```python block, twice and without a warning, where config.toml is a small one."""
    write_set(tmp_path / "set.h5")
    write_config(tmp_path / "config.toml", {"run.directory": "runs/mine"})
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S)
    assert blocks
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for block in blocks * 2:
            exec(compile(block, page, "exec"), {})


@pytest.mark.slow
def test_the_examples_in_docstrings_run():
    found = [doctest.testmod(importlib.import_module(name)) for name in MODULES]
    assert sum(results.failed for results in found) == 0
    assert sum(results.attempted for results in found) >= 10
