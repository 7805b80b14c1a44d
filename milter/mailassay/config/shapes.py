"""The shape of each key, as it follows from the field that holds its value (``config_key``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

from ..config_key import Item, Key, items
from ..policy.sets import Addresses, Domains, Networks
from . import values
from .document import Map, Members, Shape, Value


def of(
    kind: type[Any], by_hand: Mapping[str, Shape] | None = None, make: Callable[..., Any] | None = None, **more: Any
) -> Map[Any]:
    """A map with the keys of a dataclass, which becomes one, or what ``make`` makes of the fields; see :func:`keys`."""
    about = items(kind)
    maker = make or kind
    fields = {name: item.field for name, item in about.items()}

    def made(**given: Any) -> Any:
        return maker(**{fields.get(name, name): value for name, value in given.items()})

    return Map(made, keys(kind, by_hand), about=about, **more)


def keys(kind: type[Any], by_hand: Mapping[str, Shape] | None = None) -> dict[str, Shape]:
    """The shapes of the keys of a dataclass: those given ``by_hand``, else as the types of the fields say."""
    found = by_hand or {}
    return {name: found[name] if name in found else _shape(name, item) for name, item in items(kind).items()}


def _shape(name: str, item: Item) -> Shape:
    """The shape that follows from a type. Raises TypeError if none does."""
    kind = item.type
    if get_origin(kind) is UnionType:
        [kind] = [each for each in get_args(kind) if each is not NoneType]
    if kind in _SETS:
        return _SETS[kind]
    if get_origin(kind) is tuple and issubclass(get_args(kind)[0], StrEnum):
        return Members(_words(get_args(kind)[0], item.key), unique)
    if not isinstance(kind, type):
        raise TypeError(f"{name}: no shape for {kind}")
    if is_dataclass(kind):
        return of(kind)
    return _value(name, kind, item.key)


def _value(name: str, kind: type[Any], key: Key) -> Value:
    if issubclass(kind, StrEnum):
        return values.or_word(key.unless, _words(kind, key)) if key.unless else _words(kind, key)
    if kind is bool:
        return values.boolean
    if kind is int and key.high:
        return values.whole(key.low, key.high, key.unless or None)
    if kind is float and key.high:
        return values.seconds(key.high)
    raise TypeError(f"{name}: no shape for {kind}")


def _words(kind: type[StrEnum], key: Key) -> Value:
    return values.one_of(*(key.words or kind))


def unique(members: tuple[Any, ...]) -> tuple[Any, ...]:
    """The members in their order, without duplicates."""
    return tuple(dict.fromkeys(members))


def domains(patterns: tuple[str, ...]) -> Domains:
    """The set of these patterns. The order in which they are written does not matter; likewise below."""
    return Domains(tuple(sorted(set(patterns))))


def addresses(patterns: tuple[str, ...]) -> Addresses:
    """See :func:`domains`."""
    return Addresses(tuple(sorted(set(patterns))))


def networks(members: tuple[Any, ...]) -> Networks:
    """See :func:`domains`."""
    return Networks(tuple(sorted(set(members), key=lambda each: (each.version, each))))


_SETS: Mapping[Any, Shape] = {
    Domains: Members(values.domain_pattern, domains, lists=True),
    Addresses: Members(values.address_pattern, addresses, lists=True),
    Networks: Members(values.network, networks, lists=True),
}
