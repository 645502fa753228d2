"""Runs what the tutorial, the how-to pages and the examples tell their readers to do, as they would: in order, in an empty directory.

A fenced block is run by the word behind its fence.  Those of `python` and `sh` are whole scripts.  Of `console`, the
lines that begin with `$ ` are commands, and those below each are what it prints; `...` stands for anything.  A comment
before the fence says what else is meant:

    <!-- file: NAME -->            the block is a file of that name, whatever its language
    <!-- status: 2 -->             the exit status of its last command
    <!-- not run: WHY -->          it needs what a test has not, such as several hosts
    <!-- needs: PROGRAM -->        the rest of the page is left out where there is no such program
"""

import gzip
import os
import re
import shutil
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
from launching import ROOT, command

#: The limits are for what hangs; on two idle cores all pages take less than two minutes.
pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(1200)]

DOCS = ROOT / "docs"
RUN = ("console", "sh", "python")
#: What a checkout has that the pages name.
GIVEN = ("datasets", "examples", "launch/digits.toml")

_BLOCK = re.compile(
    r"^(?P<notes>(?:<!-- [^\n]+ -->\n+)*)```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """A fenced block; notes: what the comments before it say, by their first words."""

    language: str
    text: str
    notes: dict[str, str]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page that have a language, in order."""
    found = []
    for match in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        notes = dict(re.findall(r"<!-- ([\w ]+): (.+?) -->", match["notes"]))
        found.append(Block(match["language"], match["text"], notes))
    return found


def commands_of(text: str) -> Iterator[tuple[str, str]]:
    """(command, what it prints) of a console block; a command goes on after a backslash."""
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, _, printed = re.sub(r"\\\n>? *", "", part).partition("\n")
        yield command, printed


def is_printed(expected: str, found: str) -> bool:
    """Whether an output is the expected one, where `...` stands for anything and blanks for any blanks."""
    words = [re.escape(" ".join(part.split())) for part in expected.split("...")]
    pattern = ".*".join(words).replace(r"\ ", " ")
    return re.fullmatch(pattern, " ".join(found.split()).strip(), re.S) is not None


@pytest.fixture
def place(tmp_path, openmpi):
    """An empty directory but for what a checkout has that the pages name."""
    for name in GIVEN:
        there = tmp_path / name
        there.parent.mkdir(exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, there)
    return tmp_path


def run(words: list[str], place: Path, status: int) -> str:
    """What a command prints, after it has ended with a status."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = command(words, timeout=500, env={"PATH": path, "COLUMNS": "120"}, cwd=place)
    assert done.status == status, f"{words[-1]}\n{done.out}\n{done.err}"
    return done.out + done.err


def follow(page: Path, place: Path) -> None:
    """Does what a page says."""
    for block in blocks(page):
        missing = block.notes.get("needs")
        if missing and shutil.which(missing) is None:
            return
        if "not run" in block.notes:
            continue
        status = int(block.notes.get("status", "0"))
        if "file" in block.notes:
            (place / block.notes["file"]).write_text(block.text)
        elif block.language == "python":
            run([sys.executable, "-W", "error", "-c", block.text], place, status)
        elif block.language == "sh":
            run(["bash", "-euo", "pipefail", "-c", block.text], place, status)
        elif block.language == "console":
            commands = list(commands_of(block.text))
            for i, (words, expected) in enumerate(commands):
                last = i == len(commands) - 1
                printed = run(["bash", "-o", "pipefail", "-c", words], place, status if last else 0)
                assert is_printed(expected, printed), f"{words}\n{printed}"


#: In this order: a part goes on where the one before it ended.
TUTORIAL = [DOCS / "tutorial" / name for name in ("first.md", "ranks.md")]
HOW_TO = sorted((DOCS / "how-to").glob("*.md"))


def test_the_tutorial_works(place):
    for page in TUTORIAL:
        follow(page, place)


@pytest.fixture
def pictures(place):
    """The digits as MNIST's four files, under their names: pictures of 28 x 28 pixels of 0 to 255."""
    with h5py.File(ROOT / "datasets" / "digits.h5") as file:
        for group, name in (("train", "train"), ("test", "t10k")):
            x, y = file[f"{group}/x"][:600].reshape(-1, 8, 8), file[f"{group}/y"][:600]
            large = np.zeros((len(x), 28, 28), np.uint8)
            large[:, 2:26, 2:26] = np.minimum(16 * x.astype(int), 255).repeat(3, 1).repeat(3, 2)
            for kind, array in (("images-idx3", large), ("labels-idx1", y.astype(np.uint8))):
                head = struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape)
                path = place / f"{name}-{kind}-ubyte.gz"
                path.write_bytes(gzip.compress(head + array.tobytes()))


@pytest.mark.usefixtures("pictures")
def test_the_examples_work(place):
    follow(ROOT / "examples" / "README.md", place)


@pytest.mark.parametrize("page", HOW_TO, ids=[page.stem for page in HOW_TO])
def test_a_page_works(page, place):
    follow(page, place)


def test_the_pages_have_what_is_run():
    """The tests above find the blocks, and all pages of the tutorial."""
    assert set(TUTORIAL) | {DOCS / "tutorial" / "index.md"} == set((DOCS / "tutorial").glob("*.md"))
    found = [block for page in (*TUTORIAL, *HOW_TO) for block in blocks(page)]
    assert sum(block.language in RUN and "not run" not in block.notes for block in found) > 40
    assert all(
        block.language in RUN
        for block in found
        if "not run" not in block.notes and "file" not in block.notes
    )


def test_what_stands_for_anything():
    assert is_printed(
        "epoch 1  cost ...\n...\nv sha256 ab\n", "epoch  1 cost 0.3\nmore\nv sha256 ab"
    )
    assert is_printed("...", "") and is_printed("", "\n")
    assert not is_printed("epoch 1 ...", "epoch 2 cost 0.3") and not is_printed("", "more")
