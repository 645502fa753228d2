"""The parts of a page of HTML: its style in light and dark, tables, and figures in the page's colours."""

from html import escape

from distmlp.results.figures import style
from distmlp.results.figures.style import Drawing

#: Labels, and what is said of them.
Rows = list[tuple[str, str]]

_CSS = """
:root { color-scheme: light dark; --page: #fdfdfc; --ink: #1b1c1e; --quiet: #5b5f66; --faint: #d9dbde; --card: #f3f4f5;
  --on-dark: #fdfdfc; --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #cc79a7; --c4: #56b4e9; --c5: #e69f00; }
@media (prefers-color-scheme: dark) { :root { --page: #16181b; --ink: #e8e9ea; --quiet: #a2a8b0; --faint: #393d43;
  --card: #202327; --on-dark: #0e1012; --c0: #56b4e9; --c1: #ff8f4d; --c2: #3cc79b; --c3: #e3a0c6; --c4: #8fd0f5; --c5: #f2bd4e; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.7rem; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
header p { margin: .3rem 0 1rem; color: var(--quiet); overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .6rem; margin: 0; }
.tiles div { background: var(--card); border-radius: .5rem; padding: .6rem .8rem; }
.tiles dt { font-size: .8rem; color: var(--quiet); } .tiles dd { margin: 0; font-size: 1.25rem; font-weight: 600; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 1rem; }
figure { margin: 0; min-width: 0; } figure svg { display: block; width: 100%; height: auto; }
figure svg text { font-family: inherit !important; }
figure svg image { image-rendering: pixelated; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(7rem, 9rem)); gap: .5rem; }
.pictures svg image { background: #fff; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .88rem; width: 100%; }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--faint); vertical-align: top;
  overflow-wrap: anywhere; min-width: 5.5rem; font-variant-numeric: tabular-nums; }
th { font-weight: 600; color: var(--quiet); overflow-wrap: normal; }
pre { background: var(--card); border-radius: .5rem; padding: .8rem; overflow-x: auto; font-size: .82rem; line-height: 1.4; }
code { overflow-wrap: anywhere; font-size: .9em; } summary { cursor: pointer; padding: .4rem 0; }
@media print { :root { --page: #fff; --card: #fff; } section, figure { break-inside: avoid; } pre { white-space: pre-wrap; } }
"""

#: How large an inch of a figure is at most.
_REM_PER_INCH = 6.8

# Nothing is fetched, and no script runs, even if a name in a run tried to.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def whole(title: str, line: str, head: str, sections: list[str]) -> str:
    """A page: its title, a line below it, what stands at the head, and its sections."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)} – distmlp</title><link rel="icon" href="data:,">'
        f"<style>{_CSS}</style></head><body><main><header><h1>{escape(title)}</h1>"
        f"<p>{escape(line)}</p></header>{head}\n{''.join(sections)}</main></body></html>\n"
    )


def tiles(rows: Rows) -> str:
    """A few numbers, large."""
    cells = "".join(f"<div><dt>{escape(a)}</dt><dd>{escape(b)}</dd></div>" for a, b in rows)
    return f'<dl class="tiles">{cells}</dl>'


def section(title: str, body: str) -> str:
    """A titled part of the page."""
    return f"<section><h2>{escape(title)}</h2>{body}</section>\n"


def table(head: list[str] | None, rows: list[list[str]]) -> str:
    """A table, which scrolls where the page is too narrow.

    Without a head the first column has the labels.  The last cell of a row that is shorter than the head spans the rest.
    """
    top = ""
    if head is not None:
        top = f"<thead><tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr></thead>"
    body = "".join(f"<tr>{_cells(row, head)}</tr>" for row in rows)
    return f'<div class="wide"><table>{top}<tbody>{body}</tbody></table></div>'


def _cells(row: list[str], head: list[str] | None) -> str:
    kinds = ["td"] * len(row)
    if head is None:
        kinds[0] = "th"
    rest = len(head) - len(row) + 1 if head is not None else 1
    spans = [""] * (len(row) - 1) + [f" colspan='{rest}'" if rest > 1 else ""]
    return "".join(
        f"<{kind}{span}>{escape(cell)}</{kind}>"
        for kind, span, cell in zip(kinds, spans, row, strict=True)
    )


def figures(
    panels: list[tuple[str, Drawing, str]],
    size: tuple[float, float] = (5.0, 3.4),
    kind: str = "figures",
) -> str:
    """Panels beside each other, below each other where the page is narrow.

    panels: (a name that no other figure on the page has, what draws it, words for those who do not see it).  size: of
    each, in inches.
    """
    widest = f"{_REM_PER_INCH * size[0]:g}rem"  # so that letters are as large in every figure
    shown = "".join(
        f"<figure style='max-width: {widest}'>{style.inline_svg(style.drawn([drawing], 1, size), name, words)}</figure>"
        for name, drawing, words in panels
    )
    return f'<div class="{kind}">{shown}</div>'
