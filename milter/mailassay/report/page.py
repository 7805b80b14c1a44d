"""The figures as a page of HTML: one file without scripts, with its charts as SVG. ``templates`` has its parts.

Other pages are made of the same parts: ``base.html`` (style and frame), ``charts.html`` and ``tables.html`` (macros),
``figures.html`` (all figures of a span of time), ``reported.html`` (macros about DMARC reports).
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from .. import __version__
from ..terminal import visible
from ..verdict import Action
from . import reported, words
from .figures import PERCENTILES, Figures

_TEMPLATES = Path(__file__).parent / "templates"


def page(figures: Figures) -> str:
    """The page as one file."""
    return environment().get_template("report.html").render(figures=figures)


@cache
def environment(*folders: Path) -> Environment:
    """Renders templates of these folders, and the ones here. Every value is escaped, whoever wrote it."""
    found = Environment(
        loader=FileSystemLoader([*folders, _TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        name: getattr(words, name)
        for name in ("number", "messages", "share", "seconds", "age", "day", "period", "times", "place", "counts")
    }
    found.filters["in_path"] = _in_path
    found.globals |= {
        "actions": words.ACTIONS,
        "Action": Action,
        "words": words,
        "reported": reported,
        "percentiles": PERCENTILES,
    }
    found.globals |= {"version": __version__, "style_hash": _style_hash}
    return found


def _in_path(text: str) -> str:
    """A text as one part of a path, or of a query."""
    return quote(text, safe="", errors="replace")


def _shown(value: Any) -> Any:
    """Text in which everything can be seen: nothing changes the order of other text. Our own markup stays."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _style_hash() -> str:
    """The hash of the style sheet in the page, for its Content-Security-Policy."""
    style = environment().get_template("style.css").render()
    return base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
