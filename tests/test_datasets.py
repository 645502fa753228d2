"""The scripts in datasets/, and the set that the quickstart trains on."""

import importlib.util
from pathlib import Path

import h5py
import numpy as np
import pytest
from converting import assert_holds, read

DATASETS = Path(__file__).parents[1] / "datasets"


def script(name):
    spec = importlib.util.spec_from_file_location(name, DATASETS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


borehole = script("borehole")


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
