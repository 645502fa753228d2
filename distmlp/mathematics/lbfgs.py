"""L-BFGS: a quasi-Newton method for the whole set as one batch, with a line search for the strong Wolfe conditions.

    v' = v + t d,    d = −H ∇C,    H from the last m pairs s = v' − v and y = ∇C' − ∇C

(Nocedal, Math. Comp. 35, 1980; Liu and Nocedal, Math. Programming 45, 1989.)  Each step of the training is one evaluation
of C and ∇C, at v + t d; v itself changes once the line search has found a t.  So a training can be left, and gone on
with, at any evaluation.  All sums over v's entries are made in one fixed order.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from distmlp.mathematics.line_search import Search
from distmlp.mathematics.optimizers import Mean
from distmlp.mathematics.sums import dot

#: What `ended` says: the largest |∂C/∂v_i| is within the tolerance, or no smaller C was found along −∇C either.
CONVERGED, NO_DECREASE = 1.0, 2.0
_REASONS = {CONVERGED: "converged", NO_DECREASE: "line search"}


@dataclass(frozen=True)
class LBFGS:
    """memory: m, pairs that are kept.  tolerance: the largest |∂C/∂v_i| with which v counts as a minimum."""

    memory: int = 10
    tolerance: float = 1e-5

    @property
    def needs_cost(self) -> bool:
        """Whether a mean must come with its cost."""
        return True

    @property
    def arrays(self) -> tuple[str, ...]:
        """The names of the state arrays: `trial` is v + t d, `gradient` is ∇C at v."""
        pairs = (f"{kind}_{i}" for i in range(self.memory) for kind in ("s", "y"))
        return ("trial", "direction", "gradient", *pairs)

    @property
    def scalars(self) -> dict[str, float]:
        """The state scalars before the first step; pairs: how many have been kept so far."""
        return {"evaluations": 0.0, "pairs": 0.0, "ended": 0.0, **Search().numbers()}

    def advance(self, scalars: dict[str, float]) -> None:
        """Steps the scalars: one more evaluation."""
        scalars["evaluations"] += 1.0

    def point(
        self, v: np.ndarray, arrays: Mapping[str, np.ndarray], scalars: Mapping[str, float]
    ) -> np.ndarray:
        """Where C and ∇C are to be evaluated next, (k,)."""
        return arrays["trial"] if scalars["evaluations"] else v

    def reason_to_end(self, scalars: Mapping[str, float]) -> str:
        """Why there is nothing more to do: "converged", "line search", or "" where there is."""
        return _REASONS.get(scalars["ended"], "")

    def update(
        self,
        v: np.ndarray,
        mean: Mean,
        arrays: Mapping[str, np.ndarray],
        scalars: dict[str, float],
        alpha: float,
    ) -> None:
        """Takes the cost and ∇C at `point` in; v changes where they end a line search.

        alpha: the first t that each search tries, where there are pairs.
        """
        if scalars["ended"]:
            return
        if scalars["evaluations"] == 1.0:
            cost, gradient = _at(v, mean)
            self._begin(v, cost, gradient, arrays, scalars, alpha)
            return
        cost, gradient = _at(arrays["trial"], mean)
        slope = dot(gradient, arrays["direction"])
        search = Search.of(scalars)
        if search.meets(cost, slope):
            self._keep(v, gradient, arrays, scalars)
            np.copyto(v, arrays["trial"])
            self._begin(v, cost, gradient, arrays, scalars, alpha)
            return
        after = search.after(cost, slope)
        if after is not None:
            self._try(v, after, arrays, scalars)
        elif scalars["pairs"]:
            scalars["pairs"] = 0.0
            self._begin(v, search.cost, _wide(arrays["gradient"]), arrays, scalars, alpha)
        else:
            self._end(v, NO_DECREASE, arrays, scalars)

    def _begin(
        self,
        v: np.ndarray,
        cost: float,
        gradient: np.ndarray,
        arrays: Mapping[str, np.ndarray],
        scalars: dict[str, float],
        alpha: float,
    ) -> None:
        """Begins the line search from v, where the cost and ∇C are these; or ends all where v is a minimum."""
        np.copyto(arrays["gradient"], gradient, casting="same_kind")
        if np.abs(gradient).max() <= self.tolerance:
            self._end(v, CONVERGED, arrays, scalars)
            return
        direction = arrays["direction"]
        np.copyto(
            direction,
            downhill(gradient, arrays, int(scalars["pairs"]), self.memory),
            casting="same_kind",
        )
        slope = dot(gradient, direction)
        if not slope < 0.0:
            scalars["pairs"] = 0.0
            np.copyto(direction, -gradient, casting="same_kind")
            slope = dot(gradient, direction)
        length = math.sqrt(dot(direction, direction))
        first = alpha if scalars["pairs"] else alpha * min(1.0, 1.0 / length)
        self._try(v, Search.begun(cost, slope, first), arrays, scalars)

    def _try(
        self,
        v: np.ndarray,
        search: Search,
        arrays: Mapping[str, np.ndarray],
        scalars: dict[str, float],
    ) -> None:
        """v + t d becomes the next point."""
        scalars.update(search.numbers())
        trial = v + search.trial * _wide(arrays["direction"])
        np.copyto(arrays["trial"], trial, casting="same_kind")

    def _end(
        self,
        v: np.ndarray,
        reason: float,
        arrays: Mapping[str, np.ndarray],
        scalars: dict[str, float],
    ) -> None:
        scalars["ended"] = reason
        np.copyto(arrays["trial"], v)

    def _keep(
        self,
        v: np.ndarray,
        gradient: np.ndarray,
        arrays: Mapping[str, np.ndarray],
        scalars: dict[str, float],
    ) -> None:
        """Keeps the pair of the step from v to the trial, where ∇C is `gradient`, in the oldest one's place."""
        s = _wide(arrays["trial"]) - v
        y = gradient - arrays["gradient"]
        if dot(s, y) > np.finfo(v.dtype).eps * dot(y, y):
            place = int(scalars["pairs"]) % self.memory
            np.copyto(arrays[f"s_{place}"], s, casting="same_kind")
            np.copyto(arrays[f"y_{place}"], y, casting="same_kind")
            scalars["pairs"] += 1.0


def downhill(
    gradient: np.ndarray, arrays: Mapping[str, np.ndarray], pairs: int, memory: int
) -> np.ndarray:
    """−H ∇C, (k,) float64, by the two loops over the pairs (Nocedal and Wright, algorithm 7.4).

    pairs: how many have been kept so far, of which the last `memory` are there.
    """
    q, taken = -gradient, []
    for number in range(pairs - 1, max(0, pairs - memory) - 1, -1):  # the newest first
        place = number % memory
        s, y = _wide(arrays[f"s_{place}"]), _wide(arrays[f"y_{place}"])
        curvature = dot(s, y)
        part = dot(s, q) / curvature
        q -= part * y
        taken.append((s, y, curvature, part))
    if taken:
        _, y, curvature, _ = taken[0]
        q *= curvature / dot(y, y)
    for s, y, curvature, part in reversed(taken):
        q += (part - dot(y, q) / curvature) * s
    return q


def _wide(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float64)


def _at(point: np.ndarray, mean: Mean) -> tuple[float, np.ndarray]:
    """The cost and ∇C, (k,) float64, at a point: of the mean, with its penalty ½ λ₂ Σ w²."""
    cost, gradient = mean.cost, _wide(mean.total)
    start = 0
    for part, (factor, end) in enumerate(
        zip(mean.factors.tolist(), mean.ends.tolist(), strict=True)
    ):
        gradient[start:end] *= factor
        l2 = 0.0 if mean.penalties is None else float(mean.penalties[part, 0])
        if l2:
            w = _wide(point[start:end])
            gradient[start:end] += l2 * w
            cost += 0.5 * l2 * dot(w, w)
        start = end
    return cost, gradient
