"""The best epoch so far by the metric that is watched, and how long it has been the best.

All of it follows from records of epochs, whose metrics are the same bits on every rank; so every rank decides alike.
"""

from dataclasses import dataclass, field, replace

#: Metrics of a record of which less is better; of all others more is.
LOWER_IS_BETTER = {
    *("cost", "validation_cost", "log_loss", "brier", "rmse", "mae", "largest_error"),
}


@dataclass(frozen=True)
class Tracked:
    """The best value of a metric: None before the first epoch.

    step: the step that it was reached at.  waited: epochs that have ended since, none of which was better.
    """

    value: float | None = None
    step: int = 0
    waited: int = 0

    def after(self, value: float | None, step: int, least: float, higher: bool) -> "Tracked":
        """The same after one more epoch, whose value counts as better where it is so by more than `least`.

        A NaN is never better, nor is None, a metric that has no meaning for the epoch's outputs.
        """
        if value is None:
            better = False
        elif self.value is None:
            better = value == value
        else:
            better = value > self.value + least if higher else value < self.value - least
        if better:
            return Tracked(value, step)
        return Tracked(self.value, self.step, self.waited + 1)


@dataclass(frozen=True)
class Progress:
    """What the epochs so far have shown.

    metric: the name in the records, "" where none is watched.  best: of all epochs.  patience: the same, where an
    improvement must be of some size to count.  longest: the most epochs that had been waited for one at the end of an epoch
    before the last.  plateau: as patience, but its epochs are counted anew after each of the reductions of the learning
    rate.
    """

    metric: str = ""
    best: Tracked = field(default_factory=Tracked)
    patience: Tracked = field(default_factory=Tracked)
    longest: int = 0
    plateau: Tracked = field(default_factory=Tracked)
    reductions: int = 0

    def after(self, record: dict, least: float, wait: int | None = None) -> "Progress":
        """The progress once an epoch is on record; least: the improvement that patience waits for.

        wait: epochs without such an improvement after which the learning rate is reduced; None is never.
        """
        if not self.metric:
            return self
        value, step, higher = (
            record[self.metric],
            record["step"],
            self.metric not in LOWER_IS_BETTER,
        )
        plateau, reductions = self.plateau, self.reductions
        if wait is not None:
            plateau = plateau.after(value, step, least, higher)
            if plateau.waited >= wait:
                plateau, reductions = replace(plateau, waited=0), reductions + 1
        return Progress(
            self.metric,
            self.best.after(value, step, 0.0, higher),
            self.patience.after(value, step, least, higher),
            max(self.longest, self.patience.waited),
            plateau,
            reductions,
        )

    def facts(self) -> dict:
        """What a checkpoint keeps of it."""
        return {
            "metric": self.metric,
            "best": [self.best.value, self.best.step, self.best.waited],
            "patience": [self.patience.value, self.patience.step, self.patience.waited],
            "longest": self.longest,
            "plateau": [self.plateau.value, self.plateau.step, self.plateau.waited],
            "reductions": self.reductions,
        }


def progress_of(facts: dict | None, metric: str) -> Progress:
    """The progress that a checkpoint keeps; a new one where it kept none, or watched a different metric."""
    if facts is None or facts["metric"] != metric:
        return Progress(metric)
    patience = Tracked(*facts["patience"])
    # Checkpoints of before it was kept are known to have waited for the last improvement only.
    longest = facts.get("longest", max(0, patience.waited - 1))
    plateau, reductions = Tracked(*facts.get("plateau", [])), facts.get("reductions", 0)
    return Progress(metric, Tracked(*facts["best"]), patience, longest, plateau, reductions)
