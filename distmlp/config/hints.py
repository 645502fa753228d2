"""Hints: which key was meant by one that is unknown."""

import difflib
from collections.abc import Sequence

#: What other programs call some keys.
_ELSEWHERE = {
    "lr": "optimizer.learning_rate",
    "alpha": "optimizer.learning_rate",
    "eta": "optimizer.learning_rate",
    "loss": "network.cost",
    "batch": "training.batch_size",
    "max_iter": "training.epochs",
    "random_state": "seed",
}


def nearest(name: str, keys: Sequence[str]) -> str:
    """ "; did you mean …?" with the key whose last part is nearest, in the same section where there is one."""
    section, _, last = name.rpartition(".")
    here = [known for known in keys if known.rpartition(".")[0] == section]
    for known in (here, keys):
        lasts = {key.rpartition(".")[2]: key for key in known}
        near = difflib.get_close_matches(last, list(lasts), n=1, cutoff=0.7)
        if near:
            return f"; did you mean {lasts[near[0]]}?"
    if last in _ELSEWHERE:
        return f"; did you mean {_ELSEWHERE[last]}?"
    return f"; the keys are {', '.join(here or keys)}"


def key_of_option(option: str, keys: Sequence[str]) -> str | None:
    """The key that an option is named after, as --epochs and --batch-size are: so some give it; None where there is none."""
    name = option.lstrip("-").partition("=")[0].replace("-", "_")
    named = [key for key in keys if name in (key, key.rpartition(".")[2])]
    return named[0] if len(named) == 1 else _ELSEWHERE.get(name)
