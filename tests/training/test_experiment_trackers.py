"""TensorBoard and MLflow: told what the log has, once, by rank 0; and a training that does not mind where they fail."""

import struct
import sys
import threading
import warnings

import pytest
from example import log
from preparing import Heard, config_in
from simulated import on_ranks

import distmlp
from distmlp.parallel.communicator import SingleProcess
from distmlp.results import verification
from distmlp.training import experiment_trackers
from distmlp.training.loop import train
from distmlp.training.reporting import LogOnly, Together

EPOCHS = {"training.epochs": 3}


def run(place, name, *told, size=1, heard=None, **more):
    config = config_in(
        place, {**EPOCHS, "run.trackers": list(told), "run.directory": str(place / name)}
    )

    def trained(comm):
        reports = [LogOnly(), heard] if heard else [LogOnly()]
        return train(config, comm, report=Together(*reports), **more)

    if size == 1:
        return trained(SingleProcess())
    (found, *_) = on_ranks(size, trained)
    return found


def lose_what_is_after(directory, step):
    """The run's checkpoints after a step are gone, and its end mark, as after a crash."""
    (directory / "finished.json").unlink()
    for path in (directory / "checkpoints").iterdir():
        if int(path.stem.rpartition("-")[2]) > step:
            path.unlink()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("trackers")
    config_in(place)
    return place


@pytest.fixture(scope="module")
def plain(place):
    return run(place, "plain")


def of_tensorboard(directory):
    """{name: {step: value}} as TensorBoard shows them: a start makes what earlier files say of later steps void."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    found = {}
    for path in sorted(directory.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            event = event_pb2.Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]
            if event.WhichOneof("what") == "session_log":
                for points in found.values():
                    for step in [step for step in points if step >= event.step]:
                        del points[step]
            for value in event.summary.value:
                points = found.setdefault(value.tag, {})
                assert event.step not in points
                points[event.step] = value.simple_value
    return found


def test_tensorboard_is_told_what_the_log_has(place, plain):
    pytest.importorskip("tensorboardX")
    told = run(place, "board", "tensorboard")
    assert told.v_sha256 == plain.v_sha256
    records = log(place / "board")
    points = of_tensorboard(place / "board" / "tensorboard")
    assert {"cost", "validation_cost", "accuracy", "learning_rate", "seconds"} <= set(points)
    for name in ("cost", "validation_cost", "accuracy"):
        assert points[name] == pytest.approx({r["step"]: r[name] for r in records}, rel=1e-6)
    # a second time, and again from an earlier checkpoint
    files = len(list((place / "board" / "tensorboard").iterdir()))
    run(place, "board", "tensorboard")
    assert len(list((place / "board" / "tensorboard").iterdir())) == files
    lose_what_is_after(place / "board", 21)
    run(place, "board", "tensorboard", size=2)
    again = of_tensorboard(place / "board" / "tensorboard")
    assert again["cost"] == points["cost"]


def test_mlflow_has_one_run_that_goes_on(place, plain, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    told = run(place, "flow", "mlflow", until=50)
    assert told.step == 50
    lose_what_is_after(place / "flow", 21)
    told = run(place, "flow", "mlflow", size=2)
    assert told.v_sha256 == plain.v_sha256
    client = mlflow.MlflowClient((place / "flow" / "mlflow").resolve().as_uri())
    (only,) = client.search_runs([client.get_experiment_by_name("distmlp").experiment_id])
    assert only.info.status == "FINISHED" and only.info.run_name == "flow"
    assert only.data.params["training.epochs"] == "3"
    assert only.data.tags["v_sha256"] == plain.v_sha256
    for name in ("cost", "validation_cost"):
        history = client.get_metric_history(only.info.run_id, name)
        assert [(m.step, m.value) for m in history] == [
            (record["step"], record[name]) for record in log(place / "flow")
        ]


class Failing:
    def __init__(self, directory, step):
        pass

    def record(self, record):
        raise ValueError("no\nroom")

    def end(self, kind):
        raise AssertionError("it had failed before")

    def close(self):
        pass


def test_one_that_fails_is_warned_of_once(place, plain, monkeypatch):
    monkeypatch.setattr(experiment_trackers, "TensorBoard", Failing)
    heard = Heard()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        told = run(place, "failing", "tensorboard", heard=heard)
    assert told.complete and told.v_sha256 == plain.v_sha256
    assert [what for what in heard.said if what[0] == "warn"] == [
        ("warn", "tensorboard is not told of this run: ValueError: no room; the log has it all")
    ]


def test_one_that_does_not_answer_delays_nothing(place, plain, monkeypatch):
    answered = threading.Event()

    class Silence(Failing):
        def record(self, record):
            answered.wait(60)

    monkeypatch.setattr(experiment_trackers, "TensorBoard", Silence)
    monkeypatch.setattr(experiment_trackers, "_PATIENCE", 0.2)
    with pytest.warns(UserWarning, match=r"has not taken all of it within 0\.2 s"):
        told = run(place, "waiting", "tensorboard")
    answered.set()
    assert told.complete and told.v_sha256 == plain.v_sha256


@pytest.mark.parametrize("name, library", [("tensorboard", "tensorboardX"), ("mlflow", "mlflow")])
def test_a_library_that_is_missing_is_named(name, library, place, plain, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.warns(
        UserWarning, match=rf'{library} is not installed, pip install "distmlp\[{name}\]"'
    ):
        assert run(place, f"without-{name}", name).v_sha256 == plain.v_sha256


def test_a_tracker_that_there_is_not_is_refused(place):
    with pytest.raises(distmlp.InputError, match=r'run\.trackers is .*, but expected .*"mlflow"'):
        config_in(place, {"run.trackers": ["wandb"]})


def test_verify_tells_nobody(place, monkeypatch):
    run(place, "verified")
    config = place / "verified" / "config.toml"
    assert "trackers" in config.read_text()
    asked = []
    monkeypatch.setattr(
        experiment_trackers,
        "TensorBoard",
        lambda directory, step: asked.append(step) or Failing(directory, step),
    )
    with pytest.warns(UserWarning, match="is not told"):
        run(place, "told", "tensorboard")
    assert asked == [0]
    assert verification.verify(place / "told", SingleProcess(), True).differing is None
    assert asked == [0]
