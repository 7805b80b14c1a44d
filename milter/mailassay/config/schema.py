"""The keys of both files as a flat list, and as JSON Schema (2020-12), made from the shapes."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Any, NamedTuple

from ..config_key import REQUIRED, Item
from ..policy import Forwarders
from ..policy.sets import Domains, Networks
from . import values
from .document import AnyName, List, Map, Members, Shape, Short
from .policy_file import POLICY
from .settings import SETTINGS
from .values import Listen, Server

NOTHING = object()
"""No default: an omitted key stays unset."""

_CONDITION = "if"  # the prefix of the keys of a condition
_LIST = {"title": "a list of the policy", "type": "string", "pattern": "^list:."}


class Key(NamedTuple):
    """A key by its dotted name: which values it takes, its default, and its meaning.

    ``schema`` is the schema of its value. ``default`` is as in YAML, or ``NOTHING``.
    """

    name: str
    schema: Mapping[str, Any]
    default: Any
    text: str


class File(NamedTuple):
    """One of the two files: its schema and its keys. The keys of a condition come last."""

    schema: dict[str, Any]
    keys: tuple[Key, ...]


def settings() -> File:
    """``mailassay.yaml``."""
    return _file("mailassay.yaml", SETTINGS)


def policy() -> File:
    """A policy file."""
    return _file("a policy of mailassay", POLICY)


def _file(title: str, root: Map[Any]) -> File:
    made = _Made({}, {}, {})
    schema = made.of(root, "")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    tail = {"$defs": made.definitions} if made.definitions else {}
    return File(head | schema | tail, (*made.keys.values(), *made.of_conditions.values()))


class _Made(NamedTuple):
    """The keys and definitions made so far."""

    definitions: dict[str, Any]
    keys: dict[str, Key]
    of_conditions: dict[str, Key]

    def of(self, shape: Shape, name: str) -> dict[str, Any]:
        """The schema of a shape. Adds its keys to the list."""
        match shape:
            case Map(definition=definition) if definition:
                if definition not in self.definitions:
                    self.definitions[definition] = {}
                    self.definitions[definition] |= self._map(shape, _CONDITION)
                return {"$ref": f"#/$defs/{definition}"}
            case Map():
                return self._map(shape, name)
            case Short(whole, key):
                as_map = self._map(whole, name)
                return {"anyOf": [dict(self.keys[f"{name}.{key}"].schema), as_map]}
            case List(element, unless=unless):
                listed: dict[str, Any] = {"type": "array", "items": self.of(element, name)}
                return {"anyOf": [listed, {"const": unless}]} if unless else listed
            case Members(element, lists=lists, may_be_empty=may_be_empty, unless=unless):
                one = dict(element.schema)
                either = {"anyOf": [one, _LIST]} if lists else one
                array = {"type": "array", "items": either, **({} if may_be_empty else {"minItems": 1})}
                word = [{"const": unless}] if unless else []
                return {"anyOf": [*word, *either.get("anyOf", [either]), array]}
            case _:
                return dict(shape.schema)

    def _map(self, shape: Map[Any], name: str) -> dict[str, Any]:
        found: dict[str, Any] = {"type": ["object", "null"] if name and not shape.schema else "object"}
        if isinstance(shape.keys, AnyName):
            return found | {
                "propertyNames": dict(shape.keys.name.schema),
                "additionalProperties": self.of(shape.keys.value, f"{name}.{shape.keys.title}"),
            }
        prefix = f"{name}." if name else ""
        found["properties"] = {key: self._key(each, shape.about[key], prefix + key) for key, each in shape.keys.items()}
        return found | {"additionalProperties": False} | dict(shape.schema)

    def _key(self, shape: Shape, about: Item, name: str) -> dict[str, Any]:
        keys = self.of_conditions if name.startswith(f"{_CONDITION}.") else self.keys
        # first its place in the list, then the places of the keys below it
        keys[name] = Key(name, {}, NOTHING, "")
        schema = self.of(shape, name)
        default = NOTHING if isinstance(shape, Map | Short) else _plain(about.default, schema)
        text = about.key.text
        keys[name] = Key(name, schema, default, text)
        return {"description": text} | schema | ({} if default is NOTHING else {"default": default})


def _plain(found: Any, schema: Mapping[str, Any]) -> Any:
    """A default as it would be written in YAML."""
    match found:
        case None:
            words = (each for each in schema.get("anyOf", ()) if "const" in each or each.get("type") == "null")
            return next((each.get("const") for each in words), NOTHING)
        case "":
            # the same as no key
            return NOTHING
        case StrEnum() | IPv4Network() | IPv6Network() | Server():
            return str(found)
        case Listen():
            return found.libmilter
        case tuple():
            return [_plain(each, {}) for each in found]
        case Domains() | Forwarders() | Networks() if found == type(found)():
            return []
        case int() if schema.get("title") == values.mode.schema["title"]:
            return f"{found:04o}"
        case _:
            return NOTHING if found is REQUIRED else found


def words(schema: Mapping[str, Any]) -> str:
    """The type of a value, in a few words."""
    if title := schema.get("title"):
        return str(title)
    if "enum" in schema:
        return " | ".join(f"`{word}`" for word in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if alternatives := schema.get("anyOf"):
        return " | ".join(dict.fromkeys(words(each) for each in alternatives if each is not _LIST))
    if "$ref" in schema:
        return "a condition"
    match schema["type"]:
        case "array":
            return _list_of(schema["items"])
        case "boolean":
            return "`true` | `false`"
        case "integer":
            return f"a whole number, {schema['minimum']} to {schema['maximum']}"
        case "number":
            return f"a number more than {schema['exclusiveMinimum']} and at most {schema['maximum']}"
        case "null":
            return "`null`"
        case _:
            return "a map"


def _list_of(items: Mapping[str, Any]) -> str:
    if "title" in items:
        return f"a list; each member is {items['title']}"
    if "enum" in items or "anyOf" in items:
        return "a list of them"
    return "a list of conditions" if "$ref" in items else "a list of maps"
