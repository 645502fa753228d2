"""A trained network as an ONNX model: raw inputs in, outputs and, with classes, the most likely class out."""

from typing import Any

import numpy as np

from distmlp.config.sections import Config
from distmlp.data.transform import transform_of

#: The operator set, and the version of the file format that belongs to it.
OPSET, IR_VERSION = 17, 9

_OPERATORS = {
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "relu": "Relu",
    "identity": "Identity",
    "softmax": "Softmax",
}


def model(config: Config, tensors: dict[str, np.ndarray], classes: bool, v_sha256: str) -> Any:
    """The onnx.ModelProto of a network, checked.  Raises ModuleNotFoundError where onnx is missing.

    tensors: w1 … wN (n, m) and b1 … bN (n,).  The input is `x`, (samples, inputs), in the network's dtype.  The
    outputs are `aN`, (samples, outputs), and with classes `class`, (samples,) int64.
    """
    import onnx
    from onnx import helper, numpy_helper

    layers, N = config.network.layers, len(config.network.layers) - 1
    dtype = np.dtype(config.dtype)
    kind = helper.np_dtype_to_tensor_dtype(dtype)
    constants = {"scale": np.array(transform_of(config.data).factor(dtype)), **tensors}
    nodes = [helper.make_node("Mul", ["x", "scale"], ["a0"])]
    for l in range(1, N + 1):
        sigma = config.network.output if l == N else config.network.activation
        nodes.append(helper.make_node("Gemm", [f"a{l - 1}", f"w{l}", f"b{l}"], [f"z{l}"], transB=1))
        nodes += _activation(sigma, l, constants, dtype)
    outputs = [helper.make_tensor_value_info(f"a{N}", kind, ["samples", layers[-1]])]
    if classes:
        nodes += _classes(f"a{N}", layers[-1], constants, dtype)
        outputs.append(helper.make_tensor_value_info("class", onnx.TensorProto.INT64, ["samples"]))
    graph = helper.make_graph(
        nodes,
        "distmlp",
        [helper.make_tensor_value_info("x", kind, ["samples", layers[0]])],
        outputs,
        [
            numpy_helper.from_array(np.ascontiguousarray(tensor), name)
            for name, tensor in constants.items()
        ],
    )
    made = helper.make_model(
        graph,
        producer_name="distmlp",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    helper.set_model_props(made, {"v_sha256": v_sha256})
    onnx.checker.check_model(made)
    return made


def _activation(sigma: str, l: int, constants: dict[str, np.ndarray], dtype: np.dtype) -> list:
    """The nodes from z of a layer to its a; what they need is put with the constants."""
    from onnx import helper

    if sigma != "softplus":
        return [helper.make_node(_OPERATORS[sigma], [f"z{l}"], [f"a{l}"])]
    # onnxruntime has no Softplus of float64.  max(z, 0) + ln(1 + e) with e = e^-|z|, where the rounding of u = 1 + e is
    # made good: ln(1 + e) = ln(u) e/(u - 1), and e itself where u is 1.
    constants["zero"], constants["one"] = np.array(0, dtype), np.array(1, dtype)

    def node(operator: str, inputs: str, output: str) -> Any:
        return helper.make_node(operator, inputs.format(l=l).split(), [output.format(l=l)])

    return [
        node("Abs", "z{l}", "size{l}"),
        node("Neg", "size{l}", "minus{l}"),
        node("Exp", "minus{l}", "e{l}"),
        node("Add", "one e{l}", "u{l}"),
        node("Sub", "u{l} one", "kept{l}"),
        node("Equal", "u{l} one", "lost{l}"),
        node("Where", "lost{l} one kept{l}", "divisor{l}"),
        node("Log", "u{l}", "log{l}"),
        node("Where", "lost{l} one log{l}", "factor{l}"),
        node("Div", "e{l} divisor{l}", "quotient{l}"),
        node("Mul", "factor{l} quotient{l}", "log1p{l}"),
        node("Max", "z{l} zero", "positive{l}"),
        node("Add", "positive{l} log1p{l}", "a{l}"),
    ]


def _classes(a: str, outputs: int, constants: dict[str, np.ndarray], dtype: np.dtype) -> list:
    """The nodes from the outputs to the most likely class."""
    import onnx
    from onnx import helper

    if outputs > 1:
        return [helper.make_node("ArgMax", [a], ["class"], axis=1, keepdims=0)]
    constants["half"], constants["columns"] = np.array(0.5, dtype), np.array([1], np.int64)
    return [
        helper.make_node("Greater", [a, "half"], ["above"]),
        helper.make_node("Cast", ["above"], ["classes"], to=onnx.TensorProto.INT64),
        helper.make_node("Squeeze", ["classes", "columns"], ["class"]),
    ]
