"""A policy written out as text. Two policies that judge alike have the same text, however their files are written.

It has every key with its value, defaults too: a release that changes a default changes the text.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ..config_key import items
from .condition import All, AnyOf, Match, Not
from .sections import Forwarders
from .sets import Addresses, Domains, Networks

if TYPE_CHECKING:
    from .policy import Policy

_SILENT = {"comment", "unsafe"}  # no verdict depends on them


def digest(policy: Policy) -> str:
    """12 hexadecimal digits that identify what a policy says."""
    return hashlib.sha256(canonical(policy).encode()).hexdigest()[:12]


def canonical(policy: Policy) -> str:
    """JSON: the keys in alphabetical order, as are the members of a set and the parts of a condition."""
    return _json(_plain(policy))


def _json(found: Any) -> str:
    return json.dumps(found, sort_keys=True, separators=(",", ":"))


def _plain(found: Any) -> Any:
    match found:
        case Match(key, values):
            return {key: _plain(values) if not isinstance(values, tuple) else sorted(map(str, values))}
        case All(conditions):
            return {"all": sorted(map(_plain, conditions), key=_json)}
        case AnyOf(conditions):
            return {"any": sorted(map(_plain, conditions), key=_json)}
        case Not(condition):
            return {"not": _plain(condition)}
        case Domains(patterns) | Addresses(patterns):
            return sorted(patterns)
        case Networks(networks):
            return sorted(map(str, networks))
        case Forwarders(networks, names):
            return [_plain(networks), _plain(names)]
        case tuple():
            return [_plain(each) for each in found]
        case StrEnum() | date():
            return str(found)
        case None | bool() | int() | str():
            return found
        case _:
            keys = items(type(found))
            return {key: _plain(getattr(found, item.field)) for key, item in keys.items() if key not in _SILENT}
