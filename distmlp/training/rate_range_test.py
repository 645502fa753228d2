"""The learning-rate range test: a rate that grows from step to step, and what the cost makes of it.

L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", arXiv:1506.01186, section 3.3.
"""

from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from distmlp.config.sections import Config
from distmlp.errors import InputError, RankFault
from distmlp.mathematics import exact, exact_costs
from distmlp.mathematics.elementary import exp, log
from distmlp.mathematics.schedules import RunningProduct
from distmlp.parallel import progress
from distmlp.parallel.communicator import Communicator
from distmlp.training.preparation import Prepared, prepare
from distmlp.training.reporting import Silent
from distmlp.training.resuming import new_state

#: What the smoothed cost keeps of itself from step to step.
_KEPT = 0.95

#: The test ends where the smoothed cost is so many times the lowest one before.
_BLOWN_UP = 4.0

#: The first part of the steps, in which the smoothed cost is still that of a few batches.
_UNSETTLED = 0.1


@dataclass(frozen=True)
class RateTest:
    """What the steps have shown, one entry each; the same bits at any rank count.

    costs: of a step's batch, before its update with the rate; smoothed: an exponential average of them.
    end: why there are no more, "steps", "cost" where it has grown fourfold, or "not finite".
    """

    rates: list[float]
    costs: list[float]
    smoothed: list[float]
    end: str

    @property
    def lowest(self) -> int | None:
        """The step with the lowest smoothed cost; None where there is no step after the first few."""
        first = int(_UNSETTLED * len(self.smoothed))
        settled = self.smoothed[first:]
        return first + settled.index(min(settled)) if settled else None

    @property
    def steepest(self) -> int | None:
        """The step before the lowest where the smoothed cost falls most by factor of the rate; None where it never falls."""
        if self.lowest is None:
            return None
        first = max(1, int(_UNSETTLED * len(self.smoothed)))
        falls = [
            (self.smoothed[i + 1] - self.smoothed[i - 1], i)
            for i in range(first, min(self.lowest, len(self.smoothed) - 1))
        ]
        fall, i = min(falls, default=(0.0, 0))
        return i if fall < 0 else None

    @property
    def suggestion(self) -> float | None:
        """The rate where the cost falls most steeply; None where it never falls."""
        return None if self.steepest is None else self.rates[self.steepest]

    @property
    def tenth_of_lowest(self) -> float | None:
        """A tenth of the rate with the lowest cost, a second choice; None where the cost never falls."""
        if self.lowest is None or self.suggestion is None:
            return None
        return self.rates[self.lowest] / 10.0


def find_rates(
    config: Config, comm: Communicator, least: float, most: float, steps: int, report: Silent
) -> RateTest:
    """Takes steps from the config's first v with rates that grow evenly by factor from least to most; collective.

    The config's own rate and schedule are not used.  Nothing is written.  Raises InputError.
    """
    if config.optimizer.name == "lbfgs":
        raise InputError(
            'optimizer.name is "lbfgs", whose line search finds the length of each step: there is no rate to find'
        )
    with ExitStack() as stack:
        stack.enter_context(
            np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore")
        )
        run = prepare(config, comm, report, None, stack, resume="never")
        return _tested(run, least, exp((log(most) - log(least)) / (steps - 1)), steps, stack)


def _tested(run: Prepared, least: float, growth: float, steps: int, stack: ExitStack) -> RateTest:
    state, step, product = new_state(run), run.step(run.comm), RunningProduct()
    feed = run.feed(run.shards_of(run.comm.rank))
    stack.callback(feed.close)
    rates: list[float] = []
    costs: list[float] = []
    smoothed: list[float] = []
    average, weight = 0.0, 1.0
    for number in range(steps):
        alpha = product.value(least, growth, number)
        try:
            grid = step.gradient(state, feed.step(*divmod(number, run.steps_per_epoch)))
        except exact.NotFinite:
            return RateTest(rates, costs, smoothed, "not finite")
        except InputError as error:  # this rank alone cannot read them
            raise RankFault(str(error)) from None
        step.update(state, grid, alpha)
        progress.made()
        cost = exact_costs.mean_cost(state.totals)
        state.totals = exact_costs.no_totals()
        average, weight = _KEPT * average + (1.0 - _KEPT) * cost, weight * _KEPT
        rates.append(alpha)
        costs.append(cost)
        smoothed.append(average / (1.0 - weight))
        if smoothed[-1] > _BLOWN_UP * max(min(smoothed), 0.0):
            return RateTest(rates, costs, smoothed, "cost")
    return RateTest(rates, costs, smoothed, "steps")
