"""Body hashes: the same as dkimpy's over the whole body, however the body is cut."""

import hashlib
import subprocess
import sys
from itertools import pairwise, product
from operator import mul

import pytest
from dkim.canonicalization import Relaxed, Simple
from hypothesis import given
from hypothesis import strategies as st

from mailassay.dkim import Body, BodyRequest
from tests.lab.sign import canonical_body

# what canonicalization looks at, so that chance finds its corners
PIECES = [b"a", b"bc", b" ", b"\t", b"  \t", b"\r\n", b"\r\n\r\n", b"\r", b"\n", b"\0", b"!", "ä".encode()]
BLANKS = [b" ", b"\t", b"  ", b" \t", b"\t\t  ", b" \r\n", b"\t \r\n", b" \r", b" \n", b"a ", b"!\t", b" \r\r\n"]
RUNS = [b" ", b"\t", b" \t", b"\r\n", b" \r\n"]
runs = st.builds(mul, st.sampled_from(RUNS), st.integers(2, 40))
bodies = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=30),
    st.lists(st.one_of(st.sampled_from(BLANKS), runs, st.binary(max_size=3)), max_size=20),
).map(b"".join)
places_of_cuts = st.lists(st.integers(0, 1000), max_size=6)
CANONICAL = {"simple": Simple.canonicalize_body, "relaxed": Relaxed.canonicalize_body}


def digests(requests, chunks):
    body = Body(requests)
    for chunk in chunks:
        body.update(chunk)
    return body.finish()


def cut(body, places):
    edges = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[start:end] for start, end in pairwise(edges)]


@given(body=bodies, places=places_of_cuts, kind=st.sampled_from(sorted(CANONICAL)))
def test_same_as_dkimpy_at_every_cut(body, places, kind):
    # SMTP ends every line; dkimpy keeps white space before an end that is missing
    body = body + b"\r\n" if body else body
    digest = digests([BodyRequest(kind, None)], cut(body, places))[BodyRequest(kind, None)]
    canonical = CANONICAL[kind](body)
    assert digest == (hashlib.sha256(canonical).digest(), len(canonical), False)
    assert canonical == canonical_body(body, relaxed=kind == "relaxed")


@pytest.mark.parametrize(
    "body",
    [
        b"a  b \t\t c\t\r\n \t\r\n\r\nd\te" + b" " * 9 + b"\r\n",
        b"\t  <p>!\t! \t !\r\n" * 3 + b" \r\n" * 3 + b"\r\n",
        b"a \r b\t\n c \r\r\n \n\r \r \n \r\n\n\n  \r\r\n",
        b"\t" * 20 + b" \r\n" + b" " * 20 + b"x" + b" \t" * 20 + b"\r\n",
    ],
)
def test_blanks_cut_at_every_place(body):
    """In two at every place, in three at every two places next to each other, and in pieces of every length."""
    canonical = Relaxed.canonicalize_body(body)
    request, size = BodyRequest("relaxed", None), len(body)
    cuts = [
        *([body[:at], body[at:]] for at in range(size + 1)),
        *([body[:at], body[at : at + 1], body[at + 1 :]] for at in range(size)),
        *([body[at : at + step] for at in range(0, size, step)] for step in range(1, size)),
    ]
    for chunks in cuts:
        assert digests([request], chunks)[request].digest == hashlib.sha256(canonical).digest(), chunks


def test_every_short_line():
    """Whatever stands next to whatever: blanks, halves of a line end, another octet, and "!"."""
    request = BodyRequest("relaxed", None)
    for octets in product(b" \t\r\n!a", repeat=5):
        body = bytes(octets) + b"\r\n"
        assert digests([request], [body])[request].digest == hashlib.sha256(canonical_body(body, relaxed=True)).digest()


def test_every_octet_among_blanks():
    request = BodyRequest("relaxed", None)
    octets = (bytes([number]) for number in range(256))
    body = b"".join(b"%b %b  %b\t \r\n" % (octet, octet * 2, octet) for octet in octets)
    canonical = Relaxed.canonicalize_body(body)
    assert digests([request], [body])[request].digest == hashlib.sha256(canonical).digest()


@pytest.mark.parametrize("run", RUNS)
def test_a_run_over_chunk_borders_as_postfix_cuts_them(run):
    request = BodyRequest("relaxed", None)
    for end in (b"\r\n", b"x\r\n"):
        body = b"a\r\nb" + run * 70_000 + end
        chunks = [body[at : at + 65_535] for at in range(0, len(body), 65_535)]
        canonical = canonical_body(body, relaxed=True)
        assert digests([request], chunks)[request] == (hashlib.sha256(canonical).digest(), len(canonical), False)


@given(body=bodies, places=places_of_cuts, length=st.integers(0, 40))
def test_length_takes_the_first_canonical_octets(body, places, length):
    body += b"\r\n"
    request = BodyRequest("relaxed", length)
    digest = digests([request], cut(body, places))[request]
    canonical = CANONICAL["relaxed"](body)
    assert digest.digest == hashlib.sha256(canonical[:length]).digest()
    assert digest.hashed == len(canonical[:length])
    assert digest.partial == (len(canonical) > length)


@given(body=bodies)
def test_byte_by_byte_is_as_good_as_whole(body):
    requests = [BodyRequest("simple", None), BodyRequest("relaxed", None), BodyRequest("relaxed", 5)]
    assert digests(requests, [body]) == digests(requests, [body[at : at + 1] for at in range(len(body))])


@pytest.mark.parametrize(
    ("kind", "body", "canonical"),
    [
        ("simple", b"", b"\r\n"),
        ("relaxed", b"", b""),
        ("simple", b"\r\n\r\n", b"\r\n"),
        ("relaxed", b" \t\r\n\r\n", b""),
        ("simple", b"no end", b"no end\r\n"),
        ("relaxed", b"no  end \t", b"no end\r\n"),
        ("simple", b"half an end\r", b"half an end\r\r\n"),
        ("relaxed", b"half an end \r", b"half an end \r\r\n"),  # no blank before a CRLF
        ("relaxed", b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n"),
        ("simple", b" C \r\nD \t E\r\n\r\n\r\n", b" C \r\nD \t E\r\n"),
    ],
)
def test_the_words_of_the_rfc(kind, body, canonical):
    request = BodyRequest(kind, None)
    assert digests([request], [body])[request].digest == hashlib.sha256(canonical).digest()


def test_full_when_every_length_is_passed():
    body = Body([BodyRequest("simple", 3), BodyRequest("relaxed", 5)])
    assert body.hungry
    body.update(b"abcdef\r\n")
    assert not body.hungry


def test_nothing_asked_for_is_never_hungry():
    assert not Body([]).hungry


# in a process of its own: tracemalloc counts what every thread allocates, and other tests leave threads behind
PEAK = """
import sys, tracemalloc
from mailassay.dkim import Body, BodyRequest

piece = bytes.fromhex(sys.argv[1])
body = Body([BodyRequest("relaxed", None), BodyRequest("simple", None)])
chunk = piece * (65536 // len(piece))
# Python 3.14 keeps up to 100 ints for reuse that are small, but have the memory of the large ones they came from
for _ in range(160):
    body.update(chunk)
tracemalloc.start()
for _ in range(160):
    body.update(chunk)
body.update(b"x")
assert body.finish()
print(tracemalloc.get_traced_memory()[1] / len(chunk))
"""


@pytest.mark.process
@pytest.mark.parametrize("piece", [b"\r\n", b" ", b"\t", b"\r", b"\n", b" \r\n", b"  "])
def test_a_hostile_run_costs_no_more_than_its_length(piece):
    """A body that only ever holds back: what is carried from chunk to chunk stays small."""
    done = subprocess.run([sys.executable, "-c", PEAK, piece.hex()], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 20  # chunks


@given(body=bodies, kind=st.sampled_from(sorted(CANONICAL)))
def test_every_length_is_the_hash_as_it_stood_there(body, kind):
    """Many signatures with an l= each cost one hash of the body."""
    body += b"\r\n"
    canonical = CANONICAL[kind](body)
    lengths = [*range(len(canonical) + 3), None]
    found = digests([BodyRequest(kind, length) for length in lengths], [body])
    for length in lengths:
        whole = length is None or length >= len(canonical)
        expected = hashlib.sha256(canonical[:length]).digest()
        assert found[BodyRequest(kind, length)] == (expected, len(canonical) if whole else length, not whole)
