"""What the dearest records cost in CPU time: one identity each, every record as long as the default limits allow."""

from ipaddress import ip_address

import pytest

from mailassay import spf
from mailassay.limits import Limits
from mailassay.resolver import NXDOMAIN, Answer

RECORD, TERMS = Limits().record_octets, Limits().spf_terms
IPV6 = "2001:db8::1"
LOCAL_PART, HELO = "-" * 2000, "." * 2000  # as long as a line of SMTP


def chain(*terms, repeat):
    """A record and ten that it includes, each filled up with a term."""
    zone = {}
    for number in range(TERMS + 1):
        tail = f" include:r{number + 1}.example" if number < TERMS else ""
        head = "".join(["v=spf1", *(f" {term}" for term in terms)])
        zone[f"r{number}.example", "TXT"] = (head + repeat * ((RECORD - len(head) - len(tail)) // len(repeat)) + tail,)
    return zone


def hosts():
    """Ten mx of ten hosts, each with as many addresses as a DNS message holds."""
    addresses = tuple(f"203.0.{number >> 8}.{number & 255}" for number in range(4000))
    zone = {("r0.example", "TXT"): ("v=spf1" + "".join(f" mx:m{term}.example/31" for term in range(TERMS)),)}
    for term in range(TERMS):
        names = [f"h{number}.m{term}.example" for number in range(Limits().spf_mx_hosts)]
        zone[f"m{term}.example", "MX"] = tuple(f"10 {name}" for name in names)
        zone.update({(name, "A"): addresses for name in names})
    return zone


def macros(macro):
    """A record and nine that it includes, each with a domain-spec as long as it may be."""
    zone = {}
    spec = macro * ((500 - len(".0.example")) // len(macro))
    for number in range(TERMS // 2):
        terms = f"v=spf1 exists:{spec}.{number}.example include:r{number + 1}.example"
        zone[f"r{number}.example", "TXT"] = (terms,)
    return {**zone, (f"r{TERMS // 2}.example", "TXT"): ("v=spf1 -all",)}


def names_of_the_client():
    """Ten terms with the validated name of the client, of whose ten names the last is one."""
    names = tuple(f"n{number}.example" for number in range(Limits().ptr_names))
    spec = "%{P}" * 120
    zone = {("r0.example", "TXT"): ("v=spf1" + "".join(f" exists:{spec}.{term}.example" for term in range(TERMS)),)}
    for client, rdtype, address in (
        ("1.2.0.192.in-addr.arpa", "A", "192.0.2.1"),
        (ip_address(IPV6).reverse_pointer, "AAAA", IPV6),
    ):
        zone[client, "PTR"] = names
        zone |= {(name, rdtype): ("203.0.113.1" if rdtype == "A" else "2001:db8::2",) for name in names[:-1]}
        zone[names[-1], rdtype] = (address,)
    return zone


CASES = {
    "ip4": chain(repeat=" ip4:1.1.1.1"),
    "ip6": chain(repeat=" ip6:::"),
    "unknown modifiers": chain(repeat=" x="),
    "spaces": chain(repeat=" "),
    "one long modifier": chain("x=", repeat="%{s}"),
    "one long name": chain("x=", repeat=".a"),
    "wrong at the end": chain(repeat=" a:a.b") | {("r0.example", "TXT"): ("v=spf1" + " a:a.b" * 2700 + " a:a.b!",)},
    "wrong label": {("r0.example", "TXT"): ("v=spf1 a:b." + "a" * 16_000 + "!",)},
    "wrong lengths": {("r0.example", "TXT"): ("v=spf1 a:b.c" + "/1" * 8000,)},
    "macros of one part": macros("%{l1r-}"),
    "escaped macros": macros("%{S}"),
    "macros of many delimiters": macros("%{H999999999r.-+,/_=}"),
    "names of the client": names_of_the_client(),
    "hosts with thousands of addresses": hosts(),
    "thousands of texts": {("r0.example", "TXT"): tuple(f"v=spf{number}" for number in range(10, 4000))},
}


@pytest.mark.parametrize("client", ["192.0.2.1", IPV6])
@pytest.mark.parametrize("case", CASES)
def test_spf(benchmark, case, client):
    zone = CASES[case]

    def resolve(name, rdtype):
        records = zone.get((name, rdtype))
        return Answer(records) if records else NXDOMAIN

    mail_from = f"{LOCAL_PART}@r0.example"
    limits = Limits(spf_void_lookups=100)
    benchmark(spf.check_mail_from, ip_address(client), mail_from, HELO, resolve, limits)
