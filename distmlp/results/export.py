"""A trained network for other programs: .npz, .safetensors, .onnx.

The tensors are named w1 … wN (n, m) and b1 … bN (n,), as in the notes.  ONNX takes the raw inputs: the
config's scale is its first node.
"""

from pathlib import Path
from typing import BinaryIO

import numpy as np

from distmlp import files
from distmlp.config.sections import Config
from distmlp.data.transform import transform_of
from distmlp.errors import InputError
from distmlp.mathematics.layout import Layout
from distmlp.runs.checkpoint import Checkpoint

_ONNX_OPERATORS = {
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "relu": "Relu",
    "softplus": "Softplus",
    "identity": "Identity",
    "softmax": "Softmax",
}


def export(found: Checkpoint, config: Config, out: Path) -> None:
    """Writes a checkpoint's network in the format that out's ending names.

    Raises InputError for another ending, or where the library that writes the format is missing.
    """
    writers = {".npz": _write_npz, ".safetensors": _write_safetensors, ".onnx": _write_onnx}
    if out.suffix not in writers:
        raise InputError(
            f"{out}: cannot tell the format from the ending; expected one of {', '.join(writers)}"
        )
    w, b = Layout(tuple(config.network.layers)).views(found.v)
    tensors = {
        f"{name}{l}": tensor
        for name, views in (("w", w), ("b", b))
        for l, tensor in enumerate(views)
        if l
    }
    try:
        with files.replacing(out) as file:
            writers[out.suffix](file, tensors, config, found.facts["v_sha256"])
    except ModuleNotFoundError as error:
        raise InputError(
            f'{out}: writing this format needs {error.name}: pip install "distmlp[export]"'
        ) from None


def _write_npz(file: BinaryIO, tensors: dict, config: Config, v_sha256: str) -> None:
    np.savez(
        file,
        **tensors,
        scale=transform_of(config.data).scale,
        v_sha256=v_sha256,
        config=config.to_json(),
    )


def _write_safetensors(file: BinaryIO, tensors: dict, config: Config, v_sha256: str) -> None:
    from safetensors.numpy import save

    metadata = {
        "scale": repr(transform_of(config.data).scale),
        "v_sha256": v_sha256,
        "config": config.to_json(),
    }
    file.write(
        save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, metadata)
    )


def _write_onnx(file: BinaryIO, tensors: dict, config: Config, v_sha256: str) -> None:
    import onnx
    from onnx import helper, numpy_helper

    layers, N = config.network.layers, len(config.network.layers) - 1
    dtype = np.dtype(config.dtype)
    kind = helper.np_dtype_to_tensor_dtype(dtype)
    scale = numpy_helper.from_array(np.array(transform_of(config.data).factor(dtype)), "scale")
    nodes = [helper.make_node("Mul", ["x", "scale"], ["a0"])]
    for l in range(1, N + 1):
        sigma = config.network.output if l == N else config.network.activation
        nodes.append(helper.make_node("Gemm", [f"a{l - 1}", f"w{l}", f"b{l}"], [f"z{l}"], transB=1))
        nodes.append(helper.make_node(_ONNX_OPERATORS[sigma], [f"z{l}"], [f"a{l}"]))
    graph = helper.make_graph(
        nodes,
        "distmlp",
        [helper.make_tensor_value_info("x", kind, ["samples", layers[0]])],
        [helper.make_tensor_value_info(f"a{N}", kind, ["samples", layers[-1]])],
        [
            scale,
            *(
                numpy_helper.from_array(np.ascontiguousarray(tensor), name)
                for name, tensor in tensors.items()
            ),
        ],
    )
    model = helper.make_model(
        graph, producer_name="distmlp", opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    )
    helper.set_model_props(model, {"v_sha256": v_sha256})
    onnx.checker.check_model(model)
    file.write(model.SerializeToString())
