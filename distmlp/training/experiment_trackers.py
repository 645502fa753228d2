"""TensorBoard and MLflow are told of each epoch, through their own libraries, by rank 0 and beside the log.

Nothing of it decides v.  A thread of its own tells each of them, so a server that does not answer delays no step.  Where telling
fails, a warning says so once, and the training goes on.
"""

import contextlib
import json
import math
import os
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from distmlp import files
from distmlp.config.comparing import flat
from distmlp.config.sections import Config
from distmlp.runs.events import Event
from distmlp.training.reporting import Silent

#: Seconds that the end of a training waits for what has not been told yet.
_PATIENCE = 20.0

#: What of a record is no measurement of its epoch.
_PLACES = ("epoch", "step", "ranks")

#: Where a run directory keeps the number that MLflow gave to the run.
MLFLOW_RUN = "mlflow.json"

#: Characters and entries that MLflow takes.
_MOST_TEXT, _MOST_PARAMETERS = 500, 100


class Target(Protocol):
    """One library's account of a run."""

    def record(self, record: dict) -> None:
        """Tells of an epoch."""

    def end(self, kind: str) -> None:
        """Tells of the run's end: "complete", "stopped" or "failed"."""

    def close(self) -> None:
        """Writes what has not been written yet."""


class Tracker(Silent):
    """A report that tells one library, from the first epoch that ends on.

    name: of the library.  opened: makes its account of a run directory whose records up to a step it has.  warn: is told, on
    the training's own thread, that telling failed.
    """

    def __init__(
        self, name: str, opened: Callable[[Path, int], Target], warn: Callable[[str], None]
    ) -> None:
        self._name, self._opened, self._warn = name, opened, warn
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._place: tuple[Path, int] | None = None
        self._target: Target | None = None
        self._fault: str | None = None
        self._warned = self._ended = False

    def start(self, log: Path, step: int, last_step: int, record: dict | None = None) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        before = step if record is None else record["step"] - 1
        self._jobs.put(lambda: self._begin(log.parent, before))
        if record is not None:
            self._jobs.put(lambda: self._record(record))

    def epoch(self, record: dict, epochs: int) -> None:
        self._jobs.put(lambda: self._record(record))
        self._say()

    def event(self, event: Event) -> None:
        if event["event"] in ("complete", "stopped"):
            self._ended = True
            self._jobs.put(lambda: self._end(event["event"]))

    def close(self) -> None:
        if self._thread is None:
            return
        if not self._ended:
            self._jobs.put(lambda: self._end("failed"))
        self._jobs.put(None)
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            self._fault = self._fault or f"it has not taken all of it within {_PATIENCE:g} s"
        self._say()
        self._thread = None

    def _say(self) -> None:
        if self._fault and not self._warned:
            self._warned = True
            self._warn(f"{self._name} is not told of this run: {self._fault}; the log has it all")

    def _work(self) -> None:
        """What the thread does: one job after another, none after one that failed."""
        while (job := self._jobs.get()) is not None:
            if self._fault is None:
                self._try(job)
        if self._target is not None:
            self._try(self._target.close)

    def _try(self, job: Callable[[], None]) -> None:
        try:
            job()
        except ImportError as error:
            self._fault = (
                f'{error.name} is not installed, pip install "distmlp[{self._name}]" brings it'
            )
        except Exception as error:  # whatever a library raises
            self._fault = f"{type(error).__name__}: {' '.join(str(error).split())[:_MOST_TEXT]}"

    def _begin(self, directory: Path, step: int) -> None:
        if self._target is not None:
            self._target.close()
        self._place, self._target = (directory, step), None

    def _record(self, record: dict) -> None:
        if self._target is None and self._place is not None:
            self._target = self._opened(*self._place)
        if self._target is not None:
            self._target.record(record)

    def _end(self, kind: str) -> None:
        if self._target is not None:
            self._target.end(kind)


def trackers_of(config: Config, warn: Callable[[str], None]) -> list[Silent]:
    """The trackers that run.trackers names."""
    made: dict[str, Callable[[Path, int], Target]] = {
        "tensorboard": TensorBoard,
        "mlflow": lambda directory, step: MLflow(directory, step, config),
    }
    return [Tracker(name, made[name], warn) for name in dict.fromkeys(config.run.trackers)]


def measurements(record: dict) -> dict[str, float]:
    """The finite numbers of a record that say something of its epoch, by name."""
    return {
        name: float(value)
        for name, value in record.items()
        if name not in _PLACES
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    }


class TensorBoard:
    """Event files in the run's directory tensorboard/, one point a step that ends an epoch.

    What earlier files say of later steps is no longer shown: it will be made again, to the same bits.
    """

    def __init__(self, directory: Path, step: int) -> None:
        from tensorboardX import SummaryWriter

        # Its own names differ by the second only, so that a quick resume would replace a file.
        suffix = f".{time.time_ns()}"
        place = str(directory / "tensorboard")
        self._writer = SummaryWriter(place, purge_step=step + 1, filename_suffix=suffix)

    def record(self, record: dict) -> None:
        for name, value in measurements(record).items():
            self._writer.add_scalar(name, value, record["step"])
        self._writer.flush()

    def end(self, kind: str) -> None:
        pass  # event files know no end

    def close(self) -> None:
        self._writer.close()


class MLflow:
    """A run of MLflow: on the server that MLFLOW_TRACKING_URI names, or in the run's directory mlflow/.

    Its number is kept in the run directory, so that a run that goes on is the same one there.  The experiment is that of
    MLFLOW_EXPERIMENT_NAME, or distmlp.
    """

    def __init__(self, directory: Path, step: int, config: Config) -> None:
        # A training tells nobody but whom it was asked to tell.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        # Files need no database, which mlflow-skinny does not bring; MLflow 3 wants to be asked for them.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        from mlflow import MlflowClient

        self._place = directory / MLFLOW_RUN
        uri = os.environ.get("MLFLOW_TRACKING_URI") or (directory / "mlflow").resolve().as_uri()
        self._client = MlflowClient(tracking_uri=uri)
        self._known = 0
        run = self._kept(uri) if step else None
        if run is None:
            run = self._new(directory, config, uri)
        else:
            # What is there already would be the same bits again.
            history = self._client.get_metric_history(run, "cost")
            self._known = max((metric.step for metric in history), default=0)
            self._client.update_run(run, status="RUNNING")
        self._run = run

    def _kept(self, uri: str) -> str | None:
        """The number of the run that was begun before, None where there is none on this server."""
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            with files.open_regular(self._place) as file:
                kept = json.load(file)
            return str(kept["run"]) if kept["uri"] == uri else None
        return None

    def _new(self, directory: Path, config: Config, uri: str) -> str:
        from mlflow.entities import Param

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "distmlp")
        experiment = self._client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment else self._client.create_experiment(name)
        run = self._client.create_run(number, run_name=directory.name).info.run_id
        keys = list(flat(config).items())
        for start in range(0, len(keys), _MOST_PARAMETERS):
            some = keys[start : start + _MOST_PARAMETERS]
            self._client.log_batch(run, params=[Param(k, str(x)[:_MOST_TEXT]) for k, x in some])
        files.write(self._place, json.dumps({"uri": uri, "run": run}).encode())
        return run

    def record(self, record: dict) -> None:
        from mlflow.entities import Metric

        if record["step"] <= self._known:
            return
        now = int(1000 * time.time())
        found = measurements(record).items()
        self._client.log_batch(
            self._run, metrics=[Metric(name, value, now, record["step"]) for name, value in found]
        )
        self._client.set_tag(self._run, "v_sha256", record["v_sha256"])
        self._known = record["step"]

    def end(self, kind: str) -> None:
        status = {"complete": "FINISHED", "stopped": "KILLED"}.get(kind, "FAILED")
        self._client.set_terminated(self._run, status)

    def close(self) -> None:
        pass  # each record has been sent
