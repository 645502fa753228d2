"""NetCDF-4: packed numbers, fill values, several files, grids."""

import h5py
import numpy as np
import pytest
from converting import assert_holds, refusal

from distmlp.data.conversion.convert import convert
from distmlp.data.conversion.options import TableOptions


def write(path, **variables):
    """A file of variables: each an array, or (array, attributes)."""
    with h5py.File(path, "w") as file:
        for name, value in variables.items():
            array, attributes = value if isinstance(value, tuple) else (value, {})
            file[name] = array
            for key, of in attributes.items():
                file[name].attrs[key] = of
    return path


PACKED = {"scale_factor": 0.5, "add_offset": 280.0, "_FillValue": np.array([-32767], "i2")}
T = np.array([2, -4, -32767, 8], "i2")
P = np.array([1.0, 9.969209968386869e36, 3.0, 4.0], "f4")
Q = np.array([5.0, 6.0, 7.0, 80.0])


def test_packed_numbers_and_fill_values(out, tmp_path):
    nc = write(
        tmp_path / "a.nc",
        time=(np.arange(4), {"CLASS": np.bytes_("DIMENSION_SCALE")}),
        t=(T, PACKED),
        p=P,
        q=(Q, {"valid_range": np.array([0.0, 50.0])}),
    )
    options = TableOptions(inputs=["t", "p"], targets=["q"], regression=True)
    sentence = refusal([nc], out, table=options)
    assert "row 2, column 2 (t) holds 'a fill value'" in sentence
    sentences = convert([nc], out, table=TableOptions(**{**vars(options), "missing": "keep"}))
    x = [[281.0, 1.0], [278.0, np.nan], [np.nan, 3.0], [284.0, 4.0]]
    assert_holds(out, np.array(x), np.array([[5.0], [6.0], [7.0], [np.nan]]))
    assert "variables of the shape (4,); left out time" in sentences[0]
    convert([nc], out, overwrite=True, table=TableOptions(**{**vars(options), "missing": "drop"}))
    assert_holds(out, np.array([[281.0, 1.0]]), np.array([[5.0]]))


def test_several_files(out, tmp_path, monkeypatch):
    """Below one another where the variables are the same, in any order; else side by side."""
    monkeypatch.setattr("distmlp.data.conversion.sources.BLOCK_BYTES", 32)
    u, v, w = (np.arange(5.0) + 10 * i for i in range(3))
    below = [
        write(tmp_path / "1.nc", u=u, w=w),
        write(tmp_path / "2.nc", w=w + 100, u=u + 100),
        write(tmp_path / "3.nc", u=u[:2], w=w[:2]),
    ]
    options = TableOptions(targets=["w"], regression=True)
    convert(below, out, table=options)
    x = np.concatenate([u, u + 100, u[:2]])
    assert_holds(out, x[:, None], np.concatenate([w, w + 100, w[:2]])[:, None])
    beside = [
        write(tmp_path / f"{name}.nc", **{name: a}) for name, a in (("u", u), ("v", v), ("w", w))
    ]
    convert(beside, out, overwrite=True, table=options)
    assert_holds(out, np.stack([u, v], axis=1), w[:, None])
    both = [below[0], beside[0]]
    assert "have u in common, but not all variables" in refusal(
        both, out, exists=True, overwrite=True
    )


def test_a_grid(out, tmp_path, monkeypatch):
    monkeypatch.setattr("distmlp.data.conversion.sources.BLOCK_BYTES", 64)
    a = np.random.default_rng(1).normal(size=(7, 2, 3))
    nc = write(tmp_path / "g.nc", a=a, b=a * 2, lat=np.arange(2.0), name=np.bytes_("x"))
    convert([nc], out, table=TableOptions(targets=["b"]))
    assert_holds(out, a.reshape(-1, 1), 2 * a.reshape(-1, 1))


@pytest.mark.parametrize(
    "content, part", [(b"CDF\x01....", "is NetCDF-3; nccopy"), (b"no", "is no whole NetCDF-4 file")]
)
def test_what_is_no_netcdf_4(put, out, content, part):
    assert part in refusal([put("s.nc", content)], out)


@pytest.mark.parametrize("version", [1, 2])
def test_the_classic_format(out, tmp_path, version):
    """A coordinate, a record dimension, packed numbers and fill values; the same set as from NetCDF-4."""
    netcdf = pytest.importorskip("scipy.io").netcdf_file
    with netcdf(tmp_path / "a.nc", "w", version=version) as file:
        file.createDimension("time", None)
        for name, array, kind in (
            ("time", np.arange(4), "i4"),
            ("t", T, "i2"),
            ("p", P, "f4"),
            ("q", Q, "f8"),
        ):
            variable = file.createVariable(name, kind, ("time",))
            variable[:] = array
            if name == "t":
                variable.scale_factor, variable.add_offset = 0.5, 280.0
                variable._FillValue = np.array(-32767, "i2")
            if name == "q":
                variable.valid_range = np.array([0.0, 50.0])
    options = TableOptions(inputs=["t", "p"], targets=["q"], regression=True, missing="keep")
    sentences = convert([tmp_path / "a.nc"], out, table=options)
    x = [[281.0, 1.0], [278.0, np.nan], [np.nan, 3.0], [284.0, 4.0]]
    assert_holds(out, np.array(x), np.array([[5.0], [6.0], [7.0], [np.nan]]))
    assert "left out time" in sentences[0]


def test_files_that_a_pattern_names(out, tmp_path):
    for year, rows in ((2019, slice(0, 2)), (2020, slice(2, 4))):
        write(tmp_path / f"{year}.nc", t=T[rows].astype("f4"), q=Q[rows])
    convert([tmp_path / "20*.nc"], out, table=TableOptions(targets=["q"], regression=True))
    assert_holds(out, T.astype(float)[:, None], Q[:, None])
