"""Signing: keys, fields, the form of a signature, and who signs. Verified by dkimpy, and by our own verifier."""

import base64
import gc
import math
import os
import pickle
import re
import shutil
import subprocess
import sys
import types
from base64 import b64encode
from dataclasses import replace
from email.header import decode_header, make_header
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailassay import dkim
from mailassay.dkim import Work, work
from mailassay.domain import Domain
from mailassay.message import Field, Headers, split
from mailassay.policy.sets import Addresses
from mailassay.resolver import Deadline
from mailassay.result import Result
from mailassay.sign import Believed, Selectors, Signing, Submission, Unsigned, fields, from_field, keys, signature
from mailassay.zone import Zone
from tests.lab.limits import LIMITS
from tests.lab.signing import (
    DOMAIN,
    ED,
    NOW,
    RSA,
    dkimpy_says,
    finished,
    finished_parts,
    on_top,
    pem,
    records,
    renamed,
    signing,
    write,
)

MESSAGE = b"From: Alice <alice@example.org>\r\nTo: bob@example.net\r\nSubject: hi\r\n\r\nHello  world \r\n\r\n"
needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
ALICE = Submission("alice@example.org", "alice")


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return signing(tmp_path_factory.mktemp("keys"))


def ours(found, message):
    """The results of our own verifier, from the top."""
    zone = Zone("\n".join(f'{name} TXT "{record}"' for name, record in records(found).items()), limits=LIMITS)
    headers, content = split(message)
    return of_parts(zone, headers, content)


def of_parts(zone, headers, content):
    signatures = dkim.signatures(headers, LIMITS)
    body = dkim.Body([each.body for each in signatures])
    body.update(content)
    bodies, hashes = body.finish(), dkim.HeaderHashes(headers, Work(LIMITS), repeated_fail=True)
    resolve = Deadline(zone, float("inf"), lambda: 0.0)
    return [dkim.check(each, hashes, bodies, resolve, NOW, LIMITS).result for each in signatures]


# keys


def unusable(tmp_path, octets):
    place = write(tmp_path, DOMAIN, RSA, octets)
    with pytest.raises(keys.UnusableKey) as found:
        keys.read(str(tmp_path), Domain(DOMAIN), RSA)
    assert str(place) in str(found.value)
    assert str(place) in found.value.fix or f"mailassay key new {DOMAIN}" in found.value.fix
    return found.value


@pytest.mark.parametrize("kind", ["rsa1024", "rsa", "rsa4096", "ed25519"])
def test_a_key_signs_and_can_be_pickled(tmp_path, kind):
    write(tmp_path, DOMAIN, "s.e-l", pem(kind))
    key = keys.read(str(tmp_path), Domain(DOMAIN), "s.e-l")
    other = pickle.loads(pickle.dumps(key))
    assert key.verifies(other.sign(bytes(32)), bytes(32))
    assert not key.verifies(other.sign(bytes(32)), b"1" * 32)
    assert other.algorithm == ("ed25519-sha256" if kind == "ed25519" else "rsa-sha256")
    assert str(key) == f"{DOMAIN}/s.e-l"
    # no text about a key has the key in it
    assert b"PRIVATE" in key.pem
    assert "PRIVATE" not in f"{key!r} {key}"


def encrypted(octets):
    private = serialization.load_pem_private_key(octets, None)
    return private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )


def in_form(form, private, encryption=None):
    return private.private_bytes(serialization.Encoding.PEM, form, encryption or serialization.NoEncryption())


PKCS1, OPENSSH = serialization.PrivateFormat.TraditionalOpenSSL, serialization.PrivateFormat.OpenSSH
SECRET = serialization.BestAvailableEncryption(b"secret")


@needs_openssl
@pytest.mark.parametrize("form", ["encrypted", "PKCS#1", "PKCS#1, encrypted"])
def test_a_key_of_another_form_is_refused_with_the_command_that_converts_it(tmp_path, form):
    """The new file has the group and mode of a key at every moment, and takes the place of the old one."""
    private = serialization.load_pem_private_key(pem(), None)
    octets = encrypted(pem()) if form == "encrypted" else in_form(PKCS1, private, SECRET if "," in form else None)
    found = unusable(tmp_path, octets)
    assert ("encrypted" if "encrypted" in form else "PKCS#8") in str(found)
    # a test has no terminal to ask for the passphrase, and no group mailassay
    fix = found.fix.replace("-topk8", "-topk8 -passin pass:secret").replace("chgrp mailassay", f"chgrp {os.getegid()}")
    subprocess.run(["sh", "-c", fix], check=True)
    place = tmp_path / DOMAIN / f"{RSA}.pem"
    assert [each.name for each in place.parent.iterdir()] == [place.name]
    assert place.stat().st_mode & 0o777 == 0o640
    assert keys.read(str(tmp_path), Domain(DOMAIN), RSA).sign(bytes(32))


@pytest.mark.parametrize(
    "octets",
    [
        in_form(OPENSSH, ed25519.Ed25519PrivateKey.generate()),
        in_form(OPENSSH, serialization.load_pem_private_key(pem(), None)),
        in_form(PKCS1, ec.generate_private_key(ec.SECP256R1())),
        in_form(PKCS1, ec.generate_private_key(ec.SECP256R1()), SECRET),
    ],
)
def test_a_key_that_openssl_cannot_convert_is_refused_with_the_command_that_makes_others(tmp_path, octets):
    found = unusable(tmp_path, octets)
    assert "another form than PKCS#8" in str(found)
    assert found.fix == f"make others, and name them instead: mailassay key new {DOMAIN}"


def der(tag, octets):
    """A value in DER (X.690)."""
    size = len(octets)
    width = (size.bit_length() + 7) // 8
    length = bytes([size]) if size < 128 else bytes([0x80 + width]) + size.to_bytes(width)
    return bytes([tag]) + length + octets


def rsa_of(**changed):
    """A PKCS#8 file of an RSA key with other numbers, whether or not they fit together (RFC 8017 appendix A.1.2)."""
    private = serialization.load_pem_private_key(pem(), None).private_numbers()
    given = {"n": private.public_numbers.n, "e": private.public_numbers.e}
    given |= {each: getattr(private, each) for each in ("d", "p", "q", "dmp1", "dmq1", "iqmp")}
    numbers = [0, *(given | changed).values()]
    key = der(0x30, b"".join(der(2, each.to_bytes(each.bit_length() // 8 + 1)) for each in numbers))
    kind = der(0x30, bytes.fromhex("06092a864886f70d0101010500"))  # rsaEncryption, NULL
    octets = base64.encodebytes(der(0x30, der(2, b"\0") + kind + der(4, key)))
    return b"-----BEGIN PRIVATE KEY-----\n" + octets + b"-----END PRIVATE KEY-----\n"


def number(name):
    private = serialization.load_pem_private_key(pem(), None).private_numbers()
    return getattr(private.public_numbers if name in ("n", "e") else private, name)


@pytest.mark.parametrize("name", ["p", "q", "d", "dmp1", "dmq1", "iqmp", "n", "e"])
def test_a_damaged_rsa_key_is_refused(tmp_path, name):
    """OpenSSL signs with d if only the other numbers are wrong, slowly. None of them may be."""
    write(tmp_path, DOMAIN, RSA, rsa_of())
    assert keys.read(str(tmp_path), Domain(DOMAIN), RSA)
    assert "damaged" in str(unusable(tmp_path, rsa_of(**{name: number(name) + 2})))


def test_a_key_whose_record_no_verifier_takes_is_refused(tmp_path):
    """A public exponent of more than 64 bits."""
    p, q = number("p"), number("q")
    totient = (p - 1) * (q - 1)
    e = next(each for each in range((1 << 64) + 1, 1 << 65, 2) if math.gcd(each, totient) == 1)
    d = pow(e, -1, totient)
    octets = rsa_of(e=e, d=d, dmp1=d % (p - 1), dmq1=d % (q - 1))
    assert "exponent has more than 64 bits" in str(unusable(tmp_path, octets))


def test_a_key_that_left_the_configuration_leaves_the_memory(tmp_path):
    """A worker gets pickled keys with each reload: nothing else holds those of before."""
    write(tmp_path, DOMAIN, RSA)
    key = pickle.loads(pickle.dumps(keys.read(str(tmp_path), Domain(DOMAIN), RSA)))
    key.sign(bytes(32))
    [private] = key._loaded
    left = [type(each) for each in gc.get_referrers(private) if each is not sys._getframe() and each is not key._loaded]
    assert not [each for each in left if each is not types.FrameType]


@pytest.mark.parametrize(
    ("octets", "word"),
    [
        (b"", "not a private key"),
        (b"no key\n", "not a private key"),
        (b"\0" * 100_000, "not a private key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "not a private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "damaged"),
        (b"-----BEGIN PRIVATE KEY-----\n", "damaged"),
    ],
)
def test_what_is_no_key_is_refused(tmp_path, octets, word):
    assert word in str(unusable(tmp_path, octets))


def test_a_key_of_another_kind_is_refused(tmp_path):
    octets = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert "RSA and Ed25519" in str(unusable(tmp_path, octets))


@needs_openssl
def test_an_rsa_key_of_another_size_is_refused(tmp_path):
    assert "5120 bits" in str(unusable(tmp_path, pem("rsa5120")))
    with_openssl = subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:768"],
                                  capture_output=True, check=True).stdout  # fmt: skip
    # newer libraries do not even load it
    assert re.search("768 bits|damaged", str(unusable(tmp_path, with_openssl)))


def test_a_key_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(keys.UnusableKey, match="No such file") as found:
        keys.read(str(tmp_path), Domain(DOMAIN), RSA)
    assert found.value.fix == f"make keys, and name them: mailassay key new {DOMAIN}"


def test_a_pipe_does_not_hold_up_the_start(tmp_path):
    (tmp_path / DOMAIN).mkdir()
    os.mkfifo(tmp_path / DOMAIN / f"{RSA}.pem")
    with pytest.raises(keys.UnusableKey, match="not a file"):
        keys.read(str(tmp_path), Domain(DOMAIN), RSA)


# fields


def named(message):
    return [name.decode().lower() for name in fields.names(split(message)[0])]


def test_what_a_reader_is_shown_is_signed_once_more_than_it_is_there():
    found = named(b"From: a@b\r\nSubject: x\r\nSubject: y\r\nDate: now\r\n\r\n")
    count = {name: found.count(name) for name in found}
    assert count == {"from": 2, "to": 1, "cc": 1, "subject": 3, "date": 2, "reply-to": 1}


def test_other_fields_are_signed_if_they_are_there():
    names = ("Message-ID", "Sender", "MIME-Version", "Content-Type", "In-Reply-To", "References")
    found = named(b"From: a@b\r\n" + "".join(f"{each}: x\r\n" for each in names).encode() + b"\r\n")
    assert all(found.count(each.lower()) == 2 for each in names)
    assert found.count("content-transfer-encoding") == 0


MIME = (
    *("Message-ID", "Sender", "MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-Disposition"),
    *("Content-Description", "Content-ID", "Content-Language", "Content-Location", "In-Reply-To", "References"),
)
LISTS = (
    *("List-Id", "List-Help", "List-Subscribe", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Post"),
    *("List-Owner", "List-Archive", "Resent-Date", "Resent-From", "Resent-Sender", "Resent-To", "Resent-Cc"),
    "Resent-Message-ID",
)


@pytest.mark.parametrize(("names", "times"), [(MIME, 2), (LISTS, 1)])
def test_every_field_that_is_signed_if_it_is_there(names, times):
    for each in names:
        assert named(f"From: a@b\r\n{each}: x\r\n\r\n".encode()).count(each.lower()) == times


def test_how_many_names_are_signed(both):
    most = b"References: <a@b>\r\n" * (fields.MAX_NAMES - len(named(MESSAGE)) - 1)
    assert fields.MAX_NAMES == 100
    assert finished(both, most + MESSAGE).by
    assert finished(both, b"References: <a@b>\r\n" + most + MESSAGE).why is Unsigned.FIELDS


def test_fields_of_lists_are_signed_as_often_as_they_are_there():
    found = named(b"From: a@b\r\nList-Id: x\r\nResent-From: a@b\r\nResent-From: c@d\r\n\r\n")
    assert (found.count("list-id"), found.count("resent-from"), found.count("list-post")) == (1, 2, 0)


@pytest.mark.parametrize(
    "name",
    [
        "Received",
        "Return-Path",
        "Comments",
        "Keywords",
        "DKIM-Signature",
        "Authentication-Results",
        "ARC-Seal",
        "ARC-Message-Signature",
        "ARC-Authentication-Results",
        "X-Spam-Flag",
        "Bcc",
        "Delivered-To",
        "Received-SPF",
    ],
)
def test_what_hosts_on_the_way_change_is_never_signed(name):
    assert name.lower() not in named(f"From: a@b\r\n{name}: x\r\n\r\n".encode())


def test_a_header_that_repeats_fields_without_end_is_not_signed(both):
    message = b"References: <a@b>\r\n" * 40_000 + MESSAGE
    found = finished(both, message)
    assert (found.why, found.ours, found.values) == (Unsigned.FIELDS, True, ())


# signatures


@pytest.mark.parametrize(
    "message",
    [
        MESSAGE,
        b"from:alice@example.org\r\n\r\n",
        b"From: alice@example.org\r\nSubject: =?utf-8?q?=C3=A9?=\r\n =?utf-8?q?=C3=A9?=\r\n\r\n\r\n\r\n\r\nx",
        b"From: alice@example.org\r\nSubject:\r\n \t \r\n\tx\r\n\r\n" + b"x" * 5000 + b"\r\n" * 3000,
        b"From: Al\xc3\xa9 <alice@example.org>\r\nSubject: \xff\xfe\r\n\r\n\xff\xfe\x80\r\n",
        b"From: alice@example.org\r\nSubject: a\0b\r\n\r\na\0b\0\r\n",
        b"Received: x\r\nReceived: y\r\nList-Id: <x>\r\n" + MESSAGE,
        MESSAGE.replace(b"To:", b"To: x@example.net\r\nTo:"),
    ],
)
def test_both_signatures_verify(both, message):
    found = finished(both, message)
    assert found.by == (f"{DOMAIN}/{RSA}", f"{DOMAIN}/{ED}")
    assert dkimpy_says(both, on_top(found, message)) == [True, True]
    assert ours(both, on_top(found, message)) == [Result.PASS] * 2


def test_the_form_of_a_signature(both):
    found = finished(both, MESSAGE)
    for value, algorithm, selector in zip(found.values, ("rsa-sha256", "ed25519-sha256"), (RSA, ED), strict=True):
        tags = re.sub(r"\s+", "", value)
        begun = f"v=1;a={algorithm};c=relaxed/relaxed;d={DOMAIN};s={selector};t={int(NOW)};h=From:From:To:To:Cc:"
        assert tags.startswith(begun)
        assert not re.search("[;][ilx]=", tags)
        assert all(len(line) <= 78 for line in f"DKIM-Signature: {value}".split("\n"))
        assert all(line.startswith(" ") for line in value.split("\n")[1:])


def test_no_field_that_is_shown_can_be_added_later(both):
    signed = on_top(finished(both, MESSAGE), MESSAGE)
    for name in (b"From", b"To", b"Cc", b"Subject", b"Date", b"Reply-To"):
        assert ours(both, name + b": eve@example.net\r\n" + signed) == [Result.FAIL] * 2
    for name in (b"List-Id", b"Received", b"Comments", b"Sender", b"Message-ID"):
        assert ours(both, name + b": <x@example.net>\r\n" + signed) == [Result.PASS] * 2


def test_a_large_header_is_signed(both):
    message = (
        b"X-Long: " + b"y" * 900_000 + b"\r\nSubject: " + b"z " * 40_000 + b"\r\n" + MESSAGE.replace(b"Subject", b"X")
    )
    assert dkimpy_says(both, on_top(finished(both, message), message)) == [True, True]


TEXT = st.binary(max_size=40).map(lambda octets: re.sub(rb"[\r\n]+", b"\r\n ", octets))
NAMES = st.sampled_from(
    [b"Subject", b"To", b"CC", b"date", b"X-A", b"Received", b"List-Id", b"Content-Type", b"Sender"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(NAMES, TEXT), max_size=8), st.binary(max_size=200), st.integers(0, 200))
def test_whatever_the_message_is_the_signatures_verify(both, pairs, body, cut):
    headers = Headers([Field(b"From", b" alice@example.org"), *(Field(name, b" " + text) for name, text in pairs)])
    body = body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    made = Signing(both.sign, both.signing_keys, headers, Submission("alice@example.org"), LIMITS)
    made.body.update(body[:cut])
    made.body.update(body[cut:])
    found = made.finish(NOW)
    zone = Zone("\n".join(f'{name} TXT "{record}"' for name, record in records(both).items()), limits=LIMITS)
    mine = [Field(b"DKIM-Signature", b" " + each.replace("\n", "\r\n").encode()) for each in found.values]
    whole = Headers([*mine, *headers])
    # a repeated field is signed too, and so a stray one cannot be
    assert of_parts(zone, whole, body) == [Result.PASS, Result.PASS]
    # nothing is left to sign, and what was changed since is signed again
    assert finished_parts(both, whole, body).why is Unsigned.SIGNED
    assert finished_parts(both, whole, body + b"x").by == found.by


@pytest.mark.parametrize("octets", [b"", b"\r\n", b"\r\n\r\n"])
def test_an_empty_body_is_signed(both, octets):
    message = b"From: alice@example.org\r\n\r\n" + octets
    assert dkimpy_says(both, on_top(finished(both, message), message)) == [True, True]


# the second pass


def test_a_message_with_both_signatures_is_signed_once(both):
    signed = on_top(finished(both, MESSAGE), MESSAGE)
    again = finished(both, b"Received: from filter\r\n" + signed)
    assert (again.why, again.values, again.ours) == (Unsigned.SIGNED, (), False)
    # even where it would not be signed now, since the login is known in the first pass only
    login = renamed(both, believed=Believed.LOGIN, logins={"alice": Addresses(("alice@example.org",))})
    assert finished(login, signed, Submission("")).why is Unsigned.SIGNED
    assert finished(login, MESSAGE, Submission("")).why is Unsigned.NO_LOGIN


def test_a_key_that_has_not_signed_yet_signs(both):
    found = finished(both, MESSAGE)
    only_first = on_top(found._replace(values=found.values[:1]), MESSAGE)
    again = finished(both, only_first)
    assert again.by == (f"{DOMAIN}/{ED}",)
    assert dkimpy_says(both, on_top(again, only_first)) == [True, True]


def test_a_changed_message_is_signed_again(both):
    signed = on_top(finished(both, MESSAGE), MESSAGE)
    assert len(finished(both, signed + b"a footer\r\n").values) == 2
    assert len(finished(both, signed.replace(b"Subject: hi", b"Subject: [list] hi")).values) == 2
    assert len(finished(both, b"Subject: more\r\n" + signed).values) == 2


def test_a_message_that_is_signed_and_judged_is_signed(both):
    signed = on_top(finished(both, MESSAGE), MESSAGE)
    assert finished(both, signed, judged=True).why is Unsigned.SIGNED


@pytest.mark.parametrize(
    ("canonical", "more", "counts"),
    [
        ("relaxed/relaxed", "", True),
        ("relaxed/simple", "", False),
        ("relaxed/relaxed", "x=9999999999;", False),
        ("relaxed/relaxed", "q=other;", False),
        ("relaxed/relaxed", "i=@example.net;", False),
    ],
)
def test_a_valid_signature_of_another_form_does_not_count(both, canonical, more, counts):
    headers, body = split(MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n\r\nx\r\n")
    key = both.signing_keys[Domain(DOMAIN)][0]
    header = signature.HeaderHash(headers, fields.names(headers))
    # the body is the same in both forms
    tags = ["v=1;", f"a={key.algorithm};", f"c={canonical};", *signature.by(key, NOW), *filter(None, [more])]
    after = [header.tag, f"bh={b64encode(sha256(body).digest()).decode()};"]
    written = signature.signed(signature.NAME, tags, after, key, header.covered)
    mine = Field(b"DKIM-Signature", b" " + written.replace("\n", "\r\n").encode())
    found = finished_parts(both, Headers([mine, *headers]), body)
    assert (f"{DOMAIN}/{RSA}" not in found.by) is counts


def test_a_signature_to_which_a_field_was_added_does_not_count(both):
    """By the same key, another program may have signed each field as often as it was there."""
    headers, body = split(MESSAGE)
    key = both.signing_keys[Domain(DOMAIN)][0]
    names = tuple(each.name for each in headers)
    header = signature.HeaderHash(headers, names)
    digest = sha256(both_relaxed(body)).digest()
    written = signature.of_message(signature.NAME, "v=1;", key, header, digest, NOW)
    mine = Field(b"DKIM-Signature", b" " + written.replace("\n", "\r\n").encode())
    assert f"{DOMAIN}/{RSA}" not in finished_parts(both, Headers([mine, *headers]), body).by
    # it still verifies by RFC 6376, and does not cover what a reader is shown
    added = Headers([Field(b"Subject", b" another"), mine, *headers])
    whole = b"".join(b"%s:%s\r\n" % (each.name, each.value) for each in added) + b"\r\n" + body
    assert dkimpy_says(both, whole) == [True]
    assert f"{DOMAIN}/{RSA}" in finished_parts(both, added, body).by


def both_relaxed(body):
    """The canonical body, as the signer hashes it."""
    lines = [b" ".join(line.split()) if line.strip() else b"" for line in body.split(b"\r\n")]
    return b"\r\n".join(lines).rstrip(b"\r\n") + b"\r\n"


def test_a_signature_of_somebody_else_with_our_names_does_not_count(both, tmp_path):
    foreign = signing(tmp_path, {DOMAIN: (RSA, ED)})
    write(tmp_path, DOMAIN, RSA, pem("rsa", "of somebody else"))
    foreign = signing_again(foreign, tmp_path)
    signed = on_top(finished(foreign, MESSAGE), MESSAGE)
    assert len(finished(both, signed).values) == 2
    assert len(finished(both, b"DKIM-Signature: v=1; d=example.org; s=2026a; b=AAAA\r\n" + MESSAGE).values) == 2


def test_signatures_with_our_names_that_cost_too_much_do_not_count(both):
    """Whoever uses up the work gets his message signed again, and never left unsigned."""
    recipients = b"To: bob@example.net" + b",\r\n bob@example.net" * 2000
    message = MESSAGE.replace(b"To: bob@example.net", recipients)
    signed = on_top(finished(both, message), message)
    assert finished(both, signed).why is Unsigned.SIGNED
    # enough to read the signatures, and too little for the fields that they cover
    reading = sum(work.reading(each.value) for each in split(signed)[0].named(b"dkim-signature"))
    assert len(finished(both, signed, limits=replace(LIMITS, signature_work=reading)).values) == 2


def signing_again(found, folder):
    """The settings with the keys as their files are now."""
    domain = Domain(DOMAIN)
    made = (keys.read(str(folder), domain, each) for each in (RSA, ED))
    return replace(found, signing_keys={domain: tuple(made)})


def test_mail_that_was_judged_before_is_not_new(both):
    found = finished(both, MESSAGE, judged=True)
    assert (found.why, found.ours) == (Unsigned.JUDGED, False)
    # unless the client wrote the results itself
    assert finished(both, MESSAGE, ALICE, judged=True).by


@pytest.mark.parametrize(
    ("name", "is_judged"),
    [("mx1.example.org", True), ("EXAMPLE.org", True), ('"mx1.example.org"', True), ("(x) mx1.example.org 1", True),
     ("mx.example.net", False), ("xexample.org", False), ("mx1.example.org.example.net", False)],
)  # fmt: skip
def test_results_of_a_host_of_the_same_organization(both, name, is_judged):
    message = f"Authentication-Results: {name}; dmarc=fail\r\n".encode() + MESSAGE
    assert (finished(both, message).why is Unsigned.JUDGED) is is_judged
    assert finished(both, message, ALICE).by


def test_the_mail_of_this_host_is_not_refused_for_lack_of_a_login(both):
    found = renamed(both, believed=Believed.LOGIN, logins={"alice": Addresses(("alice@example.org",))})
    for message in (MESSAGE, b"References: <a@b>\r\n" * 200 + MESSAGE, b"From: x\r\n\r\n"):
        assert not finished(found, message, Submission("a@example.org", local=True)).ours
        assert finished(found, message, Submission("a@example.org")).ours
        assert finished(found, message, Submission("a@example.org", "eve", local=True)).ours


def test_an_envelope_below_the_domain_needs_subdomains(both):
    below = Submission("b@bounces.example.org")
    assert why(both, "a@example.org", below) is Unsigned.ENVELOPE
    assert why(renamed(both, subdomains=True), "a@example.org", below) is None


PARTS = st.sampled_from([*'=?utf-8bq_40@<>()"\\, \t', "ceo@example.org", "=?utf-8?q?", "?=", "\r\n ", "\uff20"])


@settings(deadline=None)
@given(st.lists(PARTS))
def test_no_display_name_raises_or_shows_another_address(parts):
    value = f" {''.join(parts)} <alice@example.org>".encode()
    if from_field.address_of(value, Addresses(("alice@example.org",))):
        shown = str(make_header(decode_header(value.decode().replace("\r\n", ""))))
        assert set(re.findall("[\\w.]+@[\\w.]+", shown)) <= {"alice@example.org"}


# who signs


def why(found, sender, submission=ALICE, **more):
    message = b"From: " + sender.encode() + b"\r\nTo: bob@example.net\r\n\r\nx\r\n"
    done = finished(found, message, submission, **more)
    assert bool(done.values) == (done.why is None)
    return done.why


def test_the_author_domain_signs_and_no_other(both):
    assert why(both, "Alice <alice@example.org>") is None
    assert why(both, "alice@EXAMPLE.ORG") is None
    for sender in ("a@example.net", "a@sub.example.org", "a@xexample.org", "a@org", "a@example.org.example.net"):
        assert why(both, sender) is Unsigned.DOMAIN


@pytest.mark.parametrize(
    "header",
    [
        b"From: a@example.org\r\nFrom: b@example.net\r\n",
        b"From: a@example.org\r\nFrom: b@example.org\r\n",
        b"Subject: nobody\r\n",
        # some readers end a line at a lone CR, and show this From
        b"Subject: nobody\r From: alice@example.org\r\n",
        b"From: a@example.org, b@example.net\r\n",
        b"From: alice\r\n",
        b"From: \r\n",
        b"From: a@[192.0.2.1]\r\n",
        b"From: " + b"x" * 2000 + b"@example.org\r\n",
    ],
)
def test_an_unclear_author_is_not_signed(both, header):
    everybody = renamed(both, believed=Believed.ANY)
    assert finished(everybody, header + b"\r\n", ALICE).why in (Unsigned.AUTHOR, Unsigned.DOMAIN)
    by_login = renamed(both, believed=Believed.LOGIN, logins={"alice": Addresses(("alice@example.org",))})
    done = finished(by_login, header + b"\r\n", Submission("alice@example.org", "alice"))
    assert done.why in (Unsigned.AUTHOR, Unsigned.DOMAIN)


def test_subdomains_sign_with_the_key_of_the_nearest_domain(tmp_path):
    found = signing(tmp_path, {"example.org": ("a",), "news.example.org": ("b",)}, subdomains=True)
    for sender, key in (("x@w.example.org", "example.org/a"), ("x@w.news.example.org", "news.example.org/b")):
        message = f"From: {sender}\r\n\r\n".encode()
        signed = finished(found, message, Submission(sender))
        assert signed.by == (key,)
        assert dkimpy_says(found, on_top(signed, message)) == [True]
    assert why(found, "x@org", Submission("x@org")) is Unsigned.DOMAIN


def test_the_envelope_has_to_be_of_the_same_domain(tmp_path):
    found = signing(tmp_path, {"example.org": ("a",), "news.example.org": ("b",), "w.example.net": ("c",)})
    for sender, mail_from, expected in (
        ("a@example.org", "a@example.org", None),
        ("a@example.org", "b+x@bounces.example.org", Unsigned.ENVELOPE),
        ("a@w.example.net", "b@example.net", Unsigned.ENVELOPE),
        ("a@example.org", "a@example.net", Unsigned.ENVELOPE),
        ("a@example.org", "a@news.example.org", Unsigned.ENVELOPE),
        ("a@news.example.org", "a@example.org", Unsigned.ENVELOPE),
        ("a@example.org", "example.org", Unsigned.ENVELOPE),
        ("a@example.org", "a@xexample.org", Unsigned.ENVELOPE),
        ("a@example.org", "a@-", Unsigned.ENVELOPE),
        ("a@example.org", "", Unsigned.ENVELOPE),
    ):
        assert why(found, sender, Submission(mail_from, "alice")) is expected, (sender, mail_from)
        assert why(renamed(found, believed=Believed.ANY), sender, Submission(mail_from)) is None


def test_a_null_reverse_path_is_enough_for_this_host_only(both):
    assert why(both, "MAILER-DAEMON@example.org", Submission("", local=True)) is None
    assert why(both, "MAILER-DAEMON@example.org", Submission("", "alice", local=True)) is Unsigned.ENVELOPE
    assert why(both, "MAILER-DAEMON@example.org", Submission("")) is Unsigned.ENVELOPE


@pytest.mark.parametrize(
    ("sender", "login", "expected"),
    [
        ("alice@example.org", "alice", None),
        ("Alice <alice@example.org>", "alice", None),
        ('"Alice, of Example" <alice@example.org>', "alice", None),
        ("=?utf-8?q?Al=C3=AFce?= <Alice@Example.ORG>", "alice", None),
        ("info@example.org", "alice", None),
        ("bob@example.org", "alice", Unsigned.ADDRESS),
        ("alice@example.org <bob@example.org>", "alice", Unsigned.ADDRESS),
        ("bob@example.org <alice@example.org>", "alice", Unsigned.ADDRESS),
        ('"<bob@example.org>" <alice@example.org>', "alice", Unsigned.ADDRESS),
        ("alice@example.org, bob@example.org", "alice", Unsigned.ADDRESS),
        ("(alice@example.org) bob@example.org", "alice", Unsigned.ADDRESS),
        ("bob@example.org (alice@example.org)", "alice", Unsigned.ADDRESS),
        ('"alice"@example.org', "alice", Unsigned.ADDRESS),
        ("Alice\r\n\t<alice@example.org>", "alice", None),
        ('"alice@example.org" <alice@example.org>', "alice", None),
        ('"Alice \\"Al\\" S" <alice@example.org>', "alice", None),
        ("Alice (Sales) <alice@example.org>", "alice", None),
        ("=?utf-8?q?alice=40example.org?= <alice@example.org>", "alice", None),
        ("=?iso-2022-jp?b?GyRCMkwbKEI=?= <alice@example.org>", "alice", None),
        ('"ceo@example.org" <alice@example.org>', "alice", Unsigned.ADDRESS),
        ("=?utf-8?q?ceo=40example.org=2C?= <alice@example.org>", "alice", Unsigned.ADDRESS),
        ("=?utf-8?q?=22ceo=22_=3Cceo=40example.org=3E=2C?= <alice@example.org>", "alice", Unsigned.ADDRESS),
        ("=?iso-2022-jp?b?Y2VvGyRCIXcbKEJleGFtcGxlLm9yZw==?= <alice@example.org>", "alice", Unsigned.ADDRESS),
        ("=?utf-8?b?Y2Vv77w=?= =?utf-8?b?oGV4YW1wbGUub3Jn?= <alice@example.org>", "alice", Unsigned.ADDRESS),
        ("=?none?q?x?= <alice@example.org>", "alice", Unsigned.ADDRESS),
        ("=?utf-8?b?x?= <alice@example.org>", "alice", Unsigned.ADDRESS),
        ("ceo\uff20example.org <alice@example.org>", "alice", Unsigned.ADDRESS),
        ("ceo\u200b\uff20example.org <alice@example.org>", "alice", Unsigned.ADDRESS),
        ("\u202egro.elpmaxe\u202c <alice@example.org>", "alice", Unsigned.ADDRESS),
        ("CEO\u2028 <alice@example.org>", "alice", Unsigned.AUTHOR),
        ("Alice (ceo@example.org) <alice@example.org>", "alice", Unsigned.ADDRESS),
        ("bob@example.org", "bob", Unsigned.LOGIN),
        ("alice@example.org", "Alice", Unsigned.LOGIN),
        ("alice@example.org", "", Unsigned.NO_LOGIN),
    ],
)
def test_a_login_signs_for_its_addresses_only(both, sender, login, expected):
    logins = {"alice": Addresses(("alice@example.org", "info@"))}
    found = renamed(both, believed=Believed.LOGIN, logins=logins)
    done = finished(found, f"From: {sender}\r\n\r\n".encode(), Submission("alice@example.org", login))
    assert done.why is expected


def test_a_header_that_was_cut_is_not_signed(both):
    assert why(both, "alice@example.org", cut=True) is Unsigned.LIMIT
    assert finished(both, MESSAGE, cut=True).ours


def test_which_mail_should_have_been_signed(both):
    def is_ours(sender, submission):
        return finished(both, f"From: {sender}\r\n\r\n".encode(), submission).ours

    relay = Submission("x@example.net")
    assert is_ours("a@example.org", relay)
    assert is_ours("a@example.net", ALICE)
    assert is_ours("a@example.org, b@example.net", relay)
    # MAIL FROM of ours, without a clear author
    assert is_ours("nobody", Submission("x@example.org"))
    # what another host hands over, with another author, is not for us to refuse
    assert not is_ours("a@example.net", relay)
    assert not is_ours("nobody", relay)


def test_u_labels_lead_to_the_same_key(tmp_path):
    found = signing(tmp_path, {"xn--bcher-kva.example": ("a",)})
    found = replace(found, sign=replace(found.sign, domains={Domain("bücher.example"): Selectors(("a",))}))
    signed = finished(found, "From: a@bücher.example\r\n\r\n".encode(), Submission("a@bücher.example"))
    assert signed.by == ("xn--bcher-kva.example/a",)
    assert "d=xn--bcher-kva.example;" in signed.values[0]
