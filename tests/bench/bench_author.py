"""What the dearest From fields cost in CPU time: as long together as the limits allow, in one field or in eight."""

import re
from base64 import b64encode

import pytest

from mailassay.author import Fault, author
from mailassay.limits import Limits
from mailassay.message import Field, Headers

LIMITS = Limits()


def distinct(form):
    """Thousands of domains, no two alike; IDNA is what costs most of all."""
    return ",".join(form.format(chr(0x4E00 + number), number) for number in range(2000))


def folded(text):
    """In lines that are read: none beyond 998 octets."""
    return re.sub("([^\n]{240})(?=.)", "\\1\r\n ", text)


CASES = {
    "deep comments": "(" * 4000 + ")" * 4000,
    "comments": "(a)" * 3000,
    "open comments": "((a)" * 3000,
    "closed comments": ")" * 9000,
    "quotes": '""' * 5000,
    "an open quote": '"' + '\\"' * 5000,
    "quoted words": '"a" ' * 3000,
    "one long quote": '"' + "\\a" * 4000 + '"@a.example',
    "brackets": "[a]" * 3000,
    "open brackets": "[" * 9000,
    "open angle brackets": "<" * 9000,
    "backslashes": "\\" * 9000,
    "commas": "," * 9000,
    "at signs": "@" * 9000,
    "at signs and comments": "@(a)" * 3000,
    "words": "a " * 5000,
    "dots": ". " * 5000,
    "white space": " " * 9000,
    "folding": "\r\n " * 3000,
    "empty lines": "\r\n \r\n" * 2000,
    "groups": "a:;" * 3000,
    "routes": "<@a,@b:c@d>," * 1000,
    "short addresses": "a@b," * 3000,
    "addresses in brackets": "<a@b>," * 2000,
    "addresses with space": "<a @b.c>," * 1500,
    "quoted addresses": '"a"@b,' * 2000,
    "addresses in comments": "a@b(<c@d>)," * 1000,
    "encoded words": "=?a?q?=3C?=" * 1000,
    "open encoded words": "=?a?q?" * 2000,
    "encoded quotes": "=?a?q?=22?= <a@b>" * 600,
    "base64": f"=?a?b?{b64encode(b'<@a.b>' * 1000).decode()}?=",
    "base64 in pieces": f"=?a?b?{'QUA=' * 2000}?=",
    "utf-7": f"=?utf-7?b?{b64encode(('@ü' * 1500).encode('utf-7')).decode()[:8000]}?=",
    "iso-2022-jp": "=?iso-2022-jp?b?GyRC?=" * 500,
    "domains of their own": distinct("a@{0}{1}"),
    "domains of their own, broken": distinct("(@{0}\u0301{1}"),
    "domains that are none": distinct("(@\u0301{0}{1}"),
    "domains that are none, with blanks": distinct("(@{0}-\u2800"),
    "long domains": "(" + "".join("@" + f"{chr(0x0E01 + number)}\u0e33" * 30 for number in range(40)),
    "what becomes longer": "".join(f"@\ufdfa{number}" for number in range(490)),
    "ends of names": "@" + "a." * 4000 + "-,",
    "labels that are none": "".join(f"@{chr(0x0E01 + number % 40)}\u0e33\u0301.-x.a" for number in range(490)),
    "combining marks": "a@" + "\u0301\u0323" * 2000,
}
CASES = {name: folded(text) for name, text in CASES.items()}


@pytest.mark.parametrize("fields", [1, LIMITS.from_fields])
@pytest.mark.parametrize("case", CASES)
def test_author(benchmark, case, fields):
    room = LIMITS.from_octets // fields
    value = CASES[case].encode()[:room]
    assert not Field(b"From", value).breakable
    found = benchmark(author, Headers([Field(b"From", value)] * fields))
    assert found.fault is not Fault.OCTETS
