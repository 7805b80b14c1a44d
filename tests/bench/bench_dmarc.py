"""What the dearest policies cost in CPU time: the most walks of the most names, each with as much as one
record may hold, or as many records as DNS may answer."""

from itertools import count

import pytest

from mailassay.author import Author, Fault
from mailassay.dmarc import Identifier, check, questions
from mailassay.domain import Domain
from mailassay.limits import Limits
from mailassay.resolver import NXDOMAIN, Answer
from mailassay.result import Result

LIMITS = Limits()
DEEP = "b.c.d.e.f.g.example.com"


def filled(piece):
    """Records as long as they may be, as many as fit, all different so that none is remembered."""
    room = LIMITS.record_octets - 80
    return ["v=DMARC1;" + piece * (room // len(piece))]


RECORDS = {
    "no record": [],
    "one record": ["v=DMARC1; p=none"],
    "semicolons": filled(";"),
    "tags": filled("a=b;"),
    "equals": filled("="),
    "spaces": filled(" "),
    "spaces in tags": filled("p" + " " * 98 + ";"),
    "uris": filled("rua=" + "m:a," * 4000),
    "no uris": filled("rua=" + "," * 16_000),
    "long uri": filled("rua=a:" + "%20" * 5000),
    "many uris of one letter": filled("ruf=" + "a" * 8000 + ":," * 100 + ";rua=" + "a:b," * 2000),
    "long scheme": filled("rua=" + "a" * 16_000),
    "many records": [f"v=DMARC1; x={number}" for number in range(3000)],
    "other records": [f"v=DMARC{number}" for number in range(10, 4000)],
}


class Everywhere:
    """The same records at every name, told apart so that no two are remembered as one."""

    def __init__(self, records):
        self._records = records
        self._asked = {}

    def __call__(self, name, rdtype):
        if rdtype != "TXT" or not self._records:
            return NXDOMAIN
        if name not in self._asked:
            self._asked[name] = Answer(tuple(f"{record};{name}" for record in self._records))
        return self._asked[name]


def measure(benchmark, author, identifiers, records):
    """Each round is the first one that meets these records."""
    rounds = count()

    def setup():
        fresh = [f"{record};{next(rounds)}" for record in records]
        resolve = Everywhere(fresh)
        for domain in (*author.domains, *(each.domain for each in identifiers)):
            for name in questions(domain, LIMITS):
                resolve(name, "TXT")
        return (author, identifiers, resolve), {}

    benchmark.pedantic(check, setup=setup, rounds=5)


@pytest.mark.parametrize("case", RECORDS)
def test_walk(benchmark, case):
    """One author, and as many identifiers below its organization as are looked at."""
    author = Author((Domain(f"author.{DEEP}"),))
    domains = [Domain(f"x{number}.{DEEP}") for number in range(LIMITS.identifiers)]
    identifiers = [Identifier("dkim", domain, Result.TEMPERROR) for domain in domains]
    measure(benchmark, author, identifiers, RECORDS[case])


@pytest.mark.parametrize("case", RECORDS)
def test_readings(benchmark, case):
    """As many author domains as are looked at."""
    names = tuple(Domain(f"author.x{number}.{DEEP}") for number in range(LIMITS.from_domains))
    measure(benchmark, Author(names, Fault.SEVERAL_DOMAINS), [], RECORDS[case])


@pytest.mark.parametrize("name", ["a.co.uk", "a.b.c.d.e.f.g.h.i.example.com", ".".join("a" * 127)])
def test_public_suffixes(benchmark, name):
    """As many identifiers as are looked at that only the list keeps apart."""
    top = name.rpartition(".")[2]
    identifiers = [Identifier("dkim", Domain(f"x{number}.{top}"), Result.PASS) for number in range(LIMITS.identifiers)]
    records = {f"_dmarc.{top}": Answer(("v=DMARC1; p=reject",))}

    def resolve(name, _):
        return records.get(name, NXDOMAIN)

    found = benchmark(check, Author((Domain(name),)), identifiers, resolve)
    assert found.result is Result.FAIL
