"""Finding wrong bits: ranks compare their states, and one rank computes again a part of another's.

All ranks hold the same state between steps.  A rank whose state differs is therefore at fault.
"""

import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from distmlp.data.feed import MicroBatches
from distmlp.errors import Corrupted
from distmlp.mathematics.exact import Grid
from distmlp.parallel.communicator import Communicator, SingleProcess
from distmlp.training.preparation import Prepared
from distmlp.training.resuming import last_good_state
from distmlp.training.saving import Saver
from distmlp.training.state import State
from distmlp.training.step import Step

#: Wrong bits that a run repairs before it takes the machine for broken and stops.
MOST_REPAIRS = 5


def digest(state: State) -> int:
    """CRC-32 of all that decides what happens next; one flipped bit anywhere changes it."""
    crc = zlib.crc32(state.v.data)
    for name in sorted(state.arrays):
        crc = zlib.crc32(state.arrays[name].data, crc)
    grid = state.grid and state.grid.exponents
    rest = (
        sorted(state.scalars.items()),
        grid,
        state.step,
        state.totals.tolist(),
        state.last_cost,
        state.last_change,
        state.shown,
        state.least_change,
    )
    return zlib.crc32(repr(rest).encode(), crc)


def odd_ones_out(state: State, comm: Communicator) -> list[int] | None:
    """The ranks whose state is not the majority's; None where there is no majority.  Collective."""
    mine = digest(state)
    both = np.array([mine, -mine], np.int64)
    comm.max(both)
    if both[0] == -both[1]:
        return []
    found = comm.all_gather(mine)
    common, count = Counter(found).most_common(1)[0]
    if 2 * count <= len(found):
        return None
    return [rank for rank, other in enumerate(found) if other != common]


class Auditor:
    """Looks for wrong bits as often as the config says, and repairs what can be repaired."""

    def __init__(self, run: Prepared, saver: Saver) -> None:
        self._run, self._saver = run, saver
        self._repairs = 0

    def compares(self, state: State) -> bool:
        """Whether states are to be compared now, though no checkpoint is due."""
        every = self._run.config.run.check_every
        return bool(every) and state.step % every == 0

    def repair(self, state: State) -> bool:
        """Compares the ranks' states, and returns whether all went back to the last good one.

        A wrong bit in one rank's state has been in its gradients since it flipped, and so in every
        rank's v.  The last checkpoint is right, since states are compared before they are saved.
        Raises Corrupted where the config says so, and where no majority tells what is right.
        """
        run, saver = self._run, self._saver
        odd = odd_ones_out(state, run.comm)
        if odd == []:
            return False
        saver.wait()
        hosts = run.comm.hosts
        if odd is None:
            raise Corrupted(
                f"the ranks' states differ at step {state.step}, and with {run.comm.size} ranks on "
                f"{', '.join(sorted(set(hosts)))} no majority tells which is wrong; "
                f"{saver.last_good()}"
            )
        names = ", ".join(
            f"rank {rank} on {hosts[rank]} (process {run.comm.pids[rank]})" for rank in odd
        )
        fault = (
            f"{names}: a state different from the other ranks' at step {state.step}; "
            "a bit has flipped there"
        )
        self._repairs += 1
        if run.config.run.on_corruption == "stop" or self._repairs > MOST_REPAIRS:
            raise Corrupted(f"{fault}; {saver.last_good()}")
        record = state.record
        state.become(last_good_state(run))
        state.record = record
        saver.went_back(state)
        run.report.warn(f"{fault}; all go back to step {state.step}")
        run.report.start(run.directory.log, state.step, run.last_step)
        return True

    def gradient(
        self, step: Step, state: State, batches: Iterable[MicroBatches], stop: int, save: bool
    ) -> Grid | None:
        """What `Step.gradient` returns; where an audit is due, a second rank checks the sum.

        A wrong sum is made again, once.  Raises Corrupted where it is wrong again.
        """
        every, size = self._run.config.run.audit_every, self._run.comm.size
        step.audited = bool(every) and state.step % every == 0 and size > 1
        grid = step.gradient(state, batches, stop, save)
        if not step.audited:
            return grid
        fault = self._audit(step, state, grid)
        if fault is None:
            return grid
        self._run.report.warn(f"{fault}; the step is done again")
        grid = step.gradient(state, batches, stop, save)
        fault = self._audit(step, state, grid)
        if fault is None:
            return grid
        raise Corrupted(
            f"{fault}, twice: replace or leave out the faulty machine; {self._saver.last_good()}"
        )

    def _audit(self, step: Step, state: State, grid: Grid | None) -> str | None:
        """What is wrong with one rank's part of this step's sum, which a second rank computes too."""
        run, comm = self._run, self._run.comm
        busy = min(comm.size, run.sharding.count)
        victim = state.step // run.config.run.audit_every % busy
        auditor = (victim + 1) % comm.size
        again = _contribution_of(victim, run, state, grid) if comm.rank == auditor else None
        found = comm.all_gather((step.contribution, again))
        if found[victim][0] == found[auditor][1]:
            return None
        return (
            f"rank {victim} on {comm.hosts[victim]} added up another gradient at step "
            f"{state.step + 1} than rank {auditor} on {comm.hosts[auditor]} gets for the same "
            "micro-batches"
        )


def _contribution_of(rank: int, run: Prepared, state: State, grid: Grid | None) -> int | None:
    """The checksum of what a rank must add up in this step, computed here."""
    shards = run.shards_of(rank)
    feed = run.feed(shards)
    try:
        step = run.step(SingleProcess())
        step.audited = True
        place = divmod(state.step, run.steps_per_epoch)
        step.gradient(replace(state, grid=grid), feed.step(*place))
        return step.contribution
    finally:
        feed.close()
