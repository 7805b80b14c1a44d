"""What the dearest signatures, chains, keys and bodies cost in CPU time: one message each, as long as limits allow."""

import base64
from contextlib import suppress

import pytest

from mailassay import arc, dkim
from mailassay.dkim import key as keys
from mailassay.limits import Limits
from mailassay.message import Field, Headers
from mailassay.resolver import NXDOMAIN, Answer
from tests.lab.sign import arc_set, ed25519_key, rsa_key

LIMITS = Limits()
FIELD = 100_000  # octets; Postfix cuts longer fields off (header_size_limit)
ED = ed25519_key()
AUTHOR = Field(b"From", b" a@example.com")
TAGS = b" v=1; a=%s; c=%s; d=example.com; s=s%d; h=%s; bh=" + base64.b64encode(bytes(32)) + b"; b=%s"
B = base64.b64encode(b"\1" * 64)


def signature(number=0, *, form=b"relaxed/relaxed", names=b"from", b=B, more=b"", algorithm=b"ed25519-sha256"):
    return Field(b"DKIM-Signature", TAGS % (algorithm, form, number, names, b) + more)


def judge(fields, chunks=(b"x\r\n",), records=(ED.record,)):
    """All that DKIM and ARC do for one message."""

    def resolve(name, rdtype):
        return Answer(tuple(records)) if rdtype == "TXT" and "_domainkey" in name else NXDOMAIN

    headers = Headers(fields)
    account = dkim.Work(LIMITS)
    signatures, chain = dkim.signatures(headers, LIMITS, account), arc.chain(headers, LIMITS, account)
    body = dkim.Body([*(each.body for each in signatures if not each.problem), *arc.body_requests(chain)])
    for chunk in chunks:
        body.update(chunk)
    bodies, hashes = body.finish(), dkim.HeaderHashes(headers, account)
    results = [dkim.check(each, hashes, bodies, resolve, 0.0, LIMITS) for each in signatures]
    return list(dkim.resinfos(results)), arc.check(chain, hashes, bodies, resolve, LIMITS)


def right(*fields, body=b"x\r\n"):
    """The same fields, with bh= right, so that the header is hashed as well."""
    found = dkim.parse(fields[0])
    form = dkim.Body([found.body])
    form.update(body)
    good = base64.b64encode(form.finish()[found.body].digest)
    return [Field(name, value.replace(base64.b64encode(bytes(32)), good)) for name, value in fields]


def forms(number):
    return b"simple/simple" if number % 2 else b"relaxed/relaxed"


def thousand(value):
    return [Field(b"X-%d" % number, value) for number in range(LIMITS.header_fields - LIMITS.signatures - 1)]


ALL = b":".join([b"from", *(field.name.lower() for field in thousand(b""))])


def every(number):
    (field,) = right(signature(number, form=forms(number), names=ALL))
    return field


FIELDS = {
    "h= of 50,000 names": right(signature(names=b"from" + b":x" * (FIELD // 2))),
    "h= of 50,000 names, 900 of them there": [
        *right(signature(names=b"from" + b":a" * (FIELD // 2))),
        *([Field(b"A", b" x")] * 900),
    ],
    "ten h= of 50,000 names": right(*(signature(each, names=b"from" + b":x" * (FIELD // 2)) for each in range(10))),
    "h= of white space": right(signature(names=b"from" + b" " * FIELD + b":to")),
    "h= wrong at the end": right(signature(names=b"from" + b" :a" * (FIELD // 3) + b" !")),
    "30,000 tags": [signature(more=b"".join(b";a%d=" % number for number in range(FIELD // 7)))],
    "one tag over and over": [signature(more=b";a=" * (FIELD // 3))],
    "empty tags": [signature(more=b";" * FIELD)],
    "b= of 90 kB": right(*(signature(number, b=b"A" * 90_000) for number in range(10))),
    "i= of 90 kB": right(*(signature(more=b"; i=" + b"=41" * 30_000 + b"@example.com") for _ in range(10))),
    "i= nearly quoted": right(*(signature(more=b'; i="' + b"\\" * 90_000 + b"@example.com") for _ in range(10))),
    "l= of many sizes, 10 MB": [signature(number, more=b"; l=%d" % (10**7 + number)) for number in range(10)],
    "ten signatures over 1000 fields": [every(number) for number in range(10)] + thousand(b" x" * 480),
    "ten signatures over 1000 fields of blanks": [every(number) for number in range(10)] + thousand(b" \t" * 480),
    "ten signatures over 1000 folded fields": [every(number) for number in range(10)] + thousand(b"\r\n " * 320),
}  # fmt: skip


@pytest.mark.parametrize("case", FIELDS)
def test_signature_fields(benchmark, case):
    chunks = [b"x" * 65_535] * 160 if case.endswith("MB") else (b"x\r\n",)
    benchmark(judge, [*FIELDS[case], AUTHOR], chunks)


BODIES = {
    "text": b"The quick brown fox jumps over the lazy dog.\r\n" * 1400,
    "base64": (b"VGhlIHF1aWNrIGJyb3du" * 4 + b"\r\n") * 790,
    "HTML, indented": b"\t\t<p>The quick brown  fox\r\n\t\t    jumps over the lazy dog. </p>\r\n" * 1000,
    "columns": (b"".join(word.ljust(14) for word in b"The quick brown fox jumps".split()) + b"\r\n") * 900,
    "double spaces": b"The  quick  brown  fox  jumps  over  the  lazy  dog.\r\n" * 1200,
    "blanks at line ends": b"The quick brown fox jumps over the lazy dog. \t\r\n" * 1300,
    "words of one letter": b"a " * 32_767,
    "spaces": b" " * 65_535,
    "tabs and spaces": b" \t" * 32_767,
    "CRLF": b"\r\n" * 32_767,
    "space CRLF": b" \r\n" * 21_845,
    "CR": b"\r" * 65_535,
    "LF": b"\n" * 65_535,
    "CR CR LF": b"\r\r\n" * 21_845,
    "a run of spaces among words": b" " * 32_768 + b"a " * 16_383,
    "octet CRLF": b"x\r\n" * 21_845,
}


@pytest.mark.parametrize("form", ["simple", "relaxed"])
@pytest.mark.parametrize("case", BODIES)
def test_body_of_10_megabytes(benchmark, case, form):
    def whole():
        body = dkim.Body([dkim.BodyRequest(form, None)])
        for _ in range(160):
            body.update(BODIES[case])
        return body.finish()

    benchmark(whole)


def chain(count, key, results):
    message = b"From: a@example.com\r\nTo: b@example.net\r\nSubject: hi\r\n\r\nx\r\n"
    for number in range(1, count + 1):
        message = arc_set(message, number, "example.com", key, results=b" i={number}; " + results)
    head = message.partition(b"\r\n\r\n")[0].split(b"\r\n")
    return [Field(*each.split(b":", 1)) for each in head]


@pytest.mark.parametrize("size", [20, 19_000, FIELD])
@pytest.mark.parametrize("key", [ED, rsa_key()], ids=["ed25519", "rsa2048"])
def test_fifty_arc_sets(benchmark, key, size):
    """With results of 19 kB the header section reaches the limit; beyond, no more of it is read."""
    fields = chain(50, key, b"x " * (size // 2))
    _, found = benchmark(judge, fields, (b"x\r\n",), [key.record])
    assert found.result == "pass" or found.fault == "limit"


def modulus(bits, exponent):
    """An RSA key of nobody's."""

    def integer(number):
        octets = number.to_bytes(number.bit_length() // 8 + 1, "big")
        return b"\x02\x82" + len(octets).to_bytes(2, "big") + octets if len(octets) > 255 else _short(octets)

    def _short(octets):
        return b"\x02" + (b"\x81" if len(octets) > 127 else b"") + bytes([len(octets)]) + octets

    # no power of two less one, which is divided by more cheaply
    octets = integer((1 << bits) - (1 << bits // 2) - 1) + integer(exponent)
    return base64.b64encode(b"\x30\x82" + len(octets).to_bytes(2, "big") + octets).decode()


RECORDS = {
    "RSA 2048": (2048, [f"p={modulus(2048, 65537)}"]),
    "RSA 3072, an exponent as long": (3072, [f"p={modulus(3072, (1 << 3071) - 1)}"]),
    "RSA 8192": (8192, [f"p={modulus(8192, 65537)}"]),
    "RSA 8192, the longest exponent": (8192, [f"p={modulus(8192, (1 << 64) - 1)}"]),
    "RSA 16384": (16384, [f"p={modulus(16384, 65537)}"]),
    "four of RSA 8192": (8192, [f"p={modulus(8192, (1 << 64) - 1 - 2 * number)}" for number in range(4)]),
    "n= of 16 kB": (256, [f"v=DKIM1; n={'x' * 16_000}; p={ED.material}"]),
    "tags of 16 kB": (256, [";".join(f"a{number}=" for number in range(2400))]),
    "p= of 16 kB": (256, [f"p={'A ' * 8000}"]),
    "thousands of records": (256, [f"v=DKIM{number}" for number in range(2, 4000)]),
}


@pytest.mark.parametrize("case", RECORDS)
def test_ten_signatures_with_keys_of(benchmark, case):
    bits, records = RECORDS[case]
    b = base64.b64encode(b"\1" * (bits // 8))
    fields = right(*(signature(number, algorithm=b"rsa-sha256", b=b) for number in range(10)))
    benchmark(judge, [*fields, AUTHOR], records=records)


@pytest.mark.parametrize("case", ["tags of 16 kB", "p= of 16 kB", "n= of 16 kB", "four of RSA 8192"])
def test_a_key_record_read_for_the_first_time(benchmark, case):
    def read():
        keys._known.cache_clear()
        with suppress(keys.BadKey):
            keys.parse(RECORDS[case][1][0])

    benchmark(read)
