"""Learning curves of one run, and of several beside each other."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from distmlp.results.figures.style import COLORS, DASHES, INK, Drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Costs that differ by more than this factor are drawn on a logarithmic scale.
_WIDE = 20
#: Up to this factor there is room for the labels 1, 2 and 5 of each decade.
_FEW_DECADES = 1000


@dataclass(frozen=True)
class Course:
    """A run's name, the records of its log, and the epoch that was the best, if one was."""

    name: str
    records: list[dict[str, Any]]
    best: int | None = None

    def has(self, key: str) -> bool:
        """Whether each epoch has this metric."""
        return bool(self.records) and all(record.get(key) is not None for record in self.records)


def drawings_of(courses: list[Course]) -> dict[str, Drawing]:
    """The panels that the runs' logs give, by name: cost, and accuracy where there are classes."""
    found = {"cost": _cost(courses)}
    if all(course.has("accuracy") for course in courses):
        found["accuracy"] = _accuracy(courses)
    return found


def _cost(courses: list[Course]) -> Drawing:
    def draw(ax: "Axes") -> None:
        several = len(courses) > 1
        shown = []
        validation = all(course.has("validation_cost") for course in courses)
        for place, course in enumerate(courses):
            if not several:
                shown += _line(ax, course, "cost", 0, "training")
            if validation:
                label = course.name if several else "validation"
                shown += _line(ax, course, "validation_cost", place if several else 1, label)
            elif several:
                shown += _line(ax, course, "cost", place, course.name)
        positive = [value for value in shown if value > 0]
        if len(positive) == len(shown) and max(shown) > _WIDE * min(shown):
            _logarithmic(ax, max(shown) / min(shown))
        words = "Cost" if not several else "Validation cost" if validation else "Training cost"
        _finish(ax, courses, words)

    return draw


def _accuracy(courses: list[Course]) -> Drawing:
    def draw(ax: "Axes") -> None:
        several = len(courses) > 1
        for place, course in enumerate(courses):
            of = course.records[-1]["accuracy_of"]
            if several:
                _line(ax, course, "accuracy", place, course.name, _percent)
                continue
            if of == "validation" and course.has("training_accuracy"):
                _line(ax, course, "training_accuracy", 0, "training", _percent)
            _line(ax, course, "accuracy", 1 if of == "validation" else 0, of, _percent)
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g} %")
        _finish(ax, courses, "Accuracy")

    return draw


def _logarithmic(ax: "Axes", factor: float) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    ax.set_yscale("log")
    if factor < _FEW_DECADES:
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())


def _percent(value: float) -> float:
    return 100 * value


def _line(
    ax: "Axes",
    course: Course,
    key: str,
    place: int,
    label: str,
    scaled: Callable[[float], float] = float,
) -> list[float]:
    """Draws a metric by epoch, and returns its values."""
    epochs = [record["epoch"] for record in course.records]
    values = [scaled(record[key]) for record in course.records]
    color, dashes = COLORS[place % len(COLORS)], DASHES[place % len(DASHES)]
    marker = "o" if len(values) == 1 else None
    ax.plot(epochs, values, color=color, linestyle=dashes, label=label, marker=marker)
    return values


def _finish(ax: "Axes", courses: list[Course], title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.set_title(title)
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    if len(courses) == 1 and courses[0].best is not None:
        ax.axvline(courses[0].best, color=INK, linewidth=0.8, alpha=0.5, label="best epoch")
    # matplotlib's own search for the best place takes seconds for long runs, and then warns of it.
    course = np.asarray(ax.get_lines()[0].get_ydata()) if ax.get_lines() else np.zeros(0)
    rises = len(course) > 1 and course[-1] > course[0]
    ax.legend(loc="lower right" if rises else "upper right")
