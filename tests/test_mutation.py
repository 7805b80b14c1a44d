"""The driver of the mutation tests, without running them: make mutation."""

import ast

import pytest

from tools.mutation import EXPLAINED, ROOMS, ROOT, Mutant, explanations, files_of, plain, wording

PACKAGE = ROOT / "milter" / "mailassay"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_and_its_tests_exist(room):
    assert any((PACKAGE / name).exists() for name in (room, f"{room}.py"))
    assert [name for name in files_of(room) if not (ROOT / name).is_file()] == []


def functions(path):
    """The names of functions, and of methods with their class before them."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            yield from (f"{node.name}.{each.name}" for each in node.body if isinstance(each, ast.FunctionDef))
        elif isinstance(node, ast.FunctionDef):
            yield node.name


def test_every_explained_survivor_is_of_a_function_that_exists():
    rows = list(explanations(EXPLAINED.read_text()))
    assert rows
    assert [row for row in rows if row[1] not in functions(PACKAGE / row[0])] == []


def test_rows_are_read():
    rows = [
        "| file | function | changed to | why |",
        "|---|---|---|---|",
        r"| `a.py` | `f` | `x \| y`<br>`z` | so |",
        "| b |",
    ]
    page = "\n".join(rows)
    assert list(explanations(page)) == [("a.py", "f", "x | y"), ("a.py", "f", "z")]


def test_properties_and_caches_become_functions_that_mutmut_changes():
    source = """
class A:
    @property
    def one(self):
        return 1

    @staticmethod
    def two():
        return 2

@lru_cache(maxsize=8)
def three():
    return 3

def _four():
    return 4

four = lru_cache(maxsize=8)(_four)
"""
    made = plain(source.replace("@lru_cache(maxsize=8)", "@cache"))
    assert made == plain(source)
    found = {}
    exec(made, found)
    assert (found["A"]().one, found["A"].two(), found["three"](), found["four"]()) == (1, 2, 3, 4)
    assert [line for line in made.splitlines() if "@" in line] == ["    @staticmethod"]


@pytest.mark.parametrize(
    ("before", "after", "is_wording"),
    [
        ('reason = "no record"', 'reason = "XXno recordXX"', True),
        ('return text.encode("utf-8")', 'return text.encode("UTF-8")', True),
        ("for a, b in zip(x, y, strict=True):", "for a, b in zip(x, y, strict=False):", True),
        ("for a, b in zip(x, y, strict=True):", "for a, b in zip(x, y, ):", True),
        ("for a, b in zip(x, y, strict=True):", "for a, b in zip(x, None, strict=True):", False),
        ('reason = "no record"', "reason = None", False),
        ('reason = "no record" if x else ""', 'reason = "no record" if not x else ""', False),
        ('method = "dmarc"', 'method = "DMARC"', False),
        ("if a < b:", "if a <= b:", False),
    ],
)
def test_changes_that_concern_only_people(before, after, is_wording):
    assert wording(Mutant("a.py", "f", before, after, "survived")) is is_wording
