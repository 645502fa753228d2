"""What training changes, in one place: v, the optimizer's numbers, and how far the run has come."""

from dataclasses import dataclass, field

import numpy as np

from distmlp.mathematics import exact, exact_costs
from distmlp.runs.checkpoint import AVERAGE
from distmlp.training.best_epoch import Progress


@dataclass
class State:
    """All that training changes: equal on every rank, bit for bit, whenever no step is under way.

    v: (k,).  arrays, scalars: the optimizer's.  grid: of the next step's sums, None before the first.
    step: steps done since the start.  totals: of the epoch under way.  last_cost: of the epoch
    before; last_change: |that cost − the cost before it|; least_change: the smallest one before that; each None
    until there is one.  shown: what the epochs have shown.  stop: why the run is to stop after the last step, ""
    where it is not.  save: whether a rank asked for a checkpoint in it.  record: the last epoch's line of the log, None until an epoch has ended;
    ranks may differ in what its clock says.
    """

    v: np.ndarray
    arrays: dict[str, np.ndarray]
    scalars: dict[str, float]
    grid: exact.Grid | None = None
    step: int = 0
    totals: np.ndarray = field(default_factory=exact_costs.no_totals)
    last_cost: float | None = None
    last_change: float | None = None
    shown: Progress = field(default_factory=Progress)
    least_change: float | None = None
    stop: str = ""
    save: bool = False
    record: dict | None = None

    @property
    def evaluated(self) -> np.ndarray:
        """The v that is evaluated: the average, where there is one."""
        return self.arrays.get(AVERAGE, self.v)

    @property
    def is_settled(self) -> bool:
        """Whether nothing has been added up since the last epoch was put on record."""
        return not self.totals.any()

    @property
    def progress(self) -> tuple[int, bool]:
        """How far the state is, for comparing: the step, and whether its epoch is on record."""
        return self.step, self.is_settled

    def end_epoch(
        self, record: dict, least_improvement: float = 0.0, plateau: int | None = None
    ) -> None:
        """Keeps the record and the cost of the epoch that has ended; the totals begin anew.

        least_improvement, plateau: see `Progress.after`.
        """
        if self.last_change is not None:
            before = [] if self.least_change is None else [self.least_change]
            self.least_change = min([self.last_change, *before])
        cost = record["cost"]
        self.last_change = None if self.last_cost is None else abs(cost - self.last_cost)
        self.last_cost = cost
        self.totals = exact_costs.no_totals()
        self.shown = self.shown.after(record, least_improvement, plateau)
        self.record = record

    def become(self, other: "State") -> None:
        """Takes on all that is in a second state."""
        vars(self).update(vars(other))
