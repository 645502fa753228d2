"""A small set that can be learned, a config for it, and what a run of it left behind."""

import copy
import hashlib
import json
from pathlib import Path

import h5py
import numpy as np
import tomli_w

#: A prime, so that no batch, micro-batch or rank count divides it.
ROWS = 1009
COLUMNS, CLASSES = 20, 5

LAYOUTS = {
    "contiguous": {},
    "chunked": {"chunks": True, "rows": 50},
    "gzip": {"chunks": True, "rows": 128, "compression": "gzip", "shuffle": True},
}

_CONFIG = {
    "seed": 7,
    "network": {
        "layers": [COLUMNS, 13, CLASSES],
        "activation": "tanh",
        "output": "softmax",
        "cost": "cross-entropy",
    },
    "data": {"train": "set.h5:/train", "validation": "set.h5:/test"},
    "training": {
        "batch_size": 50,
        "micro_batch_size": 7,
        "epochs": 2,
    },  # 8 micro-batches of 7 and 6, a last step of 9
    "optimizer": {"learning_rate": 0.3},
    "run": {"directory": "run"},
}


def rows(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """x (count, COLUMNS) float32, and the classes (count,) that a fixed random network gives to them."""
    w = np.random.default_rng(99).standard_normal((COLUMNS, CLASSES))
    x = np.random.default_rng(seed).standard_normal((count, COLUMNS)).astype(np.float32)
    return x, np.argmax(x @ w, axis=1)


def write_set(path: Path, layout: str = "contiguous", train=None, test=None) -> Path:
    """An HDF5 file with /train and /test, each (x, y); by default ROWS and 301 rows."""
    how = dict(LAYOUTS[layout])
    chunked, chunk_rows = how.pop("chunks", False), how.pop("rows", 0)
    with h5py.File(path, "w") as file:
        for group, (x, y) in {
            "train": train or rows(ROWS),
            "test": test or rows(301, seed=1),
        }.items():
            for name, array in (("x", np.asarray(x)), ("y", np.asarray(y))):
                if chunked:
                    how["chunks"] = (min(chunk_rows, len(array)), *array.shape[1:])
                file.create_dataset(f"{group}/{name}", data=array, **how)
    return path


def write_set_to_hold(path: Path, rows: int, width: int, layout: str = "contiguous") -> dict:
    """Writes a set whose memory shows beside that of a step; returns changes of the config that trains on it."""
    random = np.random.default_rng(3)
    x = random.integers(0, 4, (rows, width)).astype(np.float32)
    write_set(path, layout, train=(x, random.integers(0, 5, rows)))
    return {
        "network.layers": [width, 4, 5],
        "data.validation": None,
        "training.batch_size": 2000,
        "training.micro_batch_size": 400,
    }


def tables(changes: dict = {}) -> dict:
    """The config as nested tables, with {"section.key": value} laid over it; None leaves the key out."""
    made = copy.deepcopy(_CONFIG)
    for name, value in changes.items():
        section, dot, key = name.rpartition(".")
        table = made.setdefault(section, {}) if dot else made
        table[key] = value
        if value is None:
            del table[key]
    return made


def write_config(path: Path, changes: dict = {}) -> Path:
    """The config file with these changes; see `tables`."""
    path.write_text(tomli_w.dumps(tables(changes)))
    return path


def log(run: Path) -> list[dict]:
    """The objects of a run directory's log."""
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def lawful(run: Path) -> list[dict]:
    """The log without what a run's ranks and speed may change."""
    return [
        {k: v for k, v in record.items() if k not in ("samples_per_second", "seconds", "ranks")}
        for record in log(run)
    ]


def steps(run: Path) -> list[int]:
    """The steps of the checkpoints that a run directory holds, the newest last."""
    return sorted(
        int(path.stem.removeprefix("step-")) for path in (run / "checkpoints").glob("step-*.h5")
    )


def checkpoint(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"step-{step:09d}.h5"


def facts(v, step: int) -> dict:
    """The facts of a checkpoint of a v of any length, in a network of one layer with one neuron."""
    layers = [v.size - 1, 1]
    config = tables({"network": {"layers": layers}, "dtype": v.dtype.name})
    little = np.ascontiguousarray(v, v.dtype.newbyteorder("<"))
    return {
        "config": json.dumps(config),
        "layers": layers,
        "dtype": v.dtype.name,
        "parameters": v.size,
        "step": step,
        "epoch": 0,
        "step_in_epoch": step,
        "samples": ROWS,
        "chunk_rows": 256,
        "scalars": {},
        "grid": None,
        "totals": [0] * 22,
        "last_cost": None,
        "last_change": None,
        "classes": True,
        "v_sha256": hashlib.sha256(little.tobytes()).hexdigest(),
        "fingerprint": "f",
        "ranks": 1,
        "mpi": "no MPI",
    }


def v_in(path):
    """The SHA-256 of the bytes of the v that a checkpoint holds, counted here."""
    with h5py.File(path) as file:
        return hashlib.sha256(
            file["v"][...].astype(file["v"].dtype.newbyteorder("<")).tobytes()
        ).hexdigest()
