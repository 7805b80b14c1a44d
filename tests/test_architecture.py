"""One direction: nothing imports what stands to its right, and only the edge touches the outside."""

import ast
import importlib
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import mailassay

ROOT = Path(mailassay.__file__).parent
# a room may import from the rooms of earlier lines, and from its own line only where that is said
FLOORS = [
    ["config_key"],
    ["result", "verdict", "domain", "address", "message", "limits", "terminal", "finding", "moment", "atomic"],
    ["resolver", "received", "authres", "return_path", "report_mail"],
    ["zone", "author", "iprev", "sender_domain", "spf", "dkim"],
    ["arc", "dmarc"],
    ["evidence"],
    ["policy"],
    ["sign"],
    ["key"],
    ["config"],
    ["judge", "lookup", "migrate", "nameservers", "ping", "postfix"],
    ["history"],
    ["aggregate", "explain", "failure"],
    ["store"],
    ["feedback", "report"],
    ["collector", "daemon", "doctor", "replay"],
    ["metrics", "web"],
    ["cli"],
    ["__main__"],
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
ONLY_IN = {"dns": {"nameservers"}, "Milter": {"daemon"}, "milter": {"daemon"}, "yaml": {"config"}}


@cache
def parsed(path):
    """The syntax tree of a file, which several tests walk through."""
    return ast.parse(path.read_text())


def room(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def module(path):
    return ".".join(["mailassay", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")


def imports(path):
    """(room imported from the package or None, library)."""
    package = ["mailassay", *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names = [stem] if node.module else [f"{stem}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            yield (parts[1] if len(parts) > 1 else None, "") if parts[0] == "mailassay" else (None, parts[0])


# Alembic runs its own files
FILES = sorted(
    path
    for path in ROOT.rglob("*.py")
    if path != ROOT / "__init__.py" and not path.match("migrations/env.py") and path.parent.name != "versions"
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path):
    for imported, library in imports(path):
        if imported and imported in FLOOR and imported != room(path):
            assert FLOOR[imported] < FLOOR[room(path)], f"{room(path)} imports {imported}"
        assert room(path) in ONLY_IN.get(library, {room(path)}), f"{room(path)} imports {library}"


WORDS = {"reason", "reasons", "what", "fix", "problem", "trouble", "error", "doubt", "not_vouched", "prob", "msg"}


def constants():
    """The texts that have a name in a module."""
    for path in FILES:
        for node in parsed(path).body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                yield from ((target.id, node.value.value) for target in node.targets if isinstance(target, ast.Name))


def sentences(tree, texts):
    """What compares words for people with a text of several words, or looks for one in them."""

    def is_sentence(node):
        text = node.value if isinstance(node, ast.Constant) else texts.get(getattr(node, "id", ""))
        return isinstance(text, str) and " " in text

    for node in ast.walk(tree):
        sides = []
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in (
            "startswith",
            "endswith",
            "find",
            "count",
        ):
            sides = [node.func.value, *node.args]
        is_for_people = any(getattr(side, "attr", getattr(side, "id", "")) in WORDS for side in sides)
        if is_for_people and any(map(is_sentence, sides)):
            yield ast.unparse(node)


def test_no_program_compares_sentences():
    """The cause of a result is a word of a vocabulary (``fault``)."""
    texts = dict(constants())
    found = [each for path in FILES for each in sentences(parsed(path), texts)]
    # a field that was written earlier has nothing else
    assert found == ["one.reason.startswith(NO_CLIENT)"]
    assert [*sentences(ast.parse("key.error == 'no key record'; 'x y' in reasons"), texts)]


@cache
def loaded_by_a_worker():
    """The names of all modules, before it is forked."""
    code = "import sys, mailassay.cli.serve, mailassay.daemon.worker; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return frozenset(done.stdout.split())


def test_what_a_worker_does_not_need_it_does_not_import():
    """Each worker would hold it in memory."""
    needless = {f"mailassay.{room}" for room in ("doctor", "explain", "lookup", "migrate", "replay", "store")}
    needless |= {"mailassay.postfix.configuration", "mailassay.postfix.hold_queue", "mailassay.postfix.reminder"}
    needless |= {"mailassay.history.rebuilt", "mailassay.key.making", "mailassay.key.published"}
    assert "mailassay.daemon.worker" in loaded_by_a_worker()
    assert not needless & loaded_by_a_worker()


JUDGING = {
    "arc", "authres", "author", "dkim", "dmarc", "evidence", "iprev", "judge", "nameservers", "policy", "received",
    "resolver", "sender_domain", "sign", "spf",
}  # fmt: skip


def test_what_a_message_needs_is_loaded_before_it_comes():
    """Workers share the memory of what is loaded before they are forked, and no message waits for a library."""
    needed = {module(path) for path in FILES if room(path) in JUDGING}
    # it is of a command
    assert needed - loaded_by_a_worker() == {"mailassay.sign.published"}
    assert {"authres", "cryptography", "dkim", "dns.message", "idna", "spf", "yaml"} <= loaded_by_a_worker()


TESTS = Path(__file__).parent


def imported(tree):
    """The last part of every module that may be one of the tests' own."""
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
        if isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
        yield from (name.rpartition(".")[2] for name in names)


def test_no_test_is_imported():
    """What several of them need is in tests/lab."""
    tests = {path.stem for path in TESTS.rglob("test_*.py")}
    named = re.compile(rf"\b(?:{'|'.join(tests)})\b")
    for path in sorted(TESTS.rglob("*.py")):
        # few files have the name of one, and to parse all of them takes seconds
        if named.search(path.read_text()):
            found = set(imported(parsed(path)))
            assert not found & tests, f"{path} imports {found & tests}"
    for text in ("from .test_cli import x", "from tests import test_cli", "import tests.test_cli as y"):
        assert "test_cli" in imported(ast.parse(text))


def test_every_room_has_its_floor():
    assert {room(path) for path in FILES} == set(FLOOR)


def test_the_table_of_rooms_is_true():
    """In DESIGN.md a room stands below all that it may import."""
    text = (Path(__file__).parents[1] / "DESIGN.md").read_text()
    table = text[text.index("| room | what it knows |") :].split("\n\n")[0]
    rows = [re.findall("`([a-z_]+)/?`", row.split("|")[1]) for row in table.splitlines()[2:]]
    assert {each for row in rows for each in row} == set(FLOOR) - {"__main__"}
    heights = [FLOOR[each] for row in rows for each in row]
    assert heights == sorted(heights)


def patterns():
    for each in map(module, (ROOT / "__init__.py", *FILES)):
        if not each.endswith("__main__"):
            for name, value in vars(importlib.import_module(each)).items():
                if isinstance(value, re.Pattern):
                    yield pytest.param(value, id=f"{each}.{name}")


def possessive(parsed):
    """What repeats possessively in a pattern, all the way down."""
    for operation, argument in parsed:
        if str(operation) == "POSSESSIVE_REPEAT":
            yield argument[2]
        for inner in argument if isinstance(argument, (tuple, list)) else [argument]:
            for each in inner if isinstance(inner, list) else [inner]:
                if isinstance(each, re._parser.SubPattern):
                    yield from possessive(each)


@pytest.mark.parametrize("pattern", [*patterns()])
def test_no_group_is_possessive(pattern):
    """Python before 3.11.5, Debian 12's among them, goes on behind what such a group did not match (gh-106052)."""
    for repeated in possessive(re._parser.parse(pattern.pattern, pattern.flags)):
        assert [str(operation) for operation, _ in repeated] in (["IN"], ["LITERAL"], ["NOT_LITERAL"], ["ANY"])


def defined(node, is_public=True):
    """Public functions and methods, each with the docstring that speaks for it: its own, or that of its class."""
    for each in node.body:
        if isinstance(each, ast.ClassDef):
            of_class = ast.get_docstring(each) or ""
            for function, said in defined(each, is_public and not each.name.startswith("_")):
                yield function, f"{said} {of_class}" if function.name.startswith("__") else said
        elif isinstance(each, ast.FunctionDef) and is_public and re.match("__|[^_]", each.name):
            yield each, ast.get_docstring(each) or ""


def raised(node):
    """Does a function raise an exception by itself? Not in a function inside it."""
    nested = (ast.FunctionDef, ast.ClassDef, ast.Lambda)
    return isinstance(node, ast.Raise) or any(
        raised(each) for each in ast.iter_child_nodes(node) if not isinstance(each, nested)
    )


def silent(tree):
    """Public functions that raise, and do not say so. A module may say it once, for all of its own."""
    if "raise" not in (ast.get_docstring(tree) or ""):
        yield from (each.name for each, said in defined(tree) if raised(each) and "raise" not in said.lower())


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_public_functions_that_raise_say_so(path):
    assert [*silent(parsed(path))] == []


def test_silence_is_noticed():
    text = "class Box:\n    def __call__(self):\n        raise OSError\ndef _own():\n    raise OSError\n"
    assert [*silent(ast.parse(text))] == ["__call__"]
    assert not [*silent(ast.parse(f'"""Every function here raises OSError."""\n{text}'))]
