"""The named lists of a policy, in the policy file itself or in separate files with one member a line."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

import yaml

from ..config_key import REQUIRED, Item, Key
from .document import Code, Problem, Unfit, Value, brief, problem, read, shown, unexpected

MAX_LIST_OCTETS = 32 << 20
_IN_POLICY, _IN_FILE = "list:", "file:"


class Lists:
    """``list:NAME`` in a condition stands for the members of a list. The key that uses a list validates them."""

    def __init__(self, root: yaml.Node | None, folder: str) -> None:
        """Reads ``lists`` of a policy; relative paths start at ``folder``."""
        self.problems: list[Problem] = []
        self.unused: dict[str, yaml.Node] = {}
        self.empty: dict[str, yaml.Node] = {}
        self._lists: dict[str, list[yaml.Node]] = {}
        pairs = root.value if isinstance(root, yaml.MappingNode) else []
        for key, node in pairs:
            if key.value == "lists" and isinstance(node, yaml.MappingNode):
                for name, members in node.value:
                    self._add(name, members, folder)

    def _add(self, name: yaml.Node, node: yaml.Node, folder: str) -> None:
        if str(name.value) in self._lists:
            self.problems.append(problem(name, Code.DUPLICATE, f"lists: duplicate key {shown(str(name.value))}"))
        self.unused[str(name.value)] = name
        members: list[yaml.Node] = []
        self._lists[str(name.value)] = members
        for each in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(each, yaml.ScalarNode) or each.value.startswith(_IN_POLICY):
                self._wrong(name, each, str(unexpected("a member or file:PATH", each)))
            elif each.value.startswith(_IN_FILE):
                path = os.path.join(folder, each.value.removeprefix(_IN_FILE))
                try:
                    members += _members(path)
                except (OSError, Unfit) as error:
                    why = error.strerror if isinstance(error, OSError) else error
                    self._wrong(name, each, f"{shown(each.value)} cannot be read: {why}", Code.UNREADABLE)
            else:
                members.append(each)
        if not members:
            self.empty[str(name.value)] = name

    def _wrong(self, name: yaml.Node, node: yaml.Node, what: str, code: Code = Code.VALUE) -> None:
        self.problems.append(problem(node, code, f"lists.{brief(str(name.value))}: {what}"))

    def expand(self, node: yaml.Node) -> list[yaml.Node]:
        """The nodes that a node stands for: itself, or the members of the list it names. Raises Unfit."""
        text = node.value if isinstance(node, yaml.ScalarNode) else ""
        if not text.startswith(_IN_POLICY):
            return [node]
        name = text.removeprefix(_IN_POLICY)
        if name not in self._lists:
            known = ", ".join(map(brief, self._lists)) or "none"
            raise Unfit(f"no list {shown(name)}; there are: {known}")
        self.unused.pop(name, None)
        return self._lists[name]


def _members(path: str) -> list[yaml.Node]:
    """The members in a file. Raises OSError, Unfit."""
    try:
        mode = os.stat(path).st_mode
    except ValueError as error:
        # a NUL, which no path can have
        raise OSError(0, str(error)) from error
    # the writer of a pipe decides when its reader goes on
    if not stat.S_ISREG(mode):
        raise Unfit("not a regular file")
    return read(path, MAX_LIST_OCTETS, lambda octets: list(_lines(path, octets)))


def _lines(path: str, octets: bytes) -> Iterator[yaml.Node]:
    """The lines of a file without comments, each with its line and column. Raises Unfit."""
    if not octets:
        raise Unfit("it is empty; write a line with # if the list has no members")
    if len(octets) > MAX_LIST_OCTETS:
        raise Unfit(f"longer than {MAX_LIST_OCTETS} octets")
    try:
        text = octets.decode()
    except UnicodeDecodeError as error:
        row = octets.count(b"\n", 0, error.start) + 1
        raise Unfit(f"line {row} is not UTF-8 text") from error
    for number, line in enumerate(text.split("\n")):
        member = line.partition("#")[0]
        if stripped := member.strip():
            mark = yaml.Mark(path, 0, number, len(member) - len(member.lstrip()), None, 0)
            yield yaml.ScalarNode("tag:yaml.org,2002:str", stripped, mark, mark)


def read_nothing(node: yaml.Node) -> None:
    """``lists`` has been read before the rest of the file. Raises Unfit if the node is not a map."""
    if not isinstance(node, yaml.MappingNode):
        raise unexpected("a map of lists", node)


_MEMBER = {"type": ["string", "number", "boolean"]}
SHAPE = Value(
    read_nothing,
    {
        "title": "lists by their names",
        "type": "object",
        "additionalProperties": {"oneOf": [_MEMBER, {"type": "array", "items": _MEMBER}]},
    },
)
ABOUT = Item(
    Key(
        "Named lists of domains, addresses or networks. Use `list:NAME` where a key takes one of these, alone or with "
        "others. `file:PATH` adds the lines of a file, one member a line; `#` begins a comment, and a relative path "
        "starts at the folder of the policy. An empty file (0 octets) is an error, since the program that writes it "
        "may have been interrupted; if you want no members, write a comment into it. Files are read again on reload. "
        "A list cannot contain another list."
    ),
    field="lists",
    type=None,
    default=REQUIRED,
)
