"""A trained network for other programs: .npz, .safetensors, .onnx, .pt, .c.

In .npz and .safetensors the tensors are named w1 … wN (n, m) and b1 … bN (n,), as in the notes, beside what rows are
scaled by.  The other formats take the raw inputs: what the config's [data] does to them is a part of what is exported.
"""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np

from distmlp.config.reading import from_json
from distmlp.config.sections import Config
from distmlp.data.transform import transform_of
from distmlp.errors import InputError
from distmlp.mathematics.layout import Layout
from distmlp.results import onnx_graph
from distmlp.results.c99 import code
from distmlp.results.c99.exported import Exported
from distmlp.runs.checkpoint import Checkpoint


def contents(found: Checkpoint, out: Path) -> dict[Path, bytes]:
    """{file: what it is to hold} of a checkpoint's network in the format that out's ending names; out is the first.

    Raises InputError for another ending, or where the library that writes the format is missing.
    """
    config = from_json(found.facts["config"])
    transform = transform_of(config.data, found.data)
    if out.suffix == ".pt" and transform.fill is not None:
        raise InputError(
            f"{out}: this format has no place for what data.missing does; export to .onnx or .c, which have"
        )
    if out.suffix == ".c":
        network = Exported(
            out.stem,
            config,
            found.v,
            found.facts["v_sha256"],
            bool(found.facts["classes"]),
            transform,
            found.facts.get("columns") or [],
            found.facts.get("targets") or [],
        )
        return {out.parent / name: text.encode() for name, text in code.files_of(network).items()}
    if out.suffix in _WRITERS:
        try:
            return {out: _WRITERS[out.suffix](found, config)}
        except ModuleNotFoundError as error:
            extra = "torch" if out.suffix == ".pt" else '"distmlp[export]"'
            raise InputError(
                f"{out}: writing this format needs {error.name}: pip install {extra}"
            ) from None
    raise InputError(
        f"{out}: cannot tell the format from the ending; expected one of {', '.join([*_WRITERS, '.c'])}"
    )


def _tensors(found: Checkpoint, config: Config) -> dict[str, np.ndarray]:
    """{"w1": (n, m), …, "b1": (n,), …}, each without gaps."""
    w, b = Layout(tuple(config.network.layers)).views(found.v)
    return {
        f"{name}{l}": np.ascontiguousarray(tensor)
        for name, views in (("w", w), ("b", b))
        for l, tensor in enumerate(views)
        if l
    }


def _npz(found: Checkpoint, config: Config) -> bytes:
    file = BytesIO()
    tensors: dict = {
        **_tensors(found, config),
        **found.data,
        "scale": config.data.scale,
        "v_sha256": found.facts["v_sha256"],
        "config": config.to_json(),
    }
    np.savez(file, **tensors)
    return file.getvalue()


def _safetensors(found: Checkpoint, config: Config) -> bytes:
    from safetensors.numpy import save

    metadata = {
        "scale": repr(config.data.scale),
        "v_sha256": found.facts["v_sha256"],
        "config": config.to_json(),
    }
    return save({**_tensors(found, config), **found.data}, metadata)


def _onnx(found: Checkpoint, config: Config) -> bytes:
    classes, v_sha256 = bool(found.facts["classes"]), found.facts["v_sha256"]
    tensors = _tensors(found, config)
    transform = transform_of(config.data, found.data)
    return onnx_graph.model(config, tensors, transform, classes, v_sha256).SerializeToString()


def _torch(found: Checkpoint, config: Config) -> bytes:
    """The state of a torch.nn.Sequential of Linear and activation in turn, for raw inputs.

    What is done to inputs is in the first w and b.  Where targets were scaled, a last Linear gives their own units.
    """
    import torch

    tensors, N = _tensors(found, config), len(config.network.layers) - 1
    t, dtype = transform_of(config.data, found.data), found.v.dtype
    w = tensors["w1"].astype(np.float64) * float(t.factor(dtype))
    if t.inputs is not None:
        w = w / t.inputs.divisor
        tensors["b1"] = (tensors["b1"] - (w * t.inputs.shift).sum(axis=1)).astype(dtype)
    tensors["w1"] = w.astype(dtype)
    if t.targets is not None:
        N += 1
        tensors[f"w{N}"] = np.diag(t.targets.divisor).astype(dtype)
        tensors[f"b{N}"] = t.targets.shift.astype(dtype)
    state = {}
    for l in range(1, N + 1):
        state[f"{2 * (l - 1)}.weight"] = torch.from_numpy(tensors[f"w{l}"])
        state[f"{2 * (l - 1)}.bias"] = torch.from_numpy(tensors[f"b{l}"].copy())
    file = BytesIO()
    torch.save(state, file)
    return file.getvalue()


_WRITERS: dict[str, Callable[[Checkpoint, Config], bytes]] = {
    ".npz": _npz,
    ".safetensors": _safetensors,
    ".onnx": _onnx,
    ".pt": _torch,
}
