"""How the pages look: Jinja2 templates. Every value in them was chosen by somebody else."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


class Look:
    """The templates."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=PackageLoader(__package__),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=visible,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters |= {"in_path": in_path, "moment": moment}

    def page(self, template: str, depth: int, **values: Any) -> bytes:
        """A page that lies so many folders deep; all links are relative, so a web server in front can move them."""
        return self._templates.get_template(template).render(root="../" * depth or "./", **values).encode()


def visible(value: Any) -> Any:
    """A text with each character that cannot be seen as ``[U+202E]``: controls, bidi marks, lone surrogates."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return "".join(mark if mark.isprintable() else f"[U+{ord(mark):04X}]" for mark in value)


def in_path(text: str) -> str:
    """A text as a part of a path or a query."""
    return quote(text, safe="", errors="replace")


def moment(seconds: float) -> str:
    """A time in the zone of this host."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
