"""A trained network as an ONNX model: raw inputs in, outputs and, with classes, the most likely class out."""

from typing import Any

import numpy as np

from distmlp.config.sections import Config
from distmlp.data.transform import Affine, Transform
from distmlp.kernels.numpy_activations_and_costs import GELU_SCALE, LEAK

#: The operator set, and the version of the file format that belongs to it.
OPSET, IR_VERSION = 17, 9

_OPERATORS = {
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "relu": "Relu",
    "identity": "Identity",
    "softmax": "Softmax",
}


def model(
    config: Config,
    tensors: dict[str, np.ndarray],
    transform: Transform,
    classes: bool,
    v_sha256: str,
) -> Any:
    """The onnx.ModelProto of a network, checked.  Raises ModuleNotFoundError where onnx is missing.

    tensors: w1 … wN (n, m) and b1 … bN (n,).  The input is `x`, (samples, inputs), in the network's dtype, or
    float64 where it is scaled by column.  The outputs are `aN`, (samples, outputs), and with classes `class`,
    (samples,) int64; where targets were scaled, `answers` in their own units, float64, in place of `aN`.
    """
    import onnx
    from onnx import helper, numpy_helper

    layers, N = config.network.layers, len(config.network.layers) - 1
    dtype = np.dtype(config.dtype)
    kind = helper.np_dtype_to_tensor_dtype(dtype)
    double = helper.np_dtype_to_tensor_dtype(np.dtype(np.float64))
    constants = {"scale": np.array(transform.factor(dtype)), **tensors}
    nodes = _inputs(transform, constants, kind)
    for l in range(1, N + 1):
        sigma = config.network.output if l == N else config.network.activation
        nodes.append(helper.make_node("Gemm", [f"a{l - 1}", f"w{l}", f"b{l}"], [f"z{l}"], transB=1))
        nodes += _activation(sigma, l, constants, dtype)
    outputs = [helper.make_tensor_value_info(f"a{N}", kind, ["samples", layers[-1]])]
    if transform.targets is not None:
        nodes += _answers(f"a{N}", transform.targets, constants, double)
        outputs = [helper.make_tensor_value_info("answers", double, ["samples", layers[-1]])]
    if classes:
        nodes += _classes(f"a{N}", layers[-1], constants, dtype)
        outputs.append(helper.make_tensor_value_info("class", onnx.TensorProto.INT64, ["samples"]))
    graph = helper.make_graph(
        nodes,
        "distmlp",
        [
            helper.make_tensor_value_info(
                "x",
                kind if transform.is_plain else double,
                ["samples", layers[0] - transform.width(0)],
            )
        ],
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


def _inputs(transform: Transform, constants: dict[str, np.ndarray], kind: int) -> list:
    """The nodes from the inputs x to a0; what they need is put with the constants."""
    from onnx import helper

    if transform.is_plain:
        return [helper.make_node("Mul", ["x", "scale"], ["a0"])]
    nodes, x = [], "x"
    if transform.fill is not None:
        constants["fill"] = transform.fill
        nodes.append(helper.make_node("IsNaN", ["x"], ["missing"]))
        nodes.append(helper.make_node("Where", ["missing", "fill", "x"], ["filled"]))
        x = "filled"
    if transform.inputs is not None:
        constants["inputs_shift"] = transform.inputs.shift
        constants["inputs_divisor"] = transform.inputs.divisor
        nodes.append(helper.make_node("Sub", [x, "inputs_shift"], ["centred"]))
        nodes.append(helper.make_node("Div", ["centred", "inputs_divisor"], ["scaled_inputs"]))
        x = "scaled_inputs"
    values = "a0" if transform.indicators is None else "values"
    nodes.append(helper.make_node("Cast", [x], ["rounded"], to=kind))
    nodes.append(helper.make_node("Mul", ["rounded", "scale"], [values]))
    if transform.indicators is not None:
        constants["indicators"] = transform.indicators.astype(np.int64)
        nodes.append(helper.make_node("Cast", ["missing"], ["flags"], to=kind))
        nodes.append(helper.make_node("Gather", ["flags", "indicators"], ["chosen"], axis=1))
        nodes.append(helper.make_node("Concat", ["values", "chosen"], ["a0"], axis=1))
    return nodes


def _answers(a: str, targets: Affine, constants: dict[str, np.ndarray], double: int) -> list:
    """The nodes from the outputs to answers in the targets' own units."""
    from onnx import helper

    constants["targets_shift"], constants["targets_divisor"] = targets.shift, targets.divisor
    return [
        helper.make_node("Cast", [a], ["wide"], to=double),
        helper.make_node("Mul", ["wide", "targets_divisor"], ["spread"]),
        helper.make_node("Add", ["spread", "targets_shift"], ["answers"]),
    ]


#: Of activations that are made of several operators: (operator, inputs, output) each; {l} is the layer.
_STEPS = {
    "leaky-relu": [
        ("Mul", "z{l} leak", "leaked{l}"),
        ("Less", "z{l} zero", "below{l}"),
        ("Where", "below{l} leaked{l} z{l}", "a{l}"),
    ],
    "elu": [
        ("Min", "z{l} zero", "negative{l}"),
        ("Exp", "negative{l}", "power{l}"),
        ("Sub", "power{l} one", "bent{l}"),
        ("Less", "z{l} zero", "below{l}"),
        ("Where", "below{l} bent{l} z{l}", "a{l}"),
    ],
    "silu": [("Sigmoid", "z{l}", "gate{l}"), ("Mul", "z{l} gate{l}", "a{l}")],
    "gelu": [
        ("Mul", "z{l} z{l}", "square{l}"),
        ("Mul", "square{l} z{l}", "cube{l}"),
        ("Mul", "cube{l} cubic", "part{l}"),
        ("Add", "z{l} part{l}", "sum{l}"),
        ("Mul", "sum{l} gelu_scale", "twice{l}"),
        ("Sigmoid", "twice{l}", "gate{l}"),
        ("Mul", "z{l} gate{l}", "a{l}"),
    ],
    # onnxruntime has no Softplus of float64.  max(z, 0) + ln(1 + e) with e = e^-|z|, where the rounding of u = 1 + e is
    # made good: ln(1 + e) = ln(u) e/(u - 1), and e itself where u is 1.
    "softplus": [
        ("Abs", "z{l}", "size{l}"),
        ("Neg", "size{l}", "minus{l}"),
        ("Exp", "minus{l}", "e{l}"),
        ("Add", "one e{l}", "u{l}"),
        ("Sub", "u{l} one", "kept{l}"),
        ("Equal", "u{l} one", "lost{l}"),
        ("Where", "lost{l} one kept{l}", "divisor{l}"),
        ("Log", "u{l}", "log{l}"),
        ("Where", "lost{l} one log{l}", "factor{l}"),
        ("Div", "e{l} divisor{l}", "quotient{l}"),
        ("Mul", "factor{l} quotient{l}", "log1p{l}"),
        ("Max", "z{l} zero", "positive{l}"),
        ("Add", "positive{l} log1p{l}", "a{l}"),
    ],
}
_NUMBERS = {"zero": 0.0, "one": 1.0, "leak": LEAK, "cubic": 0.044715, "gelu_scale": GELU_SCALE}


def _activation(sigma: str, l: int, constants: dict[str, np.ndarray], dtype: np.dtype) -> list:
    """The nodes from z of a layer to its a; what they need is put with the constants."""
    from onnx import helper

    if sigma in _STEPS:
        for _, inputs, _ in _STEPS[sigma]:
            for name in set(inputs.split()) & set(_NUMBERS):
                constants[name] = np.array(_NUMBERS[name], dtype)
        return [
            helper.make_node(operator, inputs.format(l=l).split(), [output.format(l=l)])
            for operator, inputs, output in _STEPS[sigma]
        ]
    return [helper.make_node(_OPERATORS[sigma], [f"z{l}"], [f"a{l}"])]


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
