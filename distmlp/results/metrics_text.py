"""Metrics of a set as text for people."""

from collections.abc import Sequence
from typing import Any

from distmlp.training.evaluation import Metrics

#: Classes, or outputs, that are listed one by one, and those that a confusion matrix is shown for.
_MOST_LISTED, _MOST_IN_MATRIX = 100, 25

_SINGLE = {
    "balanced_accuracy": "balanced accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "precision_weighted": "precision, weighted",
    "recall_weighted": "recall, weighted",
    "f1_weighted": "F1, weighted",
    "roc_auc": "ROC AUC",
    "log_loss": "log loss",
    "brier": "Brier score",
    "r2": "R²",
    "rmse": "RMSE",
    "mae": "MAE",
    "largest_error": "largest error",
}


def text(metrics: Metrics) -> str:
    """All that is known of a set: single numbers, then a table by class or output, then the confusion matrix."""
    found: dict[str, Any] = metrics.scores or {}
    is_cost = {"": "", "mse": "  (mse, half of the squared error)"}
    cost = is_cost.get(metrics.cost_name, f"  ({metrics.cost_name})")
    lines = [f"samples  {metrics.samples}", f"cost     {metrics.cost:.9g}{cost}"]
    if metrics.accuracy is not None:
        lines.append(f"accuracy {100 * metrics.accuracy:.2f} %")
    if metrics.unweighted is not None:
        plain = metrics.unweighted
        shares = "" if plain.accuracy is None else f", accuracy {100 * plain.accuracy:.2f} %"
        lines.append(f"unweighted: cost {plain.cost:.9g}{shares}")
    single = [
        (words, found[name]) for name, words in _SINGLE.items() if found.get(name) is not None
    ]
    single += [(f"top-{k} accuracy", share) for k, share in found.get("top_k", {}).items()]
    width = max((len(words) for words, _ in single), default=0)
    lines += [f"{words:<{width}}  {_number(value)}" for words, value in single]
    for name in ("by_class", "by_output"):
        rows = found.get(name, [])
        if rows:
            lines += ["", *_by_row(rows[:_MOST_LISTED])]
        if len(rows) > _MOST_LISTED:
            lines.append(f"… {len(rows) - _MOST_LISTED} more; --json has all of them")
    matrix = found.get("confusion")
    if matrix and len(matrix) <= _MOST_IN_MATRIX:
        names = [str(row["class"]) for row in found["by_class"]]
        head = ["actual \\ predicted", *names]
        body = [[name, *map(str, row)] for name, row in zip(names, matrix, strict=True)]
        lines += ["", *_aligned([head, *body])]
    return "\n".join(lines)


def _by_row(rows: list[dict[str, Any]]) -> list[str]:
    keys = [key for key in rows[0] if any(row[key] is not None for row in rows)]
    head = [_SINGLE.get(key, key) for key in keys]
    return _aligned([head, *([_number(row[key]) for key in keys] for row in rows)])


def _aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    """Rows of a table, the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
