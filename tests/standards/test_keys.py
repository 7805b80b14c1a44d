"""RFC 6376 sections 3.1, 3.6 and 5.2, RFC 8301 and RFC 8463: how the keys of a signer are made, published, replaced."""

import base64

import dns.rdatatype
import dns.zone
import pytest

from mailassay.dkim.key import BadKey, parse
from mailassay.domain import Domain
from mailassay.key import adding, check, making, record, rotation
from mailassay.key import folder as folders
from mailassay.key.adding import Wanted
from mailassay.key.published import Published, Sighting, look
from mailassay.key.ring import Kept, Ring, State
from mailassay.sign import Selectors, Sign
from mailassay.zone import Zone
from tests.lab.limits import LIMITS
from tests.lab.sign import ed25519_key, rsa_key
from tests.lab.signing import DOMAIN, pem, write

NAME, NOW, DAY = Domain(DOMAIN), 1_800_000_000, 86_400
RECORD = ed25519_key().record


def made(folder, *wanted):
    """Keys that were just made."""
    sign = Sign(directory=str(folder))
    making.folder(sign.directory, NAME)
    found, _ = adding.add(folders.look(sign, NAME, NOW), wanted, NOW)
    return found


def published(*records):
    """The same at every server."""
    return Published((Sighting("ns", "192.0.2.1", records, 300),), wait=300)


def test_rfc6376_3_1_no_selector_gets_another_key(tmp_path):
    """A selector that was ever used is refused for a new key, since verifiers may know the old one."""
    [first] = made(tmp_path, Wanted("ed25519"))
    (tmp_path / DOMAIN / f"{first.selector}.pem").unlink()
    [second] = made(tmp_path, Wanted("ed25519"))
    assert (first.selector, second.selector) == ("2027a", "2027b")
    with pytest.raises(making.Exists):
        adding.add(folders.look(Sign(directory=str(tmp_path)), NAME, NOW), [Wanted("ed25519")], NOW, ["2027a"])


def test_rfc6376_3_6_1_the_tags_of_a_record(tmp_path):
    """v=DKIM1 first, then k= and p=; no other tag restricts the key."""
    for kept in made(tmp_path, Wanted("rsa"), Wanted("ed25519")):
        tags = dict(each.split("=", 1) for each in kept.record.split("; "))
        assert [*tags] == ["v", "k", "p"]
        assert (tags["v"], tags["k"]) == ("DKIM1", kept.public.kind)


def test_rfc6376_3_6_1_an_empty_p_revokes_a_key():
    """A retired key is revoked by p= without a value, and counts as revoked once every server says so."""
    value = record.revoked(RECORD)
    with pytest.raises(BadKey, match="revoked"):
        parse(value)
    ring = Ring({"a": Kept("a", RECORD, 0, State.RETIRED, {State.ACTIVE: 0, State.RETIRED: 0})})
    assert rotation.observed(ring, {"a": published(RECORD)}, 8 * DAY).of(State.REVOKED) == []
    assert rotation.observed(ring, {"a": published(value)}, 8 * DAY).of(State.REVOKED)


def test_rfc6376_3_6_1_a_record_that_excludes_the_signature_is_an_error(tmp_path):
    """h= without sha256 or s= without email, at the record of an active key."""
    write(tmp_path, DOMAIN, "a", pem())
    sign = Sign({NAME: Selectors(("a",), DOMAIN)}, str(tmp_path))
    folder = folders.look(sign, NAME, NOW)
    right = folder.ring.keys["a"].record
    for value, status in ((right, 0), (f"{right}; h=sha1", 2), (f"{right}; s=tlsrpt", 2), (f"{right}; t=y", 1)):
        assert check.status(check.problems(folder, {"a": published(value)}, NOW)) == status


def test_rfc6376_3_6_2_1_the_name_of_a_record():
    """SELECTOR._domainkey.DOMAIN, in A-labels."""
    assert record.of("2026.eu", Domain("bücher.example"), RECORD).name == "2026.eu._domainkey.xn--bcher-kva.example"


def test_rfc6376_3_6_2_2_a_long_value_is_several_strings():
    """They have at most 255 octets each, and make the value without anything between them."""
    value = rsa_key(4096).record
    text = "$TTL 1\n" + record.of("a", NAME, value).bind()
    zone = dns.zone.from_text(text, origin=f"{DOMAIN}.", relativize=False, check_origin=False)
    [(_, [rdata])] = zone.iterate_rdatasets(dns.rdatatype.TXT)
    assert max(map(len, rdata.strings)) == 255
    assert b"".join(rdata.strings).decode() == value


def test_rfc6376_3_6_2_2_several_records_are_a_warning(tmp_path):
    """Which of them a verifier takes is undefined."""
    write(tmp_path, DOMAIN, "a", pem())
    folder = folders.look(Sign({NAME: Selectors(("a",), DOMAIN)}, str(tmp_path)), NAME, NOW)
    right = folder.ring.keys["a"].record
    assert check.status(check.problems(folder, {"a": published(right, RECORD)}, NOW)) == 1


def test_rfc6376_5_2_a_record_stays_for_mail_on_its_way():
    """A key that has signed stays published for seven days; only then its record may go."""
    ring = Ring({each: Kept(each, RECORD, 0, State.ACTIVE, {State.ACTIVE: 0}) for each in "ab"})
    kept = rotation.retired(ring, "a", 100).keys["a"]
    assert rotation.may_go(kept) == 100 + 7 * DAY


def test_rfc6376_5_2_a_new_key_signs_as_soon_as_verifiers_can_know_it():
    """The step that makes a key active retires the old one: it signs at once, and the old one no more."""
    states = {"a": State.ACTIVE, "b": State.PUBLISHED}
    ring = Ring({each: Kept(each, RECORD, 0, state, {state: 0}) for each, state in states.items()})
    step = rotation.plan(ring, {each: published(RECORD) for each in states}, {}, NOW)
    assert (step.activate, step.retire) == (("b",), ("a",))


@pytest.mark.parametrize(("ttl", "minimum", "wait"), [(3600, 600, 3600), (300, 86_400, 300), (900, 900, 900)])
def test_rfc2308_5_a_resolver_may_keep_that_there_is_no_such_name(ttl, minimum, wait):
    """A key becomes active after the larger of the TTL of its record and that of a negative answer."""
    lines = [f"{DOMAIN} NS ns.{DOMAIN}", f"ns.{DOMAIN} A 192.0.2.1", f"{DOMAIN} SOA ns. a. 1 2 3 4 {minimum}"]
    name = Domain(f"a._domainkey.{DOMAIN}")
    zone = Zone("\n".join([*lines, f'{name} TXT "{RECORD}"']), ttl=ttl, limits=LIMITS)
    assert look([name], zone, lambda _: zone)[name].wait == wait


def test_rfc8301_3_2_keys_are_made_with_2048_bits(tmp_path):
    """At least 1024 and at most 4096 if asked for; an active key with fewer than 2048 is a warning."""
    assert making.DEFAULT_BITS == 2048
    [kept] = made(tmp_path, Wanted("rsa"))
    assert kept.public.bits == 2048
    write(tmp_path, "b.example", "a", pem("rsa1024"))
    folder = folders.look(Sign({Domain("b.example"): Selectors(("a",))}, str(tmp_path)), Domain("b.example"), NOW)
    [found] = check.problems(folder, {}, NOW)
    assert (found.severity, found.code) == ("warning", "key-short")


def test_rfc8463_5_both_algorithms_are_made(tmp_path):
    """The first keys of a domain are one of RSA and one of Ed25519, each under its own selector."""
    assert rotation.plan(Ring(), {}, {}, NOW).make == (Wanted("rsa", 2048), Wanted("ed25519"))
    assert [each.public.kind for each in made(tmp_path, Wanted("rsa"), Wanted("ed25519"))] == ["rsa", "ed25519"]


def test_rfc8463_4_2_the_record_has_the_key_without_a_wrapper(tmp_path):
    """p= is the 32 octets of the Ed25519 key in base64."""
    [kept] = made(tmp_path, Wanted("ed25519"))
    assert len(base64.b64decode(kept.record.partition("p=")[2], validate=True)) == 32
