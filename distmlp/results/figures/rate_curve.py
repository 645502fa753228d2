"""The curve of a learning-rate range test."""

from typing import TYPE_CHECKING

from distmlp.results.figures.style import COLORS, INK, Drawing
from distmlp.training.rate_range_test import RateTest

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def drawing_of(test: RateTest) -> Drawing:
    """Costs by rate, each step's and the smoothed ones, and the rates that are suggested."""

    def draw(ax: "Axes") -> None:
        ax.plot(test.rates, test.costs, color=COLORS[4], linewidth=0.6, label="each step")
        ax.plot(test.rates, test.smoothed, color=COLORS[0], label="smoothed")
        ax.set_xscale("log")
        least, first = min(test.smoothed), test.smoothed[0]
        room = 0.5 * abs(first - least)
        ax.set_ylim(least - room, max(first, least) + 2 * room + 1e-12)
        for rate, words, dashes in (
            (test.suggestion, "steepest fall", "-"),
            (test.tenth_of_lowest, "a tenth of the lowest", "--"),
        ):
            if rate is not None:
                ax.axvline(rate, color=INK, linewidth=0.9, linestyle=dashes, label=words)
        ax.set_title("Cost by learning rate")
        ax.set_xlabel("learning rate")
        ax.legend(loc="lower left")

    return draw
