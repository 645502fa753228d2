"""How checkpoints are named, by the steps that they are of.  Standard library only."""

import re
from pathlib import Path

_NAME = re.compile(r"step-([0-9]{1,19})\.h5")
_BEST = re.compile(r"best-([0-9]{1,19})\.h5")


def name(step: int) -> str:
    """The name of the checkpoint of a step."""
    return f"step-{step:09d}.h5"


def best_name(step: int) -> str:
    """The name of the best epoch's checkpoint, which is kept beside the newest ones."""
    return f"best-{step:09d}.h5"


def is_best_name(path: Path) -> bool:
    """Whether a checkpoint is kept because its epoch is the best."""
    return _BEST.fullmatch(path.name) is not None


def step_of(path: Path) -> int:
    """The step that a checkpoint's name says."""
    found = _NAME.fullmatch(path.name) or _BEST.fullmatch(path.name)
    assert found
    return int(found[1])


def listed(directory: Path) -> list[Path]:
    """The checkpoints in a directory, the newest first, unread; without the best epoch's."""
    return _matching(directory, _NAME)


def listed_best(directory: Path) -> list[Path]:
    """The best epoch's checkpoint, and older ones that it has not yet taken the place of."""
    return _matching(directory, _BEST)


def _matching(directory: Path, names: re.Pattern[str]) -> list[Path]:
    if not directory.is_dir():
        return []
    found = (path for path in directory.iterdir() if names.fullmatch(path.name))
    return sorted(found, key=step_of, reverse=True)
