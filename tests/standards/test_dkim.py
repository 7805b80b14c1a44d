"""RFC 6376 section by section, with RFC 6008, 8301, 8463, 8601 and 8616."""

import base64
import hashlib
import re
from itertools import pairwise

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from hypothesis import given
from hypothesis import strategies as st

from mailassay import dkim
from mailassay.dkim import Work
from mailassay.dkim import key as keys
from mailassay.limits import Limits
from mailassay.message import Field, split
from mailassay.policy import DkimRules, Partial, Policy, Repeated
from mailassay.resolver import Deadline
from mailassay.result import Result
from mailassay.verdict import Action
from mailassay.zone import Zone
from tests.lab.limits import LIMITS
from tests.lab.sign import TAGS, canonical_body, canonical_field, ed25519_key, rsa_key, written
from tests.lab.talk import Talk

NOW = 1_800_000_000
MESSAGE = b"From: Alice <alice@example.com>\r\nTo: bob@example.net\r\nSubject: hi\r\n\r\nHello  world \r\n\r\n"
RSA, ED = rsa_key(), ed25519_key()
P = (1 << 255) - 19
Y8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826  # of a point of order 8 on edwards25519
PASS, FAIL, PERMERROR, TEMPERROR = Result.PASS, Result.FAIL, Result.PERMERROR, Result.TEMPERROR


def results(message, *records, zone="", now=NOW, limits=LIMITS, repeated_fail=False):
    """The results from the top, with these records at sel._domainkey.example.com."""
    lines = [f'sel._domainkey.example.com TXT "{record}"' for record in records or [RSA.record]]
    resolve = Deadline(Zone("\n".join([*lines, zone]), limits=LIMITS), float("inf"), lambda: 0.0)
    headers, content = split(message)
    signatures = dkim.signatures(headers, limits)
    body = dkim.Body([each.body for each in signatures if not each.problem])
    body.update(content)
    bodies, hashes = body.finish(), dkim.HeaderHashes(headers, repeated_fail=repeated_fail, account=Work(LIMITS))
    return [dkim.check(each, hashes, bodies, resolve, now, limits) for each in signatures]


def result(message, *records, **more):
    (found,) = results(message, *records, **more)
    return found.result


def answer(key):
    """The DNS as dkimpy asks it."""
    return lambda *_, **__: key.record.encode()


def with_tag(name, value):
    """The usual tags with one of them changed, added, or (None) left out."""
    tags = [each for each in TAGS.split(b";") if each.partition(b"=")[0].strip() != name]
    return b";".join(tags if value is None else [b" " + name + b"=" + value, *tags])


def converse(message, records="", policy=Policy(), now=NOW, chunk=1 << 20):
    """What becomes of one message."""
    zone = f"""
        sel._domainkey.example.com TXT "{RSA.record}"
        _dmarc.example.com         TXT "v=DMARC1; p=reject"
        {records}
    """
    talk = Talk(zone, policy, helo="mail.example.net", now=now)
    return talk.send(*split(message), chunk=chunk, mail_from="<someone@example.net>")


def clauses(outcome):
    """Our field, a clause a piece."""
    ((name, value),) = outcome.add
    assert name == "Authentication-Results"
    return [each.strip() for each in value.replace("\n", "").split(";")[1:]]


# 2.8, 3.2: tag=value lists


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (TAGS, PASS),
        (TAGS + b";", PASS),
        (TAGS + b"; ", PASS),
        (TAGS + b";\r\n ", PASS),
        (TAGS.replace(b"; ", b" ;\t").replace(b"=", b" =\t"), PASS),
        (TAGS.replace(b"; ", b"\r\n ;\r\n ").replace(b"=", b"\r\n =\r\n "), PASS),
        (TAGS.replace(b"; ", b";"), PASS),
        (TAGS.replace(b"v=1; ", b"").replace(b"; b=", b"; v=1; b="), PASS),  # in any order
        (b" b={b};" + TAGS.removesuffix(b"; b={b}"), PASS),
        (with_tag(b"unknown", b"anything"), PASS),
        (with_tag(b"b_1", b"b=c=="), PASS),  # "=" in a value
        (with_tag(b"r", b""), PASS),
        (with_tag(b"r", "ä".encode()), PASS),
        (with_tag(b"z", b"From:foo@eng.example|To:joe@example.com"), PASS),  # section 3.5: nothing to verify by
        (TAGS + b";;", PERMERROR),
        (b";" + TAGS, PERMERROR),
        (TAGS.replace(b"; d=", b";; d="), PERMERROR),
        (TAGS + b"; x", PERMERROR),
        (with_tag(b"", b"x"), PERMERROR),
        (with_tag(b"1r", b"x"), PERMERROR),
        (with_tag(b"r-r", b"x"), PERMERROR),
        (with_tag(b"r", b"x\0y"), PERMERROR),
        (with_tag(b"r", b"\x0b"), PERMERROR),
        (with_tag(b"r", b"a\x7fb"), PERMERROR),
        (with_tag(b"d", b"example.com\x0c"), PERMERROR),
    ],
)  # fmt: skip
def test_rfc6376_3_2_tag_list_grammar(value, expected):
    """White space and folding around "=" and ";", one ";" at the end; nothing empty, no other octets."""
    assert result(written(MESSAGE, value)) is expected


def test_rfc6376_3_2_tag_names_are_case_sensitive():
    """Tag names are case-sensitive."""
    for name in (b"v", b"a", b"b", b"bh", b"d", b"h", b"s"):
        message = written(MESSAGE).replace(b" " + name + b"=", b" " + name.upper() + b"=", 1)
        assert result(message) is PERMERROR


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (b"a", b"RSA-SHA256"),
        (b"a", b"rsa-SHA256"),
        (b"c", b"Relaxed/relaxed"),
        (b"c", b"RELAXED/Relaxed"),
        (b"q", b"DNS/TXT"),
        (b"q", b"http:Dns/Txt"),
    ],
)
def test_rfc6376_3_5_words_of_the_grammar_have_no_case(tag, value):
    """The words of a=, c= and q= may be in any letter case, as ABNF says (RFC 5234 section 2.3)."""
    (found,) = results(written(MESSAGE, with_tag(tag, value)))
    assert (found.result, found.algorithm) == (PASS, "rsa-sha256")


def test_rfc6376_3_5_letters_beyond_ascii_are_no_other_case():
    """A letter outside ASCII is never taken for one inside: a long s is not an s."""
    assert result(written(MESSAGE, with_tag(b"a", "rsa-\u017fha256".encode()))) is PERMERROR


@pytest.mark.parametrize("tag", [b"v=1", b"d=example.com", b"r=x; r=x", b"b=", b"b=AAAA", b"bh=AAAA", b"z=; z="])
def test_rfc6376_3_2_a_duplicate_tag_invalidates_the_list(tag):
    """A tag that occurs twice makes the whole list invalid: permerror."""
    assert result(written(MESSAGE, TAGS + b"; " + tag)) is PERMERROR


@pytest.mark.parametrize("name", [b"v", b"a", b"b", b"bh", b"c", b"d", b"h", b"i", b"l", b"q", b"s", b"t", b"x"])
def test_rfc6376_3_2_an_empty_value_is_not_an_absent_tag(name):
    """A tag with an empty value counts as present; no known tag may be empty."""
    assert result(written(MESSAGE, with_tag(name, b""))) is PERMERROR


# 3.5, 6.1.1: the signature field


@pytest.mark.parametrize("name", [b"v", b"a", b"b", b"bh", b"d", b"h", b"s"])
def test_rfc6376_6_1_1_a_required_tag_is_missing(name):
    """A signature without v=, a=, b=, bh=, d=, h= or s= is permerror."""
    assert result(written(MESSAGE, with_tag(name, None))) is PERMERROR


@pytest.mark.parametrize("version", [b"2", b"0", b"01", b"1.0", b"1 1", b"DKIM1"])
def test_rfc6376_6_1_1_incompatible_version(version):
    """Any version other than exactly 1 is permerror."""
    assert result(written(MESSAGE, with_tag(b"v", version))) is PERMERROR


def test_rfc6376_6_1_1_from_is_not_signed():
    """A signature whose h= lacks From is permerror, even if it is correct."""
    message = written(MESSAGE, with_tag(b"h", b"to:subject"), covered=[b"to", b"subject"])
    assert result(message) is PERMERROR
    assert dkimpy.verify(message, dnsfunc=answer(RSA))


def test_rfc8601_2_7_1_permerror_and_fail():
    """A signature that can never be verified is permerror; one that was checked and does not match is fail."""
    assert result(written(MESSAGE, with_tag(b"d", None))) is PERMERROR
    assert result(written(MESSAGE).replace(b"Hello", b"Howdy")) is FAIL
    assert result(written(MESSAGE).replace(b"Subject: hi", b"Subject: ho")) is FAIL


@pytest.mark.parametrize(
    ("value", "relaxed", "expected"),
    [
        (None, (False, False), PASS),
        (b"simple", (False, False), PASS),
        (b"relaxed", (True, False), PASS),
        (b"simple/simple", (False, False), PASS),
        (b"relaxed/simple", (True, False), PASS),
        (b"simple/relaxed", (False, True), PASS),
        (b"relaxed/relaxed", (True, True), PASS),
        (b"relaxed", (True, True), FAIL),
        (b"relaxed/", (True, False), PERMERROR),
        (b"/relaxed", (False, True), PERMERROR),
        (b"relaxed / relaxed", (True, True), PERMERROR),
        (b"relaxed/relaxed/relaxed", (True, True), PERMERROR),
        (b"nofws", (True, True), PERMERROR),
    ],
)  # fmt: skip
def test_rfc6376_3_5_c_default_and_single_value(value, relaxed, expected):
    """c= is simple/simple if it is absent; a single name leaves the body simple."""
    message = MESSAGE.replace(b"Subject: hi", b"SUBJECT:  hi ")
    assert result(written(message, with_tag(b"c", value), relaxed=relaxed)) is expected


CANONICAL = canonical_body(b"Hello  world \r\n\r\n", relaxed=True)


@pytest.mark.parametrize(
    ("value", "length", "expected"),
    [
        (b"0", 0, PASS),
        (b"000", 0, PASS),
        (b"5", 5, PASS),
        (b"%d" % len(CANONICAL), len(CANONICAL), PASS),
        (b"0" * 74 + b"13", 13, PASS),
        (b"%d" % (len(CANONICAL) + 1), None, PERMERROR),
        (b"9" * 76, None, PERMERROR),
        (b"0" * 77, 0, PERMERROR),
        (b"-1", None, PERMERROR),
        (b"+5", 5, PERMERROR),
        (b"5 ", 5, PASS),
        (b"1 3", 13, PERMERROR),
        (b"0x5", 5, PERMERROR),
        ("٥".encode(), 5, PERMERROR),
        (b"6", 5, FAIL),
    ],
)  # fmt: skip
def test_rfc6376_3_5_l_is_at_most_the_canonical_body(value, length, expected):
    """l= has up to 76 digits, counts canonical octets, and is permerror if it exceeds the body."""
    assert len(CANONICAL) == 13
    assert result(written(MESSAGE, with_tag(b"l", value), length=length)) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"dns/txt", PASS),
        (b"dns/txt:dns/other", PASS),
        (b"http : dns/txt", PASS),
        (b"http:\r\n dns/txt", PASS),
        (b"http", PERMERROR),
        (b"dns", PERMERROR),
    ],
)  # fmt: skip
def test_rfc6376_3_5_q_is_a_list(value, expected):
    """Unknown query methods in q= are ignored; dns/txt must be among them."""
    assert result(written(MESSAGE, with_tag(b"q", value))) is expected


@pytest.mark.parametrize(
    ("value", "identity"),
    [
        (None, "@example.com"),
        (b"@example.com", "@example.com"),
        (b"alice@example.com", "alice@example.com"),
        (b"alice@EXAMPLE.com", "alice@EXAMPLE.com"),
        (b"alice@sub.example.com", "alice@sub.example.com"),
        (b"al=69ce@example.com", "alice@example.com"),
        (b'"a=3Bb"@example.com', '"a;b"@example.com'),
        (b"bounce+bob=example.net@example.com", "bounce+bob=example.net@example.com"),
        (b"alice@sub=2Eexample.com", "alice@sub.example.com"),
        (b"=40example.com", "@example.com"),
        (b"ali\r\n ce@exam ple.com", "alice@example.com"),  # white space is ignored (section 2.11)
        (b'"a=20b=40c"@example.com', '"a b@c"@example.com'),
        ("älice@example.com".encode(), "älice@example.com"),  # RFC 8616
        (b"=C3=A4lice@example.com", "älice@example.com"),
    ],
)  # fmt: skip
def test_rfc6376_3_5_i_is_quoted_printable_and_within_d(value, identity):
    """i= defaults to "@" and d=, is decoded before it is compared, and may be below d=."""
    (found,) = results(written(MESSAGE, with_tag(b"i", value)))
    assert (found.result, found.identity) == (PASS, identity)


@pytest.mark.parametrize(
    "value",
    [
        b"@com",
        b"@example.org",
        b"@badexample.com",
        b"@example.com.evil.example",
        b"alice",
        b"example.com",
        b"alice@",
        b"alice=40example.com@evil.example",
        b"alice@evil.example=40example.com",  # two of them
        b"alice=40evil.example@example.com",
        b"<alice@example.com",
        b"alice(@example.com",
        b"a=00b@example.com",
        b"a=0D=0Ab@example.com",
        b"alice@example.com.",
        b"alice@example.com=00",
        b"alice@=FF.example.com",
    ],
)
def test_rfc6376_6_1_1_i_is_outside_of_d_or_no_identity(value):
    """An i= outside d=, or one that is not an identity, is permerror."""
    assert result(written(MESSAGE, with_tag(b"i", value))) is PERMERROR


@pytest.mark.parametrize(
    ("domain", "selector"),
    [
        (b"com", b"sel"),
        (b"example.com.", b"sel"),
        (b".example.com", b"sel"),
        (b"example..com", b"sel"),
        (b"exam ple.com", b"sel"),
        (b"example.com:25", b"sel"),
        (b"*.example.com", b"sel"),
        (b"\xff.example.com", b"sel"),
        (b"a" * 64 + b".example", b"sel"),
        (b"a." * 130 + b"example", b"sel"),
        (b"example.com", b"sel."),
        (b"example.com", b".sel"),
        (b"example.com", b"s el"),
        (b"example.com", b"sel..b"),
        (b"example.com", b"a." * 120 + b"sel"),
        (b"example.com", b"\xff"),
        (b"example.com", b"sel/../x"),
    ],
)
def test_rfc6376_3_5_d_and_s_are_names(domain, selector):
    """d= and s= are names of the DNS; d= has at least two labels, so no top-level domain signs (section 6.1.1)."""
    value = with_tag(b"d", domain).replace(b"s=sel", b"s=" + selector)
    zone = "\n".join(f'{name} TXT "{RSA.record}"' for name in ("sel._domainkey.com", "*.example.com", "*.example"))
    assert result(written(MESSAGE, value), zone=zone) is PERMERROR


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({b"t": NOW, b"x": NOW + 1}, PASS),
        ({b"t": NOW + Limits().clock_tolerance}, PASS),
        ({b"t": NOW + Limits().clock_tolerance + 1}, PERMERROR),
        ({b"x": NOW - Limits().clock_tolerance}, PASS),
        ({b"x": NOW - Limits().clock_tolerance - 1}, PERMERROR),
        ({b"t": NOW, b"x": NOW}, PERMERROR),
        ({b"t": NOW, b"x": NOW - 1}, PERMERROR),
        ({b"t": 0, b"x": 10**12}, PASS),
        ({b"x": 10**75}, PASS),  # longer than twelve digits: infinite
        ({b"t": 10**75}, PERMERROR),
        ({b"t": "today"}, PERMERROR),
        ({b"x": "1.5"}, PERMERROR),
    ],
)  # fmt: skip
def test_rfc6376_3_5_t_and_x(tags, expected):
    """A signature from the future or past its x= is permerror, with a clock tolerance that the policy sets; so is x=
    before t=."""
    value = TAGS + b"".join(b"; %b=%b" % (name, str(number).encode()) for name, number in tags.items())
    assert result(written(MESSAGE, value)) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"From:To:Subject", PASS),
        (b"from : to\t:\r\n subject", PASS),
        (b"from:to:subject:x-not-there:x-not-there", PASS),
        (b"from::to:subject", PERMERROR),
        (b":from:to:subject", PERMERROR),
        (b"from:to:subject:", PERMERROR),
        (b"from:to:sub ject", PERMERROR),
        (b"from,to,subject", PERMERROR),
        ("from:to:sübject".encode(), PERMERROR),
    ],
)  # fmt: skip
def test_rfc6376_3_5_h_is_a_list_of_field_names(value, expected):
    """h= has one or more names of fields, with white space around the colons; a field that is absent adds nothing."""
    assert result(written(MESSAGE, with_tag(b"h", value))) is expected


# 3.4: canonicalization

FIELD_PIECES = [
    b"a",
    b"B ",
    b" ",
    b"\t",
    b"  ",
    b"\r\n ",
    b"\r\n\t",
    b"\0",
    b"\x0b",
    b"\x0c",
    b"\r",
    b"\xff",
    b"=",
    b";",
]
field_values = st.lists(st.sampled_from(FIELD_PIECES), max_size=12).map(b"".join)
BODY_PIECES = [b"a", b"b c", b" ", b"\t", b"  ", b"\r\n", b"\r\n\r\n", b" \r\n", b"\r", b"\n", b"\0", b"\xff", b"\x0c"]
bodies = st.lists(st.sampled_from(BODY_PIECES), max_size=24).map(b"".join)
either = st.tuples(st.booleans(), st.booleans())


def c(relaxed):
    return b"/".join(b"relaxed" if each else b"simple" for each in relaxed)


@given(subject=field_values, body=bodies, relaxed=either, places=st.lists(st.integers(0, 60), max_size=5))
def test_rfc6376_3_4_canonicalization_as_the_text_has_it(subject, body, relaxed, places):
    """For any octets, and for a body in any chunks, the hash is that of a plain reading of the RFC."""
    message = MESSAGE.partition(b"Subject: hi")[0] + b"sUBJECT:" + subject + b"\r\n\r\n"
    signed = written(message + body, with_tag(b"c", c(relaxed)), ED, relaxed=relaxed)
    fields = re.split(rb"\r\n(?![ \t])", signed[: len(signed) - len(body) - 4])
    headers = dkim_headers(fields)
    (signature,) = dkim.signatures(headers, LIMITS)
    assert not signature.problem
    form = dkim.Body([signature.body])
    edges = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    for start, end in pairwise(edges):
        form.update(body[start:end])
    assert form.finish()[signature.body].digest == signature.body_hash
    assert keys.parse(ED.record).verifies(
        signature.signature, dkim.HeaderHashes(headers, Work(LIMITS)).digest(signature)
    )


def dkim_headers(fields):
    headers, _ = split(b"")
    return type(headers)(Field(each.partition(b":")[0], each.partition(b":")[2]) for each in fields)


def test_rfc6376_3_4_5_examples():
    """The examples of the text come out as printed."""
    fields = [(b"A", b" X"), (b"B ", b" Y\t\r\n\tZ  ")]
    body = b" C \r\nD \t E\r\n\r\n\r\n"
    assert [canonical_field(*each, relaxed=True) for each in fields] == [b"a:X\r\n", b"b:Y Z\r\n"]
    assert canonical_body(body, relaxed=True) == b" C\r\nD E\r\n"
    assert canonical_body(body, relaxed=False) == b" C \r\nD \t E\r\n"
    headers = [Field(b"A", b" X"), Field(b"B", b" Y\t\r\n\tZ  ")]
    assert [dkim.header.relaxed(each) for each in headers] == [b"a:X\r\n", b"b:Y Z\r\n"]
    assert [dkim.header.simple(each) for each in headers] == [b"A: X\r\n", b"B: Y\t\r\n\tZ  \r\n"]


@pytest.mark.parametrize("octet", [b"\x0b", b"\x0c", b"\x1c", b"\x85", b"\xa0", b"\0"])
def test_rfc6376_2_8_white_space_is_space_and_tab(octet):
    """White space is space and tab; other characters that some treat as white space stay, at the ends too."""
    message = MESSAGE.replace(b" hi", b" hi" + octet)
    assert result(written(message)) is PASS
    assert result(written(message).replace(b" hi" + octet, b" hi")) is FAIL


def test_rfc6376_3_4_3_the_empty_body():
    """Simple makes an empty body one CRLF, relaxed makes it nothing."""
    for relaxed in (False, True):
        digest = hashlib.sha256(b"" if relaxed else b"\r\n").digest()
        for body in (b"", b"\r\n", b"\r\n\r\n\r\n"):
            form = dkim.Body([dkim.BodyRequest("relaxed" if relaxed else "simple", None)])
            form.update(body)
            assert [each.digest for each in form.finish().values()] == [digest]


# 3.7, 5.4: the header hash


@pytest.mark.parametrize(
    "fold",
    [
        bytes,
        lambda b: b" " + b + b"\t",
        lambda b: b"\r\n " + b[:70] + b"\r\n\t" + b[70:] + b"\r\n ",
        lambda b: b" ".join(b[at : at + 1] for at in range(len(b))),
    ],
)
@pytest.mark.parametrize("relaxed", [(False, False), (True, True)])
@pytest.mark.parametrize(
    "value",
    [
        TAGS,
        TAGS + b";",
        b" b={b};" + TAGS.removesuffix(b"; b={b}"),
        TAGS.replace(b"; b=", b" ;\r\n b\t="),
        b"\tb\r\n ={b};" + TAGS.removesuffix(b"; b={b}"),
        TAGS.replace(b"; b=", b"; bb=b=AAAA; b="),
        TAGS.replace(b"bh={bh}; b={b}", b"b={b}; bh={bh}"),
        TAGS + b"; z=From:b=x|b=y",
    ],
)
def test_rfc6376_3_7_the_value_of_b_is_treated_as_empty(value, relaxed, fold):
    """The value of b= is removed with all white space around it, wherever the tag is, and nothing else."""
    value = value.replace(b"c=relaxed/relaxed", b"c=" + c(relaxed))
    assert result(written(MESSAGE, value, relaxed=relaxed, fold=fold)) is PASS


def test_rfc6376_5_4_2_instances_from_the_bottom():
    """Each mention of a name takes the next instance from the bottom; what is above is not signed."""
    message = b"Received: 3\r\nReceived: 2\r\nReceived: 1\r\n" + MESSAGE
    value = with_tag(b"h", b"from:received:received")
    signed = written(message, value, covered=[b"from", b"received", b"received"])
    assert result(signed) is PASS
    assert result(signed.replace(b"Received: 3", b"Received: x")) is PASS
    assert result(b"Received: 4\r\n" + signed) is PASS
    for change in (b"Received: 1", b"Received: 2"):
        assert result(signed.replace(change, b"Received: x")) is FAIL
    swapped = signed.replace(b"Received: 2\r\nReceived: 1", b"Received: 1\r\nReceived: 2")
    assert result(swapped) is FAIL


def test_rfc6376_5_4_a_name_that_is_absent_signs_its_absence():
    """An absent field is the null string; when it is added later, the signature breaks."""
    signed = written(MESSAGE, with_tag(b"h", b"from:from:to:subject:comments"))
    assert result(signed) is PASS
    assert result(b"Comments: added\r\n" + signed) is FAIL
    assert result(b"From: eve@evil.example\r\n" + signed) is FAIL


def test_rfc6376_3_5_h_never_means_the_field_it_stands_in():
    """h= may name DKIM-Signature, for those that were there before."""
    first = written(MESSAGE)
    value = with_tag(b"h", b"from:dkim-signature:dkim-signature")
    second = written(first, value, covered=[b"from", b"dkim-signature"])
    assert [each.result for each in results(second)] == [PASS, PASS]
    value = with_tag(b"h", b"dkim-signature:from:dkim-signature")
    alone = written(MESSAGE, value, covered=[b"from"])
    assert result(alone) is PASS


SHOWN = b"From Subject Content-Type To Cc Sender Reply-To Date Content-Transfer-Encoding".split()


@pytest.mark.parametrize("name", SHOWN)
def test_rfc6376_8_15_a_second_field_above_the_signed_one(name):
    """A further From, Subject or Content-Type that differs from the signed one in relaxed form: the message is not
    what was signed, and not verified (section 3.8). So is it with other fields that a reader is shown, if the policy
    says so. What is the same, or was signed too, makes no difference."""
    message = b"".join(b"%b: a  value\r\n" % each for each in SHOWN) + b"\r\nHello\r\n"
    names = b":".join(SHOWN)
    signed = written(message, with_tag(b"h", names), covered=names.lower().split(b":"))
    other = name.upper() + b": another value\r\n" + signed
    trouble = (FAIL, f"a further {name.lower().decode()} field is not signed")
    for fails, expected in [(True, trouble), (False, trouble if name in SHOWN[:3] else (PASS, ""))]:
        for same in (b"", name.lower() + b":\ta\r\n value \r\n"):
            (found,) = results(same + signed, repeated_fail=fails)
            assert found.result is PASS
            (found,) = results(same + other, repeated_fail=fails)
            assert (found.result, found.reason) == expected
    twice = written(other, with_tag(b"h", name + b":" + names), covered=[name.lower(), *names.lower().split(b":")])
    assert [each.result for each in results(twice, repeated_fail=True)] == [PASS, FAIL]


def test_rfc6376_8_15_the_policy_says_what_a_further_to_field_is():
    """dkim.repeated_fields: fail or pass, for a further To, Cc, Sender, Reply-To, Date or Content-Transfer-Encoding."""
    signed = b"To: carol@example.net\r\n" + written(MESSAGE)
    for repeated, expected in [(Repeated.PASS, "dkim=pass"), (Repeated.FAIL, "dkim=fail")]:
        found = converse(signed, policy=Policy(dkim=DkimRules(repeated_fields=repeated)))
        assert any(each.startswith(expected) for each in clauses(found))
    assert any(each.startswith("dkim=pass") for each in clauses(converse(signed)))


def test_rfc6376_5_4_2_a_second_field_that_is_signed():
    """If the signer signed a field that occurs twice, even From, it is verified as signed; DMARC has its own rule for
    From.
    """
    message = b"From: carol@example.com\r\n" + MESSAGE
    value = with_tag(b"h", b"from:from:to:subject")
    signed = written(message, value, covered=[b"from", b"from", b"to", b"subject"])
    assert result(signed) is PASS
    assert converse(signed).verdict.action is Action.REJECT
    assert "dmarc=fail" in " ".join(clauses(converse(signed)))


def test_rfc6376_6_1_3_field_names_match_in_any_case():
    """The names in h= match fields in any letter case."""
    message = MESSAGE.replace(b"Subject", b"sUBJECT").replace(b"From", b"FROM")
    assert result(written(message, with_tag(b"h", b"fROM:To:SUBJECT"))) is PASS


def test_rfc5322_4_5_a_blank_before_the_colon():
    """A blank before the colon is not part of the name. Relaxed ignores it; simple fails, since Postfix drops it."""
    signed = written(MESSAGE).replace(b"Subject:", b"Subject :")
    assert result(signed) is PASS


# 3.6.1, 6.1.2: keys


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (RSA.record, PASS),
        (f"p={RSA.material}", PASS),
        (f"v=DKIM1;p={RSA.material};", PASS),
        (f" v = DKIM1 ; p = {RSA.material} ; ", PASS),
        (f"v=DKIM1; p={RSA.material[:50]} {RSA.material[50:99]}\t{RSA.material[99:]}", PASS),
        (f"p={RSA.material}; v=DKIM1", PERMERROR),
        (f"v=dkim1; p={RSA.material}", PERMERROR),
        (f"v=DKIM2; p={RSA.material}", PERMERROR),
        (f"v=; p={RSA.material}", PERMERROR),
        (f"v=DKIM1; p={RSA.material}; p={RSA.material}", PERMERROR),
        (f"v=DKIM1; P={RSA.material}", PERMERROR),
        (f"v=DKIM1;; p={RSA.material}", PERMERROR),
        (f"v=DKIM1 p={RSA.material}", PERMERROR),
        ("v=DKIM1; p=", PERMERROR),
        ("v=DKIM1; p= ; n=revoked", PERMERROR),
        ("v=DKIM1", PERMERROR),
        (f"v=DKIM1; p={RSA.material[:-1]}", PERMERROR),
        (f"v=DKIM1; p={RSA.material[:-8]}", PERMERROR),
        (f"v=DKIM1; p={RSA.material}AAAA", PERMERROR),
        (f"v=DKIM1; p=*{RSA.material}", PERMERROR),
        (f"v=DKIM1; n=any=20thing; p={RSA.material}", PASS),
        (f"v=DKIM1; g=nobody; p={RSA.material}", PASS),  # gone since RFC 4871
        (f"v=DKIM1; g=; p={RSA.material}", PASS),
        (f"v=DKIM1; x-unknown=1; p={RSA.material}", PERMERROR),  # no tag-name has a hyphen
        (f"v=DKIM1; unknown=1; p={RSA.material}", PASS),
        (f"v=DKIM1; k=rsa; p={RSA.material}", PASS),
        (f"v=DKIM1; k=RSA; p={RSA.material}", PASS),
        (f"v=DKIM1; k=; p={RSA.material}", PERMERROR),
        (f"v=DKIM1; k=ed25519; p={RSA.material}", PERMERROR),
        (f"v=DKIM1; k=ed25519; p={ED.material}", PERMERROR),
        (f"v=DKIM1; h=sha256; p={RSA.material}", PASS),
        (f"v=DKIM1; h=sha1 : sha256; p={RSA.material}", PASS),
        (f"v=DKIM1; h=sha512:sha256; p={RSA.material}", PASS),
        (f"v=DKIM1; h=sha1; p={RSA.material}", PERMERROR),
        (f"v=DKIM1; h=; p={RSA.material}", PERMERROR),
        (f"v=DKIM1; h=Sha1:SHA256; p={RSA.material}", PASS),
        (f"v=DKIM1; s=*; p={RSA.material}", PASS),
        (f"v=DKIM1; s=email; p={RSA.material}", PASS),
        (f"v=DKIM1; s=EMAIL; p={RSA.material}", PASS),
        (f"v=DKIM1; s=other : email; p={RSA.material}", PASS),
        (f"v=DKIM1; s=email:x; p={RSA.material}", PASS),
        (f"v=DKIM1; s=other; p={RSA.material}", PERMERROR),
        (f"v=DKIM1; s=; p={RSA.material}", PERMERROR),
        (f"v=DKIM1; t=; p={RSA.material}", PASS),
        (f"v=DKIM1; t=s : unknown; p={RSA.material}", PASS),
        ("v=spf1 -all", PERMERROR),
        ("", PERMERROR),
    ],
)  # fmt: skip
def test_rfc6376_3_6_1_key_records(record, expected):
    """In a key record v= comes first if it is there, p= is there and not empty, and k=, h= and s= match, in any letter
    case; unknown tags and g= are ignored.
    """
    assert result(written(MESSAGE), record) is expected


def test_rfc6376_3_6_1_flag_s():
    """t=s of a key forbids an i= below d=; letter case makes no difference."""
    strict = RSA.record + "; t=s"
    for identity, expected in [
        (None, PASS), (b"a@EXAMPLE.com", PASS), (b"a@sub.example.com", PERMERROR)
    ]:  # fmt: skip
        assert result(written(MESSAGE, with_tag(b"i", identity)), strict) is expected


def test_rfc6376_3_6_1_flag_y():
    """t=y of a key: the signature is reported as it verifies, and counts as unsigned for DMARC."""
    for flag in ("y", "Y"):
        (found,) = results(written(MESSAGE), f"{RSA.record}; t={flag}")
        assert (found.result, found.testing) == (PASS, True)
    record = f'test._domainkey.example.com TXT "{RSA.record}; t=y:s"'
    outcome = converse(written(MESSAGE, with_tag(b"s", b"test")), record)
    assert outcome.verdict.action is Action.REJECT
    said = clauses(outcome)
    assert any(each.startswith("dkim=pass") for each in said)
    assert any(each.startswith("dmarc=fail") for each in said)


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (["v=spf1 -all", RSA.record], PASS),
        ([RSA.record, "junk"], PASS),
        ([rsa_key(2048, "other").record, RSA.record], PASS),
        ([ED.record, RSA.record], PASS),
        (["v=DKIM1; p=", RSA.record], PASS),
        (["v=spf1 -all", "junk"], PERMERROR),
        (["junk", rsa_key(2048, "other").record], FAIL),
        ([rsa_key(2048, "other").record, "junk"], FAIL),
        ([*(f"junk {number}" for number in range(4)), RSA.record], PERMERROR),  # four are looked at
    ],
)  # fmt: skip
def test_rfc6376_6_1_2_several_records(records, expected):
    """If a selector has several records, a few are tried in turn; those that are not keys are skipped."""
    assert result(written(MESSAGE), *records) is expected


def test_rfc6376_6_1_2_no_key_and_no_answer():
    """No key record is permerror, no answer is temperror; neither is fail."""
    signed = written(MESSAGE, with_tag(b"s", b"none"))
    assert result(signed) is PERMERROR
    assert result(signed, zone='none._domainkey.example.com MX "10 mx.example.com"') is PERMERROR
    for mark in "!?":
        assert result(signed, zone=f"none._domainkey.example.com TXT {mark}") is TEMPERROR
    # not even where it could be told without the key
    changed = signed.replace(b"Hello", b"Howdy")
    assert result(changed, zone="none._domainkey.example.com TXT ?") is TEMPERROR


def test_rfc6376_3_6_1_both_forms_of_an_rsa_key():
    """p= is an RSAPublicKey, as the text has it, or the SubjectPublicKeyInfo that everybody publishes."""
    public = load_der_public_key(base64.b64decode(RSA.material))
    for form in (PublicFormat.PKCS1, PublicFormat.SubjectPublicKeyInfo):
        material = base64.b64encode(public.public_bytes(Encoding.DER, form)).decode()
        assert result(written(MESSAGE), f"v=DKIM1; p={material}") is PASS


# RFC 8301, RFC 8463


def test_rfc8301_3_1_rsa_sha1_is_dead():
    """rsa-sha1 is permerror."""
    signed = dkimpy.sign(MESSAGE, b"sel", b"example.com", RSA.private, signature_algorithm=b"rsa-sha1") + MESSAGE
    assert dkimpy.verify(signed, dnsfunc=answer(RSA))
    assert result(signed) is PERMERROR


@pytest.mark.parametrize(
    ("bits", "expected"),
    [(512, PERMERROR), (1023, PERMERROR), (1024, PASS), (4096, PASS), (8192, PASS), (8193, PERMERROR)],
)
def test_rfc8301_3_2_key_sizes(bits, expected):
    """RSA keys below 1024 bits are permerror, 1024 to 4096 are always accepted; the upper limit is the policy's."""
    material = der(bits, 65537)
    if expected is PERMERROR:
        (found,) = results(written(MESSAGE), f"p={material}")
        assert found.result is PERMERROR
        assert found.fault is dkim.Fault.KEY_SIZE
    else:
        key = keys.parse(f"p={material}")
        assert key.bits == bits <= Limits().key_bits


@pytest.mark.parametrize("bits", [1024, 3072, 4096])
def test_rfc8301_3_2_signatures_by_keys_of_many_sizes(bits):
    """A real signature by a key of each size is verified."""
    key = rsa_key(bits)
    assert result(written(MESSAGE, key=key), key.record) is PASS


@pytest.mark.parametrize(
    ("exponent", "usable"),
    [(1, False), (2, False), (3, True), (4, False), (65537, True), ((1 << 64) - 1, True), ((1 << 64) + 1, False)],
)
def test_rfc8017_3_1_exponents(exponent, usable):
    """RSA exponents are odd, at least 3, and have at most 64 bits, so that the cost of a key is bounded."""
    record = f"p={der(2048, exponent)}"
    if usable:
        assert keys.parse(record).bits == 2048
    else:
        with pytest.raises(keys.BadKey):
            keys.parse(record)


@pytest.mark.parametrize(
    "material",
    [
        # a Diffie-Hellman key, an elliptic curve key, an RSA key for PSS only, nothing much
        "MIGnMIGVBgkqhkiG9w0BAwEwgYcCgYEA///////////JD9qiIWjCNMTGYouA3BzRKQJOCIpnzHQCC76mOxObIlFKCHmONATd75UZ"
        "s806QxswKwpt8l8UN0/hNW1tUcJF5IW1dmJefsb0TELppjftawv/XLb0Brft7jhr+1qJn6WunyQRfEsf5kkoZlHs5lOB////////"
        "//8CAQIDDQACCgKdQrZOdnFCRMs=",
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==",
        "MEEwCwYJKoZIhvcNAQEKAzIAMC8CKAAA",
        "MAA=",
        "MAMCAQA=",
        "AAAA",
        "MIIB",
        "AgEB",
    ],
)
def test_rfc6376_6_1_2_a_key_of_another_kind(material):
    """A key that is not of the type named by a= is permerror."""
    assert result(written(MESSAGE), f"v=DKIM1; p={material}") is PERMERROR


def test_rfc8017_3_1_an_even_modulus():
    """An RSA modulus is the product of odd primes; a key with an even one is permerror."""
    assert keys.parse(f"p={der(2048, 65537)}").bits == 2048
    with pytest.raises(keys.BadKey, match="modulus"):
        keys.parse(f"p={der(2048, 65537, modulus=(1 << 2047) + 6)}")


def der(bits, exponent, modulus=None):
    """A key of that many bits, with a modulus that nobody has the factors of."""

    def integer(number):
        octets = number.to_bytes(number.bit_length() // 8 + 1, "big")
        return b"\x02" + length(octets) + octets

    def length(octets):
        size = len(octets)
        long = size.to_bytes((size.bit_length() + 7) // 8, "big")
        return long if size < 128 else bytes([0x80 | len(long)]) + long

    octets = integer(modulus or (1 << (bits - 1)) + 7) + integer(exponent)
    return base64.b64encode(b"\x30" + length(octets) + octets).decode()


def test_rfc8463_3_ed25519():
    """ed25519-sha256 is verified: Ed25519 over the SHA-256, p= of 32 octets."""
    signed = written(MESSAGE, with_tag(b"a", b"ed25519-sha256"), ED)
    assert result(signed, ED.record) is PASS
    assert result(signed.replace(b"hi", b"ho"), ED.record) is FAIL
    assert result(signed, RSA.record) is PERMERROR
    for octets in (b"", b"\1" * 31, b"\1" * 33, b"\1" * 44):
        assert result(signed, f"v=DKIM1; k=ed25519; p={base64.b64encode(octets).decode()}") is PERMERROR
    assert result(signed, ED.record.replace("k=ed25519; ", "")) is PERMERROR


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("y", [0, 1, P - 1, P, P + 1, P + 18, Y8, P - Y8], ids=hex)
def test_rfc8032_5_1_7_points_that_sign_everything(y, sign):
    """An Ed25519 key of small order is permerror, since anybody can sign for it; so is one of the form y >= p."""
    octets = (y | sign << 255).to_bytes(32, "little")
    with pytest.raises(keys.BadKey, match="point"):
        keys.parse(f"k=ed25519; p={base64.b64encode(octets).decode()}")


def test_rfc8032_5_1_7_a_signature_by_nobody():
    """The neutral point with R the same and S zero fits every message; it is permerror."""
    signed = written(MESSAGE, with_tag(b"a", b"ed25519-sha256"), ED)
    nobody = (1).to_bytes(32, "little")
    forged = re.sub(rb"b=[^;\r]*(?=\r)", b"b=" + base64.b64encode(nobody + bytes(32)), signed, count=1)
    assert forged != signed
    assert result(forged, f"k=ed25519; p={base64.b64encode(nobody).decode()}") is PERMERROR


def test_rfc8032_5_1_the_points_of_order_eight():
    """Eight times such a point is the neutral one, in the arithmetic of section 5.1.4."""
    d = -121665 * pow(121666, -1, P) % P
    x = root((Y8 * Y8 - 1) * pow(d * Y8 * Y8 + 1, -1, P) % P)
    point = (x, Y8)
    for _ in range(3):
        assert point != (0, 1)
        x, y = point
        product = d * x * x * y * y
        point = (2 * x * y * pow(1 + product, -1, P) % P, (y * y + x * x) * pow(1 - product, -1, P) % P)
    assert point == (0, 1)


def root(square):
    """Section 5.1.3, steps 2 and 3."""
    found = pow(square, (P + 3) // 8, P)
    if found * found % P != square:
        found = found * pow(2, (P - 1) // 4, P) % P
    assert found * found % P == square
    return found


def test_rfc8463_a_1_example():
    """The message and keys of the appendix pass."""
    record = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    message = b"\r\n".join(
        b"""\
DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
""".split(b"\n")
    )
    zone = f'brisbane._domainkey.football.example.com TXT "{record}"'
    assert result(message, zone=zone) is PASS


# 6.1, 6.3: what follows


def test_rfc6376_6_1_every_signature_is_evaluated():
    """One good signature is enough, in any position; each is reported, up to the limit."""
    good = written(MESSAGE)
    bad = b"DKIM-Signature: v=1; a=rsa-sha256; d=evil.example; s=x; h=from; bh=AAAA; b=AAAA\r\n"
    for message in (bad + good, good.replace(b"From:", bad + b"From:", 1)):
        assert sorted(each.result for each in results(message)) == [PASS, PERMERROR]
        outcome = converse(message)
        assert outcome.verdict.action is Action.ACCEPT
        assert len([each for each in clauses(outcome) if each.startswith("dkim=")]) == 2
    assert [each.result for each in results(bad * 10 + good)] == [PERMERROR] * 10
    assert PASS in [each.result for each in results(bad * 10 + good, limits=Limits(signatures=11))]


@pytest.mark.parametrize("change", [(b"Hello", b"Howdy"), (b"bh=", b"bh=!"), (b"v=1", b"v=2"), (b"s=sel", b"s=no")])
def test_rfc6376_6_1_a_bad_signature_is_no_signature(change):
    """A message with a bad signature is treated no worse than one without, and never gets a 4xx (section 6.3)."""
    unprotected = 'example.com TXT "v=spf1 -all"'
    message = written(MESSAGE).replace(b"alice@example.com", b"alice@other.example").replace(*change)
    assert converse(message, unprotected).verdict.action is Action.ACCEPT


def test_rfc6376_6_1_1_a_top_level_domain_aligns_with_nobody():
    """A signature of a top-level domain is permerror and aligns with nobody."""
    message = written(MESSAGE, with_tag(b"d", b"com"))
    outcome = converse(message, f'sel._domainkey.com TXT "{RSA.record}"')
    assert outcome.verdict.action is Action.REJECT


def test_rfc6376_8_2_what_l_leaves_open():
    """If the body goes on beyond l=, the field says so, and by default the signature does not count for DMARC;
    `dkim.partial` is the policy key.
    """
    signed = written(MESSAGE, with_tag(b"l", b"5"), length=5)
    (found,) = results(signed)
    assert (found.result, found.partial) == (PASS, True)
    assert found.fault is dkim.Fault.PARTIAL
    for chunk in (1, 1 << 20):
        outcome = converse(signed + b"buy this\r\n", chunk=chunk)
        assert outcome.verdict.action is Action.REJECT
        said = clauses(outcome)
        assert any(each.startswith("dkim=pass") and "(l=)" in each for each in said)
        assert any(each.startswith("dmarc=fail") for each in said)
    align = Policy(dkim=DkimRules(partial=Partial.ALIGN))
    assert converse(signed, policy=align).verdict.action is Action.ACCEPT
    # l= that covers everything is as good as none
    covered = written(MESSAGE, with_tag(b"l", b"13"), length=13)
    assert converse(covered + b"\r\n\r\n").verdict.action is Action.ACCEPT


# RFC 8616, RFC 8601, RFC 6008


def test_rfc8616_5_u_labels_in_d_s_and_i():
    """d=, s= and i= may hold U-labels: A-labels are looked up and compared, the octets are hashed as they are."""
    zone = f'xn--wei-7ka._domainkey.xn--bcher-kva.example TXT "{RSA.record}; t=s"'
    value = with_tag(b"d", "bücher.example".encode()).replace(b"s=sel", "s=weiß".encode())
    value += "; i=ä@BÜCHER.example".encode()
    (found,) = results(written(MESSAGE, value), zone=zone)
    assert (found.result, found.domain, found.identity) == (PASS, "xn--bcher-kva.example", "ä@BÜCHER.example")


def test_rfc8616_5_a_labels_and_u_labels_are_one_domain():
    """d= in A-labels and i= in U-labels, or the other way round, are one domain."""
    zone = f'sel._domainkey.xn--bcher-kva.example TXT "{RSA.record}; t=s"'
    a_label, u_label = "xn--bcher-kva.example", "bücher.example"
    for domain, identity in [(u_label, f"@{a_label}"), (a_label, f"a@{u_label}")]:
        value = with_tag(b"d", domain.encode()) + f"; i={identity}".encode()
        (found,) = results(written(MESSAGE, value), zone=zone)
        assert (found.result, found.domain) == (PASS, a_label)


def test_rfc8601_2_7_1_what_is_written():
    """header.d, header.i, header.s, header.a and header.b are written, each quoted if necessary; header.i has only the
    domain if its local-part is not plain.
    """
    outcome = converse(written(MESSAGE, with_tag(b"i", b"=22a=3Bdmarc=3Dpass=22@example.com")))
    ((_, value),) = outcome.add
    clause = value.replace("\n", "")
    found = re.search(r'header\.b=("?)([A-Za-z0-9+/]{8})\1(;| )', clause)
    assert found
    assert bool(found[1]) == ("/" in found[2])
    for part in ("header.d=example.com", "header.s=sel", "header.a=rsa-sha256", "dkim=pass"):
        assert part in clause
    assert clause.count("dmarc=pass") == 1  # our own
    assert "header.i=@example.com header.s" in clause


def test_rfc6008_4_header_b_tells_signatures_apart():
    """header.b has eight characters of b= or more, as many as tell the signatures apart."""
    names = [dkim.Dkim(PASS, b_text=text) for text in ("abcdefgh1", "abcdefgh2", "zzzzzzzzzz")]
    shown = [{name: value for _, name, value in each.properties}["b"] for each in dkim.resinfos(names)]
    assert shown == ["abcdefgh1", "abcdefgh2", "zzzzzzzz"]


def test_rfc6376_3_7_the_octets_as_received():
    """Every octet is kept as received, the blank after the colon and the folding included."""
    message = MESSAGE.replace(b"Subject: hi", b"SuBJect:hi\r\n\t there ")
    value = with_tag(b"c", b"simple/simple")
    signed = written(message, value, relaxed=(False, False))
    outcome = converse(signed)
    assert any(each.startswith("dkim=pass") for each in clauses(outcome))
    for change in ((b"SuBJect:hi", b"SuBJect: hi"), (b"hi\r\n\t there", b"hi there"), (b"there ", b"there")):
        assert any(each.startswith("dkim=fail") for each in clauses(converse(signed.replace(*change))))


# against dkimpy, where it is right

subjects = st.text(st.sampled_from("ab \tÄ;:="), max_size=12).map(lambda text: b" " + text.encode() + b"x")
lines = st.lists(st.text(st.sampled_from("ab  \t.Ä"), max_size=6).map(str.encode), max_size=8)


@given(subject=subjects, body=lines, relaxed=either, key=st.sampled_from([RSA, ED]), change=st.integers(0, 400))
def test_rfc6376_6_1_3_the_same_as_dkimpy(subject, body, relaxed, key, change):
    """For a message that dkimpy signed, changed or not, the result is dkimpy's, except where dkimpy is known to be
    laxer.
    """
    message = b"From: alice@example.com\r\nSubject:" + subject + b"\r\n\r\n" + b"".join(line + b"\r\n" for line in body)
    forms = tuple(b"relaxed" if each else b"simple" for each in relaxed)
    signed = key.sign(message, "example.com", headers=[b"from", b"subject"], canonicalize=forms)
    at = len(signed) - len(message) + change
    if at < len(signed) and signed[at : at + 1] not in b"\r\n:":
        signed = signed[:at] + b"z" + signed[at + 1 :]
    try:
        theirs = dkimpy.verify(signed, dnsfunc=answer(key))
    except dkimpy.MessageFormatError:
        return
    assert (result(signed, key.record) is PASS) == theirs
