"""What a set says of a network: the confusion matrix, predicted against true numbers, residuals, the worst samples."""

from typing import TYPE_CHECKING

import numpy as np

from distmlp.results.figures.style import COLORS, INK, ON_DARK, Drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Classes whose cells are drawn one by one, and whose numbers are written.
_MOST_CELLS, _MOST_NUMBERS = 40, 20
#: Points that are drawn as shapes; more become a picture, which is smaller.
_MOST_SHAPES = 1500


def confusion(matrix: list[list[int]], names: list[str]) -> Drawing:
    """Rows are actual classes and columns predicted ones; a cell's shade is its share of its row."""
    counts = np.array(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    def draw(ax: "Axes") -> None:
        from matplotlib.patches import Rectangle

        k = len(counts)
        if k > _MOST_CELLS:
            ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        else:
            for i, j in zip(*np.nonzero(counts), strict=True):
                shade = 0.12 + 0.88 * float(shares[i, j])
                place = (j - 0.48, i - 0.48)
                ax.add_patch(Rectangle(place, 0.96, 0.96, color=COLORS[0], alpha=shade, lw=0))
                if k <= _MOST_NUMBERS:
                    color = ON_DARK if shade > 0.55 else INK
                    size = 9 if k <= 12 else 7
                    ax.text(
                        j, i, str(counts[i, j]), ha="center", va="center", color=color, size=size
                    )
        ax.set(xlim=(-0.5, k - 0.5), ylim=(k - 0.5, -0.5), aspect="equal")
        if k <= _MOST_CELLS:
            turned = 90 if max(map(len, names)) > 3 else 0
            ax.set_xticks(range(k), names, rotation=turned)
            ax.set_yticks(range(k), names)
        ax.grid(False)
        ax.set(xlabel="predicted", ylabel="actual", title="Confusion matrix")

    return draw


def parity(y: np.ndarray, a: np.ndarray, name: str) -> Drawing:
    """Predicted against true, (n,) each, of one output; the line is where they are equal."""

    def draw(ax: "Axes") -> None:
        _points(ax, y, a)
        low, high = float(min(y.min(), a.min())), float(max(y.max(), a.max()))
        ax.plot([low, high], [low, high], color=INK, linewidth=0.9, linestyle=(0, (4, 2)))
        ax.set(xlabel="true", ylabel="predicted", title=f"{name}: predicted against true")

    return draw


def residuals(y: np.ndarray, a: np.ndarray, name: str) -> Drawing:
    """Predicted − true against predicted, (n,) each, of one output."""

    def draw(ax: "Axes") -> None:
        _points(ax, a, a - y)
        ax.axhline(0, color=INK, linewidth=0.9, linestyle=(0, (4, 2)))
        ax.set(xlabel="predicted", ylabel="predicted − true", title=f"{name}: residuals")

    return draw


def histogram(y: np.ndarray, a: np.ndarray, name: str) -> Drawing:
    """How often each residual occurs, of one output."""

    def draw(ax: "Axes") -> None:
        count = min(40, max(8, int(np.sqrt(len(y)))))
        ax.hist(a - y, bins=count, color=COLORS[0], alpha=0.85)
        ax.grid(axis="x", visible=False)
        ax.set(xlabel="predicted − true", ylabel="samples", title=f"{name}: spread of residuals")

    return draw


def picture(pixels: np.ndarray, words: str) -> Drawing:
    """One sample as a picture: (height, width) grey values, or (height, width, 3)."""

    def draw(ax: "Axes") -> None:
        grey = pixels if pixels.ndim == 3 else None
        low, high = float(pixels.min()), float(pixels.max())
        shown = (pixels - low) / (high - low if high > low else 1)
        ax.imshow(shown, cmap=None if grey is not None else "gray_r", interpolation="nearest")
        ax.set_axis_off()
        ax.set_title(words, fontsize="large", fontweight="normal", loc="center", pad=4)

    return draw


def _points(ax: "Axes", x: np.ndarray, y: np.ndarray) -> None:
    many = len(x) > _MOST_SHAPES
    size, alpha = (6, 0.35) if many else (14, 0.55)
    ax.scatter(x, y, s=size, color=COLORS[0], alpha=alpha, linewidths=0, rasterized=many)
