"""Schedules: α, the learning rate, of each step.

With t units done (epochs or steps) of T in all, of which a warm-up's steps are taken away first:

| name        | α(t)                                                                                  |
|-------------|---------------------------------------------------------------------------------------|
| constant    | α                                                                                     |
| linear      | α (1 − t/T)                                                                           |
| exponential | α decay^t                                                                             |
| step        | α decay^k, k milestones passed, or k = ⌊t/period⌋                                     |
| polynomial  | least + (α − least) (1 − t/T)^power                                                   |
| cosine      | least + (α − least) (1 + cos πx)/2, x the part done of a cycle, or of T                |
| one-cycle   | up from start·α to α until t = rise·T − 1, then down to least until T − 1, as a cosine |
| plateau     | α decay^k, at least `least`, k the reductions so far                                  |

Cosine with restarts: Loshchilov and Hutter, arXiv:1608.03983, eq. 5.  One-cycle: Smith and Topin, arXiv:1708.07120.
Everything is computed in float64 by operations that docs/arithmetic.md writes down.
"""

from dataclasses import dataclass, field

from distmlp.mathematics.elementary import cosine_of_half_turns, power


class RunningProduct:
    """start · factor^n, one multiplication after another: pow()'s last bit depends on the machine's libm.

    It goes on from the last n that was asked for, so that a step costs one multiplication.
    """

    def __init__(self) -> None:
        self._of = (0.0, 0.0)
        self._n, self._value = 0, 0.0

    def value(self, start: float, factor: float, n: int) -> float:
        """The product with n factors."""
        if self._of != (start, factor) or n < self._n:
            self._of, self._n, self._value = (start, factor), 0, start
        while self._n < n:
            if self._value == 0.0 or factor == 1.0:
                self._n = n
                break
            self._value *= factor
            self._n += 1
        return self._value


@dataclass(frozen=True)
class Schedule:
    """α of each step of a training.

    steps: of the whole training; steps_per_epoch: of an epoch.  by_step: whether a unit is a step and not an epoch.
    warmup: the steps in which α rises evenly from `start` α.  What else there is: the module's table.
    """

    name: str
    alpha: float
    steps: int
    steps_per_epoch: int
    by_step: bool = False
    decay: float = 1.0
    milestones: tuple[int, ...] = ()
    period: int = 0
    period_growth: int = 1
    power: float = 1.0
    least: float = 0.0
    rise: float = 0.3
    start: float = 0.04
    warmup: int = 0
    product: RunningProduct = field(default_factory=RunningProduct, compare=False, repr=False)
    #: The rate of the unit that was last asked for.
    known: dict[tuple[int, int], float] = field(default_factory=dict, compare=False, repr=False)

    def rate(self, step: int, reductions: int = 0) -> float:
        """α of a step (0, 1, …); reductions: how often a plateau has reduced it by now."""
        if step < self.warmup:
            alpha = self._after_the_warmup(0, reductions)
            return alpha * (self.start + (1.0 - self.start) * (step / self.warmup))
        return self._after_the_warmup(step - self.warmup, reductions)

    def _after_the_warmup(self, step: int, reductions: int) -> float:
        unit = 1 if self.by_step else self.steps_per_epoch
        of = step // unit, reductions
        if of not in self.known:
            self.known.clear()
            self.known[of] = self._of_unit(*of, max(1, -(-(self.steps - self.warmup) // unit)))
        return self.known[of]

    def _of_unit(self, t: int, reductions: int, T: int) -> float:
        match self.name:
            case "linear":
                return self.alpha * (1.0 - t / T)
            case "exponential":
                return self._decayed(t)
            case "step":
                passed = sum(milestone <= t for milestone in self.milestones)
                return self._decayed(t // self.period if self.period else passed)
            case "polynomial":
                return self.least + (self.alpha - self.least) * power(1.0 - t / T, self.power)
            case "cosine":
                return annealed(self.alpha, self.least, self._part_of_cycle(t, T))
            case "one-cycle":
                return self._one_cycle(t, T)
            case "plateau":
                return max(self._decayed(reductions), min(self.least, self.alpha))
            case _:
                return self.alpha

    def _decayed(self, n: int) -> float:
        return self.product.value(self.alpha, self.decay, n)

    def _part_of_cycle(self, t: int, T: int) -> float:
        """How much of its cycle a unit has behind it; the cycles have the lengths period, period · growth, …"""
        if not self.period:
            return t / T
        begins, length = 0, self.period
        if self.period_growth == 1:
            begins = t // length * length
        while t >= begins + length:
            begins, length = begins + length, length * self.period_growth
        return (t - begins) / length

    def _one_cycle(self, t: int, T: int) -> float:
        peak, last = self.rise * T - 1.0, T - 1.0
        if t < peak:
            return annealed(self.start * self.alpha, self.alpha, t / peak)
        begins = max(peak, 0.0)
        part = (t - begins) / (last - begins) if last > begins else 0.0
        return annealed(self.alpha, self.least, part)


def annealed(begin: float, end: float, part: float) -> float:
    """From one rate to another along half a wave of the cosine; part: how much of it is done, 0 … 1."""
    return end + (begin - end) * (0.5 * (1.0 + cosine_of_half_turns(part)))
