"""What the dearest names and messages cost in CPU time: names as long as they may be, header sections of 1 MB."""

import contextlib
from concurrent.futures import Future

import pytest

from mailassay import domain, message
from mailassay.domain import BadDomain, Domain
from mailassay.limits import Limits
from mailassay.resolver import NXDOMAIN
from tests.lab.talk import Talk

LIMITS = Limits()

# what is longer is no name, and that is known before anything else
NAMES = {
    # IDNA looks at each character, and for some of them at all the others
    "one long label": "\u00fc" * 253,
    "the middle dot of a script": "\u30fb" * 252 + "\u30a2",
    "joiners": "\u0628\u200c" * 126 + "\u0628",
    "combining marks": "a" + "\u0301" * 252,
    "a label a character": "\u00fc." * 126 + "\u00fc",
    "A-labels": ".".join(["xn--bcher-kva"] * 18),
}


@pytest.mark.parametrize("name", NAMES)
def test_domain(benchmark, name):
    def read():
        domain._normalize.cache_clear()
        with contextlib.suppress(BadDomain):
            Domain(NAMES[name])
        domain.u_labels(NAMES[name])

    benchmark(read)


MESSAGES = {
    "the shortest fields": b"x:\n" * 333_000,
    "the shortest lines of one field": b"x:\n" + b" \n" * 500_000,
    "one long name": b"x" * 1_000_000 + b":",
    "a long name that is none": b"x" * 999_999 + b"\xff:",
    "a body of the shortest lines": b"\n" * 1_000_000,
}


@pytest.mark.parametrize("case", MESSAGES)
def test_split(benchmark, case):
    """A message file, as ``mailassay check`` reads it."""
    benchmark(message.split, MESSAGES[case])


OCTETS = LIMITS.header_octets // LIMITS.header_fields
FIELDS = {
    "as many as are looked at": [(b"x", b"y" * (OCTETS - 1))] * LIMITS.header_fields,
    "one of the shortest lines": [(b"x", b"\n " * (LIMITS.header_octets // 2 - 50))],
    "far more than are looked at": [(b"x", b"")] * 100_000,
    "signatures of the shortest tags": [(b"DKIM-Signature", b"v=1;a=" + b";a=" * 33_000)] * LIMITS.signatures,
    "signatures of the shortest h=": [(b"DKIM-Signature", b"v=1; h=from" + b":x" * 49_000)] * LIMITS.signatures,
    "the results of others": [(b"Authentication-Results", b" x (" + rb"m\(a)" * (OCTETS // 5 - 6))]
    * LIMITS.header_fields,
}


def unknown(_):
    """A source to which every name is unknown."""
    answer = Future()
    answer.set_result(NXDOMAIN)
    return answer


@pytest.mark.parametrize("case", FIELDS)
def test_header(benchmark, case):
    """From MAIL to the end of the message, all but DNS and the body; From comes first."""

    def judge():
        talk = Talk(unknown, helo="mail.example.com")
        return talk.send([(b"From", b" a@example.com"), *FIELDS[case]], b"", mail_from="<a@example.com>")

    benchmark(judge)
