"""What a run keeps in its directory: nothing that was good is lost, and nothing outside is touched."""

import json
import os
import shutil

import h5py
import numpy as np
import pytest
from example import checkpoint as checkpoint_of
from example import facts, steps
from preparing import config_in

from distmlp import files
from distmlp.errors import Diverged, InputError
from distmlp.parallel.communicator import SingleProcess
from distmlp.runs import checkpoint, events
from distmlp.runs.checkpoint_writer import Writer
from distmlp.runs.directory import RunDirectory, end_of
from distmlp.runs.log import Log, read_log
from distmlp.training.loop import train
from distmlp.training.reporting import LogOnly

V = np.linspace(-1, 1, 12, dtype=np.float32)


def written(directory, *numbers):
    for step in numbers:
        checkpoint.write(directory, step, checkpoint.image(V, {}, facts(V, step)))


def kept(directory):
    return [checkpoint.step_of(path) for path in checkpoint.listed(directory)]


def run(place, name, changes={}, **more):
    config = config_in(place, {"run.directory": str(place / name), **changes})
    return train(config, SingleProcess(), report=LogOnly(), **more)


# Checkpoints


def test_steps_are_ordered_as_numbers(tmp_path):
    written(tmp_path, 999_999_999, 1_000_000_000)
    writer = Writer(tmp_path, keep=2)
    writer.start(1_000_000_001, checkpoint.image(V, {}, facts(V, 1_000_000_001)))
    assert writer.finish().exists()
    writer.close()
    assert kept(tmp_path) == [1_000_000_001, 1_000_000_000]


def test_damaged_checkpoints_are_not_counted_as_kept(tmp_path):
    written(tmp_path, 10, 20, 30, 40)
    for step in (30, 40):
        os.truncate(tmp_path / checkpoint.name(step), 700)
    checkpoint.prune(tmp_path, 1)
    found, passed_over = checkpoint.newest_good(tmp_path)
    assert found.facts["step"] == 20 and len(passed_over) == 2
    assert kept(tmp_path) == [40, 30, 20]


def test_a_directory_that_a_later_run_has_made_anew_is_left_alone(tmp_path):
    first = RunDirectory(tmp_path / "run")
    config = config_in(tmp_path)
    first.prepare(config, anew=False)
    writer = Writer(first.checkpoints, 3, first.check_ours)
    shutil.rmtree(first.path)
    second = RunDirectory(tmp_path / "run")
    second.prepare(config, anew=False)
    writer.start(5, checkpoint.image(V, {}, facts(V, 5)))
    with pytest.raises(OSError, match="removed or replaced"):
        writer.finish()
    with pytest.raises(OSError, match="removed or replaced"):
        first.finish(step=5)
    writer.close()
    assert not steps(second.path) and end_of(second.path) is None
    for directory in (first, second):
        directory.release()


FORGED = {}


def forged(function):
    FORGED[function.__name__] = function
    return function


@forged
def external_link(file, here):
    del file["v"]
    file["v"] = h5py.ExternalLink(str(here / "other.h5"), "/v")


@forged
def soft_link(file, here):
    file["other"] = file["v"][...]
    del file["v"]
    file["v"] = h5py.SoftLink("/other")


@forged
def external_storage(file, here):
    del file["v"]
    (here / "secret").write_bytes(bytes(4 * V.size))
    file.create_dataset("v", V.shape, V.dtype, external=[(str(here / "secret"), 0, 4 * V.size)])


@forged
def virtual(file, here):
    del file["v"]
    layout = h5py.VirtualLayout(V.shape, V.dtype)
    layout[:] = h5py.VirtualSource(str(here / "other.h5"), "v", V.shape)
    file.create_virtual_dataset("v", layout)


@forged
def a_size_beyond_the_file(file, here):
    del file["v"]
    file.create_dataset("v", (2**40,), np.float32)


@forged
def compressed(file, here):
    del file["v"]
    file.create_dataset("v", (2**30,), np.float32, chunks=(2**20,), compression="gzip")


@forged
def not_finite(file, here):
    file["v"][3] = np.inf


@forged
def a_group(file, here):
    del file["v"]
    file.create_group("v")


@forged
def text(file, here):
    del file["v"]
    file["v"] = "a text"


@forged
def an_array_of_a_different_size(file, here):
    file["optimizer/mean"] = np.zeros(3, np.float32)


@forged
def no_optimizer_group(file, here):
    file["optimizer"] = V


@forged
def no_json(file, here):
    file.attrs["facts"] = "{"


@forged
def deep_json(file, here):
    file.attrs["facts"] = "[" * 30000


@forged
def no_facts(file, here):
    del file.attrs["facts"]


@forged
def empty_facts(file, here):
    file.attrs["facts"] = h5py.Empty("f")


@forged
def a_list_of_facts(file, here):
    file.attrs["facts"] = ["a", "b"]


FACTS = {
    "step": [-1, 1.5, True, None, "7", 10**30],
    "layers": [[], [3], "x", [0, 1], [10**9, 10**9]],
    "config": ["", "{}", "[]", '{"network": 3}', None],
    "dtype": ["float64", "int8", 3],
    "grid": [[1], 3, [10**9, 0], ["a", "b"]],
    "totals": [[], [1] * 3, [0, *[1] * 21], [-1] * 22, [2**70] * 22, None],
    "scalars": [[], {"a": "b"}, {"a": None}],
    "last_cost": ["x", [], float("nan"), float("inf")],
    "samples": [0, -3, "many"],
    "v_sha256": ["0", 3],
    "format": [2, None, "1", [1]],
    "classes": [1, "yes"],
}


def forge(path, change):
    """A checkpoint with a right digest, whatever a function has made of its content."""
    with h5py.File(path.with_suffix(".image"), "w", userblock_size=512) as file:
        file["v"] = V
        file.attrs["facts"] = json.dumps({"format": 1, **facts(V, 7)})
        change(file)
    content = path.with_suffix(".image").read_bytes()[512:]
    checkpoint.write(path.parent, checkpoint.step_of(path), content)
    return path


@pytest.mark.slow
def test_a_checkpoint_is_read_as_coming_from_a_stranger(tmp_path):
    path = tmp_path / checkpoint.name(7)
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["v"] = V
    assert checkpoint.read(forge(path, lambda file: None)).facts["step"] == 7
    for name, function in FORGED.items():
        forge(path, lambda file, of=function: of(file, tmp_path))
        with pytest.raises(checkpoint.Damaged) as raised:
            checkpoint.read(path)
        assert len(str(raised.value).splitlines()) == 1 and path.name in str(raised.value), name
    for key, values in FACTS.items():
        for value in values:
            changed = json.dumps({"format": 1, **facts(V, 7), key: value})
            forge(path, lambda file, text=changed: file.attrs.__setitem__("facts", text))
            with pytest.raises(checkpoint.Damaged):
                checkpoint.read(path)


# Links, FIFOs, and lines that are none


@pytest.mark.parametrize(
    "name", ["lock", "log.jsonl", "events.jsonl", "finished.json", "config.toml"]
)
@pytest.mark.parametrize("kind", ["link", "dangling", "fifo"])
def test_nothing_that_a_fixed_name_leads_to_is_changed(name, kind, tmp_path):
    target, directory = tmp_path / "precious", tmp_path / "run"
    directory.mkdir()
    if kind == "fifo":
        os.mkfifo(directory / name)
    else:
        (directory / name).symlink_to(target)
        if kind == "link":
            target.write_text("precious\n")
    try:
        run(tmp_path, "run", {"training.epochs": 1})
    except (InputError, OSError, UserWarning) as error:
        assert "\n" not in str(error)
    assert (target.read_text() == "precious\n") if kind == "link" else not target.exists()


def test_a_broken_line_costs_no_good_one(tmp_path):
    path = tmp_path / "log.jsonl"
    lines = [b'{"step": 21}', b"\xff\xfe", b"[" * 9999, b'{"step": "x"}', b"7", b'{"step": 42}']
    path.write_bytes(b"\n".join(lines) + b"\n")
    log = Log()
    log.open(path, 42)
    log.append({"step": 63, "cost": float("inf"), "more": [float("nan")]})
    log.close()
    assert [record["step"] for record in read_log(path)] == [21, 42, 63]

    def no_number(name):
        raise AssertionError(name)

    last = json.loads(path.read_text().splitlines()[-1], parse_constant=no_number)
    assert last == {"step": 63, "cost": None, "more": [None]}


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"step": "x"}', '{"step": -1}', "[" * 9999])
def test_a_mark_that_is_none_is_not_there(text, tmp_path):
    (tmp_path / "finished.json").write_text(text)
    assert end_of(tmp_path) is None


@pytest.mark.parametrize("line", ["{}", "3", '{"event": "lost"}', '{"event": "failed", "rank": 0}'])
def test_an_event_that_lacks_what_belongs_to_it_is_left_out(line, tmp_path):
    (tmp_path / events.NAME).write_text(line + "\n")
    assert events.since(tmp_path, None) == []


# A run that is complete, and what does not decide v


def test_a_complete_run_repeated_on_a_full_disk_stays_complete(tmp_path, monkeypatch):
    first = run(tmp_path, "run")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "_create", full)
    again = run(tmp_path, "run")
    assert again.complete and again.v_sha256 == first.v_sha256
    assert end_of(tmp_path / "run").step == 42


def test_fewer_epochs_do_not_complete_with_the_v_of_more(tmp_path):
    run(tmp_path, "run", {"training.epochs": 3})
    for resume in ("auto", str(checkpoint_of(tmp_path / "run", 63))):
        with pytest.raises(InputError, match=r"step 63, but training\.epochs = 2 ends at step 42"):
            run(tmp_path, "run", {"training.epochs": 2}, resume=resume)
    assert end_of(tmp_path / "run").step == 63
    back = run(
        tmp_path, "run", {"training.epochs": 2}, resume=str(checkpoint_of(tmp_path / "run", 21))
    )
    straight = run(tmp_path, "straight", {"training.epochs": 2})
    assert back.complete and back.v_sha256 == straight.v_sha256 and back.checkpoint.exists()
    # What it went back from is set aside, and the run goes on from where it is now.
    assert steps(tmp_path / "run") == [21, 42] and steps(tmp_path / "run" / "earlier-1")[-1] == 63
    assert [r["step"] for r in read_log(tmp_path / "run" / "earlier-1" / "log.jsonl")] == [
        21,
        42,
        63,
    ]
    assert run(tmp_path, "run", {"training.epochs": 2}).v_sha256 == straight.v_sha256


def test_a_stop_rule_that_would_have_ended_the_run_before_is_refused(tmp_path):
    changes = {"training.epochs": 4}
    run(tmp_path, "run", changes)
    with pytest.raises(InputError, match=r"training\.epsilon = 10\.0 ends in an earlier epoch"):
        run(tmp_path, "run", {**changes, "training.epsilon": 10.0})
    run(tmp_path, "two", {"training.epochs": 2})
    assert run(tmp_path, "two", {"training.epsilon": 10.0}).step == 42


def test_what_is_not_finite_is_not_complete(tmp_path):
    changes = {
        "training.epochs": 1,
        "training.batch_size": "all",
        "optimizer.learning_rate": 1e39,
        "network.activation": "identity",
    }
    with pytest.raises(Diverged, match="v has entries that are not finite"):
        run(tmp_path, "run", changes)
    assert end_of(tmp_path / "run") is None and not steps(tmp_path / "run")
