"""The page on standards: RFC, section, what mailassay does, test. It is made from the tests in this folder.

Each is named ``test_rfc7208_4_6_4_more_than_ten_dns_terms_is_permerror``, and its docstring says what is done.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "STANDARDS.md"
METHODS = {
    "iprev": ("iprev", "iprev.py"),
    "spf": ("SPF", "spf/"),
    "dkim": ("DKIM", "dkim/"),
    "sign": ("DKIM signing", "sign/"),
    "keys": ("Keys that sign", "key/"),
    "arc": ("ARC", "arc.py"),
    "seal": ("ARC sealing", "sign/seal.py"),
    "dmarc": ("DMARC", "dmarc/"),
    "authres": ("Authentication-Results", "authres/render.py"),
    "aggregate": ("Aggregate reports", "aggregate/"),
    "feedback": ("Who gets DMARC reports", "feedback/"),
    "counting": ("Messages in aggregate reports", "aggregate/row.py"),
    "sending": ("Delivery of DMARC reports", "feedback/run.py"),
    "failure": ("Failure reports", "failure/"),
}
INTRODUCTION = """\
# What the standards ask for, and where it is tested

Each row has a point of an RFC, what mailassay does about it, and the test that shows it. The tests of a method are in
one file; its code is in one file or folder. `make test` runs all tests; `make conformance` replays public test suites.

This page is made by `python -m tests.standards`; a test compares it with the tests.
"""
_SECTION = r"(?:\d+|[a-d](?=_\d))(?:_\d+)*(?:_step_\d[a-z]?(?:_and_\d)?)?"
_NAME = re.compile(rf"test_(?:rfc(?P<rfc>\d+)_(?P<section>{_SECTION})|postfix)_\w+")


class Row(NamedTuple):
    """A test: ``rfc`` and ``section`` are empty for what is Postfix's own. ``done`` is its docstring on one line."""

    name: str
    rfc: str
    section: str
    done: str


def rows(method: str) -> list[Row]:
    """The tests of a method. Raises ValueError where one has a name that says nothing, or no docstring."""
    path = ROOT / f"tests/standards/test_{method}.py"
    return [_row(path, each) for each in ast.parse(path.read_text()).body if _is_test(each)]


def _is_test(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.FunctionDef) and statement.name.startswith("test_")


def _row(path: Path, test: ast.stmt) -> Row:
    assert isinstance(test, ast.FunctionDef)
    found, text = _NAME.fullmatch(test.name), ast.get_docstring(test)
    if not found:
        raise ValueError(f"{path}:{test.lineno}: {test.name} does not name an RFC and its section")
    if not text:
        raise ValueError(f"{path}:{test.lineno}: {test.name} has no docstring")
    section, _, step = (found["section"] or "").partition("_step_")
    section = section.replace("_", ".").upper()
    return Row(
        test.name,
        found["rfc"] or "",
        f"{section} step {step.replace('_', ' ')}" if step else section,
        " ".join(text.split()),
    )


def page() -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *(line for method in METHODS for line in _part(method))])


def _part(method: str) -> Iterator[str]:
    title, code = METHODS[method]
    file = f"tests/standards/test_{method}.py"
    yield f"## {title}\n"
    yield f"Code: [`{code}`](milter/mailassay/{code}). Tests: [`{file}`]({file}).\n"
    yield "| RFC | section | what mailassay does | test |"
    yield "|---|---|---|---|"
    # stable: what the same section says stays in the order of the file
    for row in sorted(rows(method), key=lambda row: (not row.rfc, row.rfc, _numbers(row.section))):
        link = f"https://www.rfc-editor.org/rfc/rfc{row.rfc}#{_anchor(row.section)}"
        where = f"{row.rfc} | [{row.section}]({link})" if row.rfc else "Postfix |"
        done = row.done.replace("|", "\\|").replace("<", "&lt;")
        yield f"| {where} | {done} | `{row.name}` |"
    yield ""


def _numbers(section: str) -> list[tuple[bool, int, str]]:
    return [(not each.isdigit(), int(each) if each.isdigit() else 0, each) for each in re.split(r"[. ]", section)]


def _anchor(section: str) -> str:
    number = section.partition(" ")[0]
    return f"appendix-{number}" if number[:1].isalpha() else f"section-{number}"
