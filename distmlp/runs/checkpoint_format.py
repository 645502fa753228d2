"""What a checkpoint's file must be: anybody may have made it, so nothing in it is believed before it is checked.

Sizes are compared with the file's before memory is taken.  Nothing in the file leads out of it: links to
other files, raw data in other files and virtual datasets are refused.
"""

import json
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import h5py
import numpy as np

from distmlp.config import keys
from distmlp.config.reading import from_json
from distmlp.errors import InputError
from distmlp.mathematics import exact_costs

#: Bytes that the facts may have; those of a run have a few thousand.
_MOST_FACTS = 2**20


class Unfit(ValueError):
    """What is wrong with the file, as the end of a sentence."""


def facts_in(file: h5py.File) -> dict[str, Any]:
    """The facts, an object of JSON of bounded size.  Raises Unfit."""
    if "facts" not in file.attrs:
        raise Unfit("it has no facts")
    attribute = file.attrs.get_id("facts")
    text = h5py.check_string_dtype(attribute.dtype)
    if attribute.shape != () or text is None or (text.length or 0) > _MOST_FACTS:
        raise Unfit("its facts are no text")
    content = file.attrs["facts"]
    if isinstance(content, bytes):
        content = content.decode()
    if not isinstance(content, str) or len(content) > _MOST_FACTS:
        raise Unfit("its facts are no text of bounded length")
    facts = json.loads(content, parse_constant=_no_number)
    if not isinstance(facts, dict):
        raise Unfit("its facts are no JSON object")
    return facts


def arrays_in(file: h5py.File, bytes_there: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """v and the optimizer's arrays, in this machine's byte order.  Raises Unfit.

    bytes_there: of the whole file.
    """
    v = _array(file, "v", bytes_there)
    arrays = {}
    if "optimizer" in file:
        group = _of_this_file(file, "optimizer")
        if not isinstance(group, h5py.Group):
            raise Unfit("its optimizer is no group")
        for name in group:
            arrays[name] = _array(group, name, bytes_there)
            if arrays[name].shape != v.shape or arrays[name].dtype != v.dtype:
                raise Unfit(f"its optimizer/{name} has not the shape and dtype of v")
            if np.isnan(arrays[name]).any():
                raise Unfit(f"its optimizer/{name} holds a NaN")
    if not np.isfinite(v).all():
        raise Unfit("its v has entries that are not finite")
    return v, arrays


def data_in(file: h5py.File, bytes_there: int) -> dict[str, np.ndarray]:
    """What the training set decided, by name: float64, all of it finite.  Raises Unfit.

    bytes_there: of the whole file.
    """
    if "data" not in file:
        return {}
    group = _of_this_file(file, "data")
    if not isinstance(group, h5py.Group):
        raise Unfit("its data is no group")
    found = {name: _array(group, name, bytes_there) for name in group}
    for name, array in found.items():
        if array.dtype != np.float64 or not np.isfinite(array).all():
            raise Unfit(f"its data/{name} holds what is no number of float64")
    return found


def check_facts(facts: dict[str, Any], v: np.ndarray, v_sha256: str) -> None:
    """Raises Unfit where the facts are not those of a v with this digest."""
    for name, is_right in _FORM.items():
        if name not in facts:
            if name in _LATER:
                continue
            raise Unfit(f"its facts lack {name}")
        if not is_right(facts[name]):
            raise Unfit(f"its facts have an impossible {name}")
    try:
        config = from_json(facts["config"])
    except InputError as error:
        raise Unfit(str(error)) from None
    layers = facts["layers"]
    if list(config.network.layers) != layers or config.dtype != facts["dtype"]:
        raise Unfit("its facts and its config do not agree")
    parameters = sum((m + 1) * n for m, n in pairwise(layers))
    if v.size != parameters or facts["parameters"] != parameters or v.dtype != facts["dtype"]:
        raise Unfit("its v is not one of its network")
    if facts["grid"] is not None and len(facts["grid"]) != 2 * (len(layers) - 1):
        raise Unfit("its grid is not one of its network")
    totals = facts["totals"]
    if any(totals) and not totals[0]:
        raise Unfit("its totals have no samples")
    if facts["v_sha256"] != v_sha256:
        raise Unfit("its v is not the one whose SHA-256 it keeps")


def _no_number(name: str) -> None:
    raise Unfit(f"its facts hold {name}, which is no number of JSON")


def _of_this_file(group: h5py.Group, name: str) -> Any:
    """What a hard link in a group leads to.  Raises Unfit for other links, which may lead to other files."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise Unfit(f"its {name} is a link to a different place")
    return group[name]


def _array(group: h5py.Group, name: str, bytes_there: int) -> np.ndarray:
    if name not in group:
        raise Unfit(f"it has no {name}")
    stored = _of_this_file(group, name)
    if not isinstance(stored, h5py.Dataset):
        raise Unfit(f"its {name} is no dataset")
    kind = stored.id.get_create_plist()
    if kind.get_layout() not in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT) or stored.external:
        raise Unfit(f"its {name} is not stored in the file as it is")
    if stored.dtype.kind != "f" or stored.dtype.itemsize not in (4, 8) or stored.ndim != 1:
        raise Unfit(f"its {name} is no row of float32 or float64 numbers")
    if stored.size * stored.dtype.itemsize > bytes_there or (
        stored.id.get_storage_size() != stored.size * stored.dtype.itemsize
    ):
        raise Unfit(f"its {name} says that it has {stored.size} entries, more than are there")
    found = stored.astype(stored.dtype.newbyteorder("="))[...]
    assert isinstance(found, np.ndarray)
    return found


# The facts that every reader takes for granted, and what each is.


def _counts(x: Any, least: int = 0) -> bool:
    return keys.is_int(x) and least <= x <= keys.MOST


def _is_number_or_none(x: Any) -> bool:
    return x is None or (keys.is_number(x) and math.isfinite(x))


def _is_tracked(x: Any) -> bool:
    """Whether it is a metric's best value, its step, and the epochs since."""
    return (
        isinstance(x, list)
        and len(x) == 3
        and _is_number_or_none(x[0])
        and all(map(_counts, x[1:]))
    )


def _are_names(x: Any) -> bool:
    return x is None or (isinstance(x, list) and all(map(_is_text, x)))


def _is_text(x: Any) -> bool:
    return isinstance(x, str)


def _is_start(x: Any) -> bool:
    """Whether it says where a run's first v came from."""
    return x is None or (
        isinstance(x, dict)
        and all(_is_text(x.get(name)) for name in ("path", "v_sha256"))
        and _counts(x.get("step"))
        and _counts(x.get("layers"), 1)
        and isinstance(x.get("arrays"), list)
        and all(map(_is_text, x["arrays"]))
    )


_FORM: dict[str, Callable[[Any], bool]] = {
    "config": _is_text,
    "layers": lambda x: isinstance(x, list) and all(_counts(n, 1) for n in x) and len(x) >= 2,
    "dtype": lambda x: x in ("float32", "float64"),
    "parameters": _counts,
    "step": _counts,
    "epoch": _counts,
    "step_in_epoch": _counts,
    "samples": lambda x: _counts(x, 1),
    "chunk_rows": _counts,
    "scalars": lambda x: (
        isinstance(x, dict) and all(keys.is_number(of) and math.isfinite(of) for of in x.values())
    ),
    "grid": lambda x: (
        x is None or (isinstance(x, list) and all(keys.is_int(e) and abs(e) <= 1000 for e in x))
    ),
    "totals": lambda x: (
        isinstance(x, list)
        and len(x) == exact_costs.no_totals().size
        and all(map(_counts, x[:2]))
        and all(keys.is_int(limb) and abs(limb) <= keys.MOST for limb in x[2:])
    ),
    "last_cost": _is_number_or_none,
    "last_change": _is_number_or_none,
    "least_change": _is_number_or_none,
    "shown": lambda x: (
        isinstance(x, dict)
        and isinstance(x.get("metric"), str)
        and all(_is_tracked(x.get(name)) for name in ("best", "patience"))
        and _counts(x.get("longest", 0))
        and _is_tracked(x.get("plateau", [None, 0, 0]))  # earlier versions have none
        and _counts(x.get("reductions", 0))
    ),
    "classes": lambda x: isinstance(x, bool),
    "columns": _are_names,
    "targets": _are_names,
    "target_columns": _are_names,
    "start": _is_start,
    "v_sha256": _is_text,
    "fingerprint": _is_text,
    "ranks": lambda x: _counts(x, 1),
    "mpi": _is_text,
}

#: Those that checkpoints of earlier versions lack.
_LATER = ("columns", "targets", "target_columns", "start", "least_change", "shown")
