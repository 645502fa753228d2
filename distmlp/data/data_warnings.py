"""What is doubtful about a set that describing.describe has looked through, in sentences."""

from typing import Any

#: Columns of one kind that are named.
_NAMED = 6
#: Sizes of inputs that differ by more than this train badly as they are.
_SCALES = 100.0
#: More classes than this, with fewer rows a class than that, are likely to be none.
_MANY_CLASSES, _ROWS_A_CLASS = 1000, 10
#: A class that is this much rarer than the most frequent one is named.
_RARE = 20


def are_likely_numbers(least: float, most: float, rows: int) -> bool:
    """Whether whole numbers are likely to be no classes, such as prices: a network would have an output each."""
    return least < 0 or (most >= _MANY_CLASSES and _ROWS_A_CLASS * (most + 1) > rows)


def doubts(found: dict[str, Any], gaps: bool) -> list[str]:
    """Sentences on a described set; gaps: whether classes that never occur are doubtful."""
    columns, rows = found["columns"], found["rows"]
    said = []
    for words, chosen in (
        ("constant", [c for c in columns if c["constant"] and rows > 1]),
        ("numbers the rows, so it may be no input", [c for c in columns if c["numbers_rows"]]),
        (
            'lacks values (data.missing = "mean" fills them)',
            [c for c in columns if c["missing"] and "text" not in c],
        ),
        (
            "lacks values (0 in each input that --categories makes; --missing drop leaves such rows out)",
            [c for c in columns if c["missing"] and "text" in c],
        ),
        ("infinite, or too large for any use, in some rows", [c for c in columns if c["infinite"]]),
        (
            "all but constant to float32: the spread is below a millionth of the mean",
            [
                c
                for c in columns
                if c["spread"] and c["mean"] and c["spread"] < 1e-6 * abs(c["mean"])
            ],
        ),
    ):
        if chosen:
            said.append(f"{_listed([c['name'] for c in chosen])}: {words}")
    sizes = [
        max(abs(c["least"]), abs(c["most"]))
        for c in columns
        if c["least"] is not None and c["spread"]
    ]
    if sizes and (max(sizes) > _SCALES or max(sizes) > _SCALES * min(sizes)):
        said.append(
            f'inputs are as large as {max(sizes):.4g} and as small as {min(sizes):.4g}: data.scale_inputs = "standardise" makes them alike'
        )
    if rows < len(columns):
        said.append(f"fewer rows ({rows}) than columns ({len(columns)})")
    return said + _about_classes(found, gaps) + _about_targets(found)


def _about_classes(found: dict[str, Any], gaps: bool) -> list[str]:
    classes = found["classes"]
    if not classes:
        return []
    if found["likely_numbers"]:
        return [
            f"targets are whole numbers from {found['least_class']} to {found['most_class']}, in {found['rows']} rows, and likely to be "
            'no classes: data.targets_are = "numbers" takes them as numbers'
        ]
    said = []
    if len(classes) == 1:
        said.append(f"all targets are the same class, {next(iter(classes))}")
    never = found["most_class"] + 1 - len(classes)
    if gaps and never > 0:
        said.append(f"{never} of the classes 0 to {found['most_class']} never occur")
    rare = [name for name, count in classes.items() if _RARE * count < max(classes.values())]
    if rare:
        said.append(f"classes {_listed(rare)} are {_RARE} times rarer than the most frequent one")
    return said


def _about_targets(found: dict[str, Any]) -> list[str]:
    targets = found["targets"]
    said = []
    bad = [t["name"] for t in targets if t["missing"] or t["infinite"]]
    if bad:
        said.append(f"targets {_listed(bad)} hold values that are missing or infinite")
    spreads = [t["spread"] for t in targets if t["spread"]]
    if spreads and (max(spreads) > _SCALES or max(spreads) > _SCALES * min(spreads)):
        said.append(
            f'targets spread by {min(spreads):.4g} to {max(spreads):.4g}: data.scale_targets = "standardise" makes them count alike'
        )
    return said


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + f" and {len(names) - _NAMED} more" * (len(names) > _NAMED)
