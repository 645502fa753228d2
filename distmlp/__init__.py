"""distmlp: distributed data-parallel training of multi-layer perceptrons, the same bits at any rank count.

    import distmlp
    result = distmlp.train("digits.toml")                      # one process, or every rank of mpirun
    print(result.v_sha256)
    classes = distmlp.load("runs/digits").predict(x)           # x: (samples, inputs) in memory

The parts can be used by themselves: `distmlp.mathematics.network`, `distmlp.mathematics.exact` and the other rooms of the
mathematics import numpy and nothing else.  Importing distmlp imports none of them.
"""

__version__ = "0.2.0.dev0"
__all__ = [
    "InputError",
    "MLPClassifier",
    "MLPRegressor",
    "Report",
    "evaluate",
    "load",
    "load_config",
    "plot",
    "train",
]

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distmlp.config.reading import load as load_config
    from distmlp.config.sections import Config
    from distmlp.errors import InputError
    from distmlp.estimator import MLPClassifier, MLPRegressor
    from distmlp.results.plots import Figures
    from distmlp.results.trained import TrainedNetwork
    from distmlp.training.evaluation import Metrics
    from distmlp.training.loop import Result
    from distmlp.training.reporting import Silent as Report


def train(
    config: "Config | dict[str, Any] | str | Path",
    comm: Any = None,
    *,
    resume: str = "auto",
    report: "Report | None" = None,
    should_stop: Callable[[], bool] = lambda: False,
    progress: bool = False,
) -> "Result":
    """Trains a network, on every rank of comm, and returns a `distmlp.training.loop.Result` on each.

    config: a `Config`, a dictionary like its TOML, or the path of a TOML file.  comm: an mpi4py
    communicator; None is all ranks that a launcher started, or this process alone.  resume: "auto",
    "never" or a checkpoint's path.  report: a `distmlp.Report`, whose methods rank 0 calls as the training goes on; the run's
    log is kept besides.  should_stop: asked after each step on each rank.  progress: show a bar, which is a widget in a
    notebook, tables and a line an epoch; by default nothing is printed.

    Raises InputError for a config or data that cannot be trained, `distmlp.errors.Diverged` for a NaN
    or infinity, each on every rank.
    """
    from distmlp.config import reading
    from distmlp.config.sections import Config
    from distmlp.errors import InputError
    from distmlp.kernels import choice
    from distmlp.parallel import launchers
    from distmlp.training import loop as training
    from distmlp.training import reporting

    if isinstance(report, type):
        name = report.__name__  # type: ignore[unreachable]  # for those who have no type checker
        raise InputError(f"report is the class {name}, but expected an object of it: {name}()")
    if isinstance(config, dict):
        config = reading.from_tables(config)
    elif not isinstance(config, Config):
        config = reading.load(config)
    if not progress and launchers.is_first():  # the bar's report says so itself
        choice.warn_of_slowness(stacklevel=2)
    own = reporting.Report(bar=True) if progress else reporting.LogOnly()
    if report is None:
        report = own
    elif not isinstance(report, reporting.LogOnly):  # which keeps the log itself
        report = reporting.Together(own, report)
    return training.train(
        config, launchers.of(comm), resume=resume, report=report, should_stop=should_stop
    )


def evaluate(
    place: str | Path, data: str | None = None, comm: Any = None, *, which: str = "best"
) -> "Metrics":
    """The `distmlp.training.evaluation.Metrics` of a checkpoint (a file or a run directory) on a set.

    place may be a directory of many networks too: the metrics are then those of the mean of their outputs.

    data: "FILE.h5:/group"; None is the config's validation set.  which: of a run directory, "best" (the best epoch's
    checkpoint, or the newest where none was the best), "last" or a step's number.  Collective over comm, as for `train`.
    Raises InputError.
    """
    from distmlp.many import ensemble
    from distmlp.parallel import launchers
    from distmlp.results import checkpoint_commands

    given = place, data, launchers.of(comm), which
    many = ensemble.evaluate(*given)
    return many[0] if many else checkpoint_commands.evaluate(*given)


def load(place: str | Path, *, which: str = "best") -> "TrainedNetwork":
    """A trained network, to call `predict(x)`, `predict_proba(x)` and `evaluate(x, y)` on arrays in memory.

    place: a checkpoint's file or a run directory; which: as for `evaluate`.  Each call gives the bits that the
    commands give.  It is of this process alone: under mpirun each rank may load it.  Raises InputError.
    """
    from distmlp.results import trained

    return trained.load(place, which)


def plot(*runs: str | Path, which: str = "best", data: str | None = None) -> "Figures":
    """The figures of a run, or those that compare several, by name: matplotlib's, which a notebook shows.

    which, data: the checkpoint and the set that a single run is looked at with, as for `evaluate`.  Raises InputError.
    """
    from distmlp.results import plots

    return plots.figures([Path(run) for run in runs], which, data)


#: What is imported when it is asked for, and from where.  So the command, which imports this first, soon takes Ctrl-C.
_LATER = {
    "InputError": ("distmlp.errors", "InputError"),
    "Report": ("distmlp.training.reporting", "Silent"),
    "load_config": ("distmlp.config.reading", "load"),
}


def __getattr__(name: str) -> Any:
    """What is imported when it is asked for; the scikit-learn estimators need the extra."""
    if name in _LATER:
        module, its = _LATER[name]
        return getattr(import_module(module), its)
    if name not in ("MLPClassifier", "MLPRegressor"):
        raise AttributeError(f"module 'distmlp' has no attribute {name!r}")
    try:
        from distmlp import estimator
    except ModuleNotFoundError as error:
        raise ImportError(
            f'distmlp.{name} needs {error.name}: pip install "distmlp[sklearn]"'
        ) from None
    return getattr(estimator, name)
