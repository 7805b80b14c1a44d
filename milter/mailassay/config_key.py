"""The keys of the two YAML files. Each stands on the field of a dataclass that holds its value.

``signatures: Annotated[int, Key("DKIM signatures, from the top.", 1, 100)] = 10`` is all there is to say about
``limits.signatures``. What the loader takes, error messages, the JSON Schemas, the manual pages and docs/reference.md
follow from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, MISSING, Field, dataclass, fields
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

REQUIRED = object()
"""The default of a field that has none."""


@dataclass(frozen=True, slots=True)
class Key:
    """What a key means, and which values it takes as far as the type of its field leaves that open.

    ``text`` is for administrators: sentences, in which back-quotes mark words that are typed as they are. It does not
    name the default, which is the field's. A whole number is from ``low`` to ``high``; any other is more than 0 and at
    most ``high``. ``words`` are those that the key takes; empty means all words of the type. ``unless`` is the word
    that stands for None. ``name`` is the key, if the field is called differently.
    """

    text: str
    low: int = 0
    high: int = 0
    _: KW_ONLY
    words: tuple[StrEnum, ...] = ()
    unless: str = ""
    name: str = ""


class Item(NamedTuple):
    """A key, and the field that holds its value: name, type and default (``REQUIRED`` if there is none)."""

    key: Key
    field: str
    type: Any
    default: Any


def items(of: type[Any]) -> Mapping[str, Item]:
    """The keys of a dataclass by their names, in the order of its fields. A field without a Key is not a key."""
    # mypy does not see that a class can be hashed
    return _items(of)  # type: ignore[arg-type]


@cache
def _items(of: type[Any]) -> Mapping[str, Item]:
    # kept: the digest of a policy asks for each of its rules
    hints = get_type_hints(of, include_extras=True)
    found = {}
    for each in fields(of):
        if get_origin(hints[each.name]) is Annotated:
            kind, key = get_args(hints[each.name])
            found[key.name or each.name] = Item(key, each.name, kind, _default(each))
    return found


def _default(of: Field[Any]) -> Any:
    if of.default_factory is not MISSING:
        return of.default_factory()
    return REQUIRED if of.default is MISSING else of.default
