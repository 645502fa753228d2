"""The runs whose digests are constants, see test_digests.py: the quickstart, and four small ones that anybody can repeat.

    python tests/small_runs.py DIRECTORY [NAME...]                 also under mpirun, on any number of ranks

trains them in a directory, by default all, and prints as JSON what each ended with.  Their data are made from whole
numbers by steps that are written down here, so that no generator and no rounding decides them.
"""

import json
import sys
from pathlib import Path

import h5py
import numpy as np

import distmlp
from distmlp.parallel.launchers import of

QUICKSTART = Path(__file__).resolve().parents[1] / "launch" / "digits.toml"
EPOCHS = 3

#: A prime, so that no batch, micro-batch or rank count divides it.
ROWS = 1009
VALIDATION_ROWS = 301


def _run(dtype: str, network: dict, training: dict, optimizer: dict) -> dict:
    shared = {"epochs": EPOCHS, "micro_batch_size": 13}
    return {
        "dtype": dtype,
        "network": network,
        "training": shared | training,
        "optimizer": optimizer,
    }


#: Name -> config, without its data and its directory.  Each has an activation, a cost and an initializer of its own.
SMALL = {
    "float32-sgd": _run(
        "float32",
        {
            "layers": [17, 130, 3, 1],
            "activation": "tanh",
            "output": "identity",
            "cost": "mse",
            "initializer": "glorot-uniform",
        },
        {"batch_size": 96},
        {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9, "nesterov": True},
    ),
    "float32-adam": _run(
        "float32",
        {
            "layers": [600, 17, 5],
            "activation": "relu",
            "output": "softmax",
            "cost": "cross-entropy",
            "initializer": "he-normal",
        },
        {"batch_size": 100},
        {"name": "adam", "learning_rate": 0.002},
    ),
    "float64-sgd": _run(
        "float64",
        {
            "layers": [20, 13, 5],
            "activation": "sigmoid",
            "output": "sigmoid",
            "cost": "cross-entropy",
            "initializer": "scaled-normal",
        },
        {"batch_size": 100},
        {"name": "sgd", "learning_rate": 0.5},
    ),
    "float64-adam": _run(
        "float64",
        {
            "layers": [20, 30, 17, 1],
            "activation": "softplus",
            "output": "tanh",
            "cost": "mse",
            "initializer": "normal",
        },
        {"batch_size": 96},
        {"name": "adam", "learning_rate": 0.01},
    ),
}
NAMES = ["quickstart", *SMALL]

#: What each run ends with, on any machine.
DIGESTS: dict[str, dict] = {
    "quickstart": {
        "v_sha256": "a0631e564d0d73b381cb1bc3d1e706429c0783f2cc6a704881688a1101891356",
        "cost": 0.010365882028704903,
        "validation_cost": 0.1987338985644069,
        "accuracy": 0.9859154929577465,
    },
    "float32-sgd": {
        "v_sha256": "1f682185fe174ff7491d99fb019854d88ad0a863216b61ed92d8260883adbd0f",
        "cost": 0.043035860762241133,
        "validation_cost": 0.04226189964567806,
        "accuracy": None,
    },
    "float32-adam": {
        "v_sha256": "5788609f7701c143ec160aa0470af893894535c020ec103f7902c40c9fb21b76",
        "cost": 1.2773937496327523,
        "validation_cost": 1.614466359100492,
        "accuracy": 0.23920265780730898,
    },
    "float64-sgd": {
        "v_sha256": "34960a6581be3bfc129ba74cf41cb0e4d805511c05f2db2f0e10848741d2bfa7",
        "cost": 2.374857174798339,
        "validation_cost": 2.3576200320887994,
        "accuracy": 0.49169435215946844,
    },
    "float64-adam": {
        "v_sha256": "16cdd4167720f39d38a74421617b3aa1bff0c566907fd6e5d9844cb533492d5f",
        "cost": 0.5203324473512669,
        "validation_cost": 0.49705252333930033,
        "accuracy": None,
    },
}


def scattered(count: int, columns: int, first: int = 0) -> np.ndarray:
    """(count, columns) whole numbers from -128 to 127 that look random; row i is a function of first + i alone."""
    row = np.arange(first, first + count, dtype=np.uint64)[:, None]
    column = np.arange(columns, dtype=np.uint64)
    bits = row * np.uint64(0x9E3779B97F4A7C15) + column * np.uint64(0xD1B54A32D192ED03)
    for shift, factor in ((32, 0xBF58476D1CE4E5B9), (29, 0x94D049BB133111EB)):
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    return (bits >> np.uint64(56)).astype(np.int64) - 128


def rows(count: int, inputs: int, outputs: int, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """x (count, inputs) float32, in [-1, 1); y the class of each row, or with one output a float64 in (-1, 1)."""
    x = scattered(count, inputs, first)
    directions = scattered(max(outputs, 2), inputs, first=10**6)
    sums = x @ directions.T
    if outputs > 1:
        y = np.argmax(sums, axis=1)
    else:
        # A wave of triangles along one direction: not linear, and exact.
        y = (np.abs(sums[:, 0] % 65536 - 32768) - 16384) / 32768
    return (x / 128).astype(np.float32), y


def write_set(path: Path, inputs: int, outputs: int) -> None:
    """An HDF5 file with /train and /test, each (x, y)."""
    with h5py.File(path, "w") as file:
        for group, (count, first) in {
            "train": (ROWS, 0),
            "test": (VALIDATION_ROWS, ROWS),
        }.items():
            file[f"{group}/x"], file[f"{group}/y"] = rows(count, inputs, outputs, first)


def write_sets(directory: Path) -> None:
    """The sets of all small runs, in a directory."""
    for name, config in SMALL.items():
        layers = config["network"]["layers"]
        write_set(directory / f"{name}.h5", layers[0], layers[-1])


def train(name: str, directory: Path) -> dict:
    """What a run ended with: v_sha256, and the last epoch's cost, validation_cost and accuracy."""
    run = str(directory / name)
    if name == "quickstart":
        config = distmlp.load_config(QUICKSTART, [f"run.directory={run}"])
    else:
        file = directory / f"{name}.h5"
        data = {"train": f"{file}:/train", "validation": f"{file}:/test"}
        config = SMALL[name] | {"data": data, "run": {"directory": run}}
    result = distmlp.train(config, resume="never")
    kept = ("v_sha256", "cost", "validation_cost", "accuracy")
    return {key: result.record[key] for key in kept}


def main() -> None:
    directory, names = Path(sys.argv[1]).resolve(), sys.argv[2:] or NAMES
    comm = of(None)
    if comm.rank == 0:
        directory.mkdir(parents=True, exist_ok=True)
        write_sets(directory)
    comm.barrier()
    found = {name: train(name, directory) for name in names}
    if comm.rank == 0:
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
