"""Mutation tests: change the program in one place at a time and see whether a test fails. ``make mutation`` runs this.

    python -m tools.mutation [--processes N] [ROOM ...]

mutmut changes a copy of the program in ``build/mutation/ROOM``, and runs only the tests that reach the function it
changed, until one fails (``mutmut_once.py``). A second run tests what survived the first, and the functions that are
different now; ``make clean`` forgets all results. ``tests/MUTATION.md`` explains the survivors that no test can or
should kill. The exit status is 1 if there are others.
"""

from __future__ import annotations

import argparse
import ast
import codecs
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "mutation"
EXPLAINED = ROOT / "tests" / "MUTATION.md"
# what the tests read besides the program
READ_BY_TESTS = ("tests", "policies", "docs", "conf", "STANDARDS.md")

# a room, and the tests of it: what a mutant of another room breaks here does not count
ROOMS = {
    "author": "author causes readers fuzz standards/dmarc",
    "authres": "authres authres_read readers standards/authres",
    "dmarc": "dmarc causes limits standards/dmarc",
    "spf": "spf causes limits lookup trace standards/spf",
    "dkim": "dkim dkim_body dkim_work causes limits standards/dkim",
    "policy": "policy rules digest config lint relays",
    "judge": "session logline rules relays fail_closed causes limits",
}
# of seconds each: about nothing but time, memory or the library, or with many examples of what other tests have one of
SLOW = (
    "tests/test_author.py::test_a_hostile_field_costs_no_more_than_its_length",
    "tests/test_authres.py::test_a_hostile_value_costs_no_more_than_its_length",
    "tests/test_dkim_body.py::test_a_hostile_run_costs_no_more_than_its_length",
    "tests/test_fail_closed.py::test_no_message_comes_in",
    "tests/test_lookup.py::test_any_records_give_a_report",
    "tests/standards/test_dkim.py::test_rfc8301_3_2_signatures_by_keys_of_many_sizes",
)
# these fail even without a change: about a cache, which plain() takes away; a process of its own
UNFIT = (
    "tests/test_spf.py::test_records_and_macros_are_read_once_in_whatever_pieces_answers_come",
    "tests/test_lookup.py::test_over_the_network",
)
# the name that mutmut gives to a function or a method
_MANGLED = re.compile(r"def x(?:_|ǁ[^ǁ]*ǁ)(\w+?)__mutmut_(?:orig|[0-9]+)\(")
_CACHES = ("cache", "lru_cache", "cached_property")
# a cached function beside the function itself: NAME = lru_cache(...)(FUNCTION)
_CACHED = re.compile(r"^(\w+ = )(?:lru_)?cache\([^()]*\)\((\w+)\)$", re.MULTILINE)


class Mutant(NamedTuple):
    """One change: the file and the function, the lines before and after it, and what mutmut's tests said."""

    file: str
    function: str
    before: str
    after: str
    status: str

    @property
    def row(self) -> tuple[str, str, str]:
        """How a table of explanations names it."""
        return self.file, self.function, self.after


def main() -> int:
    """Test the rooms named, or all."""
    parser = argparse.ArgumentParser(prog="make mutation", description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=", ".join(ROOMS))
    options = parser.parse_args()
    unknown = set(options.rooms) - set(ROOMS)
    if unknown:
        parser.error(f"no such room: {', '.join(sorted(unknown))}; there are {', '.join(ROOMS)}")
    explained = set(explanations(EXPLAINED.read_text()))
    return max([_test(room, options.processes, explained) for room in options.rooms or ROOMS])


def _test(room: str, processes: int, explained: set[tuple[str, str, str]]) -> int:
    folder = BUILD / room
    _prepare(room, folder)
    environment = {**os.environ, "HYPOTHESIS_PROFILE": "mutation"}
    command = [sys.executable, "-P", str(ROOT / "tools" / "mutmut_once.py"), "run", "--max-children", str(processes)]
    output = folder / "output.txt"
    print(f"{room}: the progress is in {output.relative_to(ROOT)}", flush=True)
    with output.open("w") as to:
        status = subprocess.run(command, cwd=folder, env=environment, stdout=to, stderr=to).returncode
    if status:
        print(f"{room}: mutmut failed; the end of {output.relative_to(ROOT)} says why")
        return status
    found = list(_mutants(folder))
    untested = sum(mutant.status == "untested" for mutant in found)
    alive = [mutant for mutant in found if mutant.status not in ("killed", "untested")]
    other = [mutant for mutant in alive if not wording(mutant)]
    left = [mutant for mutant in other if not {mutant.row, (*mutant.row[:2], "*")} & explained]
    for mutant in left:
        print(f"{mutant.file} {mutant.function}: {mutant.status}\n    - {mutant.before}\n    + {mutant.after}")
    killed = len(found) - len(alive) - untested
    print(
        f"{room}: {len(found)} mutants, {killed} killed ({killed / len(found):.1%}), "
        f"{len(alive) - len(other)} only of words for people, {len(other) - len(left)} explained, {len(left)} survived"
        + (f", {untested} not tested, because the run was interrupted" if untested else "")
    )
    return 1 if left or untested else 0


def _prepare(room: str, folder: Path) -> None:
    """Copy the program and write mutmut's configuration. Only what changed since the last run is tested again."""
    (folder / "src").mkdir(parents=True, exist_ok=True)
    for name in READ_BY_TESTS:
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(ROOT / name)
    for path in (ROOT / "milter").rglob("*.py"):
        copy = folder / "src" / path.relative_to(ROOT / "milter")
        text = plain(path.read_text())
        if not copy.exists() or copy.read_text() != text:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(text)
    configuration = (ROOT / "setup.cfg").read_text()
    pytest = configuration[configuration.index("[tool:pytest]") : configuration.index("[coverage:run]")]
    options = {
        "source_paths": ["src"],
        "only_mutate": [f"src/mailassay/{room}.py", f"src/mailassay/{room}/*"],
        "also_copy": READ_BY_TESTS,
        "pytest_add_cli_args_test_selection": files_of(room),
        "pytest_add_cli_args": ["-p", "no:cacheprovider", *(f"--deselect={test}" for test in SLOW + UNFIT)],
        "timeout_multiplier": ["8.0"],
        "timeout_constant": ["2.0"],
        "use_git_change_detection": ["false"],
    }
    lines = ["[mutmut]", *("\n    ".join([f"{key} =", *values]) for key, values in options.items())]
    (folder / "setup.cfg").write_text(pytest + "\n".join(lines) + "\n")
    # tests may have changed: what they killed stays killed, and the rest is tested again
    shutil.rmtree(folder / "mutants" / "tests", ignore_errors=True)
    (folder / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)
    for path in _results(folder):
        results = json.loads(path.read_text())
        codes = results["exit_code_by_key"]
        results["exit_code_by_key"] = {name: 1 if code in (1, 3) else None for name, code in codes.items()}
        path.write_text(json.dumps(results))


def files_of(room: str) -> list[str]:
    """The test files of a room."""
    paths = (Path("tests", name) for name in ROOMS[room].split())
    return [str(path.with_name(f"test_{path.name}.py")) for path in paths]


def plain(source: str) -> str:
    """A module for mutmut, which leaves out functions with a decorator.

    A property becomes a call of ``property`` after the function. A cache goes: it would answer with what the program
    without a change has put in.
    """
    source = _CACHED.sub(r"\1\2", source)
    lines = source.splitlines()
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    for node in sorted(functions, key=lambda node: node.lineno, reverse=True):
        if len(node.decorator_list) != 1:
            continue
        decorator = node.decorator_list[0]
        name = ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)
        if name in ("property", "cached_property"):
            assert node.end_lineno is not None
            lines.insert(node.end_lineno, f"{' ' * node.col_offset}{node.name} = property({node.name})")
        if name == "property" or name in _CACHES:
            del lines[decorator.lineno - 1]
    return "\n".join(lines) + "\n"


def _results(folder: Path) -> Iterator[Path]:
    return (folder / "mutants" / "src").rglob("*.meta")


def _mutants(folder: Path) -> Iterator[Mutant]:
    names = {None: "untested", 0: "survived", 1: "killed", 3: "killed", 5: "no test", 33: "no test"}
    for path in _results(folder):
        code = json.loads(path.read_text())["exit_code_by_key"]
        module = path.with_suffix("")
        spans = json.loads(Path(f"{module}.spans").read_text())["spans"]
        lines = module.read_text().splitlines()
        for key, exit_code in code.items():
            name = key.rpartition(".")[2]
            function, _, _ = name.partition("__mutmut_")
            # a change that never ends is noticed too
            status = names.get(exit_code, "killed" if exit_code in (-24, 24, 36, 152, 255) else f"exit {exit_code}")
            before, after = (_text(lines, spans[each]) for each in (f"{function}__mutmut_orig", name))
            file = str(module.relative_to(folder / "mutants" / "src" / "mailassay"))
            yield Mutant(file, re.sub(r"^x_|^xǁ", "", function).replace("ǁ", "."), *_different(before, after), status)


def _text(lines: list[str], span: list[int]) -> list[str]:
    """The lines of one function, without the first, which has its name."""
    return lines[span[0] - 1 : span[1]]


def _different(before: list[str], after: list[str]) -> tuple[str, str]:
    """The lines that differ, joined."""
    body = [[_MANGLED.sub(r"def \1(", line) for line in lines] for lines in (before, after)]
    start = next((i for i, pair in enumerate(zip(*body, strict=False)) if pair[0] != pair[1]), min(map(len, body)))
    end = next((i for i, pair in enumerate(zip(*map(reversed, body), strict=False)) if pair[0] != pair[1]), 0)
    one, two = (" ".join(line.strip() for line in lines[start : len(lines) - end or None]) for lines in body)
    return one, two


def wording(mutant: Mutant) -> bool:
    """Does the change concern only words for people, or what cannot matter by its form?

    These are the letters of a text with a space in it, the case of the name of an encoding, and ``strict`` of a
    ``zip`` of things that have one length.
    """
    before, after = (_tokens(text) for text in (mutant.before, mutant.after))
    if "zip(" in mutant.before and "strict=" in mutant.before.replace(" ", ""):
        without = [re.sub(r",\s*(strict\s*=\s*\w+|(?=\)))", "", text) for text in (mutant.before, mutant.after)]
        if without[0] == without[1]:
            return True
    if len(before) != len(after):
        return False
    return all(
        one == two or (two[:1] == one[:1] == '"' and (" " in one.strip('" ') or _encoding(one, two)))
        for one, two in zip(before, after, strict=True)
    )


def _encoding(one: str, two: str) -> bool:
    try:
        return one.lower() == two.lower() and bool(codecs.lookup(one.strip('"')))
    except LookupError:
        return False


def _tokens(text: str) -> list[str]:
    try:
        return [token.string for token in tokenize.generate_tokens(io.StringIO(text).readline)]
    except (tokenize.TokenError, IndentationError):
        return re.findall(r'"[^"]*"|\w+|\S', text)


def explanations(page: str) -> Iterator[tuple[str, str, str]]:
    """The file, the function and the changed line of each explained survivor: the rows of the tables of a page.

    The line ``*`` stands for every change of the function.
    """
    for line in page.splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 4 and cells[2].startswith("`"):
            for change in cells[2].split("<br>"):
                yield cells[0].strip("`"), cells[1].strip("`"), change.strip().strip("`")


if __name__ == "__main__":
    sys.exit(main())
