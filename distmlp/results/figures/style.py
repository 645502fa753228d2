"""How figures look: colours that the colour-blind tell apart, and lines that differ in print too.

matplotlib is imported in functions, so that only what draws needs it.
"""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distmlp import files
from distmlp.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Draws on axes.
Drawing = Callable[["Axes"], None]

#: Of text and axes; of the lines behind; of text on a dark cell.
INK, FAINT, ON_DARK = "#1b1c1e", "#d9dbde", "#fdfdfc"
#: Okabe and Ito's colours, in an order in which neighbours differ in lightness too.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (6, 2, 1, 2)))

FORMATS = ("png", "svg", "pdf")

_SETTINGS: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    # longer numbers share a power of ten, for side by side they would overlap
    "axes.formatter.limits": (-4, 5),
    "axes.formatter.use_mathtext": True,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "svg.hashsalt": "distmlp",
    "pdf.fonttype": 42,
}


@contextmanager
def styled(**more: Any) -> Iterator[None]:
    """matplotlib's settings while figures are made and written.  Raises InputError where it is missing."""
    try:
        import matplotlib
    except ImportError:
        raise InputError(
            'figures need matplotlib, which is not installed: pip install "distmlp[plots]"'
        ) from None
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS | more)
        yield


def drawn(drawings: list[Drawing], columns: int = 2, size: tuple[float, float] = (4.6, 3.3)) -> Any:
    """A figure of panels, so many a row, each of a size in inches; within `styled`."""
    from matplotlib.figure import Figure

    columns = min(columns, len(drawings))
    rows = -(-len(drawings) // columns)
    figure: Figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, drawing in zip(axes, drawings, strict=False):
        drawing(ax)
    for ax in axes[len(drawings) :]:
        ax.remove()
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # else each format that is written moves the axes a little
    return figure


def save(figure: "Figure", path: Path) -> None:
    """Writes a figure in the format of the path's ending; the same figure gives the same bytes.  Raises OSError."""
    ending = path.suffix.removeprefix(".")
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(ending)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=ending, metadata=dates, facecolor="white")
    image = buffer.getvalue()
    files.write(path, _renumbered(image.decode()).encode() if ending == "svg" else image)


def _renumbered(svg: str) -> str:
    """The same SVG, its ids numbered in their order: matplotlib makes some of them of places in memory."""
    found = dict.fromkeys(re.findall(r'\bid="([^"]+)"', svg))
    numbers = {name: f"i{place}" for place, name in enumerate(found)}
    return re.sub(
        r'(\bid="|url\(#|href="#)([^")]+)',
        lambda match: match[1] + numbers.get(match[2], match[2]),
        svg,
    )


def inline_svg(figure: "Figure", name: str, words: str) -> str:
    """A figure as SVG inside of HTML, whose colours are the page's.  words: what it shows, for those who do not see it.

    The page has --ink, --faint, --on-dark and --c0 … --c5.
    """
    from html import escape

    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    head, rest = text.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    assert box is not None  # matplotlib always writes one
    # ids are a page's, and there are several figures on it
    rest = re.sub(r'\bid="', f'id="{name}-', rest)
    rest = re.sub(r'(url\(|xlink:href="|href=")#', rf"\1#{name}-", rest)
    colors = {INK: "ink", FAINT: "faint", ON_DARK: "on-dark"}
    colors |= {color: f"c{place}" for place, color in enumerate(COLORS)}
    for color, variable in colors.items():
        rest = rest.replace(color, f"var(--{variable})")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{box[0]} role="img" aria-label="{escape(words)}">{rest.strip()}'
    )
