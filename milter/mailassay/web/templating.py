"""Templates of the pages: those here, on the frame and the style of the report's."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ..report.page import environment
from ..terminal import visible

_BREAK = re.compile(r"(?<=[@:])|(?=\.)")
_FOLDER = Path(__file__).parent
_TEMPLATES = environment(_FOLDER / "templates")


def page(template: str, depth: int, **values: Any) -> bytes:
    """A page that lies so many folders deep. Links are relative, so a web server in front can move all pages."""
    return _TEMPLATES.get_template(template).render(root="../" * depth or "./", **values).encode()


def style() -> bytes:
    """The style sheet."""
    return f"{_TEMPLATES.get_template('style.css').render()}\n{(_FOLDER / 'pages.css').read_text()}".encode()


def icon() -> bytes:
    """The icon of the pages, in SVG."""
    return (_FOLDER / "icon.svg").read_bytes()


def _moment(seconds: float) -> str:
    """A time in the zone of this host."""
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"


def _breakable(text: str) -> Markup:
    """A name or an address in which a line may end: after @, after a colon, and before a full stop."""
    return Markup("<wbr>").join(map(visible, _BREAK.split(text)))


def _exact(seconds: float) -> str:
    """A time for programs."""
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")


def _zone() -> str:
    """The time zone of this host."""
    return datetime.now().astimezone().tzname() or ""


_TEMPLATES.globals["zone"] = _zone
_TEMPLATES.filters |= {"moment": _moment, "exact": _exact, "breakable": _breakable}
