"""What the dearest Authentication-Results fields cost in CPU time: theirs as they are read, ours as it is written."""

import pytest

from mailassay.authres.render import _MAX_MARKS, render, unwanted
from mailassay.limits import Limits
from mailassay.message import Field, Headers
from mailassay.result import Resinfo, Result

OURS = "mx.example.org"
LIMITS = Limits()
OCTETS = LIMITS.results_octets


def filled(start, piece):
    """One field that is read with as much in it as all of them may have: each octet is read some ten times."""
    marks = sum(piece.count(mark) for mark in b'()"\\')
    most = (OCTETS - len(start)) // len(piece)
    return [start + piece * (min(most, (_MAX_MARKS - 2) // marks) if marks else most)]


THEIRS = {
    # read as text, without backslashes, without comments, without non-ASCII, and all of it together
    "comments that close too often": filled(b"x (", b"  )\xc2\xad)m);\\"),
    "comments with backslashes": filled(b"(", rb"m\(a)"),
    "comments opened": filled(b"x 1(", b"(."),
    "quotes and backslashes": filled(b'x "', b'\\"m"'),
    "our name begun": filled(b";", b"m x . e x a m p l e . o r "),
    "letters that casefold to three": filled(b";", "\u0390".encode()),
    "as many fields as there may be": [b"x; mx" + b" m" * 30] * LIMITS.header_fields,
    # removed unread
    "a megabyte": [b"x (" + rb"m\(a)" * 200] * LIMITS.header_fields,
}


@pytest.mark.parametrize("case", THEIRS)
def test_theirs(benchmark, case):
    headers = Headers([Field(b"Authentication-Results", value) for value in THEIRS[case]])
    benchmark(unwanted, headers, OURS)


# each character is looked at, and the domain tried for A-labels and U-labels
VALUES = {
    "quotes": '"\\' * 1000,
    "not ASCII": "\U0001f4e7" * 1000,
    "labels that are no A-labels": "xn--" + "a" * 59 + ".xn--b" * 30,
    "U-labels": "@" + "b\u00fccher." * 40 + "example",
}


@pytest.mark.parametrize("utf8", [True, False])
@pytest.mark.parametrize("value", VALUES)
def test_ours(benchmark, value, utf8):
    """As many DKIM clauses as signatures are looked at, each property and the reason as the sender wants them."""
    text = VALUES[value]
    properties = tuple(("header", name, text) for name in "disab")
    resinfos = [Resinfo("dkim", Result.FAIL, properties, text, text)] * LIMITS.signatures
    benchmark(render, OURS, resinfos, utf8=utf8)
