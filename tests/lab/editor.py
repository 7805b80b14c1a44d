"""What an editor says of a YAML file, by its JSON Schema."""

from __future__ import annotations

import re
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from mailassay.config import schema


class Core(yaml.SafeLoader):
    """The core schema of YAML 1.2, as editors read a file."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own


for kind, pattern in {
    "null": "~|null|Null|NULL|",
    "bool": "true|True|TRUE|false|False|FALSE",
    "int": "[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}.items():
    Core.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", re.compile(f"^(?:{pattern})$"), None)
Core.add_constructor(
    "tag:yaml.org,2002:int",
    lambda _, node: int(node.value, {"0o": 8, "0x": 16}.get(node.value[:2], 10)),
)


def mistakes(file: schema.File, text: str) -> list[str]:
    """What an editor would underline."""
    found = Draft202012Validator(file.schema).iter_errors(yaml.load(text, Core))
    return [f"{'.'.join(map(str, error.path))}: {error.message}" for error in found]
