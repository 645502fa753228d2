"""Tables as people have them: dialects, names, missing cells, text, two files, Parquet and Excel."""

import h5py
import numpy as np
import pytest
from converting import assert_holds, refusal

from distmlp.data.conversion.convert import convert
from distmlp.data.conversion.options import TableOptions

X = np.array([[1.5, 20.0], [-2.25, 3.0], [0.125, 7.0], [1e-3, 9.0]])
WINES = ["red", "white", "red", "rosé"]
TABLE = "a,b,wine\n" + "".join(
    f"{a!r},{b:g},{w}\n" for (a, b), w in zip(X.tolist(), WINES, strict=True)
)


def said(sentences, word):
    """The lines that begin with a word."""
    return [line for line in sentences if line.strip().startswith(word)]


def names_in(path, group="/train"):
    with h5py.File(path) as file:
        found = file[group]
        return tuple(
            list(found[name].attrs[key]) if name in found and key in found[name].attrs else None
            for name, key in (("x", "columns"), ("y", "columns"), ("y", "classes"))
        )


def comma(text):
    return text.replace(",", ";").replace(".", ",")


@pytest.mark.parametrize(
    "name, content",
    [
        ("s.csv", TABLE),
        ("s.csv", TABLE.replace(",", ";")),
        ("s.csv", comma(TABLE)),
        ("s.csv", comma(TABLE).replace("\n", "\r\n")),
        ("s.tsv", TABLE.replace(",", "\t")),
        ("s.txt", TABLE.replace(",", "|")),
        ("s.data", TABLE.replace(",", "   ")),
        ("s.dat", " " + TABLE.replace(",", "  ").replace("\n", " \n  ")),
        ("s.csv", "# made by sim 1.2\n# in g/l\n" + TABLE),
        ("s.csv", "# " + TABLE),
        ("s.csv", TABLE.encode("utf-16")),
        ("s.csv", TABLE.encode("utf-8-sig")),
        ("s.csv", TABLE.replace(",", " , ")),
        ("s.csv", TABLE.replace("\n", ",\n")),
        ("s.csv", ",a,b,wine\n" + "".join(f"{i},{r}\n" for i, r in enumerate(TABLE.split()[1:]))),
        (
            "s.csv",
            "a,b,wine\n" + "".join(f"{i + 1},{r}\n" for i, r in enumerate(TABLE.split()[1:])),
        ),
    ],
    ids=[
        *[
            "commas",
            "semicolons",
            "decimal-commas",
            "windows",
            "tabs",
            "bars",
            "spaces",
            "ragged-spaces",
            "comments",
        ],
        *[
            "names-in-a-comment",
            "utf-16",
            "byte-order-mark",
            "blanks",
            "trailing",
            "row-numbers",
            "as-R-writes-it",
        ],
    ],
)
def test_a_dialect_is_found(put, out, name, content):
    sentences = convert([put(name, content)], out)
    assert_holds(out, X, np.array([0, 2, 0, 1]))
    assert names_in(out) == (["a", "b"], ["wine"], ["red", "rosé", "white"])
    assert said(sentences, "classes") == ["  classes   red (2), rosé (1), white (1)"]
    assert said(sentences, "target") == [
        "  target    wine, since it is the last column; --targets names another"
    ]


def test_what_was_found_can_be_overruled(put, out):
    latin = put("latin.csv", "Säure;q\n1,5;3\n2,5;4\n".encode("latin-1"))
    assert "--encoding names another, such as latin-1" in refusal([latin], out)
    convert([latin], out, table=TableOptions(encoding="latin-1", regression=True))
    assert_holds(out, np.array([[1.5], [2.5]]), np.array([[3.0], [4.0]]))
    assert names_in(out) == (["Säure"], ["q"], None)
    marked = put("marked.csv", "%x\n1:2\n3:4\n")
    convert(
        [marked], out, overwrite=True, table=TableOptions(comment="%", delimiter=":", header="no")
    )
    assert_holds(out, np.array([[1.0], [3.0]]), np.array([2, 4]))
    assert "there is no such encoding" in refusal(
        [latin], out, exists=True, overwrite=True, table=TableOptions(encoding="klingon")
    )


def test_numbers_as_names(put, out):
    """pandas names the columns of an array 0, 1, 2, …; other whole numbers above fractions are left to the user."""
    below = "".join(f"{i / 7:.4f},{i / 3:.4f},{i / 9:.4f},{i % 3}\n" for i in range(100))
    convert([put("array.csv", "0,1,2,3\n" + below)], out)
    assert names_in(out)[0] == ["0", "1", "2"]
    assert np.bincount(h5py.File(out)["train/y"][...]).tolist() == [34, 33, 33]
    spectra = put("spectra.csv", "900,910,920,1\n" + below)
    assert "--header yes takes them as names of the columns" in refusal(
        [spectra], out, exists=True, overwrite=True
    )
    for header, rows in (("yes", 100), ("no", 101)):
        convert([spectra], out, overwrite=True, table=TableOptions(header=header))
        assert len(h5py.File(out)["train/y"]) == rows


def test_names_or_a_sample_with_the_name_of_a_class(put, out):
    flowers = put("iris.data", "5.1,3.5,setosa\n4.9,3.1,setosa\n7.0,3.2,versicolor\n")
    convert([flowers], out)
    assert_holds(out, np.array([[5.1, 3.5], [4.9, 3.1], [7.0, 3.2]]), np.array([0, 0, 1]))
    years = put("years.csv", "2019,2020,kind\n1,2,x\n3,5,y\n")
    options = {"exists": True, "overwrite": True}
    assert "--header yes or --header no says which" in refusal([years], out, **options)
    convert([years], out, overwrite=True, table=TableOptions(header="yes"))
    assert names_in(out) == (["2019", "2020"], ["kind"], ["x", "y"])


def test_a_likely_wrong_target_is_not_guessed(put, out):
    digits = put("digits.csv", "label,p0,p1\n" + "".join(f"{i % 3},{i},0\n" for i in range(9)))
    sentence = refusal([digits], out)
    assert (
        "the target would be p1, the last column, but all targets would be the same class, 0"
        in sentence
    )
    assert "--targets label or --targets p1" in sentence
    convert([digits], out, table=TableOptions(targets=["label"]))
    assert_holds(out, np.stack([np.arange(9.0), np.zeros(9)], axis=1), np.arange(9) % 3)
    plain = put("plain.csv", "1,2,0\n4,5,0\n")
    sentences = convert([plain], out, overwrite=True)
    assert said(sentences, "doubtful") == ["  doubtful  all targets are the same class, 0"]


def test_doubts(put, out):
    table = put(
        "s.csv", "id,c,x,y\n" + "".join(f"{i},7,{i * i % 5},{4 * (i % 2)}\n" for i in range(8))
    )
    doubtful = said(convert([table], out), "doubtful")
    assert doubtful[0] == "  doubtful  id numbers the rows (0 to 7); --drop 0 leaves it out"
    assert doubtful[1] == "  doubtful  c is 7 in every row"
    assert doubtful[2].startswith("  doubtful  3 of the classes 0 to 4 never occur; --classes")
    sentences = convert(
        [table], out, overwrite=True, table=TableOptions(by_name=True, drop=["id", "c"])
    )
    assert said(sentences, "classes") == ["  classes   0 (4), 4 (4)"]
    assert_holds(out, np.arange(8.0)[:, None] ** 2 % 5, np.arange(8) % 2)
    assert names_in(out)[2] == ["0", "4"]


MISSING = "a,b,y\n1,,0.5\n2,3,1.5\n?,4,2.5\n5,6,\n7,8,3.5\n"


def test_missing_cells(put, out):
    table = put("s.csv", MISSING)
    sentence = refusal([table], out)
    assert "line 4, column 0 holds '?', but expected a number" in sentence
    assert "--missing drop leaves such rows out, --missing keep stores NaN" in sentence
    sentences = convert([table], out, table=TableOptions(missing="drop"))
    assert_holds(out, np.array([[2.0, 3.0], [7.0, 8.0]]), np.array([[1.5], [3.5]]))
    assert said(sentences, "left out") == ["  left out  3 of 5 rows, which lack a cell"]
    sentences = convert([table], out, overwrite=True, table=TableOptions(missing="keep"))
    assert said(sentences, "NaN") == ['  NaN       a (1), b (1); data.missing = "mean" fills them']
    x = [[1, np.nan], [2, 3], [np.nan, 4], [5, 6], [7, 8]]
    assert_holds(out, np.array(x), np.array([[0.5], [1.5], [2.5], [np.nan], [3.5]]))
    convert(
        [table],
        out,
        overwrite=True,
        table=TableOptions(inputs=["a"], targets=["b"], missing="drop", dtype="uint8"),
    )
    assert_holds(out, np.array([[2], [5], [7]], np.uint8), np.array([3, 6, 8]))


def test_cells_that_say_nan_are_kept_and_said(put, out):
    sentences = convert([put("s.csv", "a,b,y\n1,nan,0.5\n2,NaN,1.5\n3,4,2.5\n")], out)
    assert_holds(out, np.array([[1, np.nan], [2, np.nan], [3, 4]]), np.array([[0.5], [1.5], [2.5]]))
    assert said(sentences, "NaN") == ['  NaN       b (2); data.missing = "mean" fills them']


@pytest.mark.parametrize("missing", ["drop", "keep"])
def test_short_rows_are_not_missing_cells(put, out, missing):
    table = put("s.csv", "a,b,y\n1,2,0.5\n1,2\n3,4,1.5\n")
    sentence = refusal([table], out, table=TableOptions(missing=missing))
    assert "line 3 has 2 columns, but the first line has 3" in sentence


def test_text_among_inputs(put, out, monkeypatch):
    monkeypatch.setattr("distmlp.data.conversion.sources.BLOCK_BYTES", 64)
    rows = [("m", "TRUE", 1), ("f", "false", 2), ("x", "True", 3), ("f", "TRUE", 4)] * 5
    table = put("s.csv", "sex,ok,n,y\n" + "".join(f"{s},{o},{n},{n / 2}\n" for s, o, n in rows))
    sentence = refusal([table], out)
    assert "line 2, column 0 holds 'm', but expected a number" in sentence
    assert "--categories sex makes an input of each value" in sentence
    assert "--targets sex makes it the target" in sentence
    convert([table], out, table=TableOptions(categories=["sex"]), chunk_rows=3)
    assert names_in(out)[0] == ["sex=f", "sex=m", "sex=x", "ok", "n"]
    x = [[0, 1, 0, 1, 1], [1, 0, 0, 0, 2], [0, 0, 1, 1, 3], [1, 0, 0, 1, 4]] * 5
    assert_holds(out, np.array(x, float), np.array([[0.5], [1.0], [1.5], [2.0]] * 5))
    convert([table], out, overwrite=True, table=TableOptions(targets=["ok"], drop=["0"]))
    assert names_in(out)[2] == ["TRUE", "True", "false"]


def test_all_columns_of_text_are_named_at_once(put, out):
    """One start tells the whole of what the next one has to say."""
    table = put("p.csv", "island,size,the sex,kind\nDream,1,m,a\nBiscoe,2,f,b\n")
    sentence = refusal([table], out)
    assert "line 2, column 0 holds 'Dream', but expected a number" in sentence
    assert "--categories 'island,the sex' makes an input of each value" in sentence
    assert "--targets" not in sentence
    convert([table], out, table=TableOptions(categories=["island", "the sex"]))
    assert len(names_in(out)[0]) == 5


def test_a_network_is_given_the_categories_that_it_knows(put, out):
    """A new value would be taken for a missing one, and answered without a word."""
    columns = ["site=lab", "site=north", "n"]
    options = TableOptions(inputs=columns, targets=(), of_network=True, missing="keep")
    sentence = refusal([put("new.csv", "site,n\nlab,1\nwest,2\n")], out, table=options)
    assert "site holds 'west', but the network knows lab, north; an empty cell is none" in sentence
    sentence = refusal([put("less.csv", "site\nlab\n")], out, table=options)
    assert "the network's input n: no column has that name" in sentence
    plain = TableOptions(inputs=["n"], targets=(), of_network=True)
    sentence = refusal([put("bare.csv", "1,2\n3,4\n")], out, table=plain)
    assert "the network's input n: the file has no header; give it a first line" in sentence
    convert([put("gap.csv", "n,site\n1,north\n2,\n")], out, table=options)
    with h5py.File(out) as file:
        assert file["train/x"][...].tolist() == [[0, 1, 1], [0, 0, 2]]


def test_classes_of_text_stay_as_they_are_written(put, out, monkeypatch):
    """01 is not 1, also where a block of the column has numbers only."""
    monkeypatch.setattr("distmlp.data.conversion.sources.BLOCK_BYTES", 64)
    table = put("s.csv", "x,c\n" + "1,01\n" * 9 + "2,1\n" * 9 + "3,x\n" * 9)
    assert "line 20, column 1 holds 'x', but expected a number" in refusal([table], out)
    convert([table], out, table=TableOptions(by_name=True))
    assert names_in(out)[2] == ["01", "1", "x"]
    assert_holds(out, np.repeat([[1.0], [2.0], [3.0]], 9, axis=0), np.repeat([0, 1, 2], 9))


def test_two_tables(put, out, monkeypatch):
    monkeypatch.setattr("distmlp.data.conversion.sources.BLOCK_BYTES", 64)
    x = put("X.csv", "a,b\n" + "".join(f"{i},{i * i}\n" for i in range(50)))
    y = put("y.csv", "".join(f"{i / 8}\n" for i in range(50)))
    convert([x, y], out)
    n = np.arange(50.0)
    assert_holds(out, np.stack([n, n * n], axis=1), n[:, None] / 8)
    assert names_in(out) == (["a", "b"], ["y"], None)
    short = put("short.csv", "1\n2\n")
    assert "has 50 rows, but" in refusal([x, short], out, exists=True, overwrite=True)


def test_inputs_alone(put, out):
    convert([put("s.csv", "a,b\n1,2\n3,4\n")], out, table=TableOptions(targets=()))
    with h5py.File(out) as file:
        assert list(file["train"]) == ["x"] and file["train/x"][...].tolist() == [[1, 2], [3, 4]]
    sentences = convert([put("x.npy", np.ones((2, 3)))], out, overwrite=True)
    assert sentences == [f"{out}:/train: 2 samples, 3 inputs each (float64), no targets"]


def test_ranges_and_clashes(put, out):
    table = put("s.csv", "p0,p1,p2,y,z\n1,2,3,4.5,5.5\n")
    convert([table], out, table=TableOptions(inputs=["p0..p1"], targets=["3..4"]))
    assert_holds(out, np.array([[1.0, 2.0]]), np.array([[4.5, 5.5]]))
    for options, part in (
        (TableOptions(inputs=["p1..p0"]), "--inputs p1..p0: p0 comes before p1"),
        (TableOptions(drop=["q"]), "--drop q: no column has that name"),
        (TableOptions(inputs=["y"], targets=["y"]), "y is both an input and a target"),
        (TableOptions(drop=["y"], targets=["y"]), "--drop y: that column is also to be used"),
        (TableOptions(regression=True, by_name=True), "give one of the two"),
        (TableOptions(missing="guess"), "--missing guess: expected one of refuse, drop, keep"),
    ):
        assert part in refusal([table], out, exists=True, overwrite=True, table=options)


def test_names_in_arrays(put, out):
    classes = np.array(["dog", "cat", "dog"])
    convert([put("s.npz", {"x": np.ones((3, 2)), "y": classes})], out)
    assert_holds(out, np.ones((3, 2)), np.array([1, 0, 1]))
    assert names_in(out)[2] == ["cat", "dog"]


def test_parquet(out, tmp_path, monkeypatch):
    monkeypatch.setattr("distmlp.data.conversion.sources.BLOCK_BYTES", 64)
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"a": X[:, 0], "b": X[:, 1].astype("i2"), "wine": WINES}, index=[3, 5, 7, 9]
    )
    frame.to_parquet(tmp_path / "s.parquet", engine="pyarrow")
    sentences = convert([tmp_path / "s.parquet"], out, table=TableOptions(targets=["wine"]))
    assert_holds(out, X, np.array([0, 2, 0, 1]))
    assert said(sentences, "left out")[0].startswith(
        "  left out  column 3, which has no name and numbers the rows"
    )
    frame.loc[5, "a"] = None
    frame.assign(wine=frame.wine.astype("category")).to_parquet(tmp_path / "s.parquet")
    kwargs = {"targets": ["wine"], "overwrite": True}
    sentence = refusal([tmp_path / "s.parquet"], out, exists=True, **kwargs)
    assert "row 1, column 0 holds ''" in sentence or "row 1, column 0 holds 'nan'" in sentence
    convert([tmp_path / "s.parquet"], out, table=TableOptions(missing="drop"), **kwargs)
    assert_holds(out, X[[0, 2, 3]], np.array([0, 0, 1]))
    dated = frame.assign(when=pandas.Timestamp("2026-01-01"), parts=[[1, 2]] * 4)
    dated.to_parquet(tmp_path / "s.parquet")
    sentence = refusal(
        [tmp_path / "s.parquet"], out, exists=True, **kwargs, table=TableOptions(missing="drop")
    )
    assert "row 0, column 3 holds '2026-01-01 00:00:00', but expected a number" in sentence
    assert "--drop when,parts leaves them out" in sentence
    convert(
        [tmp_path / "s.parquet"],
        out,
        table=TableOptions(missing="drop", drop=["when", "parts"]),
        **kwargs,
    )
    assert_holds(out, X[[0, 2, 3]], np.array([0, 0, 1]))
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    assert "is no whole Parquet file" in refusal(
        [tmp_path / "bad.parquet"], out, exists=True, overwrite=True
    )


def test_excel(out, tmp_path, monkeypatch):
    monkeypatch.setattr("distmlp.data.conversion.sources.BLOCK_BYTES", 64)
    book = pytest.importorskip("openpyxl").Workbook()
    rows = [("a", "b", "wine"), *((*x, w) for x, w in zip(X.tolist(), WINES, strict=True))]
    for row in rows:
        book.active.append(row)
    book.create_sheet("more").append([1, 2])
    book.save(tmp_path / "s.xlsx")
    sentences = convert([tmp_path / "s.xlsx"], out)
    assert_holds(out, X, np.array([0, 2, 0, 1]))
    assert "sheet 'Sheet' of 2; --sheet names another" in sentences[0]
    convert([tmp_path / "s.xlsx"], out, overwrite=True, table=TableOptions(sheet="more"))
    assert_holds(out, np.array([[1.0]]), np.array([2]))
    assert "it has Sheet, more" in refusal(
        [tmp_path / "s.xlsx"], out, exists=True, overwrite=True, table=TableOptions(sheet="no")
    )


def test_without_the_library(put, out, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    assert 'pip install "distmlp[tables]" brings it' in refusal([put("s.csv", "1,2\n")], out)
