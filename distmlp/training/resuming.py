"""The state that a run begins with: a checkpoint's, or a new one."""

from pathlib import Path

import numpy as np

from distmlp import arithmetic
from distmlp.config.comparing import differences
from distmlp.config.reading import from_json
from distmlp.data import digest
from distmlp.errors import InputError
from distmlp.kernels import choice
from distmlp.mathematics.initializers import initialize
from distmlp.parallel.rank0 import on_rank_0
from distmlp.runs import checkpoint, events
from distmlp.runs.checkpoint import Checkpoint
from distmlp.runs.log import read_records
from distmlp.training import summary
from distmlp.training.best_epoch import Progress, progress_of
from distmlp.training.parts import state_arrays
from distmlp.training.preparation import Prepared
from distmlp.training.saving import Saver
from distmlp.training.state import State
from distmlp.wording import counted


def first_state(run: Prepared, saver: Saver, resume: str) -> State:
    """The state to begin with, equal on every rank; makes the run directory and starts the report.

    resume: "auto" (the run directory's newest good checkpoint, or a new state), "never", or a
    checkpoint's path.  Raises InputError.
    """
    comm, directory = run.comm, run.directory
    found = on_rank_0(comm, lambda: _to_resume(run, resume))
    back_to = found.facts["step"] if found and resume != "auto" else None
    on_rank_0(comm, lambda: directory.prepare(run.config, anew=resume == "never", beyond=back_to))
    if found is None:
        state = new_state(run)
    else:
        state = restored(run, found)
        state.record = on_rank_0(comm, lambda: _record_until(directory.log, state.step))
        kept = found.facts.get("data", {}).get("train")
        run.witness.known = run.witness.known or (kept and digest.number(kept))
        saver.resumed(found, state)
    run.report.begin(summary.start_of(run, state))
    _warn_of_idle_ranks(run)
    slowness = choice.slowness()
    if slowness:
        run.report.say(slowness)
    run.report.start(directory.log, state.step, run.last_step)
    here = summary.environment(comm)
    run.report.event(events.began(state.step, run.last_step, comm.size, choice.name(), here))
    return state


def _record_until(log: Path, step: int) -> dict | None:
    """The log's last record up to a step, None where it has none."""
    try:
        records = read_records(log)
    except OSError:
        return None  # the report says so, once it begins to write there
    return next((record for record in reversed(records) if record["step"] <= step), None)


def new_state(run: Prepared) -> State:
    """The state before the first step: a function of the config, and of the v that it begins with.

    Raises InputError where that is gone.
    """
    c = run.config
    v = initialize(run.network.layout, c.network.initializer, c.seed, c.dtype)
    if run.start is not None:
        run.start.take_over(v, run.network.layout)
    arrays = {name: np.zeros_like(v) for name in state_arrays(run.config)}
    return State(v, arrays, run.optimizer.scalars, shown=Progress(run.metric))


def restored(run: Prepared, found: Checkpoint) -> State:
    """The state that a checkpoint keeps; `saving.facts_of` says how."""
    facts, grid = found.facts, run.counting.grid
    return State(
        found.v,
        found.arrays,
        facts["scalars"],
        None if facts["grid"] is None or grid is None else grid(facts["grid"], run.config.dtype),
        facts["step"],
        np.array(facts["totals"], np.int64),
        facts["last_cost"],
        facts["last_change"],
        progress_of(facts.get("shown"), run.metric),
        facts.get("least_change"),
    )


def last_good_state(run: Prepared) -> State:
    """The newest good checkpoint's state, or a new one where there is no checkpoint; collective."""
    found = on_rank_0(run.comm, lambda: checkpoint.newest_good(run.directory.checkpoints)[0])
    return new_state(run) if found is None else restored(run, found)


def _to_resume(run: Prepared, resume: str) -> Checkpoint | None:
    """The checkpoint to go on from, or None (on rank 0)."""
    if resume == "never":
        return None
    if resume == "auto":
        found, passed_over = checkpoint.newest_good(run.directory.checkpoints)
        if found is None and passed_over:
            raise checkpoint.Damaged(
                f"{run.directory.path}: none of its checkpoints is good: {'; '.join(passed_over)}; "
                "--resume never begins anew"
            )
    elif not Path(resume).exists():
        raise InputError(
            f"{resume}: no such checkpoint; expected auto, never or a checkpoint to resume from"
        )
    else:
        found, passed_over = checkpoint.find(resume)
    for words in passed_over:
        run.report.warn(f"{words}; taking the newest good one")
    if found is not None:
        _check_fits(run, found)
        _check_rule_of_best(run, found)
        _check_not_beyond(run, found)
        run.report.say(f"resuming from {found.path} (step {found.facts['step']})")
    return found


def _anew(found: Checkpoint) -> str:
    """What is possible in place of a resume that is refused, as the end of a sentence."""
    place = found.path.parent.parent if found.path.parent.name == "checkpoints" else found.path
    return f'; to go on from its v, take a new run.directory and network.start_from = "{place}"'


def _check_fits(run: Prepared, found: Checkpoint) -> None:
    """InputError where a checkpoint is of a different training."""
    if found.facts["fingerprint"] != arithmetic.fingerprint(run.counting.many):
        raise InputError(
            f"{found.path}: a different version of distmlp made this checkpoint, with a different arithmetic and order of "
            "samples: evaluate, predict and export take it, but training cannot go on from it; --resume never begins anew"
            f"{_anew(found)}"
        )
    for key, old, new in differences(from_json(found.facts["config"]), run.config):
        raise InputError(
            f"{found.path}: the checkpoint has {key} = {old}, but the config has {new}; "
            f"a resumed run must have the same{_anew(found)}"
        )
    if found.facts.get("start") and run.start is None:
        raise InputError(
            f"{found.path}: the run began with the v of {found.facts['start']['path']}, but network.start_from is empty; "
            "a resumed run must have it"
        )
    if set(found.arrays) != set(state_arrays(run.config)) or set(found.facts["scalars"]) != set(
        run.optimizer.scalars
    ):
        raise InputError(
            f"{found.path}: the checkpoint has not the state of optimizer.name = {run.config.optimizer.name}{_anew(found)}"
        )
    watched = (found.facts.get("shown") or {}).get("metric")
    if run.plateau_patience is not None and watched != run.metric:
        raise InputError(
            f'{found.path}: the learning rate followed "{watched}" by optimizer.schedule = "plateau", but now '
            f'"{run.metric}" would be watched (training.monitor, data.validation); a resumed run must have the same'
        )
    for fact, words, here in (
        ("samples", "training samples", run.data.rows),
        ("chunk_rows", "rows a chunk (data.chunk_rows)", run.chunk_rows),
    ):
        if found.facts[fact] != here:
            raise InputError(
                f"{found.path}: the checkpoint was made with {found.facts[fact]} {words}, "
                f"but {run.data.spec} has {here}{_anew(found)}"
            )
    _check_data(run, found)
    _check_transform(run, found)


def _check_not_beyond(run: Prepared, found: Checkpoint) -> None:
    """InputError where the config ends the training before a checkpoint's step: its v is not the config's."""
    facts, training = found.facts, run.config.training
    shown = progress_of(facts.get("shown"), run.metric)
    changes, waits = [facts.get("least_change")], [shown.longest]
    if facts["step"] % run.steps_per_epoch:
        changes.append(facts["last_change"])
        waits.append(shown.patience.waited)
    ends = None
    if facts["step"] > run.last_step:
        ends = f"training.epochs = {training.epochs} ends at step {run.last_step}"
    elif any(change is not None and change < training.epsilon for change in changes):
        ends = f"training.epsilon = {training.epsilon} ends in an earlier epoch"
    elif training.patience and max(waits) >= training.patience:
        ends = f"training.patience = {training.patience} ends in an earlier epoch"
    if ends:
        raise InputError(
            f"{found.path}: the run has come to step {facts['step']}, but {ends}, with a different v; "
            "--resume CHECKPOINT goes back to an earlier one, --resume never begins anew"
        )


def _check_rule_of_best(run: Prepared, found: Checkpoint) -> None:
    """InputError where the best epoch, or patience, would go on being counted by a different rule than a checkpoint's."""
    training, shown = run.config.training, found.facts.get("shown")
    if not shown or found.facts["last_cost"] is None:
        return
    then = from_json(found.facts["config"]).training
    old, new, key = shown["metric"] or "none", run.metric or "none", "monitor"
    asked = then.monitor != training.monitor or training.patience
    if old == new or not asked:
        if not training.patience or then.least_improvement == training.least_improvement:
            return
        key = "least_improvement"
        old, new = str(then.least_improvement), str(training.least_improvement)
    raise InputError(
        f"{found.path}: the best epoch so far was found with training.{key} = {old}, but the config has {new}; a resumed run "
        "must have the same, --resume never begins anew"
    )


def _check_data(run: Prepared, found: Checkpoint) -> None:
    """InputError where a checkpoint was made with different rows; what nobody has looked through yet is let pass."""
    for key, data, here in (
        ("train", run.data, run.witness.known),
        ("validation", run.validation, run.validation_digest),
    ):
        kept = found.facts.get("data", {}).get(key)
        if data is None or not kept or not here:
            continue
        if digest.number(kept) is None:
            run.report.note(
                f"{found.path}: an earlier version made its digest of the rows of {data.spec} differently, so the two are not "
                "compared"
            )
        elif kept != digest.text(here):
            raise InputError(
                f"{data.spec}: these are not the rows that {found.path} was made with (their digest is {digest.text(here)}, and "
                f"was {kept}): v is a function of its data; bring the old data back, or --resume never begins anew{_anew(found)}"
            )

    for key, data in (("weights", run.data), ("validation_weights", run.validation)):
        kept = found.facts.get("data", {}).get(key)
        if data is not None and kept and (data.weights is None or data.weights.digest != kept):
            raise InputError(
                f"{data.spec}: its weights are not those that {found.path} was made with: the data changed; "
                "bring the old data back, or --resume never begins anew"
            )


def _check_transform(run: Prepared, found: Checkpoint) -> None:
    """InputError where the training set gives means and the like that are not a checkpoint's."""
    here = run.transform.arrays()
    if {name: array.tobytes() for name, array in here.items()} != {
        name: array.tobytes() for name, array in found.data.items()
    }:
        raise InputError(
            f"{run.data.spec}: its means and spreads are not those that {found.path} was made with: the data changed; "
            f"bring the old data back, or --resume never begins anew{_anew(found)}"
        )


def _warn_of_idle_ranks(run: Prepared) -> None:
    """Warns of ranks that will idle; notes that a lost host ends the job."""
    comm, sharding = run.comm, run.sharding
    idle = comm.size - sharding.count
    if idle > 0:
        run.report.warn(
            f"{comm.size} ranks, but a batch has {sharding.count} micro-batches: "
            f"{counted(idle, 'rank')} will idle (training.micro_batch_size is "
            f"{sharding.micro_batch_size}; {max(1, sharding.batch_size // comm.size)} "
            "would use them all, and give another v)"
        )
    if len(set(comm.hosts)) > 1 and not comm.resilient:
        run.report.note(
            f"{comm.mpi} was started without fault tolerance: a lost rank ends the job, and the same command "
            "goes on from the last checkpoint (distmlp launch starts Open MPI 5 with it)"
        )
