"""DKIM signatures, made by dkimpy, verified here. The sections are RFC 6376's where nothing else is said."""

import base64
import re
from unittest.mock import Mock, create_autospec, patch

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)
from hypothesis import given
from hypothesis import strategies as st

from mailassay import dkim
from mailassay.dkim import Work, header, public_key
from mailassay.dkim import key as keys
from mailassay.dkim.verify import usable_key
from mailassay.limits import Limits
from mailassay.message import Field, Headers, split
from mailassay.resolver import Answer, Deadline, DnsLimit, DnsTempError
from mailassay.result import Resinfo, Result
from mailassay.zone import Zone
from tests.lab.limits import LIMITS
from tests.lab.sign import ed25519_key, rsa_key

NOW = 1_800_000_000
MESSAGE = b"From: Alice <alice@example.com>\r\nTo: bob@example.net\r\nSubject: hi\r\n\r\nHello  world\r\n\r\n"
RSA, ED = rsa_key(), ed25519_key()
STRICT = RSA.record + "; t=s"
HAVE_A_KEY = {
    "",
    "l= is larger than the body",
    "the body was changed",
    "the signature does not match the header",
    "the key is being tested (t=y)",
}


def verify(message, *records, edit_zone="", limits=LIMITS):
    """The results for a message, the key records at sel._domainkey.example.com being these."""
    lines = [f'sel._domainkey.example.com TXT "{record}"' for record in records]
    resolve = Deadline(Zone("\n".join([*lines, edit_zone]), limits=LIMITS), float("inf"), lambda: 0.0)
    headers, content = split(message)
    signatures = dkim.signatures(headers, limits)
    body = dkim.Body(signature.body for signature in signatures if not signature.problem)
    body.update(content)
    bodies = body.finish()
    return [
        dkim.check(signature, dkim.HeaderHashes(headers, Work(LIMITS)), bodies, resolve, NOW, limits)
        for signature in signatures
    ]


def one(message, *records, **more):
    (found,) = verify(message, *records, **more)
    return found


def resigned(tags, message=MESSAGE, key=RSA):
    """A message whose signature is right for the tags that dkimpy would not write: signed after the change."""
    headers, content = split(message)
    all_tags = {
        "v": "1", "a": "rsa-sha256", "c": "relaxed/relaxed", "d": "example.com", "s": "sel", "h": "from:to:subject",
    }  # fmt: skip
    body = dkim.Body([dkim.BodyRequest("relaxed", None)])
    body.update(content)
    all_tags["bh"] = base64.b64encode(body.finish()[dkim.BodyRequest("relaxed", None)].digest).decode()
    all_tags |= tags
    value = "; ".join(f"{name}={text}" for name, text in all_tags.items() if text is not None) + "; b="
    signature = dkim.parse(Field(b"DKIM-Signature", f" {value}AAAA".encode()))
    private = load_pem_private_key(key.private, None)
    b = private.sign(dkim.HeaderHashes(headers, Work(LIMITS)).digest(signature), PKCS1v15(), Prehashed(SHA256()))
    return b"DKIM-Signature: " + value.encode() + base64.b64encode(b) + b"\r\n" + message


@pytest.mark.parametrize("key", [RSA, ED, rsa_key(1024)], ids=["rsa2048", "ed25519", "rsa1024"])
@pytest.mark.parametrize("header", [b"simple", b"relaxed"])
@pytest.mark.parametrize("body", [b"simple", b"relaxed"])
def test_pass(key, header, body):
    found = one(key.sign(MESSAGE, "example.com", canonicalize=(header, body)), key.record)
    assert (found.result, found.domain, found.selector) == (Result.PASS, "example.com", "sel")
    assert found.identity == "@example.com"
    assert found.bits in (256, 1024, 2048)


def test_each_field_is_canonicalized_once():
    """However many signatures cover it."""
    headers, _ = split(resigned({}, resigned({})))
    hashes = dkim.HeaderHashes(headers, Work(LIMITS))
    with patch.object(header, "relaxed", wraps=header.relaxed) as relaxed:
        digests = [hashes.digest(signature) for signature in dkim.signatures(headers, LIMITS)]
    assert len(digests) == 2
    assert relaxed.call_count == len({"From", "To", "Subject"}) + len(digests)  # each signature without its b=


def test_h_passes_over_its_own_field_and_takes_the_next():
    """Section 3.5, h=: the field itself is never among those it names."""
    value = b"v=1; a=rsa-sha256; d=example.com; s=sel; h=from:dkim-signature:dkim-signature; bh=AAAA; b=AAAA"
    own = dkim.parse(Field(b"DKIM-Signature", value))

    def digest(*values):
        """With these signature fields from the top, None being its own."""
        fields = [own.field if each is None else Field(b"DKIM-Signature", each) for each in values]
        return dkim.HeaderHashes(Headers([*fields, Field(b"From", b" a@example.com")]), Work(LIMITS)).digest(own)

    assert not own.problem
    signed = digest(b"2", None, b"1")
    assert signed == digest(b"3", b"2", None, b"1") == digest(None, b"2", b"1") == digest(b"2", b"1", None)
    assert signed not in (digest(b"3", None, b"1"), digest(None, b"1"), digest(b"2", None))


@pytest.mark.parametrize(
    ("value", "canonical"),
    [
        (b" a \t b\r\n c ", b"a b c"),
        (b"a \r\r\n\n b", b"a \r\n b"),  # unfolding brings a CR and an LF together, and that is no line end
        (b"a \r b \n c", b"a \r b \n c"),
    ],
)
def test_relaxed_fields(value, canonical):
    """Section 3.4.2."""
    assert header.relaxed(Field(b"X-Name", value)) == b"x-name:" + canonical + b"\r\n"


def test_no_signature():
    assert verify(MESSAGE) == []
    assert list(dkim.resinfos([])) == [Resinfo("dkim", Result.NONE)]


def test_a_clause_has_what_could_be_read():
    """RFC 8601 section 2.7.1. A signature without a usable d= has no header.d."""
    (clause,) = dkim.resinfos(verify(b"DKIM-Signature: d=com; s=sel; b=AAAA\r\n" + MESSAGE))
    assert clause == Resinfo(
        "dkim", Result.PERMERROR, (("header", "s", "sel"), ("header", "b", "AAAA")), "v= is missing"
    )


def signed(**more):
    return RSA.sign(MESSAGE, "example.com", **more)


@pytest.mark.parametrize(
    ("change", "result"),
    [
        (lambda m: m.replace(b"Hello  world", b"Hello worlds"), Result.FAIL),
        (lambda m: m.replace(b"Hello  world", b"Hello world"), Result.PASS),  # relaxed
        (lambda m: m.replace(b"Subject: hi", b"SUBJECT:   hi "), Result.PASS),
        (lambda m: m.replace(b"Subject: hi", b"Subject: hello"), Result.FAIL),
        (lambda m: m.replace(b"\r\nFrom:", b"\r\nFrom: eve@evil.example\r\nFrom:"), Result.FAIL),
        (lambda m: m + b"\r\n\r\n", Result.PASS),
        (lambda m: m + b"more\r\n", Result.FAIL),
        (lambda m: b"X-New: 1\r\n" + m, Result.PASS),
        (lambda m: m.replace(b"v=1;", b""), Result.PERMERROR),
        (lambda m: m.replace(b"v=1;", b"v=2;"), Result.PERMERROR),
        (lambda m: m.replace(b"v=1;", b"v=1; v=1;"), Result.PERMERROR),
        (lambda m: m.replace(b"a=rsa-sha256", b"a=rsa-sha1"), Result.PERMERROR),
        (lambda m: m.replace(b"a=rsa-sha256", b"a=rsa-md5"), Result.PERMERROR),
        (lambda m: m.replace(b"a=rsa-sha256", b"a=ed25519-sha256"), Result.PERMERROR),
        (lambda m: m.replace(b"d=example.com", b"d="), Result.PERMERROR),
        (lambda m: m.replace(b"d=example.com", b"d=exa mple.com"), Result.PERMERROR),
        (lambda m: m.replace(b"s=sel", b"s=other"), Result.PERMERROR),
        (lambda m: m.replace(b"s=sel", b"s=a..b"), Result.PERMERROR),
        (lambda m: m.replace(b"c=relaxed/relaxed", b"c=lax/lax"), Result.PERMERROR),
        (lambda m: re.sub(rb"bh=[^;]*", b"bh=!!!", m), Result.PERMERROR),
        (lambda m: re.sub(rb"bh=[^;]*", b"bh=", m), Result.PERMERROR),
        (lambda m: re.sub(rb"bh=[^;]*", b"bh=AAAA", m), Result.FAIL),
        (lambda m: re.sub(rb" b=[^;]*?\r\nFrom", b" b=AAAA\r\nFrom", m, flags=re.S), Result.FAIL),
        (lambda m: re.sub(rb" b=[^;]*?\r\nFrom", b" b=\xff\xfe\r\nFrom", m, flags=re.S), Result.PERMERROR),
        (lambda m: m.replace(b"DKIM-Signature: ", b"DKIM-Signature: ;;;=;"), Result.PERMERROR),
    ],
)  # fmt: skip
def test_changed(change, result):
    message = signed()
    changed = change(message)
    assert changed != message
    assert one(changed, RSA.record).result is result


@pytest.mark.parametrize(
    ("tags", "result"),
    [
        ({}, Result.PASS),
        ({"h": "to:subject"}, Result.PERMERROR),  # section 5.4: From must be signed
        ({"h": None}, Result.PERMERROR),
        ({"h": "from : to:\r\n\tsubject"}, Result.PASS),
        ({"h": "from:from:to:subject"}, Result.PASS),
        ({"i": "alice@example.com"}, Result.PASS),
        ({"i": "@sub.example.com"}, Result.PASS),
        ({"i": "alice=2Bx@sub.EXAMPLE.com"}, Result.PASS),
        ({"i": "@notexample.com"}, Result.PERMERROR),
        ({"i": "nobody"}, Result.PERMERROR),
        ({"l": "0"}, Result.FAIL),
        ({"l": "9999"}, Result.PERMERROR),
        ({"l": "-1"}, Result.PERMERROR),
        ({"l": "x"}, Result.PERMERROR),
        ({"q": "dns/txt"}, Result.PASS),
        ({"q": "dns/future:dns/txt"}, Result.PASS),
        ({"q": "http"}, Result.PERMERROR),
        ({"t": str(NOW - 10), "x": str(NOW + 10)}, Result.PASS),
        ({"t": str(NOW + 60)}, Result.PASS),  # a clock may be off
        ({"t": str(NOW + 999_999)}, Result.PERMERROR),
        ({"x": str(NOW - 999_999)}, Result.PERMERROR),
        ({"t": str(NOW), "x": str(NOW)}, Result.PERMERROR),
        ({"t": "later"}, Result.PERMERROR),
        ({"unknown": "tag"}, Result.PASS),
        ({"d": "EXAMPLE.com"}, Result.PASS),
        ({"c": None}, Result.FAIL),  # simple/simple by default
    ],
)
def test_tags(tags, result):
    found = one(resigned(tags), RSA.record)
    assert found.result is result, found.reason


@pytest.mark.parametrize(
    ("records", "result"),
    [
        ([], Result.PERMERROR),
        ([RSA.record.replace("v=DKIM1; k=rsa; ", "")], Result.PASS),
        ([RSA.record.replace("k=rsa; ", "")], Result.PASS),
        ([RSA.record.replace("v=DKIM1", "v=DKIM2")], Result.PERMERROR),
        ([f"k=rsa; v=DKIM1; p={RSA.material}"], Result.PERMERROR),  # v= must be first
        (["v=DKIM1; k=rsa; p="], Result.PERMERROR),
        (["v=DKIM1; k=rsa"], Result.PERMERROR),
        (["v=DKIM1; k=rsa; p=AAAA"], Result.PERMERROR),
        (["v=DKIM1; k=rsa; p=!!!"], Result.PERMERROR),
        (["v=DKIM1; k=dsa; p=AAAA"], Result.PERMERROR),
        ([ED.record], Result.PERMERROR),
        ([f"v=DKIM1; k=rsa; p={ED.material}"], Result.PERMERROR),
        ([RSA.record + "; h=sha1"], Result.PERMERROR),
        ([RSA.record + "; h=sha1 : sha256"], Result.PASS),
        ([RSA.record + "; s=tlsrpt"], Result.PERMERROR),
        ([RSA.record + "; s=email:x"], Result.PASS),
        ([RSA.record + "; t=s"], Result.PASS),
        ([RSA.record + "; p=AAAA"], Result.PERMERROR),
        (["nonsense", RSA.record], Result.PASS),
        ([rsa_key(2048, "other").record, RSA.record], Result.PASS),
        ([RSA.record, "v=DKIM1; p="], Result.PASS),
        ([rsa_key(2048, "other").record], Result.FAIL),
        ([RSA.record + "; n=" + "x" * 20_000], Result.PERMERROR),
    ],
)  # fmt: skip
def test_key_records(records, result):
    found = one(signed(), *records)
    assert found.result is result, found.reason


@pytest.mark.parametrize(
    ("record", "fault", "reason"),
    [
        ("p=AAAA; p=AAAA", dkim.Fault.KEY_SYNTAX, "the key record is not a tag=value list"),
        ("v=DKIM2; p=AAAA", dkim.Fault.KEY_SYNTAX, "the key record's v= is not DKIM1 or not first"),
        ("v=DKIM1", dkim.Fault.KEY_SYNTAX, "the key record has no p="),
        ("h=sha1; p=AAAA", dkim.Fault.KEY_USE, "the key record's h= does not allow sha256"),
        ("s=tlsrpt; p=AAAA", dkim.Fault.KEY_USE, "the key is not for e-mail (s=)"),
        ("p= \t\r\n ", dkim.Fault.REVOKED, "the key is revoked (p= is empty)"),
        ("k=dsa; p=AAAA", dkim.Fault.KEY_TYPE, "the key type is unknown (k=)"),
        ("k=\xff; p=AAAA", dkim.Fault.KEY_TYPE, "the key type is unknown (k=)"),
        ("p=!", dkim.Fault.KEY_SYNTAX, "the key record's p= is not base64"),
        (f"p={ED.material}", dkim.Fault.KEY_TYPE, "the key is not of the type in k="),
        ("p=MAYCAQECAQE", dkim.Fault.KEY_SYNTAX, "the key record's p= is not base64"),
        ("p=MAACAQM=", dkim.Fault.KEY_SYNTAX, "the key cannot be read (p=)"),
        ("k=ed25519; p=BBBB", dkim.Fault.KEY_SYNTAX, "the key cannot be read (p=)"),
        ("k=ed25519; p=AAAA", dkim.Fault.KEY_UNSAFE, "the key is not a safe Ed25519 point (p=)"),
    ],
)
def test_why_a_key_record_is_refused(record, fault, reason):
    with pytest.raises(keys.BadKey) as caught:
        keys.parse(record)
    assert (caught.value.fault, str(caught.value)) == (fault, reason)


@pytest.mark.parametrize(
    ("tags", "record", "fault", "reason"),
    [
        ({"t": NOW + 999_999}, RSA.record, dkim.Fault.FUTURE, "signed in the future (t=)"),
        ({"x": NOW - 999_999}, RSA.record, dkim.Fault.EXPIRED, "the signature has expired (x=)"),
        ({"s": "other"}, RSA.record, dkim.Fault.NO_KEY, "no key record"),
        ({}, "v=DKIM1; p=", dkim.Fault.REVOKED, "the key is revoked (p= is empty)"),
        ({}, RSA.record + "; n=" + "x" * 9000, dkim.Fault.LIMIT, "the key record has more than 5120 octets"),
        ({}, ED.record, dkim.Fault.KEY_TYPE, "the key is not of the type the signature names (a=, k=)"),
        ({"i": "@a.example.com"}, STRICT, dkim.Fault.IDENTITY, "the key does not allow subdomains in i= (t=s)"),
        ({"l": 99}, RSA.record, dkim.Fault.LENGTH, "l= is larger than the body"),
        ({"bh": "AAAA"}, RSA.record, dkim.Fault.BODY, "the body was changed"),
        ({"s": "sel"}, rsa_key(2048, "other").record, dkim.Fault.HEADER, "the signature does not match the header"),
        ({}, RSA.record + "; t=y", dkim.Fault.TESTING, "the key is being tested (t=y)"),
        ({}, RSA.record, None, ""),
    ],
)  # fmt: skip
def test_the_reason_of_a_result(tags, record, fault, reason):
    found = one(resigned(tags), record)
    assert (found.fault, found.reason) == (fault, reason)
    assert (found.domain, found.identity[0], found.algorithm, found.limit) == ("example.com", "@", "rsa-sha256", "")
    assert (found.selector, found.partial) == (tags.get("s", "sel"), False)
    assert (found.bits, found.testing) == (2048 if reason in HAVE_A_KEY else 0, fault is dkim.Fault.TESTING)
    assert len(found.b_text) == 344  # of 256 octets


@pytest.mark.parametrize(
    ("work", "error", "result", "fault", "reason", "limit"),
    [
        (
            LIMITS.signature_work, DnsLimit("dns_octets", "too much"), Result.PERMERROR,
            dkim.Fault.LIMIT, "limit: too much", "dns_octets",
        ),
        (LIMITS.signature_work, DnsTempError("SERVFAIL"), Result.TEMPERROR, dkim.Fault.NO_ANSWER, "SERVFAIL", ""),
        (
            0, None, Result.PERMERROR,
            dkim.Fault.LIMIT, "limit: more work than signature_work allows", "signature_work",
        ),
    ],
)  # fmt: skip
def test_a_result_without_a_key(work, error, result, fault, reason, limit):
    headers, content = split(signed())
    (signature,) = dkim.signatures(headers, LIMITS)
    body = dkim.Body([signature.body])
    body.update(content)
    hashes = dkim.HeaderHashes(headers, Work(Limits(signature_work=work)))
    resolve = Mock(side_effect=error, return_value=Answer((RSA.record,)))
    found = dkim.check(signature, hashes, body.finish(), resolve, NOW, LIMITS)
    assert (found.result, found.fault, found.reason, found.limit) == (result, fault, reason, limit)


def test_small_keys_count_for_nothing():
    """RFC 8301 section 3.2."""
    small = RSAPublicNumbers(65537, (1 << 1020) + 7).public_key()
    der = small.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(keys.BadKey, match="bits"):
        keys.parse(f"p={base64.b64encode(der).decode()}")


MODULUS = (1 << 2047) + 7


@pytest.mark.parametrize(
    ("exponent", "modulus", "fault", "reason"),
    [
        (1, MODULUS, dkim.Fault.KEY_UNSAFE, "the key's exponent is even, or less than 3"),
        (2, MODULUS, dkim.Fault.KEY_UNSAFE, "the key's exponent is even, or less than 3"),
        (65538, MODULUS, dkim.Fault.KEY_UNSAFE, "the key's exponent is even, or less than 3"),
        (65537, MODULUS - 1, dkim.Fault.KEY_UNSAFE, "the key's modulus is even"),
        (65537, MODULUS >> 1025, dkim.Fault.KEY_SIZE, "the key has 1023 bits, fewer than 1024"),
        ((1 << 64) + 1, MODULUS, dkim.Fault.KEY_SIZE, "the key's exponent has more than 64 bits"),
        (3, MODULUS, None, ""),
        ((1 << 64) - 1, MODULUS, None, ""),
    ],
)
def test_a_weak_key_that_the_library_loads(exponent, modulus, fault, reason):
    """Not every version refuses it. RFC 8017 section 3.1, RFC 8301 section 3.2."""
    loaded = create_autospec(RSAPublicKey, instance=True, key_size=modulus.bit_length())
    loaded.public_numbers.return_value = RSAPublicNumbers(exponent, modulus)
    record = f"p={RSA.material}; n={exponent}, {modulus}"  # no other test has this record cached
    with patch.object(public_key, "load_der_public_key", return_value=loaded):
        if fault:
            with pytest.raises(keys.BadKey) as caught:
                keys.parse(record)
            assert (caught.value.fault, str(caught.value)) == (fault, reason)
        else:
            assert keys.parse(record).public is loaded


def test_a_key_of_another_type_that_the_library_loads():
    loaded = create_autospec(Ed25519PublicKey, instance=True)
    with patch.object(public_key, "load_der_public_key", return_value=loaded), pytest.raises(keys.BadKey) as caught:
        keys.parse(f"p={RSA.material}; n=another type")
    assert (caught.value.fault, str(caught.value)) == (dkim.Fault.KEY_TYPE, "the key is not of the type in k=")


def test_bare_rsa_public_key():
    """The text of section 3.6.1 asks for an RSAPublicKey without its wrapping."""
    public = load_der_public_key(base64.b64decode(RSA.material))
    bare = public.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    assert one(signed(), f"v=DKIM1; p={base64.b64encode(bare).decode()}").result is Result.PASS


def test_strict_identity():
    """t=s: section 3.6.1."""
    message = resigned({"i": "@sub.example.com"})
    assert one(message, RSA.record).result is Result.PASS
    assert one(message, RSA.record + "; t=s").result is Result.PERMERROR


def test_a_key_for_one_domain_and_a_signature_without_an_identity():
    """The signatures of ARC have no i= in the sense of section 3.5, so t=s says nothing about them."""
    signature = dkim.Signature(Field(b"ARC-Seal", b""), domain="example.com", algorithm="rsa-sha256")
    assert usable_key(STRICT, signature, LIMITS, Work(LIMITS)).strict


def test_a_further_to_field_is_harmless_by_default():
    assert one(b"To: carol@example.net\r\n" + signed(), RSA.record).result is Result.PASS


def test_a_key_in_testing_is_said():
    found = one(signed(), RSA.record + "; t=y:s")
    assert (found.result, found.testing) == (Result.PASS, True)


def test_a_part_of_the_body_is_said():
    message = signed(length=True)
    assert not one(message, RSA.record).partial
    appended = one(message + b"an advertisement\r\n", RSA.record)
    assert (appended.result, appended.partial) == (Result.PASS, True)


@pytest.mark.parametrize(("mark", "result"), [("!", Result.TEMPERROR), ("?", Result.TEMPERROR)])
def test_a_lookup_that_fails_is_temporary(mark, result):
    assert one(signed(), edit_zone=f"sel._domainkey.example.com TXT {mark}").result is result


def test_u_labels_are_asked_for_as_a_labels():
    """RFC 8616 section 5; the signature covers the field as it is."""
    record = f'sel._domainkey.xn--bcher-kva.example TXT "{RSA.record}"'
    found = one(resigned({"d": "bücher.example"}), edit_zone=record)
    assert (found.result, found.domain) == (Result.PASS, "xn--bcher-kva.example")


def test_signatures_beyond_the_limit_are_not_looked_at():
    message = b"".join(b"DKIM-Signature: x=%d\r\n" % number for number in range(100)) + signed()
    assert len(verify(message, RSA.record)) == 10
    assert len(verify(message, RSA.record, limits=Limits(signatures=101))) == 101


def test_each_of_several_is_reported():
    message = ED.sign(signed(), "example.com", "ed")
    zone = f'ed._domainkey.example.com TXT "{ED.record}"'
    assert [each.result for each in verify(message, RSA.record, edit_zone=zone)] == [Result.PASS, Result.PASS]


def test_header_b_stays_short_where_signatures_begin_alike():
    results = [dkim.Dkim(Result.FAIL, b_text="A" * 90_000 + mark) for mark in "bc"]
    values = [{name: value for _, name, value in each.properties}["b"] for each in dkim.resinfos(results)]
    assert values == ["A" * 64] * 2


def test_header_b_tells_signatures_apart():
    """RFC 6008."""
    results = [dkim.Dkim(Result.PASS, b_text=text) for text in ("abcdefghijkl", "abcdefghijzz", "zzzzzzzzzzzz")]
    shown = [{name: value for _, name, value in each.properties}["b"] for each in dkim.resinfos(results)]
    assert shown == ["abcdefghijk", "abcdefghijz", "zzzzzzzz"]


def test_a_field_that_occurs_twice_has_a_short_header_b():
    """No length tells the two apart."""
    results = [dkim.Dkim(Result.PASS, b_text="A" * 90)] * 2 + [dkim.Dkim(Result.PASS, b_text="A" * 90)]
    values = [{name: value for _, name, value in each.properties}["b"] for each in dkim.resinfos(results)]
    assert values == ["A" * 8] * 3


@pytest.mark.parametrize("shared", [7, 8, 63, 64])
def test_header_b_is_as_long_as_it_takes_up_to_64_characters(shared):
    results = [dkim.Dkim(Result.PASS, b_text="A" * shared + end * 9) for end in "bc"]
    values = [{name: value for _, name, value in each.properties}["b"] for each in dkim.resinfos(results)]
    assert [len(value) for value in values] == [min(max(shared + 1, 8), 64)] * 2
    assert (values[0] == values[1]) == (shared == 64)


@pytest.mark.parametrize(("characters", "problem"), [(4096, ""), (4100, "b= is too long")])
def test_a_signature_has_4096_characters_at_most(characters, problem):
    """Folding does not count."""
    text = "; ".join(["v=1", "a=rsa-sha256", "d=example.com", "s=sel", "h=from", "bh=AAAA", "b="])
    folded = "\r\n ".join(["A" * 100] * (characters // 100) + ["A" * (characters % 100)])
    signature = dkim.parse(Field(b"DKIM-Signature", f"{text}{folded}".encode()))
    assert signature.problem == problem
    assert len(signature.signature) == (0 if problem else characters // 4 * 3)


def test_a_signature_without_the_tags_that_identify_it():
    field = Field(b"DKIM-Signature", b"v=1")
    assert dkim.parse(field) == dkim.Signature(field, "a= is missing", fault=dkim.Fault.MISSING_TAG)
    no_list = Field(b"DKIM-Signature", b"v")
    assert dkim.parse(no_list) == dkim.Signature(no_list, "not a tag=value list", fault=dkim.Fault.SYNTAX)


def test_no_tag_contains_folding():
    """Section 3.2: unfolding is done before a value is read. A line end would get into logs."""
    signature = dkim.parse(Field(b"DKIM-Signature", b"v=1; s=a\r\n b;\r\n\ta=c\r\n\td\r\n"))
    assert (signature.selector, signature.algorithm) == ("a b", "c\td")


def test_the_text_of_b_is_without_white_space():
    """RFC 6008 section 4 compares it."""
    assert dkim.parse(Field(b"DKIM-Signature", b"v=1; b=AB\r\n\tCD E")).b_text == "ABCDE"


@pytest.mark.parametrize(
    ("tags", "fault", "problem"),
    [
        ({}, None, ""),
        ({"x": "\0"}, dkim.Fault.SYNTAX, "a control character in a tag=value list"),
        ({"z": "1; z=1"}, dkim.Fault.SYNTAX, "a tag occurs twice"),
        ({"z": "1; z"}, dkim.Fault.SYNTAX, "not a tag=value list"),
        ({"1": "1"}, dkim.Fault.SYNTAX, "not a tag=value list"),
        ({"a-b": "1"}, dkim.Fault.SYNTAX, "not a tag=value list"),
        *(({tag: None}, dkim.Fault.MISSING_TAG, f"{tag}= is missing") for tag in ("v", "a", "b", "bh", "d", "h", "s")),
        ({"v": "2"}, dkim.Fault.VERSION, "v= is not 1"),
        ({"h": ":from"}, dkim.Fault.SYNTAX, "h= is not a list of field names"),
        ({"a": "rsa-sha1"}, dkim.Fault.ALGORITHM, "a= names an algorithm that is not accepted"),
        ({"d": "com"}, dkim.Fault.DOMAIN, "d= is not a domain name"),
        ({"s": "a..b"}, dkim.Fault.SELECTOR, "s= and d= do not form a domain name"),
        ({"t": "x"}, dkim.Fault.SYNTAX, "t= is not a number"),
        ({"b": "!"}, dkim.Fault.SYNTAX, "b= is not base64"),
        ({"b": ""}, dkim.Fault.SYNTAX, "b= is empty"),
        ({"c": "lax"}, dkim.Fault.CANONICALIZATION, "c= names an unknown canonicalization"),
        ({"x": "-1"}, dkim.Fault.SYNTAX, "x= is not a number"),
        ({"x": "1", "t": "1"}, dkim.Fault.SYNTAX, "x= is not after t="),
        ({"l": "-1"}, dkim.Fault.SYNTAX, "l= is not a number"),
        ({"bh": "!"}, dkim.Fault.SYNTAX, "bh= is not base64"),
        ({"bh": " "}, dkim.Fault.SYNTAX, "bh= is empty"),
        ({"bh": "A" * 4100}, dkim.Fault.SYNTAX, "bh= is too long"),
        ({"i": "@example.net"}, dkim.Fault.IDENTITY, "i= is not within d="),
        ({"h": "to"}, dkim.Fault.FROM_NOT_SIGNED, "h= does not cover From"),
        ({"q": "http"}, dkim.Fault.QUERY, "q= has no known query method"),
    ],
)  # fmt: skip
def test_why_a_signature_is_not_verified(tags, fault, problem):
    all_tags = {"v": "1", "a": "rsa-sha256", "d": "example.com", "s": "sel", "h": "from", "bh": "AAAA", "b": "AAAA"}
    value = "; ".join(f"{name}={text}" for name, text in (all_tags | tags).items() if text is not None)
    signature = dkim.parse(Field(b"DKIM-Signature", value.encode()))
    assert (signature.fault, signature.problem) == (fault, problem)


@pytest.mark.parametrize(("characters", "is_read"), [(1000, True), (1001, False)])
def test_an_identity_has_1000_characters_at_most(characters, is_read):
    local_part = "=41" * ((characters - 12) // 3) + "B" * ((characters - 12) % 3)
    signature = dkim.parse(Field(b"DKIM-Signature", f"d=example.com; i={local_part}@example.com".encode()))
    assert bool(signature.identity) is is_read
    assert signature.identity_domain == ("example.com" if is_read else None)


@pytest.mark.parametrize(
    ("tags", "tolerance", "fault"),
    [
        ({"t": NOW}, 0, None),
        ({"t": NOW + 1}, 0, dkim.Fault.FUTURE),
        ({"t": NOW + 5}, 5, None),
        ({"t": NOW + 6}, 5, dkim.Fault.FUTURE),
        ({"x": NOW}, 0, None),
        ({"x": NOW - 1}, 0, dkim.Fault.EXPIRED),
        ({"x": NOW - 5}, 5, None),
        ({"x": NOW - 6}, 5, dkim.Fault.EXPIRED),
        ({"t": NOW - 2, "x": NOW - 1}, 5, None),
        ({"t": NOW - 1, "x": NOW - 1}, 5, dkim.Fault.SYNTAX),
    ],
)
def test_the_time_of_a_signature_to_the_second(tags, tolerance, fault):
    found = one(resigned(tags), RSA.record, limits=Limits(clock_tolerance=tolerance))
    assert (found.result, found.fault) == (Result.PERMERROR if fault else Result.PASS, fault)


tag_text = st.text(st.sampled_from("abdhilqstvx=;: \t\r\n.@/1%é\0+"), max_size=60)


@given(value=tag_text)
def test_any_field_is_read(value):
    signature = dkim.parse(Field(b"DKIM-Signature", value.encode()))
    assert signature.problem


@given(value=st.text(st.characters(max_codepoint=255), max_size=60))
def test_any_key_record_is_read(value):
    with pytest.raises(keys.BadKey):
        keys.parse(value)


@given(value=tag_text)
def test_any_tail_of_tags_is_read(value):
    tail = value.encode().replace(b"\n", b"\n ")
    found = one(signed().replace(b"v=1;", b"v=1; " + tail + b";", 1), RSA.record)
    assert found.result in {"pass", "fail", "permerror"}
