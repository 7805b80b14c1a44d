"""iprev: RFC 8601 sections 2.7.3 and 3."""

from ipaddress import ip_address
from itertools import permutations

import pytest

from mailassay import address, iprev
from mailassay.limits import Limits
from mailassay.resolver import Deadline
from mailassay.zone import Zone
from tests.lab.limits import LIMITS
from tests.lab.talk import Talk

CLIENT, CLIENT6 = "192.0.2.1", "2001:db8::1"
REVERSE, REVERSE6 = "1.2.0.192.in-addr.arpa", ip_address(CLIENT6).reverse_pointer


def check(zone, client=CLIENT, limits=LIMITS):
    return iprev.check(address.client(client), Deadline(Zone(zone, limits=LIMITS), float("inf"), lambda: 0.0), limits)


def field(zone, client):
    """The iprev clause of the field that is written."""
    outcome = Talk(zone, client=client, helo="mail.example.com").message(mail_from="<>", author="user@author.example")
    ((_, value),) = outcome.add
    return value.split(";")[1].strip()


@pytest.mark.parametrize("other", ["", "mail.example.com A 203.0.113.1", f"{REVERSE} PTR other.example"])
def test_rfc8601_3_a_name_that_leads_back_is_pass(other):
    """pass: one of the names of the address has that address."""
    assert check(f"{REVERSE} PTR mail.example.com\nmail.example.com A 192.0.2.1\n{other}").result == "pass"


@pytest.mark.parametrize(("client", "word"), [(CLIENT, "fail"), (CLIENT6, "pass")])
def test_rfc8601_3_the_address_lookup_is_of_the_clients_kind(client, word):
    """The names are looked up with type A for an IPv4 client, and AAAA for an IPv6 client."""
    zone = f"{REVERSE} PTR mail.example.com\n{REVERSE6} PTR mail.example.com\nmail.example.com AAAA 2001:db8::1"
    assert check(zone, client).result == word


@pytest.mark.parametrize("forward", ["mail.example.com A 203.0.113.1", "mail.example.com -", ""])
def test_rfc8601_2_7_3_names_that_do_not_lead_back_are_fail(forward):
    """fail: the address has names, but none of them has the address: they have others, or none, or do not exist."""
    assert check(f"{REVERSE} PTR mail.example.com\n{forward}").result == "fail"


@pytest.mark.parametrize("reverse", ["", f"{REVERSE} -"])
def test_rfc8601_2_7_3_no_name_is_permerror(reverse):
    """permerror: the address has no PTR record."""
    assert check(reverse).result == "permerror"


@pytest.mark.parametrize("trouble", ["!", "?"])
@pytest.mark.parametrize("zone", [f"{REVERSE} PTR {{}}", f"{REVERSE} PTR mail.example.com\nmail.example.com A {{}}"])
def test_rfc8601_2_7_3_a_lookup_that_fails_is_temperror(zone, trouble):
    """temperror: SERVFAIL or silence, for the address or its name."""
    assert check(zone.format(trouble)).result == "temperror"


def test_rfc8601_2_7_3_a_pass_outweighs_a_lookup_that_fails():
    """One name that leads back is enough, whatever the results of the others."""
    zone = f"{REVERSE} PTR broken.example\n{REVERSE} PTR mail.example.com\nbroken.example A !"
    assert check(f"{zone}\nmail.example.com A 192.0.2.1").result == "pass"
    assert check(f"{zone}\nmail.example.com A 203.0.113.1").result == "temperror"


def test_rfc8601_3_only_so_many_names_are_looked_at():
    """The number of names has a limit, ten unless the policy has another."""
    names = "\n".join(f"{REVERSE} PTR n{number}.example.com" for number in range(10, 22))
    assert check(f"{names}\nn19.example.com A 192.0.2.1").result == "pass"
    assert check(f"{names}\nn20.example.com A 192.0.2.1").result == "fail"
    assert check(f"{names}\nn20.example.com A 192.0.2.1", limits=Limits(ptr_names=11)).result == "pass"


@pytest.mark.parametrize("order", list(permutations(("a.example", "b.example", "c.example", "d.example"))))
def test_rfc8601_3_every_name_that_leads_back_is_known(order):
    """The policy sees all names that lead back; the first of them in alphabetical order is reported. The order in
    which DNS gives the names makes no difference, even if the limit cuts some off.
    """
    names = "\n".join(f"{REVERSE} PTR {name}" for name in order)
    zone = f"{names}\na.example A 203.0.113.1\nb.example A 192.0.2.1\nc.example A !\nd.example A 192.0.2.1"
    found = check(zone)
    assert (found.result, found.name, found.names) == ("pass", "b.example", ("b.example", "d.example"))
    assert found.unanswered == ("c.example",)
    assert field(zone, CLIENT) == "iprev=pass policy.iprev=192.0.2.1 (b.example)"
    assert check(zone, limits=Limits(ptr_names=3)).names == ("b.example",)
    assert check(zone, limits=Limits(ptr_names=1)).result == "fail"


@pytest.mark.parametrize(
    ("client", "clause"),
    [
        (CLIENT, "iprev=pass policy.iprev=192.0.2.1 (mail.example.com)"),
        (CLIENT6, 'iprev=pass policy.iprev="2001:db8::1" (mail.example.com)'),
        ("::ffff:192.0.2.1", "iprev=pass policy.iprev=192.0.2.1 (mail.example.com)"),
        ("192.0.2.2", "iprev=fail policy.iprev=192.0.2.2"),
        ("192.0.2.3", "iprev=permerror policy.iprev=192.0.2.3"),
    ],
)
def test_rfc8601_2_7_3_the_address_is_policy_iprev(client, clause):
    """The field names the address, quoted if it has colons; a confirmed name is a comment."""
    zone = f"""
        {REVERSE} PTR mail.example.com
        {REVERSE6} PTR mail.example.com
        2.2.0.192.in-addr.arpa PTR mail.example.com
        mail.example.com A 192.0.2.1
        mail.example.com AAAA 2001:db8::1
    """
    assert field(zone, client) == clause


def test_rfc8601_3_an_ipv4_mapped_address_is_ipv4():
    """An IPv4 client on an IPv6 socket is looked up as IPv4."""
    zone = f"{REVERSE} PTR mail.example.com\nmail.example.com A 192.0.2.1"
    found = check(zone, "::ffff:192.0.2.1")
    assert (found.result, str(found.client_ip)) == ("pass", "192.0.2.1")
