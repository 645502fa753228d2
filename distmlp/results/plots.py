"""Figures of runs as files: learning curves, and what a set says of a trained network."""

import base64
import io
import os
from html import escape
from pathlib import Path
from typing import Any

from distmlp.data.several_files import Spec
from distmlp.errors import InputError
from distmlp.results.figures import scores, style
from distmlp.results.figures.curves import Course, drawings_of
from distmlp.results.figures.style import Drawing
from distmlp.results.looking import View, look
from distmlp.runs import checkpoint, checkpoint_names
from distmlp.runs.directory import expect_directory
from distmlp.runs.log import read_records

#: Outputs that have figures of their own.
MOST_OUTPUTS = 6


def plot(
    runs: list[Path],
    directory: Path | None = None,
    formats: tuple[str, ...] = ("png",),
    which: str = "best",
    spec: Spec | None = None,
) -> list[Path]:
    """Writes the figures of a run, or one that compares several, and returns their paths.

    directory: where; None is the run's `figures/`, or `figures/` here for several.  which, spec: the checkpoint and the
    set that a single run is looked at with, as `looking.look` has them.  Raises InputError.
    """
    if directory is not None and directory.suffix[1:] in style.FORMATS and not directory.is_dir():
        raise InputError(
            f"--output {directory}: expected a directory, to which each figure goes under its name; "
            "--format says what is written"
        )
    made = figures(runs, which, spec)
    place = directory or (runs[0] / "figures" if len(runs) == 1 else Path("figures"))
    written = []
    try:
        place.mkdir(parents=True, exist_ok=True)
        with style.styled():
            for name, figure in made.items():
                for ending in formats:
                    style.save(figure, place / f"{name}.{ending}")
                    written.append(place / f"{name}.{ending}")
    except OSError as error:
        raise InputError(
            f"{place}: the figures cannot be written: {error.strerror or error}; --output names another directory"
        ) from None
    return written


class Figures(dict[str, Any]):
    """matplotlib's figures by name; a notebook shows them one below the other."""

    def _repr_html_(self) -> str:
        parts = []
        with style.styled():
            for name, figure in self.items():
                image = io.BytesIO()
                figure.savefig(image, format="png", facecolor="white", dpi=100)
                content = base64.b64encode(image.getvalue()).decode()
                parts.append(f'<img alt="{escape(name)}" src="data:image/png;base64,{content}">')
        return "<br>".join(parts)


def figures(runs: list[Path], which: str = "best", spec: Spec | None = None) -> Figures:
    """The figures of a run, or one that compares several, by name; the arguments are those of `plot`.  Raises InputError."""
    if not runs:
        raise InputError("no run is named; expected one run directory or more")
    with style.styled():
        courses = courses_of(runs)
        found = Figures(curves=style.drawn(list(drawings_of(courses).values())))
        view = look(runs[0], which, spec) if len(runs) == 1 else None
        if view is not None:
            found |= {name: style.drawn(some) for name, some in _of_outputs(view).items()}
            pictures = pictures_of(view)
            if pictures:
                found["worst"] = style.drawn(pictures, 6, (1.2, 1.45))
            if view.metrics.scores and view.metrics.scores.get("confusion"):
                found["confusion"] = style.drawn([confusion_of(view)], 1, confusion_size(view))
        return found


def courses_of(runs: list[Path]) -> list[Course]:
    """The courses of runs, from their logs.  Raises InputError where one has no epoch yet."""
    whole = [os.path.abspath(run) for run in runs]
    common = os.path.commonpath([os.path.dirname(path) for path in whole])
    courses = []
    for run, path in zip(runs, whole, strict=True):
        expect_directory(run)
        records = read_records(run / "log.jsonl")
        if not records:
            raise InputError(f"{run}: no epoch has ended in this run; expected its log.jsonl")
        courses.append(Course(os.path.relpath(path, common), records, _best_epoch(run, records)))
    return courses


def _best_epoch(run: Path, records: list[dict]) -> int | None:
    """The best epoch by the metric that was watched, where its checkpoint is there."""
    kept = checkpoint_names.listed_best(run / "checkpoints")
    if not kept:
        return None
    step = checkpoint.step_of(kept[0])
    return next((record["epoch"] for record in records if record["step"] == step), None)


def confusion_of(view: View) -> Drawing:
    """The confusion matrix of a set of classes."""
    assert view.metrics.scores is not None  # a view has all scores
    return scores.confusion(view.metrics.scores["confusion"], view.names)


def confusion_size(view: View) -> tuple[float, float]:
    """Inches that its confusion matrix needs."""
    side = min(max(3.4, 0.36 * len(view.names) + 0.9), 9.0)
    return side + 0.2, side


def numbers_of(view: View) -> list[tuple[str, list[Drawing]]]:
    """(output, panels) of the first outputs of a set of numbers; none of classes."""
    if view.y is None or view.a is None or view.classes:
        return []
    columns = zip(view.names, view.y.T, view.a.T, strict=True)
    draw = (scores.parity, scores.residuals, scores.histogram)
    found = [(name, [each(y, a, name) for each in draw]) for name, y, a in columns]
    return found[:MOST_OUTPUTS]


def _of_outputs(view: View) -> dict[str, list[Drawing]]:
    """The figures of a set of numbers, by name."""
    outputs = numbers_of(view)
    if not outputs:
        return {}
    return {
        "parity": [panels[0] for _, panels in outputs],
        "residuals": [panel for _, panels in outputs for panel in panels[1:]],
    }


def pictures_of(view: View) -> list[Drawing]:
    """The samples that the network is most wrong about, where they are pictures."""
    return [
        scores.picture(wrong.pixels, f"{wrong.actual} → {wrong.predicted}")
        for wrong in view.wrong
        if wrong.pixels is not None
    ]
