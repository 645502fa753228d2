"""Holds the reference to the code that it is made of: all commands and keys are in it, and each entry of a file is explained."""

import importlib.util
import re

import pytest
from launching import ROOT

from distmlp.config.reading import known_keys

REFERENCE = ROOT / "docs" / "reference"


@pytest.fixture(scope="module")
def generated():
    """docs/generated.py, which the site is built with."""
    spec = importlib.util.spec_from_file_location("generated", ROOT / "docs" / "generated.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def explained(page: str) -> set[str]:
    """The names in the first column of a page's tables."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    cells = re.findall(r"^\| ([^|]*) \|", text, re.M)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_every_place_is_filled(generated):
    for page in REFERENCE.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        assert "<!-- generated" not in generated.filled(text), page.name


def test_every_key_is_there(generated):
    named = re.findall(r"^\| `([\w.]+)` \|", generated.config_keys(), re.M)
    assert named == known_keys()


def test_every_command_is_there(generated):
    text = generated.commands()
    for name, parser in generated.command_parsers().items():
        assert f"## {name}\n" in text
        for option in (word for action in parser._actions for word in action.option_strings):
            assert option in text, f"{name} {option}"


def test_every_entry_of_the_log_is_explained(generated):
    record = set(generated.small_run()[0]) - {"r2"}
    assert record == explained("log.md")


def test_every_fact_of_a_checkpoint_is_explained(generated):
    datasets, facts = generated.small_run()[1]
    named = {name for name in explained("checkpoint.md") if not name.startswith("/")}
    assert named == set(facts)
    assert any(line.startswith("/v ") for line in datasets)


def test_no_name_of_this_machine_is_shown(generated, tmp_path):
    record, (_, facts), events = generated.small_run()
    text = f"{record}{facts}{events}"
    assert str(tmp_path.parents[2]) not in text and "/tmp" not in text and str(ROOT) not in text


def test_every_page_is_in_the_site():
    """Sphinx says so too, when the site is built."""
    listed = set()
    for index in (ROOT / "docs").rglob("*.md"):
        for block in re.findall(
            r"^```{toctree}\n(.*?)^```$", index.read_text("utf-8"), re.M | re.S
        ):
            for entry in re.findall(r"^([^:\s].*)$", block, re.M):
                listed.update(path.resolve() for path in index.parent.glob(f"{entry}.md"))
    pages = {path.resolve() for path in (ROOT / "docs").rglob("*.md")}
    missing = pages - listed - {ROOT / "docs" / "README.md", ROOT / "docs" / "index.md"}
    assert not missing, "no toctree in docs/*/index.md names these pages"
