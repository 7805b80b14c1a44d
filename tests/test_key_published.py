"""What DNS has for a key, at every authoritative server: real servers on loopback that differ, or are down."""

import base64
import os
import resource
from concurrent.futures import Future
from contextlib import ExitStack

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from mailassay.dkim.key import parse
from mailassay.domain import Domain
from mailassay.key import published
from mailassay.key.published import Has, Sighting
from mailassay.nameservers import Nameservers
from mailassay.resolver import Answer, Cached
from mailassay.zone import Zone
from tests.lab.authority import ADDRESSES, MINIMUM, NAMES, TTL, authority, zone
from tests.lab.limits import LIMITS
from tests.lab.sign import ed25519_key, rsa_key

NAME = Domain("a._domainkey.example.org")
RECORD = ed25519_key().record
LINE = f'{NAME} TXT "{RECORD}"'


@pytest.fixture
def dns():
    with authority() as found:
        yield found


def look(dns, *names):
    """Ask the servers for these names, or for one."""
    with ExitStack() as stack:

        def source(address, port):
            found = Nameservers([(address, port)], 0.3, LIMITS)
            stack.callback(found.close)
            return found

        resolver = Cached(source(dns.resolver.address, dns.resolver.port), 1000)
        found = published.look(names or [NAME], resolver, lambda address: source(address, dns.port))
    return found if names else found[NAME]


def test_every_server_is_asked(dns):
    dns.publish(LINE)
    found = look(dns)
    assert found.is_everywhere(RECORD)
    assert [(each.server, each.address) for each in found.sightings] == [*zip(NAMES, ADDRESSES, strict=True)]
    # the larger of the two: the lab's TTL is 300, of the SOA too, and its minimum is 600
    assert found.wait == min(TTL, MINIMUM)
    for server in dns.servers.values():
        assert (NAME, "TXT") in server.asked
    assert (NAME, "TXT") not in dns.resolver.asked


@pytest.mark.parametrize(("ttl", "wait"), [(100, 100), (3600, 3600), (200_000, 86_400)])
def test_the_wait_is_the_larger_of_both_ttls(dns, ttl, wait):
    """The TTL of the record, and that of "no such name" (RFC 2308): the TTL of the SOA or its minimum, if smaller."""
    dns.publish(LINE)
    for server in dns.servers.values():
        server.ttl = ttl
    assert look(dns).wait == wait


def test_the_minimum_of_the_zone_bounds_a_negative_answer(dns):
    for server in dns.servers.values():
        server.ttl = 3600
    # no record, so only the negative TTL is known
    assert look(dns).wait == MINIMUM


def test_servers_that_differ(dns):
    dns.publish(LINE, at=NAMES[0])
    found = look(dns)
    assert not found.is_everywhere(RECORD)
    assert found.lacks(RECORD)
    assert [each.has(RECORD) for each in found.sightings] == [Has.KEY, Has.NOTHING]


@pytest.mark.parametrize("mode", ["drop", "servfail", "garbage"])
def test_a_server_that_is_down(dns, mode):
    dns.publish(LINE)
    dns.servers[NAMES[1]].mode = mode
    found = look(dns)
    assert not found.is_everywhere(RECORD)
    # it says nothing against the key
    assert not found.lacks(RECORD)
    assert [each.has(RECORD) for each in found.sightings] == [Has.KEY, Has.SILENT]
    assert NAMES[1] in found.sightings[1].trouble


def test_a_server_without_the_zone(dns):
    """A server that the parent names, and nobody told: it has no SOA record of the zone."""
    dns.publish(LINE)
    dns.servers[NAMES[1]].zone = Zone(LINE, limits=LIMITS)
    found = look(dns)
    assert [each.has(RECORD) for each in found.sightings] == [Has.KEY, Has.SILENT]


def test_an_answer_from_a_cache_is_none(dns):
    """A firewall may lead all questions to a resolver; then nobody knows what the servers have."""
    dns.publish(LINE)
    dns.servers[NAMES[1]].authoritative = False
    found = look(dns)
    assert [each.has(RECORD) for each in found.sightings] == [Has.KEY, Has.SILENT]
    assert "no authoritative answer" in found.sightings[1].trouble
    # what a resolver says of the servers' names is not asked of the zone
    dns.servers[NAMES[1]].authoritative, dns.resolver.authoritative = True, False
    assert look(dns).is_everywhere(RECORD)


def test_a_server_without_an_address(dns):
    dns.publish(LINE)
    dns.resolver.zone = zone("example.org NS ns3.example.org")
    found = look(dns)
    assert not found.is_everywhere(RECORD)
    assert found.sightings[-1].trouble == "ns3.example.org has no address"


def test_one_address_of_a_server_is_enough(dns):
    """This host may have no route to the other, such as one of IPv6."""
    dns.publish(LINE)
    dns.resolver.zone = zone(f"{NAMES[0]} A 127.0.0.9")
    found = look(dns)
    assert found.is_everywhere(RECORD)
    assert [each.address for each in found.sightings] == [*ADDRESSES]


def test_the_resolver_is_down(dns):
    dns.publish(LINE)
    dns.resolver.mode = "drop"
    found = look(dns)
    assert not found.is_everywhere(RECORD)
    assert "are not known" in found.trouble


def test_no_zone(dns):
    other = Domain("a._domainkey.nowhere.example")
    assert "DNS has no servers" in look(dns, other)[other].trouble


def test_an_alias_is_followed(dns):
    """A CNAME into another zone, as those who send mail for others want it: the servers of that zone are asked."""
    target = "k1.sender.example"
    alias = f"{NAME} CNAME {target}"
    parts = [f"sender.example NS {NAMES[1]}", "sender.example SOA ns. a. 1 2 3 4 900"]
    dns.resolver.zone = zone(alias, *parts)
    dns.publish(alias)
    dns.publish(*parts, alias, f'{target} TXT "{RECORD}"', at=NAMES[1])
    found = look(dns)
    assert found.aliases == (target,)
    assert found.is_everywhere(RECORD)
    dns.publish(*parts, alias, at=NAMES[1])
    assert [each.has(RECORD) for each in look(dns).sightings] == [Has.NOTHING]


def test_aliases_in_a_circle(dns):
    lines = [f"{NAME} CNAME b.example.org", f"b.example.org CNAME {NAME}"]
    dns.resolver.zone = zone(*lines)
    dns.publish(*lines)
    found = look(dns)
    assert not found.is_everywhere(RECORD)
    assert not found.is_gone(RECORD)


def test_a_zone_of_its_own_for_the_keys(dns):
    """Some delegate _domainkey.example.org."""
    lines = [f"_domainkey.example.org NS {NAMES[1]}", f"_domainkey.example.org SOA ns. a. 1 2 3 4 {MINIMUM}"]
    dns.resolver.zone = zone(*lines)
    dns.publish(*lines, LINE, at=NAMES[1])
    found = look(dns)
    assert [each.server for each in found.sightings] == [NAMES[1]]
    assert found.is_everywhere(RECORD)


def test_many_servers_are_too_many(dns):
    dns.resolver.zone = zone(*(f"{NAMES[0]} A 127.1.0.{number}" for number in range(1, 60)))
    dns.publish(LINE)
    found = look(dns)
    assert "too many servers" in found.trouble
    assert not found.is_everywhere(RECORD)


def test_a_foreign_zone_cannot_make_us_ask_without_end():
    """Each name that its servers give is an alias of more names, at each of many servers another one."""
    asked = []

    def answer(records):
        found = Future()
        found.set_result(Answer(records, bool(records), 60, authoritative=True))
        return found

    def resolver(question):
        if question.rdtype == "NS":
            return answer(tuple(f"ns{number}.x.example" for number in range(30)))
        return answer(("192.0.2.1",) if question.rdtype == "A" else ())

    def at(_):
        def source(question):
            asked.append(question)
            if question.rdtype == "CNAME":
                return answer((f"n{len(asked)}.x.example",))
            return answer(("a. b. 1 2 3 4 5",) if question.rdtype == "SOA" else ())

        return source

    found = published.look([NAME], resolver, at)[NAME]
    assert found.trouble
    assert not found.is_everywhere(RECORD)
    assert not found.is_gone(RECORD)
    assert len(asked) <= 3 * 2000


def test_many_keys_at_once(dns):
    """More than a process has descriptors for, if all were asked for at the same time."""
    names = [Domain(f"s{number}._domainkey.example.org") for number in range(200)]
    dns.publish(*(f'{each} TXT "{RECORD}"' for each in names))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 300, hard))
    try:
        found = look(dns, *names)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert all(found[each].is_everywhere(RECORD) for each in names)


@given(st.lists(st.text(st.characters(max_codepoint=255), max_size=80), max_size=3))
def test_any_records_are_something(records):
    has = Sighting("ns", records=tuple(records)).has(RECORD)
    assert has in (Has.UNUSABLE, Has.REVOKED) if records else has is Has.NOTHING
    assert bool(Sighting("ns", records=tuple(records)).why_unusable) == bool(records)


def test_several_names_at_once(dns):
    other = Domain("b._domainkey.example.org")
    dns.publish(LINE)
    found = look(dns, NAME, other)
    assert found[NAME].is_everywhere(RECORD)
    assert found[other].is_gone(RECORD)


OTHER, RSA = ed25519_key("other").record, rsa_key()


@pytest.mark.parametrize(
    ("records", "has"),
    [
        ([RECORD], Has.KEY),
        ([RECORD.replace("v=DKIM1; ", "")], Has.KEY),
        ([RECORD.replace("p=", "n=a note; p= ")], Has.KEY),
        ([f"{RECORD}; t=s"], Has.KEY),
        ([f"{RECORD}; t=y"], Has.KEY),
        ([f"{RECORD}; s=email; h=sha1:sha256"], Has.KEY),
        ([RECORD, OTHER], Has.SEVERAL),
        ([RECORD, "v=spf1 -all"], Has.SEVERAL),
        ([OTHER], Has.OTHER),
        ([RSA.record], Has.OTHER),
        ([OTHER, "x"], Has.OTHER),
        (["v=DKIM1; k=ed25519; p="], Has.REVOKED),
        (["p="], Has.REVOKED),
        ([f"{RECORD}; s=tlsrpt"], Has.UNUSABLE),
        ([f"{RECORD}; h=sha1"], Has.UNUSABLE),
        ([RECORD.replace("DKIM1", "DKIM2")], Has.UNUSABLE),
        ([RECORD[:-3]], Has.UNUSABLE),
        (["v=spf1 -all"], Has.UNUSABLE),
        ([RECORD.replace("ed25519", "rsa")], Has.UNUSABLE),
        ([], Has.NOTHING),
    ],
)
def test_what_a_server_has(records, has):
    assert Sighting("ns", records=tuple(records)).has(RECORD) is has
    assert Sighting("ns", trouble="time-out").has(RECORD) is Has.SILENT


def test_one_key_in_two_forms():
    """An RSA key as the RSAPublicKey that RFC 6376 asks for, and as everybody publishes it."""
    der = parse(RSA.record).public.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    bare = f"v=DKIM1; p={base64.b64encode(der).decode()}"
    assert Sighting("ns", records=(bare,)).has(RSA.record) is Has.KEY
