"""A YAML file read by a shape: its values, or all problems with them, each with its line and column."""

from __future__ import annotations

import difflib
import errno
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from enum import StrEnum
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import yaml

from ..config_key import Item
from ..finding import Finding, Severity
from ..terminal import printable

MAX_OCTETS = 256 * 1024  # of one file
MAX_DEPTH = 16  # of nested lists and maps; the files need 3
MAX_PROBLEMS = 100  # that are reported
MAX_SHOWN = 60  # characters of the operator's text in a message
_TRIES = 20  # to read a file that another program is writing
_PAUSE = 0.02  # seconds between them
_INDENT = re.compile("[ \t]*")

T = TypeVar("T")


class Line(int):
    """The line of a key, and the ``column`` in which it begins, both counted from 1."""

    column: int

    @classmethod
    def of(cls, node: yaml.Node) -> Line:
        """Where a node begins."""
        found = cls(node.start_mark.line + 1)
        found.column = node.start_mark.column + 1
        return found


class Code(StrEnum):
    """The kinds of mistakes that keep a file from being used; ``too-many`` stands for those that are not reported."""

    UNREADABLE = "unreadable"
    SYNTAX = "syntax"
    UNKNOWN_KEY = "unknown-key"
    DUPLICATE = "duplicate"
    VALUE = "value"
    TOO_MANY = "too-many"


@dataclass(frozen=True, slots=True)
class Problem(Finding):
    """A finding, and where in a file its text begins. A warning does not keep the file from being used.

    Lines and columns count from 1, columns in characters.
    """

    path: str = ""
    line: int = 1
    column: int = 1

    @property
    def message(self) -> str:
        """What is wrong, and what to do about it."""
        return "; ".join(filter(None, (self.what, self.fix)))

    def __str__(self) -> str:
        kind = "warning: " if self.severity is Severity.WARNING else ""
        return printable(f"{self.path}:{self.line}:{self.column}: {kind}{self.message}")


def error(code: Code, path: str, what: str, fix: str = "", line: int = 1, column: int = 1) -> Problem:
    """A mistake; at the beginning of the file unless its place is given."""
    return Problem(Severity.ERROR, code, what, fix, path, line, column)


class ConfigError(Exception):
    """The configuration cannot be used. The text has all problems, one a line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        found = list(problems)
        paths = list(dict.fromkeys(each.path for each in found))
        order = {path: number for number, path in enumerate(paths)}
        found.sort(key=lambda each: (order[each.path], each.line, each.column))
        if len(found) > MAX_PROBLEMS:
            last = found[MAX_PROBLEMS]
            more = f"and {len(found) - MAX_PROBLEMS} more from here on"
            found[MAX_PROBLEMS:] = [error(Code.TOO_MANY, last.path, more, line=last.line, column=last.column)]
        self.problems = tuple(found)
        super().__init__("\n".join(map(str, self.problems)))


class Unfit(Exception):
    """A value that its key cannot have. The text says why; it is empty if that was reported already."""


@dataclass(frozen=True, slots=True)
class Value:
    """Reads one value, or raises Unfit. ``schema`` is the same in JSON Schema, as far as that can express it."""

    read: Callable[[yaml.Node], Any]
    schema: Mapping[str, Any]

    def __call__(self, node: yaml.Node) -> Any:
        return self.read(node)


def value(**schema: Any) -> Callable[[Callable[[yaml.Node], Any]], Value]:
    """Decorator: turns a function that reads a node into a :class:`Value`."""
    return lambda read: Value(read, schema)


@dataclass(frozen=True, slots=True)
class List:
    """A list of values of one kind, or the word ``unless``, which gives None."""

    element: Value | Map[Any]
    unless: str = ""


@dataclass(frozen=True, slots=True)
class Members:
    """One value or a list of them, which become a set; or the word ``unless``, which gives None.

    ``lists``: a value may name a list of the policy.
    """

    element: Value
    make: Callable[[tuple[Any, ...]], Any]
    lists: bool = False
    may_be_empty: bool = False
    unless: str = ""


@dataclass(frozen=True, slots=True)
class Map(Generic[T]):
    """The keys that a map can have. ``make`` is called with those that it has, and may raise Unfit.

    ``about`` has the meaning and the default of each key. ``node_as`` is the argument by which ``make`` gets the node
    itself. ``definition`` names a map that may contain itself. ``schema`` has its title for editors and what ``make``
    demands beyond the keys, as far as JSON Schema can express it; a map without ``schema`` may be empty.
    """

    make: Callable[..., T]
    keys: Mapping[str, Shape]
    _: KW_ONLY
    node_as: str = ""
    definition: str = ""
    schema: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Item] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Short(Generic[T]):
    """A map, or the value of its ``key`` alone."""

    whole: Map[T]
    key: str


Shape: TypeAlias = "Map[Any] | Short[Any] | List | Members | Value"


class AnyName(dict[str, "Shape"]):
    """Keys that the operator chooses and ``name`` can read. In the list of keys, ``title`` stands for them."""

    def __init__(self, name: Value, value: Shape, title: str = "") -> None:
        super().__init__()
        self.name, self.value, self.title = name, value, title

    def __contains__(self, key: object) -> bool:
        return True

    def __getitem__(self, key: str) -> Shape:
        return self.value


class Read(NamedTuple, Generic[T]):
    """The content of a file without wrong values, its problems, and the line of each key by its dotted name."""

    made: T
    problems: list[Problem]
    lines: dict[str, int]


def read(path: str, most: int, parse: Callable[[bytes], T]) -> T:
    """Call ``parse`` with the octets of a file: at most ``most``, and one more if the file is longer.

    A program that does not write a new file and rename it leaves an empty or incomplete file for a moment. So the file
    is read again if it changed while it was read, or after ``parse`` refused it. Raises OSError and whatever ``parse``
    raises.
    """
    for _ in range(_TRIES):
        try:
            with open(path, "rb") as file:
                before, octets = _state(os.fstat(file.fileno())), file.read(most + 1)
        except ValueError as error:
            # a NUL or a lone surrogate; no path can have one
            raise OSError(0, str(error)) from error
        try:
            made = parse(octets)
        except (ConfigError, Unfit):
            time.sleep(_PAUSE)
            if before == _state(os.stat(path)):
                raise
            continue
        if before == _state(os.stat(path)):
            return made
        time.sleep(_PAUSE)
    raise OSError(errno.EBUSY, "another program keeps writing to it")


def _state(found: os.stat_result) -> tuple[int, ...]:
    """Changes if a file is written or replaced. Empty for a pipe or device, which cannot be read twice."""
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else ()


def unreadable(path: str, trouble: OSError) -> ConfigError:
    """The error for a file that cannot be read."""
    return ConfigError([error(Code.UNREADABLE, path, f"cannot be read: {trouble.strerror}")])


def compose(path: str) -> yaml.Node:
    """The one document of a file. Raises OSError if it cannot be read, ConfigError if it has no document."""
    return read(path, MAX_OCTETS, lambda octets: _compose(path, octets))


def _itself(node: yaml.Node) -> Iterable[yaml.Node]:
    return [node]


def fit(root: yaml.Node, shape: Map[T], expand: Callable[[yaml.Node], Iterable[yaml.Node]] = _itself) -> Read[T]:
    """The content of a document. ``expand`` gives the nodes that a node stands for, if it names a list; or Unfit."""
    document = _Document(expand, {}, {})
    made: T | None = None
    with document.noted(root, ""):
        made = document.value(root, shape, "")
    return Read(shape.make() if made is None else made, list(document.problems), document.lines)


@dataclass(frozen=True, slots=True)
class _Document:
    """A file while it is read. ``name`` is the dotted path of the keys to a node; empty for the root."""

    expand: Callable[[yaml.Node], Iterable[yaml.Node]]
    problems: dict[Problem, None]
    lines: dict[str, int]

    @contextmanager
    def noted(self, node: yaml.Node, name: str) -> Iterator[None]:
        """An Unfit inside becomes a problem of the node."""
        try:
            yield
        except Unfit as error:
            if str(error):
                self._wrong(node, f"{name}: {error}" if name else str(error))

    def _wrong(self, node: yaml.Node, what: str, code: Code = Code.VALUE, fix: str = "") -> None:
        # a mistake in a list that is used in several places is reported once
        self.problems[problem(node, code, what, fix)] = None

    def value(self, node: yaml.Node, shape: Shape, name: str) -> Any:
        """The value of a node, without the parts of it that are wrong: they are noted. Raises Unfit."""
        if isinstance(shape, Map):
            told = {shape.node_as: node} if shape.node_as else {}
            return shape.make(**self._pairs(node, shape.keys, name), **told)
        if isinstance(shape, Short):
            if isinstance(node, yaml.MappingNode) or is_nothing(node):
                return self.value(node, shape.whole, name)
            return shape.whole.make(**{shape.key: self.value(node, shape.whole.keys[shape.key], name)})
        if isinstance(shape, List | Members) and _is_word(node, shape.unless):
            return None
        if isinstance(shape, List):
            if not isinstance(node, yaml.SequenceNode):
                raise unexpected(f"a list or {shape.unless}" if shape.unless else "a list", node)
            return self._elements(node.value, shape.element, name)
        if isinstance(shape, Members):
            return shape.make(self._members(node, shape, name))
        return shape(node)

    def _elements(self, nodes: Iterable[yaml.Node], shape: Shape, name: str) -> tuple[Any, ...]:
        found: list[Any] = []
        for each in nodes:
            with self.noted(each, name):
                found.append(self.value(each, shape, name))
        return tuple(found)

    def _members(self, node: yaml.Node, shape: Members, name: str) -> tuple[Any, ...]:
        if isinstance(node, yaml.SequenceNode) and not (node.value or shape.may_be_empty):
            raise Unfit("expected at least one")
        nodes: list[yaml.Node] = []
        for each in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            with self.noted(each, name):
                nodes += self.expand(each) if shape.lists else [each]
        return self._elements(nodes, shape.element, name)

    def _pairs(self, node: yaml.Node, keys: Mapping[str, Shape], name: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if is_nothing(node):
            return found
        if not isinstance(node, yaml.MappingNode):
            raise unexpected("a map", node)
        prefix = f"{name}." if name else ""
        lines: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._wrong(key, f"expected a key, found {_found(key)}")
            elif key.value not in keys:
                hint = _nearest(key.value, keys, prefix)
                self._wrong(key, f"unknown key {shown(prefix + key.value)}", Code.UNKNOWN_KEY, hint)
            elif key.value in lines:
                what = f"duplicate key `{prefix}{key.value}`, first on line {lines[key.value]}"
                self._wrong(key, what, Code.DUPLICATE)
            else:
                lines[key.value] = self.lines[prefix + key.value] = Line.of(key)
                with self.noted(key, name):
                    if isinstance(keys, AnyName):
                        keys.name(key)
                    with self.noted(value, prefix + key.value):
                        found[key.value] = self.value(value, keys[key.value], prefix + key.value)
        return found


def _is_word(node: yaml.Node, word: str) -> bool:
    return bool(word) and isinstance(node, yaml.ScalarNode) and bool(node.value == word)


def problem(node: yaml.Node, code: Code, what: str, fix: str = "") -> Problem:
    """A mistake that begins where the node begins."""
    mark = node.start_mark
    return error(code, mark.name, what, fix, mark.line + 1, mark.column + 1)


def kind(node: yaml.Node) -> str:
    """The type of a node in YAML 1.1: ``str``, ``int``, ``float``, ``bool``, ``null``, ``seq``, ``map``, ..."""
    return node.tag.removeprefix("tag:yaml.org,2002:")


def is_nothing(node: yaml.Node) -> bool:
    """Is there no value after the key, or ``null``?"""
    return kind(node) == "null"


def unexpected(expected: str, node: yaml.Node) -> Unfit:
    """An Unfit that names what was expected and what was found."""
    return Unfit(f"expected {expected}, found {_found(node)}")


def shown(text: str) -> str:
    """The operator's text for a message: short, on one line, printable, in backquotes."""
    return f"`{brief(text)}`"


def brief(text: str) -> str:
    """The same without backquotes."""
    text = text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _found(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        return "a list" if isinstance(node, yaml.SequenceNode) else "a map"
    words = {"int": "the number", "float": "the number", "bool": "the boolean", "timestamp": "the date"}
    return "nothing" if is_nothing(node) else f"{words.get(kind(node), 'the text')} {shown(node.value)}"


def _nearest(key: str, keys: Iterable[str], prefix: str) -> str:
    """The key that may be meant, or all that are possible."""
    near = difflib.get_close_matches(key, keys, 1)
    return f"did you mean `{prefix}{near[0]}`?" if near else "the keys here are " + ", ".join(keys)


class _Loader(yaml.SafeLoader):
    """Composes plain trees only: no aliases (which can multiply without end), no tags, no deep nesting.

    It is the Python loader, since libyaml overflows the C stack if there are enough brackets.
    """

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if event.anchor is not None:
            trouble = "anchors and aliases are not supported"
        elif event.tag is not None:
            trouble = "tags are not supported"
        elif self.depth == MAX_DEPTH:
            trouble = "nested too deeply"
        else:
            self.depth += 1
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node
        raise yaml.MarkedYAMLError(problem=trouble, problem_mark=event.start_mark)


def _compose(path: str, octets: bytes) -> yaml.Node:
    """The one document of a file. Raises ConfigError if there is none: an empty file need not mean the defaults."""
    if len(octets) > MAX_OCTETS:
        raise ConfigError([error(Code.SYNTAX, path, f"longer than {MAX_OCTETS} octets")])
    try:
        text = octets.decode()
    except UnicodeDecodeError as trouble:
        raise _ends_at(path, octets[: trouble.start].decode(), "not UTF-8 text") from trouble
    try:
        loader = _Loader(text)
        loader.name = path
    except yaml.reader.ReaderError as trouble:
        what = f"the character U+{trouble.character:04X} is not allowed"
        raise _ends_at(path, text[: trouble.position], what) from trouble
    fix = ""
    try:
        root: yaml.Node | None = loader.get_single_node()
        if root is not None and not is_nothing(root):
            return root
        mark = root.start_mark if root else loader.get_mark()
        what, fix = "the file has no keys", "write {} for the defaults"
    except yaml.MarkedYAMLError as trouble:
        mark = trouble.problem_mark or loader.get_mark()
        what = ": ".join(text for text in (trouble.context, trouble.problem) if text)
        indent = _INDENT.match(text, text.rfind("\n", 0, mark.index) + 1)
        if indent and "\t" in indent[0]:
            fix = "indent with spaces, not with tabs"
    except (ValueError, OverflowError):
        # PyYAML converts version numbers and escapes whatever their size
        mark, what = loader.get_mark(), "a number out of range"
    raise ConfigError([error(Code.SYNTAX, path, what, fix, mark.line + 1, mark.column + 1)])


def _ends_at(path: str, before: str, what: str) -> ConfigError:
    """A mistake whose place is right after the text ``before``."""
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return ConfigError([error(Code.SYNTAX, path, what, line=line, column=column)])
