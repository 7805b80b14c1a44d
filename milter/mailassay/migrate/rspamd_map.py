"""A map of rspamd: a list in the configuration, or a file of keys and values."""

from __future__ import annotations

import re
from typing import NamedTuple

from .remark import Code, Place, Remark, error, warning
from .source import Unreadable, lines
from .ucl import Array, Object, Scalar, Value

_FILE = re.compile(r"(?:(?:fallback\+)?file://)?(/.*)", re.DOTALL)
_PATTERN = re.compile(r"[*?\[\]{}]")


class Line(NamedTuple):
    """An element of a map."""

    key: str
    value: str
    place: Place


def read(name: str, value: Value) -> tuple[list[Line] | None, list[Remark]]:
    """The elements of the map that an option names, and what is to be said; None if it cannot be read."""
    if isinstance(value, Object):
        if all(isinstance(each, Scalar) for each in value.members.values()) and "url" not in value.members:
            pairs = ((key, each) for key, each in value.members.items() if isinstance(each, Scalar))
            return [Line(key, each.text, each.place) for key, each in pairs], []
        return None, [warning(value.place, Code.DATA_SET, f"{name}: maps with a form of their own are not read")]
    if isinstance(value, Scalar):
        return _file(name, value)
    elements = [each for each in value.elements if isinstance(each, Scalar)]
    if len(elements) < len(value.elements):
        return None, [warning(value.place, Code.DATA_SET, f"{name}: maps with a form of their own are not read")]
    return _list(name, Array(tuple(elements), value.place))


def _list(name: str, value: Array) -> tuple[list[Line] | None, list[Remark]]:
    found, remarks = list[Line](), list[Remark]()
    for each in value.elements:
        assert isinstance(each, Scalar)
        if "/" in each.text[:1] or "://" in each.text:
            more, said = _file(name, each)
            found += more or []
            remarks += said
            if more is None:
                return None, remarks
        else:
            found.append(_line(each.text, each.place))
    return found, remarks


def _file(name: str, value: Scalar) -> tuple[list[Line] | None, list[Remark]]:
    found = _FILE.fullmatch(value.text)
    if not found:
        what = f"{name}: {value.text} is no file"
        fix = "Write its content into a file, and name that"
        return None, [warning(value.place, Code.DATA_SET, what, fix)]
    try:
        every = [(place, line.partition("#")[0].strip()) for place, line in lines(found[1])]
    except Unreadable as trouble:
        return None, [error(value.place, Code.FILE, f"{name}: {found[1]} {trouble}")]
    return [_line(line, place) for place, line in every if line], []


def _line(text: str, place: Place) -> Line:
    key, _, rest = text.strip().partition(" ") if " " in text.strip() else text.strip().partition("\t")
    return Line(key.strip('"'), rest.strip().strip('"'), place)


def is_pattern(key: str) -> bool:
    """Does a key of a map of the kind ``glob`` stand for more than one text?"""
    return bool(_PATTERN.search(key))
