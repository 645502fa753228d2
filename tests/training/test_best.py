"""The best epoch is kept and taken, and patience ends a run, on a set where training overfits."""

import json
import time

import h5py
import numpy as np
import pytest
from example import CLASSES, COLUMNS, lawful, rows, steps, write_set
from preparing import config_in
from simulated import on_ranks

from distmlp.cli.main import main
from distmlp.errors import InputError
from distmlp.parallel.communicator import SingleProcess
from distmlp.results import checkpoint_commands
from distmlp.runs import checkpoint
from distmlp.training.loop import train
from distmlp.training.reporting import LogOnly

#: Few rows with labels of chance: what is learned of them is wrong elsewhere.
OVERFITS = {
    "training.batch_size": 20,
    "training.micro_batch_size": 5,
    "training.epochs": 60,
    "optimizer.learning_rate": 0.5,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("best")
    x, y = rows(40)
    y[::3] = (y[::3] + 1) % CLASSES
    assert x.shape[1] == COLUMNS
    write_set(place / "set.h5", train=(x, y))
    return place


def run(place, name, size=1, changes={}, **more):
    changes = {**OVERFITS, "run.directory": str(place / name), **changes}
    found = on_ranks(
        size,
        lambda comm: train(
            config_in(place, changes), comm, report=LogOnly() if comm.rank == 0 else None, **more
        ),
    )
    assert len({(result.v_sha256, result.reason) for result in found}) == 1
    return found[0]


def run_alone(place, name, changes, **more):
    """The same in one process, which raises."""
    changes = {**OVERFITS, "run.directory": str(place / name), **changes}
    return train(config_in(place, changes), SingleProcess(), report=LogOnly(), **more)


def best_of(directory):
    return min(lawful(directory), key=lambda record: record["validation_cost"])


@pytest.fixture(scope="module")
def whole(place):
    """The run of all epochs, in the directory "all"."""
    return run(place, "all")


def test_the_best_is_kept_beside_the_newest_and_taken(place, whole):
    result = whole
    assert (result.complete, result.reason) == (True, "epochs")
    best = best_of(place / "all")
    assert 2 < best["epoch"] < 50
    assert result.shown.best.step == best["step"]
    assert result.shown.best.value == best["validation_cost"]
    kept = steps(place / "all")
    assert len(kept) == 3 and kept[-1] == 120 and best["step"] not in kept
    said = []
    metrics = checkpoint_commands.evaluate(place / "all", None, SingleProcess(), say=said.append)
    assert metrics.cost == best["validation_cost"]
    assert f"step {best['step']}, validation_cost" in said[0]
    last = lawful(place / "all")[-1]
    for which in ("last", str(last["step"])):
        metrics = checkpoint_commands.evaluate(place / "all", None, SingleProcess(), which)
        assert metrics.cost == last["validation_cost"] > best["validation_cost"]
    assert checkpoint_commands.inspect(place / "all")["step"] == 120
    assert (
        checkpoint_commands.inspect(place / "all", str(best["step"]))["v_sha256"]
        == best["v_sha256"]
    )
    there = ", ".join(map(str, sorted([*kept, best["step"]])))
    with pytest.raises(InputError, match=f"--which 7: .* one of {there}$"):
        checkpoint_commands.inspect(place / "all", "7")


def test_it_is_better_than_the_last_epoch_on_rows_that_chose_nothing(place, whole):
    """Early stopping, on rows that neither train nor validate."""
    write_set(place / "third.h5", test=rows(2000, seed=2))
    best, last = (
        checkpoint_commands.evaluate(
            place / "all", f"{place}/third.h5:/test", SingleProcess(), which
        )
        for which in ("best", "last")
    )
    assert best.cost < 0.9 * last.cost
    assert best.accuracy > last.accuracy


def test_predict_and_export_take_it_and_say_so(place, whole, capsys):
    run, step = str(place / "all"), best_of(place / "all")["step"]
    for which in ("best", "last", str(step)):
        words = [run, "--which", which] if which != "best" else [run]
        a, net = place / f"a-{which}.h5", place / f"net-{which}.npz"
        data = ["--data", f"{place}/set.h5:/test"]
        for command in (
            ["predict", *words, *data, "--output", str(a)],
            ["export", *words, str(net)],
        ):
            assert main(command) == 0
            said = capsys.readouterr()
            is_said = f"the best epoch's (step {step}, validation_cost" in said.out + said.err
            assert is_said == (which != "last")
    found = {}
    for which in ("best", "last", str(step)):
        with h5py.File(place / f"a-{which}.h5") as file, np.load(place / f"net-{which}.npz") as net:
            found[which] = [file["a"][...].tobytes(), *(net[name].tobytes() for name in net.files)]
    assert found["best"] == found[str(step)]
    assert found["best"][0] != found["last"][0] and found["best"][1:] != found["last"][1:]


@pytest.mark.slow
def test_it_is_kept_where_writing_is_slow_and_seldom(place, whole, monkeypatch):
    write = checkpoint.write

    def slowly(*what, **more):
        time.sleep(0.05)
        return write(*what, **more)

    monkeypatch.setattr(checkpoint, "write", slowly)
    for name, changes in {"slow": {}, "seldom": {"run.checkpoint_every": "50 epochs"}}.items():
        run(place, name, changes=changes)
        found, _ = checkpoint.find(place / name, "best")
        assert checkpoint.is_best(found)
        assert found.facts["v_sha256"] == best_of(place / name)["v_sha256"]
        assert len(list((place / name / "checkpoints").glob("best-*"))) == 1
        assert lawful(place / name) == lawful(place / "all")


def test_patience_ends_the_run_on_every_rank_alike_and_after_a_resume(place, whole):
    changes = {"training.patience": 5}
    result = run(place, "patient", changes=changes)
    best = best_of(place / "all")
    assert (result.complete, result.reason) == (True, "patience")
    assert result.step == best["step"] + 5 * 2
    assert json.loads((place / "patient" / "finished.json").read_text())["reason"] == "patience"
    run(place, "resumed", 3, changes, until=best["step"] + 3)
    assert run(place, "resumed", 2, changes).step == result.step
    assert lawful(place / "resumed") == lawful(place / "patient")
    # It has ended, and ends again at once; with more patience it goes on.
    assert run(place, "resumed", 2, changes).step == result.step
    assert run(place, "resumed", 2, {"training.patience": 6}).step == result.step + 2
    found, _ = checkpoint.find(place / "resumed", "best")
    assert found.facts["step"] == best["step"]


def test_less_patience_than_was_had_is_refused(place, whole):
    """It would have ended the run before, with a different v; where it goes back, it ends there."""
    best = best_of(place / "all")["step"]
    changes = {"training.patience": 5, "run.keep": 100}
    straight = run(place, "less", changes={**changes, "training.patience": 3})
    assert straight.step == best + 3 * 2
    run(place, "more", changes=changes)
    fewer = {**changes, "training.patience": 3}
    with pytest.raises(InputError, match=r"training\.patience = 3 ends in an earlier epoch"):
        run_alone(place, "more", fewer)
    # not every one that is due is there: it is left out while the one before is being written
    there = max(step for step in steps(place / "more") if step <= best + 2 * 2)
    back = place / "more" / "checkpoints" / f"step-{there:09d}.h5"
    gone_back = run(place, "more", changes=fewer, resume=str(back))
    assert (gone_back.step, gone_back.v_sha256) == (straight.step, straight.v_sha256)
    # within an epoch too: the one before had ended already
    run(place, "within", changes=changes, until=best + 3 * 2 + 1)
    with pytest.raises(InputError, match=r"training\.patience = 3 ends in an earlier epoch"):
        run_alone(place, "within", fewer)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"training.monitor": "cost"}, r"training\.monitor = validation_cost, .* has cost"),
        ({"training.monitor": "none"}, r"training\.monitor = validation_cost, .* has none"),
        (
            {"training.least_improvement": 0.5, "training.patience": 59},
            r"least_improvement = 0\.0, .* has 0\.5",
        ),
    ],
)
def test_the_best_epoch_is_found_by_the_same_rule_or_not_at_all(change, words, place, whole):
    with pytest.raises(InputError, match=words):
        run_alone(place, "all", change)


def test_what_does_not_matter_without_patience_is_free(place, whole):
    for change in ({"training.least_improvement": 0.5}, {"training.monitor": "validation_cost"}):
        assert run_alone(place, "all", change).v_sha256 == whole.v_sha256


def test_patience_may_wait_for_more_than_any_improvement(place):
    changes = {"training.patience": 2, "training.least_improvement": 100.0}
    assert run(place, "impatient", changes=changes).step == 2 * 3
    changes = {"training.patience": 2, "training.monitor": "f1", "training.metrics": ["f1"]}
    result = run(place, "f1", changes=changes)
    assert result.shown.best.value == max(record["f1"] for record in lawful(place / "f1"))


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"training.monitor": "validation_cost", "data.validation": ""}, "names no set"),
        ({"training.monitor": "f1"}, 'training.monitor is "f1", but expected one of auto'),
        ({"training.monitor": "none", "training.patience": 3}, "patience needs a metric"),
    ],
)
def test_a_metric_that_is_not_there_is_refused(place, changes, words):
    with pytest.raises(InputError, match=words):
        train(config_in(place, {**OVERFITS, **changes}), SingleProcess())


def test_nothing_is_the_best_without_a_validation_set(place):
    run(place, "alone", changes={"data.validation": "", "training.epochs": 2})
    found, _ = checkpoint.find(place / "alone", "best")
    assert not checkpoint.is_best(found) and found.facts["step"] == 4
    assert np.isfinite(found.v).all()
