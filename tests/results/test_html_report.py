"""`distmlp plot` and `distmlp report`: what is drawn, and the page as a browser shows it."""

import re
import shutil
import subprocess
from itertools import pairwise

import h5py
import numpy as np
import pytest
from example import rows, tables, write_set
from launching import distmlp as command

import distmlp
from distmlp.errors import InputError
from distmlp.results import looking, plots
from distmlp.results.figures import scores, style
from distmlp.results.html_report import report


def trained(place, changes={}):
    at = {
        "data.train": f"{place}/set.h5:/train",
        "data.validation": f"{place}/set.h5:/test",
        "run.directory": str(place / "run"),
    }
    distmlp.train(tables({**at, **changes}))
    return place / "run"


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """A run whose rows are pictures of 4 × 5."""
    place = tmp_path_factory.mktemp("classes")
    write_set(place / "set.h5")
    with h5py.File(place / "set.h5", "a") as file:
        file["test/x"].attrs["sample_shape"] = (4, 5)
        file["test/y"].attrs["classes"] = ["a<b", "b", "c", "d", "e"]
    return trained(place)


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    place = tmp_path_factory.mktemp("numbers")
    x, _ = rows(200)
    pair = (x, (x[:, :2] + 0.5 * x[:, 2:4]).astype(np.float32))
    write_set(place / "set.h5", train=pair, test=pair)
    changes = {"network.layers": [20, 8, 2], "network.output": "identity", "network.cost": "mse"}
    return trained(place, {**changes, "training.epochs": 3, "optimizer.learning_rate": 0.1})


@pytest.fixture(scope="module")
def page(classes):
    """The report of that run of classes, made once."""
    report(classes, classes.parent / "classes.html")
    return classes.parent / "classes.html"


@pytest.fixture(scope="module")
def pages(page, numbers):
    """The reports of both runs."""
    report(numbers, numbers.parent / "numbers.html")
    return page, numbers.parent / "numbers.html"


@pytest.mark.slow
def test_a_network_may_have_more_outputs_than_there_are_classes_with_names(tmp_path):
    write_set(tmp_path / "set.h5")
    with h5py.File(tmp_path / "set.h5", "a") as file:
        file["test/x"].attrs["sample_shape"] = (4, 5)
        file["test/y"].attrs["classes"] = ["a", "b", "c", "d", "e"]
    run = trained(tmp_path, {"network.layers": [20, 8, 7], "training.epochs": 2})
    assert looking.look(run, "best", None).names == ["a", "b", "c", "d", "e", "5", "6"]
    assert "confusion" in plots.figures([run])


@pytest.mark.slow
def test_large_numbers_on_an_axis_do_not_overlap():
    given = np.zeros(150), np.linspace(-313087.0, 298000.0, 150), "Δp"
    with style.styled():
        figure = style.drawn([scores.residuals(*given), scores.histogram(*given)])
        figure.canvas.draw()
        axes = figure.axes[-1]
        low, high = axes.get_xlim()
        shown = [each for each in axes.get_xticklabels() if low <= each.get_position()[0] <= high]
        boxes = [each.get_window_extent() for each in shown]
    assert len(boxes) > 3
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))


def test_an_output_that_is_a_figure_and_no_directory_is_refused(classes, tmp_path):
    with pytest.raises(InputError, match=r"fig\.png: expected a directory"):
        plots.plot([classes], tmp_path / "fig.png")
    with pytest.raises(InputError, match="nowhere: no such directory; expected the directory of a"):
        plots.plot([tmp_path / "nowhere"], tmp_path)


@pytest.mark.slow
def test_the_figures_of_classes(classes, tmp_path):
    formats = ("png", "svg", "pdf")
    written = plots.plot([classes], tmp_path / "figures", formats)
    names = {path.name for path in written}
    assert names == {f"{n}.{f}" for n in ("curves", "confusion", "worst") for f in formats}
    begin = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    for path in written:
        assert path.read_bytes().startswith(begin[path.suffix[1:]])
    for path in plots.plot([classes], tmp_path / "again", ("svg",)):
        assert path.read_bytes() == (tmp_path / "figures" / path.name).read_bytes()


@pytest.mark.slow
def test_the_figures_of_numbers_and_of_runs_compared(numbers, classes, tmp_path):
    written = plots.plot([numbers], tmp_path)
    assert {path.name for path in written} == {"curves.png", "parity.png", "residuals.png"}
    (path,) = plots.plot([numbers, classes], tmp_path / "both", ("svg",))
    assert path.name == "curves.svg"


def test_the_view_is_what_predict_gives(classes, numbers):
    view = looking.look(classes, "best", None)
    network = distmlp.load(classes)
    with h5py.File(classes.parent / "set.h5") as file:
        x, y = file["test/x"][...], file["test/y"][...]
    predicted = network.predict(x)
    assert {each.row for each in view.wrong} <= set(np.flatnonzero(predicted != y).tolist())
    assert view.wrong[0].pixels.shape == (4, 5)
    assert view.wrong[0].predicted == view.names[predicted[view.wrong[0].row]]
    view = looking.look(numbers, "best", None)
    with h5py.File(numbers.parent / "set.h5") as file:
        x, y = file["test/x"][...], file["test/y"][...]
    assert np.array_equal(view.a, distmlp.load(numbers).predict(x))
    worst = np.abs(view.a - y).max(axis=1)
    assert view.wrong[0].row == worst.argmax() and view.wrong[0].by == worst.max()


def test_the_view_of_a_network_that_tells_its_spread_is_of_its_means(tmp_path):
    x, _ = rows(100)
    write_set(tmp_path / "set.h5", train=(x, x[:, :2]), test=(x, x[:, :2]))
    network = {"network.layers": [20, 8, 4], "network.output": "identity"}
    run = trained(tmp_path, {**network, "network.cost": "gaussian-nll"})
    view = looking.look(run, "best", None)
    assert np.array_equal(view.a, distmlp.load(run).predict(x)[:, :2])
    assert view.wrong[0].by == np.abs(view.a - x[:, :2]).max()


def test_the_view_of_a_fold_is_of_the_rows_that_were_left_out(tmp_path):
    x, y = rows(100)
    write_set(tmp_path / "set.h5", train=(x, y))
    run = trained(
        tmp_path, {"data.validation": None, "data.folds": 5, "data.fold": 2, "data.fold_by": "rows"}
    )
    view = looking.look(run, "best", None)
    assert view.rows == view.metrics.samples == 20
    # those that it is most wrong about by their numbers in the file
    assert [each.actual for each in view.wrong] == [view.names[y[each.row]] for each in view.wrong]
    predicted = distmlp.load(run).predict(x)
    assert all(predicted[each.row] != y[each.row] for each in view.wrong) and view.wrong
    assert max(each.row for each in view.wrong) >= 20


def test_the_view_of_a_set_has_its_columns_by_name(tmp_path):
    x, y = rows(100)
    write_set(tmp_path / "set.h5", train=(x, y), test=(x[:, ::-1], y))
    with h5py.File(tmp_path / "set.h5", "a") as file:
        names = [f"c{i:02}" for i in range(20)]
        file["train/x"].attrs["columns"], file["test/x"].attrs["columns"] = names, names[::-1]
    run = trained(tmp_path)
    view = looking.look(run, "best", None)
    wrong = np.flatnonzero(distmlp.load(run).predict(x) != y)
    assert {each.row for each in view.wrong} <= set(wrong.tolist())
    assert len(view.wrong) == min(len(wrong), looking.MOST_WRONG)


def test_a_run_without_epochs_is_refused(tmp_path):
    with pytest.raises(InputError, match="no epoch has ended"):
        plots.plot([tmp_path])


@pytest.mark.slow
def test_the_page_has_all_of_it_and_asks_for_nothing(classes, page):
    page = page.read_text()
    record = plots.courses_of([classes])[0].records[-1]
    assert record["v_sha256"] in page and "distmlp verify" in page and "a&lt;b" in page
    assert "<script" not in page and "a<b" not in page
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(link.startswith(("#", "data:")) for link in links)
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids)) > 100
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)


@pytest.mark.slow
def test_every_row_of_a_table_is_as_wide_as_its_head(page):
    for table in re.findall(r"<table><thead>.*?</table>", page.read_text()):
        head, *others = re.findall(r"<tr>(.*?)</tr>", table)
        for row in others:
            spans = re.findall(r"<td(?: colspan='(\d+)')?>", row)
            assert sum(int(span or 1) for span in spans) == head.count("<th>")


@pytest.mark.slow
def test_letters_are_as_large_in_every_figure(page):
    page = page.read_text()
    found = re.findall(
        r"<figure style='max-width: ([\d.]+)rem'>.*?viewBox=\"0 0 ([\d.]+) ", page, re.S
    )
    assert len(found) == page.count("<figure") >= 3
    scales = [float(widest) / float(points) for widest, points in found]
    assert max(scales) < 1.25 * min(scales)


def test_the_labels_of_a_logarithmic_cost_are_plain_numbers():
    from distmlp.results.figures import style
    from distmlp.results.figures.curves import Course, drawings_of

    records = [{"epoch": i + 1, "cost": cost} for i, cost in enumerate((0.9, 0.3, 0.02))]
    figure = style.drawn([drawings_of([Course("one", records)])["cost"]], 1, (5.0, 3.4))
    (ax,) = figure.axes
    figure.canvas.draw()
    low, high = ax.get_ylim()
    shown = [t.get_text() for t in ax.get_yticklabels() if low <= t.get_position()[1] <= high]
    assert shown == ["0.02", "0.05", "0.1", "0.2", "0.5", "1"]
    assert not any(t.get_text() for t in ax.get_yticklabels(minor=True))


@pytest.mark.slow
def test_commands(classes, tmp_path):
    assert command("report", classes).status == 0 and (classes / "report.html").exists()
    out = tmp_path / "mine.html"
    assert command("report", classes, "--output", out).status == 0
    done = command("report", classes, "--output", out)
    assert done.status == 2 and "--overwrite" in done.err
    assert command("plot", classes, "--output", tmp_path, "--format", "svg").status == 0


PROBE = """<!doctype html><iframe id="page" style="width:WIDTHpx;height:900px;border:0" src="PAGE"></iframe>
<pre id="found"></pre><script>
const frame = document.getElementById("page");
frame.onload = () => {
  const d = frame.contentDocument;
  const figures = [...d.querySelectorAll("figure svg")].map(s => s.getBoundingClientRect());
  document.getElementById("found").textContent = "seen " + [
    d.documentElement.scrollWidth, figures.length,
    Math.min(...figures.map(b => b.width)), Math.min(...figures.map(b => b.height)),
    Math.max(...figures.map(b => b.right)),
    getComputedStyle(d.body).backgroundColor.replace(/ /g, "")].join(" ") + " end";
};</script>"""


@pytest.mark.slow
@pytest.mark.parametrize("width, dark", [(390, False), (390, True), (1200, False)])
def test_in_a_browser(width, dark, pages, tmp_path):
    """Nothing is said on the console, every figure is there, and nothing is wider than the page."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on the path: apt-get install chromium")
    for page in pages:
        shutil.copy(page, tmp_path)
        probe = tmp_path / "probe.html"
        probe.write_text(PROBE.replace("WIDTH", str(width)).replace("PAGE", page.name))
        words = [
            browser,
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"),
            *(f"--user-data-dir={tmp_path}/browser", "--enable-logging=stderr", "--dump-dom"),
            *("--virtual-time-budget=3000", f"--window-size={width + 100},1000"),
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            probe.as_uri(),
        ]
        done = subprocess.run(words, capture_output=True, text=True, timeout=100)
        found = re.search(r"seen (.*) end", done.stdout)
        assert found, done.stderr
        wide, count, narrowest, lowest, right, color = found[1].split()
        assert float(wide) <= width and float(right) <= width
        assert int(count) >= 3 and float(narrowest) > 60 and float(lowest) > 60
        assert color == ("rgb(22,24,27)" if dark else "rgb(253,253,252)")
        assert "CONSOLE" not in done.stderr
