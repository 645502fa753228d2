"""A run as one page of HTML that needs nothing else: no network, no script, no file beside it."""

import json
import os
import shlex
import time
import tomllib
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

from distmlp import files
from distmlp.data.several_files import Spec, files_of, shown
from distmlp.errors import InputError
from distmlp.results import html_parts, looking, metrics_text, plots
from distmlp.results.figures import style
from distmlp.results.figures.curves import Course, drawings_of
from distmlp.results.html_parts import Rows, figures, section, table
from distmlp.results.looking import View
from distmlp.runs import checkpoint, events
from distmlp.runs.directory import end_of
from distmlp.training.summary import bytes_in_words, duration


def report(run: Path, out: Path, which: str = "best", spec: Spec | None = None) -> None:
    """Writes the page of a run.

    which, spec: the checkpoint and the set that it is looked at with, as `looking.look` has them.  Raises InputError.
    """
    with style.styled(**{"svg.fonttype": "none", "font.size": 11, "axes.titlesize": 11}):
        page = _page(run, which, spec)
    try:
        files.write(out, page.encode())
    except OSError as error:
        raise InputError(
            f"{out} cannot be written: {error.strerror or error}; --output names another file"
        ) from None


def _page(run: Path, which: str, spec: Spec | None) -> str:
    (course,) = plots.courses_of([run])
    found, _ = checkpoint.find(run, which)
    view = looking.look(run, which, spec)
    happened = events.since(run, None)
    try:
        config = files.text_in(run / "config.toml")
        settings = tomllib.loads(config)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{run / 'config.toml'}: cannot be read as a config: {error}") from None
    facts, name = found.facts, os.path.basename(os.path.abspath(run))
    sections = [
        section("Curves", _curves(course)),
        *_of_set(view),
        section("Data", _data(json.loads(facts["config"]), facts)),
        section("Network and training", _training(facts, settings)),
        section("Where it ran", _environment(happened, facts)),
        section("Digests of v", _digests(course.records, facts, found.path)),
        section("Reproduce and verify", _reproduce(run, course.records, facts)),
        section("Config", f"<pre tabindex='0'>{escape(config)}</pre>"),
    ]
    state = "complete" if end_of(run) else "not complete"
    written = time.strftime("%Y-%m-%d %H:%M %Z")
    line = f"{state} · {_network(facts)} · page made {written} by distmlp {version('distmlp')}"
    return html_parts.whole(name, line, html_parts.tiles(_headline(course, view, facts)), sections)


def _network(facts: dict[str, Any]) -> str:
    return f"{' → '.join(map(str, facts['layers']))}, {facts['dtype']}"


def _headline(course: Course, view: View | None, facts: dict[str, Any]) -> Rows:
    """The numbers that are looked for first."""
    spent = sum(record["seconds"] for record in course.records)
    samples = sum(record["seconds"] * record["samples_per_second"] for record in course.records)
    rows: Rows = []
    if view is not None:
        scores = view.metrics.scores or {}
        if view.metrics.accuracy is not None:
            rows.append(("accuracy", f"{100 * view.metrics.accuracy:.2f} %"))
        elif scores.get("r2") is not None:
            rows.append(("R²", f"{scores['r2']:.5f}"))
        rows.append(("cost", f"{view.metrics.cost:.5g}"))
    else:
        rows.append(("training cost", f"{course.records[-1]['cost']:.5g}"))
    rows += [
        ("epochs", str(course.records[-1]["epoch"])),
        ("parameters", f"{facts['parameters']:,}"),
        ("training time", duration(spent)),
        ("samples/s", f"{samples / spent:,.0f}"),
    ]
    return rows


def _curves(course: Course) -> str:
    drawings = drawings_of([course])
    last = course.records[-1]
    words = {
        "cost": f"Cost by epoch; {last['cost']:.5g} in the last one",
        "accuracy": f"Accuracy by epoch; {last['accuracy'] or 0:.2%} in the last one",
    }
    return figures([(key, drawings[key], words[key]) for key in drawings])


def _of_set(view: View | None) -> list[str]:
    """The sections on what a set says of the network."""
    if view is None:
        return [
            section(
                "Metrics",
                "<p>The config names no validation set. <code>--data FILE.h5:/group</code> gives one.</p>",
            )
        ]
    text = f"<p>On <code>{escape(view.spec)}</code>, {view.rows:,} rows.</p>"
    text += f"<pre tabindex='0'>{escape(metrics_text.text(view.metrics))}</pre>"
    sections = [section("Metrics", text)]
    scores = view.metrics.scores or {}
    if scores.get("confusion"):
        size = plots.confusion_size(view)
        words = f"Confusion matrix of {len(view.names)} classes"
        one = [("confusion", plots.confusion_of(view), words)]
        sections.append(section("Confusion", figures(one, size)))
    for place, (name, panels) in enumerate(plots.numbers_of(view)):
        words = f"{name}: predicted against true, residuals, spread of residuals"
        some = [(f"output-{place}-{i}", panel, words) for i, panel in enumerate(panels)]
        sections.append(section(f"Predicted against true: {name}", figures(some)))
    if view.y is not None and view.rows > len(view.y):
        note = f"<p>The figures show {len(view.y):,} of {view.rows:,} rows, evenly spaced.</p>"
        sections.append(note)
    sections += _wrong(view)
    return sections


def _wrong(view: View) -> list[str]:
    if not view.wrong:
        return []
    pictures = plots.pictures_of(view)
    if pictures:
        words = "The samples that the network is most wrong about: actual → predicted"
        shown = "".join(
            figures([(f"worst-{place}", one, words)], (1.5, 1.8), "picture")
            for place, one in enumerate(pictures)
        )
        body = f"<p>Actual → predicted, the worst first.</p><div class='pictures'>{shown}</div>"
    else:
        body = ""
    rows = [[str(each.row), each.actual, each.predicted, f"{each.by:.4g}"] for each in view.wrong]
    body += f"<details><summary>Rows</summary>{table(['row', 'actual', 'predicted', 'wrong by'], rows)}</details>"
    return [section("Most wrong", body)]


def _data(config: dict[str, Any], facts: dict[str, Any]) -> str:
    digests = facts.get("data") or {}
    rows = []
    for key in ("train", "validation"):
        spec = config["data"][key]
        if isinstance(spec, float):
            held_out = f"a share of {spec} of train"
            rows.append([key, held_out, "", digests.get(key) or "not looked through"])
            continue
        if not spec:
            continue
        paths = files_of(spec)
        there = all(path.exists() for path in paths)
        size = bytes_in_words(sum(path.stat().st_size for path in paths)) if there else ""
        rows.append(
            [
                key,
                shown(spec),
                size or "not there any more",
                digests.get(key) or "not looked through",
            ]
        )
    return (
        table(["set", "where", "file", "digest of its rows"], rows)
        + f"<p>{facts['samples']:,} training samples.</p>"
    )


def _training(facts: dict[str, Any], config: dict[str, Any]) -> str:
    n, o, t = config["network"], config["optimizer"], config["training"]
    rows = [
        ["layers", " → ".join(map(str, facts["layers"]))],
        ["activation, output", f"{n['activation']}, {n['output']}"],
        ["cost", n["cost"]],
        ["initializer", n["initializer"]],
        ["dtype, sums", f"{facts['dtype']}, {config['reduction']}"],
        ["optimizer", f"{o['name']}, learning rate {o['learning_rate']}, {o['schedule']} schedule"],
        ["batch", f"{t['batch_size']}"],
        ["seed", str(config["seed"])],
    ]
    start = facts.get("start")
    if start:
        kept = f"{start['layers']} of its layers, from the input on"
        rows.append(["began with", f"{start['path']}, step {start['step']}: {kept}"])
        rows.append(["its v sha256", start["v_sha256"]])
    return table(None, rows)


def _environment(happened: list[events.Event], facts: dict[str, Any]) -> str:
    rows = []
    for event in happened:
        if event["event"] == "began":
            here = event.get("environment") or {}
            hosts = here.get("hosts") or {}
            rows.append(
                [
                    time.strftime("%Y-%m-%d %H:%M", time.localtime(event["time"])),
                    f"{event['step']}",
                    ", ".join(f"{host} ({count})" for host, count in hosts.items()) or "unknown",
                    str(here.get("mpi", "")),
                    str(event.get("kernels", "")),
                    f"Python {here.get('python', '?')}, numpy {here.get('numpy', '?')}",
                    str(here.get("platform", "")),
                ]
            )
        else:
            words = {key: value for key, value in event.items() if key not in ("event", "time")}
            told = ", ".join(f"{key} {value}" for key, value in words.items())
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(event["time"]))
            rows.append([when, str(event.get("step", "")), f"{event['event']}: {told}"])
    head = ["when", "step", "hosts (ranks)", "MPI", "kernels", "versions", "platform"]
    last = f"<p>The checkpoint was written on {escape(str(facts.get('host')))}; ranks: {facts['ranks']}. None of this changes a bit of v.</p>"
    return table(head, rows) + last


def _digests(records: list[dict[str, Any]], facts: dict[str, Any], path: Path) -> str:
    rows = [
        ["checkpoint", str(path)],
        ["step, epoch", f"{facts['step']}, {facts['epoch']}"],
        ["SHA-256 of v", facts["v_sha256"]],
        ["arithmetic", facts["fingerprint"]],
    ]
    epochs = [[str(r["epoch"]), str(r["step"]), r["v_sha256"]] for r in records]
    by_epoch = table(["epoch", "step", "SHA-256 of v"], epochs)
    return table(None, rows) + f"<details><summary>After each epoch</summary>{by_epoch}</details>"


def _reproduce(run: Path, records: list[dict[str, Any]], facts: dict[str, Any]) -> str:
    place = shlex.quote(str(run))
    again = f"{place}-again" if place == str(run) else shlex.quote(f"{run}-again")
    commands = (
        f"# trains between two checkpoints again and compares the bits\ndistmlp verify {place}\n\n"
        "# trains all of it again, with any number of ranks\n"
        f"distmlp launch -n 4 {place}/config.toml --resume never --set run.directory={again}\n\n"
        f"# the metrics above\ndistmlp evaluate {place}"
    )
    return (
        f"<pre tabindex='0'>{escape(commands)}</pre><p>With the data above, the run ends in the SHA-256 of v "
        f"<code>{escape(records[-1]['v_sha256'])}</code> (step {records[-1]['step']}), whatever the ranks, the MPI and the CPU.</p>"
    )
