"""CSV files as sources: headers, targets, dtypes, memory, and what is refused."""

import gzip
import importlib
import tracemalloc

import numpy as np
import pytest
from converting import assert_holds, headlines, refusal

from distmlp.data.conversion.convert import convert
from distmlp.data.conversion.options import TableOptions


@pytest.mark.parametrize(
    "pack, name", [(str.encode, "s.csv"), (lambda text: gzip.compress(text.encode()), "s.csv.gz")]
)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("header", ["", 'a,"b, c",class\n'])
def test_csv(put, out, pack, name, ends, header):
    text = header + "1.5,2,0\n\n -3e2 ,.25,2\n7,8,1"
    sentences = convert([put(name, pack(text.replace("\n", ends)))], out)
    assert_holds(out, np.array([[1.5, 2], [-300, 0.25], [7, 8]]), np.array([0, 2, 1]))
    note = f"; line 1 of {name} was taken as the names of the columns" if header else ""
    assert headlines(sentences) == [
        f"{out}:/train: 3 samples, 2 inputs each (float64), classes 0 to 2 (int64){note}"
    ]


def test_csv_byte_order_mark_and_quotes(put, out):
    convert([put("s.csv", b'\xef\xbb\xbf"1","2"\n3,"1"\n')], out)
    assert_holds(out, np.array([[1.0], [3.0]]), np.array([2, 1]))


def test_csv_header_with_an_unnamed_column(put, out, tmp_path):
    """Row numbers are no input unasked, and an unnamed column of other numbers is left to the user."""
    table = put("s.csv", ",a,b\n0,5,1\n")
    assert "  left out  column 0, which has no name and numbers the rows (0 to 0)" in "\n".join(
        convert([table], out)
    )
    assert_holds(out, np.array([[5.0]]), np.array([1]))
    convert([table], out, table=TableOptions(inputs=["0", "a"]), overwrite=True)
    assert_holds(out, np.array([[0.0, 5.0]]), np.array([1]))
    other = put("other.csv", ",a,b\n3,5,1\n1,6,0\n")
    assert "column 0 has no name; --drop 0 leaves it out" in refusal([other], tmp_path / "no.h5")


@pytest.mark.parametrize(
    "targets, x, y",
    [
        (None, [[1, 2, 0], [3, 4, 1]], [[0.5], [2.0]]),
        (["b"], [[1, 0, 0.5], [3, 1, 2]], [2, 4]),
        (["1"], [[1, 0, 0.5], [3, 1, 2]], [2, 4]),
        (["-2"], [[1, 2, 0.5], [3, 4, 2]], [0, 1]),
        (["d", "0"], [[2, 0], [4, 1]], [[0.5, 1], [2, 3]]),
        (["a", "c"], [[2, 0.5], [4, 2]], [[1.0, 0.0], [3.0, 1.0]]),
    ],
)
def test_csv_targets(put, out, targets, x, y):
    convert([put("s.csv", "a,b,c,d\n1,2,0,0.5\n3,4,1,2\n")], out, targets=targets)
    assert_holds(out, np.array(x, float), np.array(y))


def test_csv_regression_keeps_whole_numbers(put, out):
    convert([put("s.csv", "1,151\n2,-75\n")], out, regression=True)
    assert_holds(out, np.array([[1.0], [2.0]]), np.array([[151.0], [-75.0]]))


@pytest.mark.parametrize(
    "last, classes", [("3", True), ("3.0", True), ("3.5", False), ("nan", False), ("inf", False)]
)
def test_csv_targets_are_classes_only_if_all_are_whole(put, out, monkeypatch, last, classes):
    monkeypatch.setattr("distmlp.data.conversion.sources.BLOCK_BYTES", 64)
    convert([put("s.csv", "1,2\n" * 50 + f"1,{last}\n")], out)
    y = np.array([2.0] * 50 + [float(last)])
    assert_holds(out, np.ones((51, 1)), y.astype(np.int64) if classes else y[:, None])


def test_csv_in_blocks(put, out, monkeypatch):
    monkeypatch.setattr("distmlp.data.conversion.sources.BLOCK_BYTES", 400)
    table = np.random.default_rng(1).normal(size=(333, 5))
    convert(
        [put("s.csv", "\n".join(",".join(map(repr, row)) for row in table.tolist()))],
        out,
        chunk_rows=7,
    )
    assert_holds(out, table[:, :4], table[:, 4:])


@pytest.mark.slow
def test_csv_memory_is_bounded(put, out, monkeypatch):
    monkeypatch.setattr("distmlp.data.conversion.sources.BLOCK_BYTES", 2**16)
    source = put(
        "s.csv",
        "0.123456,0.234567,0.345678,0.456789,0.567891,0.678912,0.789123,0.891234,0.5\n" * 80000,
    )
    importlib.import_module("pandas")
    tracemalloc.start()
    try:
        convert([source], out, chunk_rows=100)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**21 < source.stat().st_size / 2


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_csv_dtype(put, out, dtype):
    convert([put("s.csv", "0,255,1\n17,3,0\n")], out, dtype=dtype)
    assert_holds(out, np.array([[0, 255], [17, 3]], dtype), np.array([1, 0]))


@pytest.mark.parametrize(
    "dtype, value",
    [("uint8", "256"), ("uint8", "-1"), ("uint8", "0.5"), ("uint8", "nan"), ("float32", "1e39")],
)
def test_csv_dtype_that_cannot_hold_a_value(put, out, dtype, value):
    source = put("s.csv", f"c,a,b\n0,1,1\n\n1,2,{value}\n")
    sentence = refusal([source], out, dtype=dtype, targets=["c"])
    assert sentence.startswith(
        f"{source}: line 4, column 2 holds {float(value):g}, which {dtype} cannot hold"
    )


@pytest.mark.parametrize(
    "content, parts",
    [
        ("", ["is empty; expected rows of numbers"]),
        ("\n \n", ["is empty; expected rows of numbers"]),
        ("a,b\n\n", ["has a header but no rows"]),
        ("1,2,3\n4,,6\n", ["line 2, column 1 holds '', but expected a number"]),
        ("1,,3\n4,5,6\n", ["line 1, column 1 holds '', but expected a number"]),
        ("a,b\n1,2\n\n3,x7\n", ["line 4, column 1 holds 'x7', but expected a number"]),
        ("1,2\n1_0,2\n", ["line 2, column 0 holds '1_0', but expected a number"]),
        ("1,2\n٣,2\n", ["line 2, column 0 holds '٣', but expected a number"]),
        ("1,2\n3,4,5\n", ["line 2 has 3 columns, but the first line has 2"]),
        ("1,2,3\n3,4\n", ["line 2 has 2 columns, but the first line has 3"]),
        ('1,2\n3,"4\n5,6\n', ["line 2 is no row of cells"]),
        ("1\n3\n", ["has 1 columns parted by commas, all of them targets"]),
        (b"1,2\n\xff,4\n", ["is no text in UTF-8"]),
        (
            gzip.compress(b"1,2\n" * 100, mtime=0)[:-9],
            ["ends in the middle of its compressed data"],
        ),
    ],
)
def test_bad_csv(put, out, content, parts):
    source = put("s.csv", content)
    sentence = refusal([source], out)
    assert sentence.startswith(f"{source}: ")
    for part in parts:
        assert part in sentence


def test_bad_csv_far_into_the_file(put, out, monkeypatch):
    monkeypatch.setattr("distmlp.data.conversion.sources.BLOCK_BYTES", 64)
    source = put("s.csv", "a,b,c\n" + "1,2,3\n" * 100 + "1,oops,3\n")
    assert refusal([source], out).startswith(f"{source}: line 102, column 1 holds 'oops'")


@pytest.mark.parametrize(
    "targets, part",
    [
        (["prize"], "--targets prize: no column has that name; did you mean 'price'?"),
        (
            ["zzzz"],
            "--targets zzzz: no column has that name; the columns are price, size, twin, twin",
        ),
        (["4"], "--targets 4: expected an index from -4 to 3"),
        (["-5"], "--targets -5: expected an index from -4 to 3"),
        (["twin"], "--targets twin: 2 columns have that name; give the index"),
        (["size", "1"], "--targets size,1: names column 1 twice"),
        (["0", "1", "2", "3"], "has 4 columns parted by commas, all of them targets"),
    ],
)
def test_bad_csv_targets(put, out, targets, part):
    source = put("s.csv", "price,size,twin,twin\n1,2,3,4\n")
    assert refusal([source], out, targets=targets).startswith(f"{source}: {part}")


def test_csv_target_name_without_header(put, out):
    sentence = refusal([put("s.csv", "1,2\n")], out, targets=["price"])
    assert "--targets price: the file has no header, so expected an index from -2 to 1" in sentence
