"""The documentation site's settings; `launch/docs` builds it, and a warning is an error there."""

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import generated

import distmlp

project = "distmlp"
author = "the distmlp developers"
copyright = author
version = release = distmlp.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["README.md"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
default_role = "code"  # docstrings put names of code in single backticks
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
highlight_language = "none"
nitpicky = False

html_theme = "furo"
html_title = f"distmlp {version}"


_LINK = re.compile(r"\[([^\]]+)\]\((\.\./[^)#\s]+\.md)(#[^)]*)?\)")


def _followed(link: re.Match[str], folder: Path) -> str:
    """A link as the site has it: a page of the project that is no page of the site is named only."""
    docs = Path(__file__).resolve().parent
    there = (folder / link[2]).resolve()
    return link[0] if there.is_relative_to(docs) else f"`{there.relative_to(docs.parent)}`"


def setup(app: Any) -> None:
    """Fills the pages of the reference that are made of the code."""

    def fill(app: Any, name: str, text: list[str]) -> None:
        page = Path(app.srcdir, name).parent
        text[0] = _LINK.sub(lambda link: _followed(link, page), generated.filled(text[0]))

    app.connect("source-read", fill)
