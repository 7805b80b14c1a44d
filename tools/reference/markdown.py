"""``docs/reference.md``: every key of both files as tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from mailassay.config import reference, schema
from mailassay.config.schema import NOTHING, Key, words

_HEAD = """\
# Reference

Every key of the two files. This page is generated (`make reference`), as are the manual pages mailassay.yaml(5) and
mailassay-policy(5), and the JSON Schemas that editors complete from; all say the same. A key that you leave out has its
default. An unknown key is an error, and so is a file without any key: write `{}` to get all defaults. After a change,
run `mailassay config check`, then `systemctl reload mailassay`.
"""
_POLICY = """\
What happens because of the results. The first rule that applies decides. If no rule applies, the most severe action
that the other settings ask for is taken. The actions, from the mildest to the most severe:
"""


def page() -> str:
    """The page."""
    return "\n".join(_page())


def _page() -> Iterator[str]:
    settings, policy = schema.settings().keys, schema.policy().keys
    yield _HEAD
    yield "## The configuration: `/etc/mailassay/mailassay.yaml`\n"
    yield from _keys(settings)
    yield "## The policy\n"
    yield _POLICY
    yield from _table("action", "what happens", reference.ACTIONS)
    yield from _keys([key for key in policy if not key.name.startswith("if.")])
    yield "### Conditions\n"
    yield "`if` stands for the key that has the condition. If a condition has several keys, all of them must hold.\n"
    yield from _keys([key for key in policy if key.name.startswith("if.")])
    yield "### Domains, addresses, networks\n"
    yield from _table("written", "meaning", reference.NOTATION)
    yield "### Placeholders\n"
    yield "In `rules.reply`, `rules.headers` and `rules.reason`; `{{` and `}}` are braces.\n"
    yield from _table("written", "meaning", {f"{{{name}}}": text for name, text in reference.PLACEHOLDERS.items()})


def _keys(keys: tuple[Key, ...] | list[Key]) -> Iterator[str]:
    yield "| key | takes | default | meaning |"
    yield "|---|---|---|---|"
    for key in keys:
        cells = (f"`{key.name}`", words(key.schema), default(key), key.text)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _table(left: str, right: str, rows: Mapping[str, str]) -> Iterator[str]:
    yield f"| {left} | {right} |"
    yield "|---|---|"
    yield from (f"| `{key}` | {text} |" for key, text in rows.items())
    yield ""


def default(key: Key) -> str:
    """The default as it is written in YAML, in back-quotes; empty if there is none."""
    if key.default is NOTHING:
        return ""
    text = key.default if isinstance(key.default, str) and not key.default.isdigit() else json.dumps(key.default)
    return f"`{text}`"
