"""The system's Public Suffix List gives the same as the library's."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from publicsuffixlist import PSLFILE, PublicSuffixList

from mailassay.dmarc.suffix_list import SuffixList
from mailassay.domain import Domain

LINES = """
// a comment
com
uk
co.uk
*.ck
!www.ck
*.kobe.jp
!city.kobe.jp
jp
公司.cn  // what follows a blank does not count
github.io
"""


@pytest.fixture(scope="module")
def both():
    """The library, and our reading of its file."""
    with open(PSLFILE, encoding="utf-8") as lines:
        return PublicSuffixList(), SuffixList(lines)


@pytest.mark.parametrize(
    ("name", "suffix", "private"),
    [
        ("com", "com", None),
        ("a.com", "com", "a.com"),
        ("b.a.com", "com", "a.com"),
        ("a.co.uk", "co.uk", "a.co.uk"),
        ("uk", "uk", None),
        ("x.uk", "uk", "x.uk"),
        ("ck", "ck", None),
        ("a.ck", "a.ck", None),
        ("b.a.ck", "a.ck", "b.a.ck"),
        ("www.ck", "ck", "www.ck"),
        ("a.www.ck", "ck", "www.ck"),
        ("city.kobe.jp", "kobe.jp", "city.kobe.jp"),
        ("x.city.kobe.jp", "kobe.jp", "city.kobe.jp"),
        ("a.kobe.jp", "a.kobe.jp", None),
        ("xn--55qx5d.cn", "xn--55qx5d.cn", None),
        ("a.xn--55qx5d.cn", "xn--55qx5d.cn", "a.xn--55qx5d.cn"),
        ("user.github.io", "github.io", "user.github.io"),
        ("a.local", "local", "a.local"),
        ("local", "local", None),
    ],
)
def test_rules(name, suffix, private):
    found = SuffixList(LINES.splitlines())
    assert found.publicsuffix(name) == suffix
    assert found.privatesuffix(name) == private
    assert found.is_public(name) is (private is None)


def test_a_name_below_no_known_top_level_domain():
    found = SuffixList(LINES.splitlines())
    assert found.publicsuffix("a.local", accept_unknown=False) is None
    assert found.publicsuffix("a.com", accept_unknown=False) == "com"


def agrees(both, name):
    theirs, ours = both
    assert ours.publicsuffix(name) == theirs.publicsuffix(name)
    assert ours.privatesuffix(name) == theirs.privatesuffix(name)
    assert ours.is_public(name) is theirs.is_public(name)
    assert ours.publicsuffix(name, accept_unknown=False) == theirs.publicsuffix(name, accept_unknown=False)


def test_every_rule_of_the_list(both):
    """The name of a rule, and names below it."""
    with open(PSLFILE, encoding="utf-8") as lines:
        rules = [line.split()[0] for line in lines if line.strip() and not line.startswith("//")]
    for rule in rules:
        name = Domain(rule.lstrip("!").removeprefix("*."))
        for each in (name, f"a.{name}", f"b.a.{name}"):
            agrees(both, each)


WORDS = "com uk co ck www jp kobe city github io example a xn--p1ai"
LABELS = st.sampled_from(WORDS.split())


@given(st.lists(LABELS, min_size=1, max_size=6).map(".".join))
def test_any_name(both, name):
    agrees(both, name)


@given(st.text())
def test_any_file(text):
    SuffixList(text.splitlines()).publicsuffix("a.example")


def test_without_the_library(tmp_path):
    """The system's file is read; without it, a clear error."""
    system = tmp_path / "list.dat"
    code = (
        "import sys; sys.modules['publicsuffixlist'] = None; from pathlib import Path; "
        f"exists, opened = Path.exists, Path.open; here = Path({str(system)!r}); named = '/usr/share/publicsuffix'; "
        "Path.exists = lambda path: exists(here if str(path).startswith(named) else path); "
        "Path.open = lambda path, **more: opened(here if str(path).startswith(named) else path, **more); "
        "from mailassay.domain import Domain; from mailassay.dmarc.suffix import registrable; "
        "print(registrable(Domain('b.a.strange')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "publicsuffixlist" in done.stderr
    # an empty list would take the net away without a word
    system.write_text("// no rules\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "public_suffix_list.dat: no rules" in done.stderr
    # a line that is not UTF-8 is no rule
    system.write_bytes(b"a.strange\n\xe9.strange\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "b.a.strange\n"
