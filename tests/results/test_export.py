"""Holds that an exported network gives what distmlp predicts, by other programs' arithmetic."""

import json
import os
import stat
import sys
import warnings

import h5py
import numpy as np
import pytest
from exporting import ACTIVATIONS, checkpoint, export, predicted, scaled_checkpoint, some_rows

import distmlp
from distmlp.cli import main as cli
from distmlp.errors import InputError
from distmlp.mathematics.metrics import predicted_classes
from distmlp.parallel import communicator
from distmlp.results import checkpoint_commands

SOFTPLUS_REGRESSION = {
    "network": {"layers": [5, 7, 4, 2], "activation": "softplus", "output": "identity"},
    "dtype": "float64",
}
TANH_CLASSES = {
    "network": {
        "layers": [5, 6, 2],
        "activation": "tanh",
        "output": "softmax",
        "cost": "cross-entropy",
    }
}


@pytest.fixture(params=[SOFTPLUS_REGRESSION, TANH_CLASSES], ids=["regression", "classes"])
def run(request, tmp_path):
    """A short run and its data: (run directory, inputs, predicted outputs)."""
    random = np.random.default_rng(5)
    x = random.normal(size=(40, 5))
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["set/x"] = x
        file["set/y"] = (
            random.normal(size=(40, 2)) if "dtype" in request.param else random.integers(0, 2, 40)
        )
    spec = f"{tmp_path}/data.h5:/set"
    config = {
        **request.param,
        "data": {"train": spec, "scale": 0.5},
        "training": {"batch_size": 8, "epochs": 2},
        "optimizer": {"learning_rate": 0.1},
        "run": {"directory": f"{tmp_path}/run"},
    }
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # that pytest's process has numpy's own kernels is no matter here
        distmlp.train(config)
    checkpoint_commands.predict(
        tmp_path / "run", spec, tmp_path / "out.h5", communicator.SingleProcess()
    )
    with h5py.File(tmp_path / "out.h5") as file:
        return tmp_path / "run", x, file["a"][...]


def by_hand(tensors, config, x):
    """The forward pass of the two networks above, from named tensors."""
    a, N = x * config["data"]["scale"], len(config["network"]["layers"]) - 1
    for l in range(1, N + 1):
        z = a @ tensors[f"w{l}"].T.astype(np.float64) + tensors[f"b{l}"]
        sigma = config["network"]["output" if l == N else "activation"]
        if sigma == "softmax":
            a = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        else:
            a = {
                "softplus": lambda z: np.log1p(np.exp(z)),
                "tanh": np.tanh,
                "identity": lambda z: z,
            }[sigma](z)
    return a


def test_npz(run, tmp_path):
    directory, x, expected = run
    checkpoint_commands.export_network(directory, tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz") as tensors:
        found = by_hand(tensors, json.loads(str(tensors["config"])), x)
        assert str(tensors["v_sha256"]) == checkpoint_commands.inspect(directory)["v_sha256"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_safetensors(run, tmp_path):
    safetensors = pytest.importorskip(
        "safetensors", reason="pip install 'distmlp[export]' enables it"
    )
    directory, x, expected = run
    checkpoint_commands.export_network(directory, tmp_path / "net.safetensors")
    with safetensors.safe_open(tmp_path / "net.safetensors", "np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
        config = json.loads(file.metadata()["config"])
    np.testing.assert_allclose(by_hand(tensors, config, x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ending", ["npz", "safetensors", "onnx", "c"])
def test_others_may_read_the_file(tmp_path, ending):
    found, _ = checkpoint((3, 2), "tanh", "identity", "float32")
    if ending in ("safetensors", "onnx"):
        pytest.importorskip(ending, reason="pip install 'distmlp[export]' enables it")
    mask = os.umask(0o022)
    try:
        (written, *_) = export(found, tmp_path / f"net.{ending}")
    finally:
        os.umask(mask)
    assert stat.S_IMODE(written.stat().st_mode) == 0o644


@pytest.mark.slow
@pytest.mark.parametrize("dtype, largest", [("float32", 3e-6), ("float64", 1e-13)])
@pytest.mark.parametrize("hidden", ACTIVATIONS)
def test_onnxruntime_takes_every_activation(tmp_path, dtype, largest, hidden):
    pytest.importorskip("onnx", reason="pip install 'distmlp[export]' enables it")
    runtime = pytest.importorskip("onnxruntime", reason="pip install onnxruntime enables it")
    for output in ACTIVATIONS:
        outputs = 3 if output == "softmax" or hidden > output else 1
        found, config = checkpoint((7, 9, outputs), hidden, output, dtype, 0.5, True)
        export(found, tmp_path / "net.onnx")
        session = runtime.InferenceSession(tmp_path / "net.onnx")
        x = some_rows(7, dtype, 0.5)
        a, classes = session.run(["a2", "class"], {"x": x})
        right = predicted(found, config, x)
        assert abs(a - right).max() <= largest * max(abs(right).max(), 1)
        assert classes.dtype == np.int64
        assert classes.tolist() == predicted_classes(a).tolist()


def test_onnx_softplus_keeps_its_small_values(tmp_path):
    pytest.importorskip("onnx", reason="pip install 'distmlp[export]' enables it")
    runtime = pytest.importorskip("onnxruntime", reason="pip install onnxruntime enables it")
    found, config = checkpoint((1, 1), "tanh", "softplus", "float64")
    found.v[:] = 1, 0
    export(found, tmp_path / "net.onnx")
    x = np.linspace(-700, 700, 2801)[:, None]
    (a,) = runtime.InferenceSession(tmp_path / "net.onnx").run(None, {"x": x})
    np.testing.assert_allclose(a, predicted(found, config, x), rtol=1e-15)


@pytest.mark.parametrize("dtype, largest", [("float32", 3e-6), ("float64", 1e-14)])
def test_torch_takes_the_state(tmp_path, dtype, largest):
    torch = pytest.importorskip("torch", reason="pip install torch enables it")
    found, config = checkpoint((7, 9, 5, 3), "tanh", "softplus", dtype, 0.3)
    export(found, tmp_path / "net.pt")
    nn = torch.nn
    layers = [nn.Linear(7, 9), nn.Tanh(), nn.Linear(9, 5), nn.Tanh(), nn.Linear(5, 3)]
    module = nn.Sequential(*layers, nn.Softplus(threshold=40)).to(getattr(torch, dtype))
    module.load_state_dict(torch.load(tmp_path / "net.pt", weights_only=True))
    x = some_rows(7, dtype, 0.3)
    with torch.no_grad():
        a = module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(a, predicted(found, config, x), rtol=largest, atol=largest)


def test_torch_takes_scaled_columns(tmp_path):
    torch = pytest.importorskip("torch", reason="pip install torch enables it")
    found, config, x = scaled_checkpoint((7, 9, 3), "identity", "float64")
    export(found, tmp_path / "net.pt")
    nn = torch.nn
    layers = [nn.Linear(7, 9), nn.Tanh(), nn.Linear(9, 3), nn.Identity(), nn.Linear(3, 3)]
    module = nn.Sequential(*layers).double()
    module.load_state_dict(torch.load(tmp_path / "net.pt", weights_only=True))
    with torch.no_grad():
        a = module(torch.from_numpy(x)).numpy()
    right = predicted(found, config, x)
    assert abs(a - right).max() <= 1e-11 * abs(right).max()


def test_torch_has_no_place_for_missing_inputs(tmp_path):
    found, _, _ = scaled_checkpoint((7, 9, 3), "identity", "float64", missing=True)
    with pytest.raises(
        InputError, match=r"net\.pt: this format has no place for what data\.missing"
    ):
        export(found, tmp_path / "net.pt")


@pytest.mark.parametrize("missing", [False, True])
def test_onnxruntime_takes_raw_inputs(tmp_path, missing):
    pytest.importorskip("onnx", reason="pip install 'distmlp[export]' enables it")
    runtime = pytest.importorskip("onnxruntime", reason="pip install onnxruntime enables it")
    found, config, x = scaled_checkpoint((9, 14, 4), "identity", "float32", missing=missing)
    export(found, tmp_path / "net.onnx")
    (a,) = runtime.InferenceSession(tmp_path / "net.onnx").run(["answers"], {"x": x})
    right = predicted(found, config, x)
    assert abs(a - right).max() <= 3e-6 * abs(right).max()


def test_a_missing_torch_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    found, _ = checkpoint((3, 2), "tanh", "identity", "float32")
    with pytest.raises(
        InputError, match=r"net\.pt: writing this format needs torch: pip install t"
    ):
        export(found, tmp_path / "net.pt")


@pytest.mark.slow
def test_onnx(run, tmp_path):
    onnx = pytest.importorskip("onnx", reason="pip install 'distmlp[export]' enables it")
    from onnx.reference import ReferenceEvaluator

    directory, x, expected = run
    checkpoint_commands.export_network(directory, tmp_path / "net.onnx")
    onnx.checker.check_model(str(tmp_path / "net.onnx"), full_check=True)
    (found, *_) = ReferenceEvaluator(str(tmp_path / "net.onnx")).run(
        None, {"x": x.astype(expected.dtype)}
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_an_unknown_ending_is_refused_and_leaves_nothing(run, tmp_path):
    directory, _, _ = run
    with pytest.raises(
        InputError, match=r"net\.tar: cannot tell the format .* \.npz, \.safetensors, \.onnx"
    ):
        checkpoint_commands.export_network(directory, tmp_path / "net.tar")
    assert not list(tmp_path.glob("*net*"))


def test_the_command(run, tmp_path, capsys):
    directory, _, _ = run
    assert cli.main(["export", str(directory), str(tmp_path / "net.npz")]) == 0
    assert "net.npz: the network of" in capsys.readouterr().out
    assert (tmp_path / "net.npz").exists()
