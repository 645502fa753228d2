"""A line search for the strong Wolfe conditions: from one cost and slope along a direction to the next step to try.

    C(v + t d) ≤ C(v) + c₁ t C'(v),    |C'(v + t d)| ≤ c₂ |C'(v)|

with C' the slope along d, and t > 0.  (Nocedal and Wright, Numerical Optimization, 2006, section 3.5, with the cubic
steps of Moré and Thuente, ACM TOMS 20, 1994.)  All of a search's state are numbers, so it can be left and gone on with
between any two evaluations.
"""

import math
from dataclasses import asdict, dataclass, fields, replace

#: c₁ and c₂: the least decrease, and the part of the slope that may be left.  c₂ is the usual one of quasi-Newton methods.
DECREASE, CURVATURE = 1e-4, 0.9
#: Evaluations after which a search has failed.
MOST = 20
#: While no minimum is bracketed: how far beyond the last step the next may be, in last steps' differences.
NEAREST, FARTHEST = 1.1, 4.0
#: In a bracket: the part of it that a step keeps away from its ends, and by which it must shrink in two evaluations.
MARGIN, SHRINK = 0.1, 0.66


@dataclass(frozen=True)
class Search:
    """A search under way.

    cost, slope: at t = 0.  low: the best t so far that meets the first condition, with its cost and slope.  high: the other
    end of the bracket, 0 where there is none yet.  trial: the t to be tried.  tried: evaluations so far.  width, before:
    the bracket's length an evaluation ago and two ago, 0 where there was none.
    """

    cost: float = 0.0
    slope: float = 0.0
    low: float = 0.0
    low_cost: float = 0.0
    low_slope: float = 0.0
    high: float = 0.0
    high_cost: float = 0.0
    high_slope: float = 0.0
    bracketed: float = 0.0
    trial: float = 0.0
    tried: float = 0.0
    width: float = 0.0
    before: float = 0.0

    @staticmethod
    def begun(cost: float, slope: float, trial: float) -> "Search":
        """A search from a point with a cost and a slope below 0, whose first step is given."""
        return Search(cost, slope, 0.0, cost, slope, trial=trial)

    @staticmethod
    def of(numbers: dict[str, float]) -> "Search":
        """The search that is kept among some numbers."""
        return Search(**{f.name: numbers[f.name] for f in fields(Search)})

    def numbers(self) -> dict[str, float]:
        """What `of` makes a search of."""
        return asdict(self)

    def meets(self, cost: float, slope: float) -> bool:
        """Whether the trial, with this cost and slope, meets both conditions."""
        return self._decreases(cost) and abs(slope) <= -CURVATURE * self.slope

    def _decreases(self, cost: float) -> bool:
        return cost <= self.cost + DECREASE * self.trial * self.slope

    def after(self, cost: float, slope: float) -> "Search | None":
        """The search with its next trial, once the last one had this cost and slope; None where it has failed."""
        here = self.trial
        if not self._decreases(cost) or cost >= self.low_cost:
            found = self._with_high(here, cost, slope)
        else:
            # the minimum lies between this trial and the end that the slope points to
            turned = slope * ((self.high if self.bracketed else math.inf) - self.low) >= 0
            found = self._with_high(self.low, self.low_cost, self.low_slope) if turned else self
            found = replace(found, low=here, low_cost=cost, low_slope=slope)
        found = replace(found, tried=self.tried + 1)
        trial = found._inside() if found.bracketed else found._beyond(self)
        if found.tried >= MOST or trial == found.low or not math.isfinite(trial):
            return None
        if found.bracketed:
            found = replace(found, before=found.width, width=abs(found.high - found.low))
        return replace(found, trial=trial)

    def _with_high(self, high: float, cost: float, slope: float) -> "Search":
        return replace(self, high=high, high_cost=cost, high_slope=slope, bracketed=1.0)

    def _inside(self) -> float:
        """The next trial in the bracket: the cubic's minimum, or the middle where that lies near an end or shrinks too little."""
        low, length = self.low, self.high - self.low
        middle = low + 0.5 * length
        if self.before and abs(length) > SHRINK * self.before:
            return middle
        found = _minimum(
            low, self.low_cost, self.low_slope, self.high, self.high_cost, self.high_slope
        )
        if found is None:
            return middle
        nearest, farthest = sorted((low + MARGIN * length, self.high - MARGIN * length))
        return min(max(found, nearest), farthest)

    def _beyond(self, last: "Search") -> float:
        """The next trial where the cost still falls at the last: the cubic's minimum, within limits."""
        step = self.low - last.low
        nearest, farthest = self.low + NEAREST * step, self.low + FARTHEST * step
        found = _minimum(
            last.low, last.low_cost, last.low_slope, self.low, self.low_cost, self.low_slope
        )
        if found is None or found <= self.low:
            return farthest
        return min(max(found, nearest), farthest)


def _minimum(
    a: float, f: float, f_slope: float, b: float, g: float, g_slope: float
) -> float | None:
    """Where the cubic through two points, with these slopes there, has its minimum; None where it has none.

    (Nocedal and Wright, equation 3.59.)
    """
    if a == b:
        return None
    d = f_slope + g_slope - 3.0 * (f - g) / (a - b)
    under = d * d - f_slope * g_slope
    if not under >= 0.0:
        return None
    root = math.copysign(math.sqrt(under), b - a)
    below = g_slope - f_slope + 2.0 * root
    if below == 0.0:
        return None
    return b - (b - a) * (g_slope + root - d) / below
