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

    Under the linear schedule the number of epochs decides v too, for α follows from it.
    """
    a, b = _flat(old), _flat(new)
    found = [(key, a[key][0], b[key][0]) for key in a if not a[key][1] and a[key][0] != b[key][0]]
    if new.optimizer.schedule == "linear" and old.training.epochs != new.training.epochs:
        found.append(("training.epochs", old.training.epochs, new.training.epochs))
    return found
