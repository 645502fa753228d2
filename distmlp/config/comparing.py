"""Two configs side by side, key by key."""

from dataclasses import fields, is_dataclass
from typing import Any

from distmlp.config import keys
from distmlp.config.sections import Config


def _flat(config: Any) -> dict[str, tuple[object, bool]]:
    """{"section.key": (value, whether v is free of it)}."""
    flat = {}
    for f in fields(config):
        value = getattr(config, f.name)
        if is_dataclass(value):
            flat.update({f"{f.name}.{name}": pair for name, pair in _flat(value).items()})
        else:
            flat[f.name] = (value, keys.is_free(f))
    return flat


def flat(config: Config) -> dict[str, object]:
    """{"section.key": value} of every key."""
    return {name: value for name, (value, _) in _flat(config).items()}


def differences(old: Config, new: Config) -> list[tuple[str, object, object]]:
    """(key, old value, new value) of every key that decides v and differs.

    Under some schedules α follows from the number of epochs, or from the metric that is watched, which then decide v too; and so does
    data.validation where it is a share, for the other rows are trained on.
    """
    a, b = _flat(old), _flat(new)
    found = [(key, a[key][0], b[key][0]) for key in a if not a[key][1] and a[key][0] != b[key][0]]
    also = ["training.epochs"] if new.optimizer.needs_length else []
    if new.optimizer.schedule == "plateau":
        also += ["training.monitor", "training.least_improvement"]
    found += [(key, a[key][0], b[key][0]) for key in also if a[key][0] != b[key][0]]
    if old.data.share != new.data.share:
        found.append(("data.validation", old.data.validation, new.data.validation))
    return found
