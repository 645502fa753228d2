"""Where a command may write: one rule for all of them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from distmlp.errors import InputError

#: What a run's directory has of its own.
_RUNS_OWN = ("config.toml", "log.jsonl", "events.jsonl", "finished.json", "lock")


def check_output(
    out: Path,
    overwrite: bool,
    endings: Sequence[str] = (),
    never: Iterable[str | Path] = (),
    option: str = "--output ",
) -> None:
    """Raises InputError where a command may not write to a file of that name.

    It replaces no file unless `overwrite` says so, and even then nothing of a run and nothing in `never`, the files that
    the command reads.  endings: those of what it writes; none where any will do.  option: what names the file.
    """
    name = f"{option}{out}"
    if not out.parent.is_dir():
        raise InputError(f"{name}: there is no directory {out.parent}")
    if out.is_dir():
        raise InputError(f"{name} is a directory, but expected the name of a file to write")
    if endings and out.suffix not in endings:
        raise InputError(
            f"{name}: expected a name that ends with {' or '.join(endings)}, which is what is written"
        )
    if not out.exists():
        return
    for path in map(Path, never):
        if path.exists() and out.samefile(path):
            raise InputError(
                f"{name} is {path}, which this command reads; what it writes would replace it"
            )
    whole = out.resolve()
    if _is_a_runs(whole):
        raise InputError(
            f"{name} belongs to the run in {_run_of(whole)}; a command replaces nothing of a run"
        )
    if not overwrite and out.is_file() and out.parent != Path("/dev"):
        raise InputError(f"{name}: exists already; --overwrite replaces it, or name a new file")


def _run_of(path: Path) -> Path:
    return path.parent.parent if path.parent.name == "checkpoints" else path.parent


def _is_a_runs(path: Path) -> bool:
    if not (_run_of(path) / "config.toml").exists():
        return False
    return path.parent.name == "checkpoints" or path.name in _RUNS_OWN
