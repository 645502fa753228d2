"""The scripts in datasets/, and the set that the quickstart trains on."""

import importlib.util
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from converting import assert_holds, read

from distmlp.cli.main import main

DATASETS = Path(__file__).parents[1] / "datasets"


def script(name):
    spec = importlib.util.spec_from_file_location(name, DATASETS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


borehole, higgs = script("borehole"), script("higgs")


def test_digits_file():
    (x, y), (x_test, y_test) = read(DATASETS / "digits.h5"), read(DATASETS / "digits.h5", "/test")
    assert (
        x.shape == (1442, 64)
        and y.shape == (1442,)
        and x_test.shape == (355, 64)
        and y_test.shape == (355,)
    )
    assert x.dtype == y.dtype == x_test.dtype == y_test.dtype == np.uint8
    assert x.max() == x_test.max() == 16
    # UCI's count of each class in the whole of the 1797 images; a fifth of each, rounded down, is for testing
    count = np.array([178, 182, 177, 183, 181, 182, 181, 179, 174, 180])
    np.testing.assert_array_equal(np.bincount(y_test), count // 5)
    np.testing.assert_array_equal(np.bincount(y), count - count // 5)
    with h5py.File(DATASETS / "digits.h5") as file:
        assert file["train/x"].chunks == (64, 64)
        assert (
            "Alpaydin" in file.attrs["source"]
            and "1998" in file.attrs["source"]
            and file.attrs["licence"].startswith("CC BY 4.0")
        )


@pytest.mark.slow
def test_digits_are_made_again(tmp_path):
    pytest.importorskip(
        "sklearn", reason="scikit-learn, which packages the digits, is not installed"
    )
    make_digits = script("make_digits")
    make_digits.write(tmp_path / "one.h5")
    make_digits.write(tmp_path / "two.h5")
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()
    for group in ("/train", "/test"):
        assert_holds(tmp_path / "one.h5", *read(DATASETS / "digits.h5", group), group)


def test_borehole_by_hand():
    # Every term is 1: ln(e) = 1, 2 L Tu / (rw² Kw) = 1 and Tu/Tl = 1, so f = 2 pi / 3.
    assert borehole.flow(1.0, np.e, 1.0, 2.0, 1.0, 1.0, 1.0, 2.0) == pytest.approx(
        2 * np.pi / 3, rel=1e-15
    )
    # The middle of every range, in 40 decimal digits.
    assert borehole.flow(*(borehole.LOW + borehole.HIGH) / 2) == pytest.approx(
        70.87291263681895709, rel=1e-14
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_borehole_rows(dtype):
    x, y = borehole.rows(5, "train", 0, 200000, dtype)
    assert x.shape == (200000, 8) and y.shape == (200000, 1) and x.dtype == y.dtype == dtype
    assert x.min() >= 0 and x.max() <= 1
    # Four standard errors of the mean: of a uniform number and of y, whose variance is 1.
    np.testing.assert_allclose(x.mean(axis=0, dtype=float), 0.5, atol=4 / np.sqrt(12 * 200000))
    assert abs(y.mean(dtype=float)) < 4 / np.sqrt(200000)
    assert abs(y.std(dtype=float) - 1) < 0.01
    physical = borehole.LOW + (borehole.HIGH - borehole.LOW) * x[123].astype(float)
    assert y[123, 0] == np.dtype(dtype).type(
        (borehole.flow(*physical) - borehole.MEAN) / borehole.DEVIATION
    )
    assert len(np.unique(x[:, 0])) > 0.98 * 200000


def test_borehole_rows_are_functions_of_seed_and_index():
    x, y = borehole.rows(7, "train", 0, 100)
    for start, stop in ((0, 1), (1, 2), (37, 90), (99, 100)):
        some_x, some_y = borehole.rows(7, "train", start, stop)
        np.testing.assert_array_equal(some_x, x[start:stop])
        np.testing.assert_array_equal(some_y, y[start:stop])
    others = [x, borehole.rows(8, "train", 0, 100)[0], borehole.rows(7, "test", 0, 100)[0]]
    assert len(np.unique(np.concatenate(others), axis=0)) == 300


def test_borehole_file_larger_than_a_block(tmp_path, monkeypatch):
    large, small = tmp_path / "large.h5", tmp_path / "small.h5"
    monkeypatch.setattr(borehole, "BLOCK_ROWS", 512)
    borehole.main(
        [
            str(large),
            "--samples",
            "3001",
            "--test-samples",
            "10",
            "--seed",
            "3",
            "--chunk-rows",
            "100",
            "--compression",
            "gzip",
        ]
    )
    borehole.main([str(small), "--samples", "150", "--test-samples", "7", "--seed", "3"])
    for group, count in (("/train", 150), ("/test", 7)):
        x, y = read(large, group)
        assert_holds(small, x[:count], y[:count], group)
    x, y = read(large)
    assert x.shape == (3001, 8) and y.shape == (3001, 1) and x.dtype == np.float32
    np.testing.assert_array_equal(x, borehole.rows(3, "train", 0, 3001)[0])
    with h5py.File(large) as file:
        assert file["train/x"].chunks == (100, 8) and file["train/x"].compression == "gzip"
    assert list(tmp_path.glob("*.writing")) == []


@pytest.mark.parametrize(
    "option, value",
    [("--samples", "0"), ("--seed", "-1"), ("--chunk-rows", "0"), ("--dtype", "int8")],
)
def test_borehole_refuses(tmp_path, capsys, option, value):
    words = {"--samples": "5", "--seed": "1", option: value}
    with pytest.raises(SystemExit) as caught:
        borehole.main([str(tmp_path / "b.h5"), *(word for pair in words.items() for word in pair)])
    assert caught.value.code == 2
    assert option in capsys.readouterr().err
    assert not (tmp_path / "b.h5").exists()


def test_decays_have_their_masses():
    random = np.random.default_rng(1)
    parent = higgs.pair(random, np.full(1000, 425.0))
    one, other = higgs.decay(random, parent, 80.4, 325.0)
    np.testing.assert_allclose(one + other, parent, atol=1e-9)
    for p, mass in ((parent, 425.0), (one, 80.4), (other, 325.0)):
        np.testing.assert_allclose(higgs.mass_of(p), mass, rtol=1e-6)
    # Where the parent is at rest, all directions are as likely.
    at_rest = np.tile([425.0, 0.0, 0.0, 0.0], (100000, 1))
    one, _ = higgs.decay(random, at_rest, 80.4, 325.0)
    direction = one[:, 1:] / np.linalg.norm(one[:, 1:], axis=1)[:, None]
    np.testing.assert_allclose(direction.mean(axis=0), 0.0, atol=4 / np.sqrt(3 * 100000))
    np.testing.assert_allclose(
        direction.T @ direction / 100000, np.eye(3) / 3, atol=4 / np.sqrt(100000)
    )


def test_both_chains_have_their_resonances():
    random = np.random.default_rng(2)
    whole, w1, w2, b1, b2 = higgs.signal(random, 2000)
    found = [higgs.mass_of(p) for p in (whole, w2 + b1 + b2, b1 + b2, w1)]
    for masses, mass, reach in zip(found, (425, 325, 125, 80.4), (10, 4, 1, 5), strict=True):
        assert abs(np.median(masses) - mass) < 0.5 and np.abs(masses - mass).max() < reach + 1e-3
    np.testing.assert_allclose(w1 + w2 + b1 + b2, whole, atol=1e-9)
    whole, w1, w2, b1, b2 = higgs.background(random, 2000)
    for top in (w1 + b1, w2 + b2):
        assert abs(np.median(higgs.mass_of(top)) - 172.5) < 0.5
    np.testing.assert_allclose(w1 + w2 + b1 + b2, whole, atol=1e-9)
    assert np.std(higgs.mass_of(b1 + b2)) > 30 and higgs.mass_of(whole).min() > 325


def test_masses_of_an_event_by_hand():
    """A lepton and a neutrino that make a W of 80.4 GeV between them; jets along the axes."""
    low = np.zeros((1, 21))
    low[0, :5] = 40.2, 0.0, 1.0, -40.2, 0.0
    low[0, 5:] = (0, 50, 0, 1, 0, -50, 0, 1, 30, 0, 40, 0, 0, 0, 30, 0)
    # The W's are at rest (E = 80.4) and (30, 0, 70) with E = 80; the b's are together at rest, E = 100.
    jjj, jlv = np.sqrt(130**2 - 30**2 - 50**2 - 70**2), np.sqrt(130.4**2 - 50**2)
    bb_with_jj = np.sqrt(180**2 - 30**2 - 70**2)
    bb_with_lv, everything = 180.4, np.sqrt(260.4**2 - 30**2 - 70**2)
    nearer = min(bb_with_jj, bb_with_lv, key=lambda mass: abs(mass - 325))
    expected = [np.sqrt(80**2 - 30**2 - 70**2), 80.4, 100.0, jjj, jlv, nearer, everything]
    np.testing.assert_allclose(higgs.masses(low)[0], expected, rtol=1e-12)


def test_events_are_functions_of_seed_and_group(monkeypatch):
    monkeypatch.setattr(higgs, "BLOCK_ROWS", 500)

    def columns(*which):
        return [np.concatenate(parts) for parts in zip(*higgs.blocks(*which), strict=True)]

    low, high, y = columns(3, "train", 600)
    assert (low.shape, high.shape, y.shape) == ((600, 21), (600, 7), (600,))
    for some, all_of in zip(columns(3, "train", 50), (low, high, y), strict=True):
        np.testing.assert_array_equal(some, all_of[:50])
    others = [low, columns(4, "train", 600)[0], columns(3, "test", 600)[0]]
    assert len(np.unique(np.concatenate(others), axis=0)) == 1800
    assert np.isfinite(low).all() and np.isfinite(high).all() and 0.35 < y.mean() < 0.65
    np.testing.assert_array_equal(low, low.astype(np.float32))  # so a file has them as they are


@pytest.mark.slow
def test_a_network_tells_collisions_as_boosted_trees_do(tmp_path, capsys, monkeypatch):
    """The example's config on few events; masses to a network and, as an oracle, to scikit-learn's trees."""
    ensemble = pytest.importorskip("sklearn.ensemble")
    metrics = pytest.importorskip("sklearn.metrics")
    threadpoolctl = pytest.importorskip("threadpoolctl")
    monkeypatch.chdir(tmp_path)
    higgs.main(["higgs.h5", "--samples", "6000", "--test-samples", "3000"])
    masses = {
        "data.inputs": "high",
        "network.layers": "[7,60,60,1]",
        "training.epochs": "30",
        "optimizer.learning_rate": "0.003",
    }
    config = str(DATASETS.parent / "examples" / "higgs.toml")
    for directory, settings in (("low", {"training.epochs": "1"}), ("run", masses)):
        settings |= {"data.train": "higgs.h5:/train", "run.directory": directory}
        words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        assert main(["train", config, "--progress", "none", *words]) == 0
    assert main(["evaluate", "run", "--data", "higgs.h5:/test"]) == 0
    said = capsys.readouterr().out
    assert "background" in said and "signal" in said
    assert main(["evaluate", "run", "--data", "higgs.h5:/test", "--json"]) == 0
    ours = json.loads(capsys.readouterr().out)["roc_auc"]
    with h5py.File("higgs.h5") as file:
        assert list(file["train/low"].attrs["columns"]) == list(higgs.LOW)
        train, test = ((file[f"{g}/high"][...], file[f"{g}/y"][...]) for g in ("train", "test"))
    with threadpoolctl.threadpool_limits(1):  # OpenMP's threads spin where others use the cores
        trees = ensemble.HistGradientBoostingClassifier(random_state=1).fit(*train)
    theirs = metrics.roc_auc_score(test[1], trees.predict_proba(test[0])[:, 1])
    assert min(ours, theirs) > 0.85
    assert abs(ours - theirs) < 0.02
