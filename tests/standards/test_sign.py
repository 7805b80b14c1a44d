"""RFC 6376 section 5 and RFC 8463: what a signer does. `test_dkim.py` has what a verifier does."""

import base64
import re
from hashlib import sha256

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailassay.domain import Domain
from mailassay.message import Field, Headers
from mailassay.sign import Believed, Submission, Unsigned, keys
from tests.lab.sign import canonical_body, canonical_field
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

MESSAGE = b"Received: by a\r\nFrom: A <alice@example.org>\r\nTo: bob@example.net\r\nSubject: hi\r\n\r\nHello \r\n\r\n"


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return signing(tmp_path_factory.mktemp("keys"))


def tags(value):
    """The tags of a signature, without folding."""
    return dict(each.split("=", 1) for each in re.sub(r"\s", "", value).split(";"))


def test_rfc6376_3_3_keys_have_1024_to_4096_bits(tmp_path):
    """An RSA key of another size is refused when it is read (RFC 8301 section 3.2)."""
    for kind, fits in (("rsa1024", True), ("rsa4096", True), ("rsa4608", False)):
        write(tmp_path, DOMAIN, RSA, pem(kind))
        if fits:
            assert keys.read(str(tmp_path), Domain(DOMAIN), RSA)
        else:
            with pytest.raises(keys.UnusableKey, match="4608 bits"):
                keys.read(str(tmp_path), Domain(DOMAIN), RSA)


def test_rfc6376_3_5_the_tags_of_a_signature(both):
    """v=1, a=, c=relaxed/relaxed, d=, s=, t= (now), h=, bh=, b=. There is no l=, x=, i=, q= or z=."""
    for value in finished(both, MESSAGE).values:
        found = tags(value)
        assert [*found] == ["v", "a", "c", "d", "s", "t", "h", "bh", "b"]
        assert (found["v"], found["c"], found["d"], found["t"]) == ("1", "relaxed/relaxed", DOMAIN, str(int(NOW)))


def test_rfc6376_3_7_the_hashes_are_of_the_canonical_forms(both):
    """bh= is the SHA-256 of the relaxed body, b= that of the relaxed fields in h= and of the signature without b=."""
    found = tags(finished(both, MESSAGE).values[1])
    assert found["bh"] == base64.b64encode(sha256(canonical_body(b"Hello \r\n\r\n", relaxed=True)).digest()).decode()
    value = finished(both, MESSAGE).values[1]
    hashed = canonical_field(b"From", b" A <alice@example.org>", relaxed=True)
    hashed += canonical_field(b"To", b" bob@example.net", relaxed=True)
    hashed += canonical_field(b"Subject", b" hi", relaxed=True)
    empty = (" " + value[: value.index(" b=") + 3]).replace("\n", "\r\n").encode()
    hashed += canonical_field(b"DKIM-Signature", empty, relaxed=True).removesuffix(b"\r\n")
    octets = base64.b64decode(records(both)[f"{ED}._domainkey.{DOMAIN}"].partition("p=")[2])
    Ed25519PublicKey.from_public_bytes(octets).verify(base64.b64decode(found["b"]), sha256(hashed).digest())


def test_rfc6376_5_1_only_mail_of_its_own_domains_is_signed(both):
    """The domain of one clear author has a key of its own, and MAIL FROM or the login agrees, or nothing is signed."""
    alice = Submission("alice@example.org", "alice")
    assert finished(both, MESSAGE, alice).by
    assert finished(both, MESSAGE.replace(b"alice@example.org", b"a@bank.example"), alice).why is Unsigned.DOMAIN
    assert finished(both, b"From: eve@bank.example\r\n" + MESSAGE, alice).why is Unsigned.AUTHOR
    assert finished(both, MESSAGE, Submission("eve@bank.example", "eve")).why is Unsigned.ENVELOPE
    by_login = renamed(both, believed=Believed.LOGIN, logins={"alice": ("alice@example.org",)})
    assert finished(by_login, MESSAGE, alice).by
    assert finished(by_login, MESSAGE, Submission("alice@example.org", "eve")).why is Unsigned.LOGIN


def test_rfc6376_5_2_the_selector_names_the_file_of_the_key(tmp_path):
    """A key is DOMAIN/SELECTOR.pem, so another key has another selector. A selector may have several labels."""
    found = signing(tmp_path, {DOMAIN: ("2026.eu", "2027")})
    assert [tags(each)["s"] for each in finished(found, MESSAGE).values] == ["2026.eu", "2027"]


@pytest.mark.parametrize("change", [b"\xc3\xa9", b"x" * 9000])
def test_rfc6376_5_3_the_message_is_signed_as_it_is(both, change):
    """Nothing is converted: 8-bit octets and long lines are signed as Postfix hands them over."""
    message = MESSAGE.replace(b"Hello", change)
    assert dkimpy_says(both, on_top(finished(both, message), message)) == [True, True]


def test_rfc6376_5_4_from_is_always_signed(both):
    """h= begins with From, once more than the message has it."""
    assert all(tags(each)["h"].startswith("From:From:") for each in finished(both, MESSAGE).values)


def test_rfc6376_5_4_trace_fields_are_never_signed(both):
    """Received, Return-Path, Authentication-Results, Comments, Keywords, DKIM-Signature and ARC are left out."""
    names = ["Return-Path", "Authentication-Results", "Comments", "Keywords", "DKIM-Signature", "ARC-Seal"]
    message = "".join(f"{each}: x\r\n" for each in names).encode() + MESSAGE
    for value in finished(both, message).values:
        assert not {"received", *map(str.lower, names)} & set(tags(value)["h"].lower().split(":"))


def test_rfc6376_5_4_1_what_a_reader_is_shown_is_signed(both):
    """From, To, Cc, Subject, Date and Reply-To; and if there: Message-ID, Sender, MIME and reference fields."""
    message = b"Message-ID: <1@a>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\nReferences: <2@a>\r\n" + MESSAGE
    names = {"From", "To", "Cc", "Subject", "Date", "Reply-To", "Message-ID", "MIME-Version", "Content-Type",
             "References"}  # fmt: skip
    assert set(tags(finished(both, message).values[0])["h"].split(":")) == names


def test_rfc6376_5_4_1_fields_of_lists_and_resent_fields_are_signed_if_they_are_there(both):
    """As often as the message has them, so a mailing list can add its own."""
    named = tags(finished(both, b"List-Id: <a>\r\nResent-To: a@b\r\n" + MESSAGE).values[0])["h"].split(":")
    assert (named.count("List-Id"), named.count("Resent-To"), named.count("List-Post")) == (1, 1, 0)


NAMES = st.sampled_from([b"To", b"Subject", b"Cc", b"X-A"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(st.lists(st.tuples(NAMES, st.sampled_from([b" a", b" b", b" c"])), max_size=6))
def test_rfc6376_5_4_2_repeated_fields_are_signed_from_the_bottom(both, pairs):
    """Every field of a signed name is covered, the lowest first."""
    headers = Headers([Field(b"From", b" alice@example.org"), *(Field(*each) for each in pairs)])
    found = finished_parts(both, headers, b"x\r\n")
    raw = b"".join(name + b":" + value + b"\r\n" for name, value in headers) + b"\r\nx\r\n"
    assert dkimpy_says(both, on_top(found, raw)) == [True, True]


def test_rfc6376_5_6_the_signature_goes_to_the_top(both):
    """Above everything that is there, and folded to lines of at most 78 characters."""
    found = finished(both, MESSAGE)
    assert on_top(found, MESSAGE).startswith(b"DKIM-Signature: v=1;")
    assert max(len(line) for line in on_top(found, b"").split(b"\r\n")) <= 78


def test_rfc6376_8_15_no_field_that_is_shown_can_be_added(both):
    """h= names such a field once more than it is there, even if it is not there at all."""
    signed = on_top(finished(both, MESSAGE), MESSAGE)
    for name in (b"From", b"To", b"Cc", b"Subject", b"Date", b"Reply-To"):
        assert dkimpy_says(both, name + b": x@y.example\r\n" + signed) == [False, False]


def test_rfc6376_8_2_there_is_no_body_length_limit(both):
    """Without l=, nothing can be added to the body."""
    message = on_top(finished(both, MESSAGE), MESSAGE) + b"more\r\n"
    for at in range(2):
        with pytest.raises(dkimpy.ValidationError, match="body hash"):
            dkimpy.DKIM(message).verify(at, dnsfunc=lambda name, **_: records(both)[name.decode()[:-1]].encode())


def test_rfc8301_3_1_the_hash_is_sha256(both):
    """a= is rsa-sha256 or ed25519-sha256, as the key is."""
    assert [tags(each)["a"] for each in finished(both, MESSAGE).values] == ["rsa-sha256", "ed25519-sha256"]


def test_rfc8463_3_ed25519_signs_the_hash(both):
    """PureEdDSA over the SHA-256 of the header, 64 octets. dkimpy verifies it."""
    found = finished(both, MESSAGE)
    assert len(base64.b64decode(tags(found.values[1])["b"])) == 64
    assert dkimpy_says(both, on_top(found._replace(values=found.values[1:]), MESSAGE)) == [True]


def test_rfc8463_4_the_record_has_the_32_octets_of_the_key(both):
    """p= is the key without a wrapper, and k= is ed25519."""
    record = records(both)[f"{ED}._domainkey.{DOMAIN}"]
    assert record.startswith("v=DKIM1; k=ed25519; p=")
    assert len(base64.b64decode(record.partition("p=")[2])) == 32


def test_rfc8463_5_both_algorithms_sign_one_message(both):
    """Each key of a domain adds a signature under its own selector; neither covers the other."""
    found = finished(both, MESSAGE)
    assert found.by == (f"{DOMAIN}/{RSA}", f"{DOMAIN}/{ED}")
    for only in found.values:
        assert dkimpy_says(both, on_top(found._replace(values=(only,)), MESSAGE)) == [True]


def test_rfc8616_4_the_domain_is_written_in_a_labels(tmp_path):
    """d= has A-labels, whichever the author or the configuration uses."""
    found = signing(tmp_path, {"xn--bcher-kva.example": ("a",)})
    done = finished(found, "From: a@bücher.example\r\n\r\n".encode(), Submission("a@bücher.example"))
    assert tags(done.values[0])["d"] == "xn--bcher-kva.example"
