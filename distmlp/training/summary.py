"""What a run says of itself when it begins and when it has ended: tables of two columns, for people."""

import platform
from collections import Counter
from typing import Any

import numpy as np

from distmlp import arithmetic
from distmlp.data.dataset import DataSet
from distmlp.kernels import choice as kernels
from distmlp.parallel.communicator import Communicator
from distmlp.training.best_epoch import Progress
from distmlp.training.parts import memory_of
from distmlp.training.preparation import Prepared
from distmlp.training.state import State
from distmlp.training.terminal import words_of
from distmlp.wording import counted

#: The rows of a table: a label, and what is said of it.
Rows = list[tuple[str, str]]

#: Hosts that are named one by one.
_MOST_HOSTS = 4


def start_of(run: Prepared, state: State) -> Rows:
    """What is about to be trained, on what, and where it will be saved; the same on every rank."""
    c, comm = run.config, run.comm
    rows = [("data", _set(run.data))]
    if run.validation is not None:
        rows.append(("validation", _set(run.validation)))
    if run.weighting is not None:
        rows.append(("weights", _weights(run)))
    n, t, o = c.network, c.training, c.optimizer
    rows += [
        (
            "network",
            f"{' → '.join(map(str, n.layers))}, {n.activation}, {n.output} output, {n.cost} cost"
            + (", which is half of the squared error" if n.cost == "mse" else ""),
        ),
        ("parameters", f"{run.network.layout.size:,}, {c.dtype}"),
        ("memory", _memory(run)),
        ("ranks", f"{_ranks(comm)}, {comm.mpi}"),
    ]
    if comm.size > 1:
        rows.append(("lost ranks", _when_a_rank_is_lost(comm)))
    micro = run.sharding
    rows += [
        (
            "batch",
            f"{micro.batch_size:,} samples in {counted(micro.count, 'micro-batch', 'es')} of "
            f"{micro.micro_batch_size}; {counted(run.steps_per_epoch, 'step')} an epoch",
        ),
        ("training", f"{counted(t.epochs, 'epoch')} of {o.name}, {_lengths_of_steps(run)}"),
        (
            "arithmetic",
            f"definition {arithmetic.definition(run.counting.many)}, kernels {kernels.name()}, {c.reduction} sums",
        ),
        ("saved in", c.run.directory),
    ]
    if run.start is not None:
        words = run.start.words(run.network.layout.N)
        rows.append(("first v", words))
    if state.step:
        rows.append(("begins", f"after step {state.step:,} of {run.last_step:,}"))
    return rows


def _lengths_of_steps(run: Prepared) -> str:
    o = run.config.optimizer
    if run.optimizer.needs_cost:
        return f"an evaluation each, until no entry of the gradient is above {o.tolerance:g}"
    schedule = "" if o.schedule == "constant" else f", {o.schedule} schedule"
    warmup = f", warm-up of {o.warmup}" if o.warmup else ""
    return f"learning rate {o.learning_rate:g}{schedule}{warmup}"


def environment(comm: Communicator) -> dict[str, Any]:
    """What a start runs on, for events.jsonl: it changes no bit of a result."""
    return {
        "hosts": dict(Counter(comm.hosts)),
        "mpi": comm.mpi,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "numpy": np.__version__,
    }


def end_of(shown: Progress, records: list[dict], seconds: float) -> Rows:
    """What a training has come to, and how long it took.

    records: all of the log.  seconds: since the command began.
    """
    rows: Rows = []
    best = shown.best
    if best.value is not None:
        epochs = [record for record in records if record["step"] == best.step]
        place = f"epoch {epochs[0]['epoch']}, " if epochs else ""
        rows.append(("best", f"{place}step {best.step}: {shown.metric} {best.value:.9g}"))
    if records:
        spent = sum(record["seconds"] for record in records)
        samples = sum(record["seconds"] * record["samples_per_second"] for record in records)
        rows += [
            ("last epoch", words_of(records[-1])),
            (
                "time",
                f"{duration(seconds)}; {duration(spent)} in {counted(len(records), 'epoch')}, "
                f"{samples / spent:,.0f} samples/s",
            ),
        ]
    return rows


def duration(seconds: float) -> str:
    """Seconds in the unit that people would use."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def bytes_in_words(number: float) -> str:
    """A number of bytes in the unit that people would use."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"


def _weights(run: Prepared) -> str:
    """What rows count."""
    asked, words = run.config.data, []
    if asked.weights:
        words.append(f"of {asked.weights}")
    if asked.class_weights and run.weighting is not None:
        by = "balanced classes" if asked.class_weights == "balanced" else "classes"
        factors = run.weighting.factors
        words.append(f"{by}, factors from {factors.min():.4g} to {factors.max():.4g}")
    return f"{'; '.join(words)}; 1 on average"


def _set(data: DataSet) -> str:
    outputs = "classes" if data.classes else counted(data.outputs or 1, "number")
    return (
        f"{data.spec}, {counted(data.rows, 'row')} of {counted(data.width, 'input')} "
        f"({data.input_dtype.name}), targets: {outputs}"
    )


def _memory(run: Prepared) -> str:
    """About what a rank needs: for v and what is as long as it; then for the data."""
    network = bytes_in_words(memory_of(run.config, run.network.layout.size))
    stored, window = run.data.stored_bytes, run.config.data.window_bytes
    if run.data.is_shared:
        return f"a rank: {network} for the network; a host: {bytes_in_words(stored)} for data"
    data = bytes_in_words(min(stored, window))
    return f"a rank: {network} for the network, {data} for data"


def _ranks(comm: Communicator) -> str:
    hosts = Counter(comm.hosts)
    names = [f"{name}: {count}" for name, count in hosts.items()] if len(hosts) > 1 else list(hosts)
    if len(names) > _MOST_HOSTS:
        names = [*names[:_MOST_HOSTS], "…"]
    return f"{comm.size} on {counted(len(hosts), 'host')} ({', '.join(names)})"


def _when_a_rank_is_lost(comm: Communicator) -> str:
    if comm.resilient:
        return "the others go on without them"
    return "end the job, and the same command goes on from the last checkpoint"
