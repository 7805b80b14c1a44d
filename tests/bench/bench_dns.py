"""What the dearest DNS responses cost in CPU time: as long as they may be, with names as long as may be.

Whoever sends mail chooses what DNS says of his own names; a resolver hands it on.
"""

import struct

import dns.name
import pytest
from dns.rdatatype import RdataType

from mailassay.limits import Limits
from mailassay.nameservers.wire import Query, answer
from mailassay.resolver import DnsLimit

MOST = Limits().dns_records
MAX_OCTETS = Limits().dns_octets
POINTER = b"\xc0\x0c"  # to the name in the question
A, CNAME, PTR, MX, TXT = 1, 5, 12, 15, 16
LABELS = b"\1x" * 125  # two octets less than a name may have
LONG = LABELS + b"\1y\0"


def response(rdtype, *records, name=LONG):
    """A question and records after it, as many as fit."""
    wire = name + struct.pack("!2H", rdtype, 1)
    count = 0
    for owner, of_type, data in records:
        record = owner + struct.pack("!2HIH", of_type, 1, 60, len(data)) + data
        if 12 + len(wire) + len(record) > MAX_OCTETS:
            break
        wire += record
        count += 1
    return struct.pack("!6H", 1, 0x8180, 1, count, 0, 0) + wire


def number(at):
    return struct.pack("!H", at)


def same_hash(at):
    """Long names, different and all with one hash in dnspython, since it adds 9 times an octet to the next one."""
    pairs = b"".join(b"\x02" + (bytes([98, 98]) if at >> bit & 1 else bytes([97, 107])) for bit in range(16))
    return pairs + b"\1x" * 90 + b"\0"


def chain(count):
    """CNAMEs one after the other, the last of them first."""
    names = [b"\3" + b"%03d" % at + b"\1x" * 123 + b"\0" for at in range(count + 1)]
    links = [(names[at], CNAME, names[at + 1]) for at in reversed(range(count))]
    return response(A, *links, name=names[0])


CASES = {
    # what is read at all: the names of owner and data are long, and pointers make them so in two octets
    "the most MX with long names": response(MX, *((POINTER, MX, number(at) + POINTER) for at in range(MOST))),
    "the most PTR with long names": response(
        PTR, *((POINTER, PTR, b"\1" + b"ab"[at % 2 :][:1] + b"\xc0\x0e") for at in range(MOST))
    ),
    "the longest chain of CNAMEs": chain(MOST // 2),
    "owners of one hash": response(A, *((same_hash(at), A, struct.pack("!I", at)) for at in range(MOST))),
    "one text of empty strings": response(TXT, (POINTER, TXT, bytes(20_000))),
    "one text of short strings": response(TXT, (POINTER, TXT, b"\1x" * 10_000)),
    "the most texts": response(TXT, *((POINTER, TXT, b"\1x" * 70 + b"\1" + bytes([at])) for at in range(MOST))),
    "the most addresses": response(A, *((POINTER, A, struct.pack("!I", at)) for at in range(MOST))),
    # what is not: more records than that
    "thousands of MX with long names": response(MX, *((POINTER, MX, number(at) + POINTER) for at in range(5000))),
}


@pytest.mark.parametrize("case", CASES)
def test_response(benchmark, case):
    written = CASES[case]
    name, octets = dns.name.from_wire(written, 12)
    question = written[12 : 16 + octets]
    query = Query(written[:2], question, name.to_digestable(), RdataType(int.from_bytes(question[-4:-2])))

    def read():
        assert query.is_answered_by(written)
        try:
            return answer(written, query, Limits())
        except DnsLimit:
            return None

    assert (benchmark(read) is None) == (case.startswith("thousands"))
