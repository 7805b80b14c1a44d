"""A key record as text: for a zone file, read by dnspython; and as its value, read by our own parser."""

import dns.rdatatype
import dns.zone
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.dkim.key import BadKey, parse
from mailassay.domain import BadDomain, Domain
from mailassay.key import record
from mailassay.key.record import Record
from tests.lab.sign import ed25519_key, rsa_key

NAME = Domain("2026a._domainkey.example.org")
KEYS = [ed25519_key(), rsa_key(1024), rsa_key(), rsa_key(4096)]


def read(text):
    """The TXT record that a zone file has, as the strings that DNS has."""
    zone = dns.zone.from_text(text, origin="example.org.", relativize=False, check_origin=False)
    [(name, rdataset)] = zone.iterate_rdatasets(dns.rdatatype.TXT)
    [rdata] = rdataset
    return str(name), rdata.strings


@pytest.mark.parametrize("key", KEYS, ids=["ed25519", "1024", "2048", "4096"])
def test_a_zone_file_has_the_record(key):
    text = "$TTL 3600\n" + Record(NAME, key.record).bind()
    name, strings = read(text)
    assert name == f"{NAME}."
    assert b"".join(strings).decode() == key.record
    assert max(map(len, strings)) <= 255
    assert parse(b"".join(strings).decode()).public


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=1200))
def test_any_ascii_text_is_quoted(value):
    name, strings = read("$TTL 3600\n" + Record(NAME, value).bind() + "\n")
    assert (name, b"".join(strings).decode()) == (f"{NAME}.", value)
    assert [each.decode() for each in strings] == Record(NAME, value).as_json()["strings"]


@pytest.mark.parametrize("key", KEYS[:2])
def test_a_revoked_key_has_no_p(key):
    value = record.revoked(key.record)
    assert value.endswith("; p=")
    with pytest.raises(BadKey, match="revoked"):
        parse(value)


def test_the_name():
    assert record.of("2026.eu", Domain("bücher.example"), "x").name == "2026.eu._domainkey.xn--bcher-kva.example"
    with pytest.raises(BadDomain):
        record.of("a" * 63, Domain(f"{'b' * 63}.{'c' * 63}.{'d' * 60}.example"), "x")
