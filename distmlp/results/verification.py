"""Training a run again, to see whether its bits are the same."""

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from distmlp.config.reading import from_json, with_run_directory
from distmlp.errors import InputError
from distmlp.parallel.communicator import Communicator
from distmlp.parallel.rank0 import on_rank_0
from distmlp.runs import checkpoint
from distmlp.runs.checkpoint import Checkpoint
from distmlp.runs.directory import expect_directory
from distmlp.runs.log import read_records
from distmlp.training.loop import train
from distmlp.training.reporting import LogOnly
from distmlp.training.starting import check_unchanged


@dataclass(frozen=True)
class Verdict:
    """What training again has shown.

    first, last: the steps between.  compared: how many digests of v were compared.  differing: the step
    of the first one that differs, and the two digests; None where all are the same.
    """

    first: int
    last: int
    compared: int
    differing: tuple[int, str, str] | None


def verify(run: Path, comm: Communicator, whole: bool = False) -> Verdict:
    """Trains a run again, from its oldest checkpoint to its newest or from the start, and compares the digests of v.

    Every epoch of the log in between is compared, and the newest checkpoint, with its optimizer's state.
    Collective, with any number of ranks; the run's directory is only read.  Raises InputError.
    """

    def prepare() -> tuple[Checkpoint, Checkpoint, str]:
        expect_directory(run)
        found = [checkpoint.read(path) for path in checkpoint.listed(run / "checkpoints")]
        if not found or (len(found) == 1 and not whole):
            raise InputError(
                f"{run}: {len(found)} checkpoints in checkpoints/, but expected "
                f"{'one' if whole else 'two to train from one to the other; --whole trains from the start'}"
            )
        if whole:
            check_unchanged(from_json(found[0].facts["config"]), found[0].facts.get("start"))
        return found[-1], found[0], tempfile.mkdtemp(prefix="distmlp-verify-")

    start, end, scratch = on_rank_0(comm, prepare)
    try:
        config = with_run_directory(from_json(end.facts["config"]), scratch)
        config = replace(config, run=replace(config.run, trackers=()))  # it is no new run
        train(
            config,
            comm,
            resume="never" if whole else str(start.path),
            report=LogOnly(),
            until=end.facts["step"],
        )
        first = 0 if whole else start.facts["step"]
        return on_rank_0(
            comm,
            lambda: _compared(run, Path(scratch), first, end, checkpoint.find(scratch)[0]),
        )
    finally:
        if comm.rank == 0:
            shutil.rmtree(scratch)


def _compared(run: Path, scratch: Path, first: int, end: Checkpoint, again: Checkpoint) -> Verdict:
    logged = {record["step"]: record["v_sha256"] for record in read_records(scratch / "log.jsonl")}
    pairs = [
        (record["step"], record["v_sha256"], logged[record["step"]])
        for record in read_records(run / "log.jsonl")
        if record["step"] in logged and first < record["step"] <= end.facts["step"]
    ]
    for then, now in (
        (end.v, again.v),
        *((end.arrays[name], again.arrays[name]) for name in end.arrays),
    ):
        pairs.append((end.facts["step"], checkpoint.v_sha256(then), checkpoint.v_sha256(now)))
    differing = next((pair for pair in pairs if pair[1] != pair[2]), None)
    return Verdict(first, end.facts["step"], len(pairs), differing)
