"""Each benchmark in its smallest form: that it runs and prints its tables, never how fast anything is."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import testhosts

pytest.importorskip("tabulate", reason='pip install "distmlp[benchmarks]"')

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
NUMBERS = r"[\d.,]+ \([\d.,]+–[\d.,]+\)"  # median (least–most)


SMALLEST = ("--networks", "12-5-3@8@10", "--rounds", "1", "--quick")


def tables(name: str, *options, timeout: float = 120) -> list[list[dict]]:
    """The tables that a benchmark prints, each as rows by header."""
    done = subprocess.run(
        [sys.executable, BENCHMARKS / name, *options],
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr
    found, headers = [], None
    for line in done.stdout.splitlines():
        if not line.startswith("|"):
            headers = None
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if headers is None:
            headers = cells
            found.append([])
        elif not set(line) <= set("|-"):
            found[-1].append(dict(zip(headers, cells, strict=True)))
    return found


def share(text: str) -> float:
    return float(text.removesuffix(" %"))


@pytest.fixture(autouse=True)
def _mpi(openmpi):
    """Skipped, with the reason, where there is no Open MPI."""


def test_step(tmp_path):
    times, shares, machine = tables(
        "step",
        "--networks",
        "12-5-3@8@10",
        "--rounds",
        "1",
        "--quick",
        "--json",
        tmp_path / "step.json",
    )
    assert [(row["P"], row["reduction"]) for row in times] == [
        ("1", "exact"),
        ("1", "float"),
        ("2", "exact"),
        ("2", "float"),
    ]
    assert all(re.fullmatch(NUMBERS, row["µs/step"]) for row in times)
    assert [bool(row["exact/float"]) for row in times] == [True, False, True, False]
    assert all(share(row["products"]) > 0 for row in shares)
    assert [share(row["sum"]) > 0 for row in shares] == [True] * 4
    for row in shares:
        parts = [
            share(row[part])
            for part in ("sum", "update", "products", "the rest")
            if row[part] != "–"
        ]
        assert sum(parts) == pytest.approx(100, abs=1)
    assert [row["P"] for row in machine] == ["1", "2"]
    found = json.loads((tmp_path / "step.json").read_text())
    assert found["machine"]["cores"] >= 1
    assert len(found["results"]) == 2
    assert all(re.fullmatch("[0-9a-f]{64}", result["v_sha256"]) for result in found["results"])
    assert all(float(row["peak GFLOP/s a core"].split()[0]) > 0 for row in machine)


def test_a_limit_needs_no_compiler(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    _, _, machine = tables("step", *SMALLEST, "--ranks", "1")
    assert machine[0]["peak GFLOP/s a core"].endswith("(numpy's GEMM)")


def test_memory():
    (found,) = tables("memory", *SMALLEST)
    assert [(row["P"], row["peak MB by rank"].count(",")) for row in found] == [("1", 0), ("2", 1)]
    assert all(float(row["of the highest"].split()[0]) > 10 for row in found)


def test_keys():
    contenders = ["data.scale=1,data.scale_inputs=standardise", "regularization.l2=1e-4"]
    (found,) = tables("keys", *SMALLEST, "--ranks", "1", "2", "--with", *contenders)
    assert [(row["P"], row["keys"]) for row in found] == [
        (ranks, keys) for ranks in "12" for keys in ["plain", *contenders]
    ]
    assert all(re.fullmatch(NUMBERS, row["µs/step"]) for row in found)
    assert [bool(row["time / plain"]) for row in found] == 2 * [False, True, True]


def test_precision():
    (found,) = tables("precision", "--quick")
    errors = {(row["dtype"], row["S"]): (float(row["exact"]), float(row["plain"])) for row in found}
    assert list(errors) == [(d, S) for d in ("float32", "float64") for S in ("2", "4")]
    for (dtype, _), (exact, plain) in errors.items():
        assert exact < (1e-6 if dtype == "float32" else 1e-14) and plain < 1e-6


def test_gemm():
    of_float32, of_float64, in_all = tables(
        "gemm", "--layers", "12x5", "130x110", "--samples", "8", "--rounds", "1", "--quick"
    )
    for rows in (of_float32, of_float64):
        assert [(row["product"], row["layer"]) for row in rows] == [
            (product, layer)
            for layer in ("12 → 5", "130 → 110")
            for product in ("forward", "backward", "gradient")
        ]
        ratios = [row[name] for row in rows for name in row if name.startswith("numpy / ")]
        assert ratios and all(re.fullmatch(NUMBERS, ratio) for ratio in ratios)
    assert {row["aim"] for row in in_all} == {"0.8", "0.95"}
    assert {row["shapes that reach it"].partition(" of ")[2] for row in in_all} == {"3"}


def test_compare(tmp_path):
    path = tmp_path / "compare.json"
    step, memory, startup = tables(
        "compare",
        BENCHMARKS.parent,
        *("--python-before", sys.executable, "--ranks", "1", "--json", path),
        *SMALLEST,
    )
    assert [row["of"] for row in step] == [
        f"12-5-3@8@10, P=1, {mode}, µs a step" for mode in ("exact", "float")
    ]
    for row in (*step, *memory, *startup):
        assert all(re.fullmatch(NUMBERS, row[key]) for key in ("before", "after", "after / before"))
    found = json.loads(path.read_text())["results"]["memory"][0]
    assert found["after"][0] == pytest.approx(found["before"][0], rel=0.2)


def test_compare_says_which_python_is_missing(tmp_path):
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "compare", tmp_path], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert str(tmp_path / ".venv/bin/python") in done.stderr


def test_peers(tmp_path):
    pytest.importorskip("matplotlib")
    plot = tmp_path / "peers.svg"
    found, aims = tables(
        "peers",
        "--networks",
        "12-5-3@8@20",
        "--rounds",
        "1",
        "--quick",
        "--plot",
        plot,
        "--contenders",
        "distmlp",
        "numpy",
    )
    assert [row["contender"] for row in found] == [
        "distmlp exact, P=2",
        "distmlp float, P=2",
        "distmlp exact, P=1",
        "numpy loop",
    ]
    assert all(
        re.fullmatch(NUMBERS, row["µs/step"]) and float(row["cost after"]) < 2 for row in found
    )
    assert [row["network"] for row in aims] == ["12-5-3"]
    assert re.match(r"[\d.]+", aims[0]["P=1 / P=2"])
    assert plot.read_text().startswith("<?xml")


@pytest.mark.parametrize(
    "words",
    ["4000", "4000@relu@softmax@nesterov", "4000@tanh@identity@adam@float64", "4000@tanh@momentum"],
)
def test_every_peer_that_is_installed_trains_the_same_problem(words):
    python = os.environ.get("DISTMLP_PEERS", sys.executable)
    if subprocess.run([python, "-c", "import jax, optax, torch"], capture_output=True).returncode:
        pytest.skip("JAX, optax and PyTorch are in no environment that DISTMLP_PEERS names")
    found, _ = tables("peers", "--networks", f"12-30-3@8@{words}", "--rounds", "1", "--quick")
    costs = {row["contender"]: float(row["cost after"]) for row in found}
    assert {"PyTorch DDP, P=2", "PyTorch, 1 thread", "JAX, 1 core", "numpy loop"} <= set(costs)
    # scikit-learn has a first v, and for classes a cost, of its own; a scan takes more steps.
    # distmlp's first v and order are its own too: after fewer steps than these they would still show.
    alike = [
        cost for name, cost in costs.items() if name not in ("scikit-learn", "JAX scan, 1 core")
    ]
    assert max(alike) < 1.25 * min(alike)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adam"])
def test_the_numpy_loop_learns_as_distmlp_does(optimizer):
    found, _ = tables(
        "peers",
        *("--networks", f"12-30-3@8@4000@tanh@softmax@{optimizer}"),
        *("--rounds", "1", "--quick", "--contenders", "exact, P=1", "numpy"),
    )
    ours, loops = (float(row["cost after"]) for row in found)
    assert ours == pytest.approx(loops, rel=0.25)


def test_data():
    (found,) = tables(
        "data",
        "--networks",
        "12-5-3@8@200",
        "--ranks",
        "2",
        "--rounds",
        "1",
        "--quick",
        "--parts",
        "forms",
    )
    assert [row["from"] for row in found] == [
        f"{form} {dtype}"
        for dtype in ("uint8", "float32")
        for form in ("memory", "contiguous", "chunked", "gzip")
    ]
    assert all(
        re.fullmatch(NUMBERS, row["file/memory"])
        for row in found
        if not row["from"].startswith("memory")
    )


def test_a_set_larger_than_the_memory_allowed():
    (found,) = tables("data", "--parts", "limits", "--ranks", "2", "--rounds", "1", "--quick")
    assert [row["set/limit"] for row in found] == ["4.0", "1.0"]
    assert all((row["holding it"], row["training"]) == ("MemoryError", "done") for row in found)
    assert all(len(row["peak MB by rank"].split(", ")) == 2 for row in found)


def test_scaling():
    found = tables(
        "scaling",
        "--networks",
        "12-5-3@8@10",
        "--rounds",
        "1",
        "--quick",
        "--fabrics",
        "--simulated",
        "64",
    )
    compute, sums, steps, predictions = found
    assert [row["network"] for row in compute] == ["12-5-3@8@10"]
    assert [row["hosts × ranks"] for row in sums] == [f"1x{len(os.sched_getaffinity(0))}"]
    assert {(row["scaling"], row["P"]) for row in steps} >= {("strong", "1"), ("weak", "1")}
    assert {"16 × 1", "1024 × 64"} <= set(predictions[0])


def test_startup():
    (found,) = tables("startup", "--networks", "12-5-3@8", "--rounds", "1", "--quick")
    assert [row["started by"] for row in found][:2] == ["this environment's", "the same, btl ^ofi"]
    assert all(re.fullmatch(NUMBERS, row["to the first step, s"]) for row in found)


def test_resilience():
    recovery, checks = tables("resilience", "--networks", "12-5-3@8@10", "--rounds", "1", "--quick")
    assert [row["started by"] for row in recovery] == ["plain", "ob1", "ulfm"]
    assert [bool(row["of plain"]) for row in recovery] == [False, True, True]
    assert all(re.fullmatch(NUMBERS, row["µs/step"]) for row in recovery)
    assert [row["check_every"] for row in checks] == ["100"]


def test_busy():
    (found,) = tables("busy", *SMALLEST, "--loops", "0", "1")
    assert [(row["ranks wait"], row["loops"]) for row in found] == [
        (way, loops) for way in ("sleeping", "spinning") for loops in ("0", "1")
    ]
    assert all(re.fullmatch(NUMBERS, row["samples/s"]) for row in found)
    assert [bool(row["% of quiet"]) for row in found] == [False, True] * 2


@pytest.mark.root
@pytest.mark.skipif(testhosts.why_not() is not None, reason=str(testhosts.why_not()))
def test_levels():
    (found,) = tables("levels", *SMALLEST, "--layouts", "2x2", "--rates", "1gbit")
    (row,) = found
    assert (row["hosts × ranks"], row["rate"]) == ("2x2", "1gbit")
    ways = ("two levels, ms", "afterwards, ms", "one host, ms", "flat / two levels")
    assert all(re.fullmatch(NUMBERS, row[way]) for way in ways)


def test_exports():
    """Every format gives predict's answers: C the same bits, the others as near as the page says."""
    pytest.importorskip("onnxruntime", reason="pip install onnxruntime enables it")
    found = tables("exports", "--quick", timeout=280)
    assert [next(iter(rows[0])) for rows in found] == ["activation", "cost", "transform"]
    for row in (row for rows in found for row in rows):
        assert row["C, float32"] == row["C, float64"] == "0"
        for who in ("ONNX", "npz", "safetensors"):
            assert float(row[f"{who}, float32"]) < 3e-6
            assert float(row[f"{who}, float64"]) < 1e-13
    costs, transforms = ({next(iter(row.values())) for row in rows} for rows in found[1:])
    assert costs == {"mse", "mae", "huber", "log-cosh", "gaussian-nll", "cross-entropy", "hinge"}
    assert {"none", "targets too", "indicators"} < transforms


def test_proposals():
    pytest.importorskip("sklearn", reason='pip install "distmlp[digits]"')
    (rows,) = tables("proposals", "--sets", "wine", "--rounds", "1", "--quick")
    (wine,) = rows
    assert wine["set"] == "wine" and wine["targets too"] == "–"
    for who in ("held out", "validated", "scikit-learn"):
        assert 0.5 < float(wine[who].split()[0]) <= 1
