"""`mailassay lookup`: what DNS says of a domain, and what is wrong with it."""

import json
import re
import subprocess
import threading
from concurrent.futures import Future
from functools import reduce
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailassay import lookup
from mailassay.cli import main
from mailassay.domain import Domain
from mailassay.finding import Severity
from mailassay.lookup.dkim import WELL_KNOWN
from mailassay.resolver import Answer, DnsTempError, question
from mailassay.result import Result
from mailassay.spf import check_mail_from
from mailassay.zone import Zone
from tests.lab.dns import DnsServer
from tests.lab.limits import LIMITS
from tests.lab.program import ENVIRONMENT, PROGRAM, fits
from tests.lab.screens import screen
from tests.lab.sign import ed25519_key, rsa_key

GOOD = f"""
good.example                     MX    10 mx.good.example
mx.good.example                  A     192.0.2.1
mx.good.example                  AAAA  2001:db8::1
good.example                     TXT   "v=spf1 mx -all"
default._domainkey.good.example  TXT   "{rsa_key().record}"
_dmarc.good.example              TXT   "v=DMARC1; p=reject; rua=mailto:d@good.example"
{ip_address("192.0.2.1").reverse_pointer}    PTR mx.good.example
{ip_address("2001:db8::1").reverse_pointer}  PTR mx.good.example
# what cases below name
v4.example                       A     192.0.2.4
all.example                      TXT   "v=spf1 all"
broken.example                   *     !
broken.example                   TXT   !
two.example                      TXT   "v=spf1 -all"
two.example                      TXT   "v=spf1 ~all"
bad.example                      TXT   "v=spf1 ip4:x"
circle.example                   TXT   "v=spf1 include:good.example -all"
neutral.example                  TXT   "v=spf1 ?all"
three.example                    TXT   "v=spf1 a:v4.example a:v4.example/24 a:v4.example/23 -all"
good.example._report._dmarc.willing.example  TXT  "v=DMARC1"
"""
SPF = "good.example TXT"
DMARC = "_dmarc.good.example TXT"
KEY = "default._domainkey.good.example TXT"
PARKED = f'{SPF} "v=spf1 -all"\n{KEY} -\n'


def changed(changes):
    """The good zone, with the lines of a name and type (``-``: none at all) in the place of its own."""
    lines = [line.split(None, 2) for line in changes.splitlines()]
    instead = {(owner, rdtype) for owner, rdtype, _ in lines}
    kept = [line for line in GOOD.splitlines() if tuple(line.split()[:2]) not in instead]
    return "\n".join([*kept, *(" ".join(line) for line in lines if line[2] != "-")])


def found(zone, name="good.example", selectors=(), timeout=5.0):
    return lookup.look_up(Domain(name), selectors, Zone(zone, limits=LIMITS), timeout, LIMITS)


def named(report):
    return [f"{problem.severity} {problem.code}" for problem in report.findings]


def test_nothing_is_wrong():
    report = found(GOOD)
    assert report.findings == ()
    assert not report.bad
    assert report.unanswered == ()


CASES = [
    # MX
    ("good.example MX -", ["error mx-none", "warning spf-void-term"]),
    (PARKED + "good.example MX -", ["note mx-none"]),
    ("good.example MX -\ngood.example A 192.0.2.1", ["warning spf-void-term", "note mx-implicit"]),
    (f'good.example MX 0 .\n{SPF} "v=spf1 ip4:192.0.2.1 -all"', ["warning mx-null-sender"]),
    (PARKED + "good.example MX 0 .", []),
    ("good.example MX 0 .\ngood.example MX 10 mx.good.example", ["error mx-null-and-others"]),
    ("good.example MX 10 192.0.2.1", ["error mx-address"]),
    ("good.example MX 10 gone.example\ngood.example MX 20 mx.good.example", ["error mx-dead"]),
    ("good.example MX 10 alias.example\nalias.example CNAME mx.good.example", ["warning mx-alias"]),
    ("mx.good.example A 10.0.0.1", ["error mx-unreachable"]),
    ("mx.good.example AAAA fe80::1", ["error mx-unreachable"]),
    ("mx.good.example A 192.0.2.9", ["note mx-name"]),
    ("1.2.0.192.in-addr.arpa PTR v4.example", ["note mx-name"]),
    ("good.example MX !", ["warning mx-unknown", "warning spf-unknown"]),
    ("mx.good.example A !", ["warning mx-host-unknown", "warning spf-unknown"]),
    (
        "\n".join([f'{SPF} "v=spf1 -all"', *(f"good.example MX {n} mx.good.example\ngood.example MX {n} v4.example"
                                              for n in range(11)), "4.2.0.192.in-addr.arpa PTR v4.example"]),
        ["note mx-many"],
    ),
    # SPF
    (f"{SPF} -", ["warning spf-none"]),
    (f"{SPF} !", ["warning spf-unknown"]),
    (f"{SPF} V=spf1; -all", ["error spf-malformed", "warning spf-none"]),
    (f'{SPF} " v=spf1 -all"', ["error spf-malformed", "warning spf-none"]),
    (f'{SPF} "v=spf1 mx -all"\n{SPF} "v=spf1 -all"', ["error spf-several"]),
    (f'{SPF} "v=spf1 {"x" * 20_000}"', ["error spf-too-long"]),
    (f'{SPF} "v=spf1 include:v4.example -all"', ["error spf-permerror"]),
    (f'{SPF} "v=spf1 include:two.example -all"', ["error spf-permerror"]),
    (f'{SPF} "v=spf1 include:circle.example -all"', ["error spf-permerror"]),
    (f'{SPF} "v=spf1 include:good.example -all"', ["error spf-permerror"]),
    (f'{SPF} "v=spf1 redirect=v4.example"', ["error spf-permerror"]),
    (f'{SPF} "v=spf1 include:[x.example -all"', ["error spf-permerror"]),
    (
        "\n".join([f'{SPF} "v=spf1 mx:many.example -all"', *(f"many.example MX {n} mx{n}.example" for n in range(11))]),
        ["error spf-permerror"],
    ),
    (f'{SPF} "v=spf1 include:broken.example -all"', ["warning spf-unknown"]),
    (f'{SPF} "v=spf1 a:broken.example -all"', ["warning spf-unknown"]),
    # as the check sees it: such a domain-spec is an error, and a name that cannot be asked for does not exist
    (f'{SPF} "v=spf1 a:{"x." * 256}example -all"', ["error spf-permerror", "note spf-long"]),
    (f'{SPF} "v=spf1 exists:{"x" * 64}.example -all"', ["warning spf-void-term"]),
    (f'{SPF} "v=spf1 ipv4:192.0.2.1 -all"', ["error spf-syntax"]),
    (f'{SPF} "v=spf1 ip4:192.0.2.1 redirect=all.example redirect=v4.example"', ["error spf-syntax"]),
    (f'{SPF} "v=spf1 include:bad.example -all"', ["error spf-syntax"]),
    (f'{SPF} "v=spf1 –all"', ["error spf-syntax"]),
    (f'{SPF} "v=spf1 {"exists:%{i}.v4.example " * 11}-all"', ["error spf-terms", "note spf-twice"]),
    (
        f'{SPF} "v=spf1 include:three.example include:three.example/ include:three.example -all"'.replace("/", ""),
        ["error spf-terms", "warning spf-void-ipv6", "note spf-twice"],
    ),
    (f'{SPF} "v=spf1 {" ".join(f"exists:%{{i}}.v{n}.example" for n in range(9))} -all"',
     ["warning spf-otherwise", "note spf-terms-near"]),
    (f'{SPF} "v=spf1 a:x.example mx:y.example exists:z.example -all"', ["error spf-void"]),
    (f'{SPF} "v=spf1 include:three.example -all"', ["warning spf-void-ipv6"]),
    (f'{SPF} "v=spf1 mx a:x.example -all"', ["warning spf-void-term"]),
    (f'{SPF} "v=spf1 exists:%{{i}}.a.example exists:%{{l}}.a.example -all"', []),
    (
        f'{SPF} "v=spf1 exists:%{{i}}.a.example exists:%{{l}}.a.example exists:%{{h}}.a.example -all"',
        ["warning spf-otherwise"],
    ),
    (f'{SPF} "v=spf1 exists:%{{i}}.a.example exists:%{{l}}.a.example a:v4.example -all"', ["warning spf-otherwise"]),
    (f'{SPF} "v=spf1 {"ip4:192.0.2.1 " * 300}{"a " * 11}-all"',
     ["warning spf-otherwise", "note spf-twice", "note spf-long"]),
    (f'{SPF} "v=spf1 mx +all"', ["error spf-open"]),
    (f'{SPF} "v=spf1 ip4:0.0.0.0/0 -all"', ["error spf-open"]),
    (f'{SPF} "v=spf1 ip6:::/0 -all"', ["error spf-open"]),
    (f'{SPF} "v=spf1 include:all.example -all"', ["error spf-open"]),
    (f'{SPF} "v=spf1 redirect=all.example"', ["error spf-open"]),
    (f'{SPF} "v=spf1 a:v4.example/0 -all"', ["error spf-open"]),
    (f'{SPF} "v=spf1 a:v4.example//0 -all"', []),
    (f'{SPF} "v=spf1 a:mx.good.example//0 -all"', ["error spf-open"]),
    (f'{SPF} "v=spf1 a:gone.example/0 -all"', ["warning spf-void-term"]),
    (f'{SPF} "v=spf1 -a:v4.example/0 -all"', []),
    (f'{SPF} "v=spf1 mx/0 -all"', ["error spf-open"]),
    (f'{SPF} "v=spf1 mx//0 -all"', ["error spf-open"]),
    (f'{SPF} "v=spf1 exists:v4.example -all"', ["error spf-open"]),
    (f'{SPF} "v=spf1 exists:mx.%{{d}} -all"', ["error spf-open"]),
    (f'{SPF} "v=spf1 exists:%{{i}}.v4.example -all"', []),
    (f'{SPF} "v=spf1 include:open.example -all"\nopen.example TXT "v=spf1 a:v4.example/0 -all"', ["error spf-open"]),
    (f'{SPF} "v=spf1 ip6:2000::/3 -all"', ["error spf-open"]),
    (f'{SPF} "v=spf1 ip4:0.0.0.0/1 ip4:128.0.0.0/1 -all"', ["error spf-open"]),
    (
        f'{SPF} "v=spf1 ip4:0.0.0.0/1 include:o.example -all"\no.example TXT "v=spf1 ip4:128.0.0.0/2 ip4:192.0.0.0/3"',
        ["error spf-open"],
    ),
    (f'{SPF} "v=spf1 ip4:0.0.0.0/1 -ip4:128.0.0.0/1 -all"', ["warning spf-wide"]),
    (f'{SPF} "v=spf1 ip4:0.0.0.0/1 ip4:64.0.0.0/2 -all"', ["warning spf-wide"] * 2),
    (f'{SPF} "v=spf1 a:v4.example/7 -all"', ["warning spf-wide"]),
    (f'{SPF} "v=spf1 ?include:all.example -all"', ["warning spf-neutral"]),
    (f'{SPF} "v=spf1 mx"', ["warning spf-neutral"]),
    (f'{SPF} "v=spf1 mx ?all"', ["warning spf-neutral"]),
    (f'{SPF} "v=spf1 redirect=neutral.example"', ["warning spf-neutral"]),
    (f'{SPF} "v=spf1 {"ip4:192.0.2.1 " * 300}+all"', ["error spf-open", "note spf-twice", "note spf-long"]),
    (f'{SPF} "v=spf1 ip4:192.0.0.0/7 -all"', ["warning spf-wide"]),
    (f'{SPF} "v=spf1 -ip4:192.0.0.0/7 -all"', []),
    (f'{SPF} "v=spf1 mx -all ip4:192.0.2.1"', ["warning spf-unreached"]),
    (f'{SPF} "v=spf1 mx -all redirect=all.example"', ["warning spf-unreached"]),
    (f'{SPF} "v=spf1 redirect=all.example mx -all ip4:192.0.2.1"', ["warning spf-unreached"] * 2),
    (f'{SPF} "v=spf1 mx include=all.example -all"', ["warning spf-modifier"]),
    (f'{SPF} "v=spf1 mx moo=cow -all exp=why.example"', ["note spf-modifier"]),
    (f'{SPF} "v=spf1 ptr -all"', ["warning spf-ptr"]),
    (f'{SPF} "v=spf1 mx mx -all"', ["note spf-twice"]),
    (f'{SPF} "v=spf1 {" ".join(f"ip4:192.0.2.{n}" for n in range(40))} -all"', ["note spf-long"]),
    # DKIM
    (f"{KEY} -\n_domainkey.good.example -".replace("example -", "example TXT -"), ["warning dkim-none"]),
    (f'{KEY} -\nunheard-of._domainkey.good.example TXT "{rsa_key().record}"', ["note dkim-unknown"]),
    (f"{KEY} !", ["warning dkim-unanswered"]),
    (f'{KEY} "v=DKIM1; p="', ["note dkim-revoked"]),
    (f'{KEY} "v=DKIM1; p=AAAA"', ["warning dkim-unusable"]),
    (f'{KEY} "{rsa_key().record}"\n{KEY} "v=DKIM1; p=AAAA"', ["warning dkim-several"]),
    (f'{KEY} "{rsa_key().record}; t=y"', ["warning dkim-testing"]),
    (f'{KEY} "{rsa_key(1024).record}"', ["warning dkim-short"]),
    (f'{KEY} "{rsa_key(4104).record}"', ["warning dkim-long"]),
    (f'{KEY} "{ed25519_key().record}"', ["note dkim-ed25519"]),
    (f'{KEY} -\n*.good.example TXT "v=spf1 -all"', ["note dkim-unknown"]),
    (f'{KEY} -\n*._domainkey.good.example TXT "v=DKIM1; p="', ["note dkim-revoked"]),
    # DMARC
    (f"{DMARC} -", ["warning dmarc-none"]),
    (f"{DMARC} !", ["warning dmarc-unknown"]),
    (f'{SPF} "v=spf1 mx -all"\n{SPF} "v=DMARC1; p=none"', ["warning dmarc-misplaced"]),
    (f'{DMARC} -\n_dmarc.example TXT "v=DMARC1; p=reject; psd=y; pct=2"', ["warning dmarc-registry"]),
    (f'{DMARC} "v=dmarc1; p=reject"', ["error dmarc-malformed", "warning dmarc-none"]),
    (f'{DMARC} "v=DMARC1 p=reject"', ["error dmarc-malformed", "warning dmarc-none"]),
    (f'{DMARC} "p=reject; v=DMARC1"', ["error dmarc-malformed", "warning dmarc-none"]),
    (f'{DMARC} "p=reject; a=v=DMARC1"', ["error dmarc-malformed", "warning dmarc-none"]),
    (
        f'{DMARC} "v=DMARC1; p=reject; P =none; x y=1; x y=2; rua=mailto:d@good.example; rua="',
        ["warning dmarc-tag-twice"],
    ),
    (f'{DMARC} "v=DMARC1; p=none"\n{DMARC} "v=DMARC1; p=reject"', ["error dmarc-several"]),
    (f'{DMARC} "v=DMARC1; p=rejct"', ["error dmarc-policy"]),
    (f'{DMARC} "v=DMARC1; p=reject; sp=no; rua=mailto:d@good.example"', ["error dmarc-policy", "note dmarc-monitor"]),
    (f'{DMARC} "v=DMARC1; p=reject; rua=mailto:d@good.example; adkim=strict"', ["warning dmarc-tag"]),
    (f'{DMARC} "v=DMARC1; p=reject; rua=mailto:d@good.example; fo=x"', ["warning dmarc-tag"]),
    (f'{DMARC} "v=DMARC1; p=reject; rua=mailto:d@good.example; fo=1:d:s"', []),
    (f'{DMARC} "v=DMARC1; p=reject; rua=mailto:d@good.example; pct=100; ri=3600"', ["note dmarc-historic"] * 2),
    (f'{DMARC} "v=DMARC1; p=reject; rua=mailto:d@good.example; ruas=x"', ["note dmarc-tag-unknown"]),
    (f'{DMARC} "v=DMARC1; p=reject; rua=mailto:d@good.example,d@good.example"', ["error dmarc-uri"]),
    (f'{DMARC} "v=DMARC1; rua=mailto:d@good.example"', ["warning dmarc-no-p", "note dmarc-monitor"]),
    (f'{DMARC} "v=DMARC1; p=none; rua=mailto:d@good.example"', ["note dmarc-monitor"]),
    (f'{DMARC} "v=DMARC1; p=none"', ["warning dmarc-idle-none"]),
    (f'{DMARC} "v=DMARC1; p=reject; t=y; rua=mailto:d@good.example"', ["note dmarc-testing"]),
    (f'{DMARC} "v=DMARC1; p=quarantine; t=y; rua=mailto:d@good.example"', ["note dmarc-monitor"]),
    (f'{DMARC} "v=DMARC1; p=reject; sp=none; rua=mailto:d@good.example"', ["warning dmarc-subdomains"]),
    (f'{DMARC} "v=DMARC1; p=reject; np=none; rua=mailto:d@good.example"', ["warning dmarc-subdomains"]),
    (f'{DMARC} "v=DMARC1; p=reject; sp=none; np=reject; rua=mailto:d@good.example"', []),
    (f'{DMARC} "v=DMARC1; p=reject"', ["note dmarc-no-reports"]),
    (f'{DMARC} "v=DMARC1; p=reject; psd=y; rua=mailto:d@good.example"', ["note dmarc-psd"]),
    (f'{DMARC} "v=DMARC1; p=reject; rua=https://good.example/"', ["warning dmarc-reports-address"]),
    (f'{DMARC} "v=DMARC1; p=reject; rua=mailto:d@other.example"', ["error dmarc-reports-refused"]),
    (f'{DMARC} "v=DMARC1; p=reject; rua=mailto:d@willing.example"', []),
    (
        f'{DMARC} "v=DMARC1; p=reject; rua=mailto:d@other.example"\ngood.example._report._dmarc.other.example TXT !',
        ["warning dmarc-reports-unknown"],
    ),
    (f'{DMARC} "v=DMARC1; p:reject; rua=mailto:d@good.example"',
     ["error dmarc-no-tag", "warning dmarc-no-p", "note dmarc-monitor"]),
    (f"{DMARC} -\n_dmarc.good.example CNAME gone.example", ["error dmarc-alias", "warning dmarc-none"]),
    (f'{DMARC} -\n_dmarc.good.example.good.example TXT "v=DMARC1; p=none"',
     ["error dmarc-doubled", "warning dmarc-none"]),
    # a record of the domain's own is enough, whatever is above it
    ("_dmarc.example TXT !", []),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "problems"), CASES)
def test_problems(changes, problems):
    assert named(found(changed(changes))) == problems


OTHER_CASES = [
    ("nowhere.example", (), ["error domain-missing"]),
    ("example", (), ["error mx-none", "warning dkim-none", "warning dmarc-none", "note spf-one-label"]),
    ("good.example", ("default",), []),
    ("good.example", ("none", "default"), ["error dkim-missing"]),
    ("revoked.example", ("s",), ["error dkim-revoked"]),
    ("revoked.example", ("alias",), ["error dkim-alias"]),
    ("revoked.example", ("twice",), ["error dkim-missing", "error dkim-doubled"]),
    (
        "twice.example",
        (),
        ["error mx-none", "error spf-doubled", "warning spf-none", "warning dkim-none", "warning dmarc-none"],
    ),
    ("revoked.example", ("sha1",), ["error dkim-unusable"]),
    ("sub.good.example", (), ["warning dmarc-idle"]),
]


@pytest.mark.parametrize(("name", "selectors", "problems"), OTHER_CASES)
def test_problems_of_others(name, selectors, problems):
    zone = f"""{GOOD}
revoked.example                  MX   0 .
revoked.example                  TXT  "v=spf1 -all"
_dmarc.revoked.example           TXT  "v=DMARC1; p=reject; rua=mailto:d@revoked.example"
s._domainkey.revoked.example     TXT  "v=DKIM1; p="
alias._domainkey.revoked.example  CNAME  gone.example
twice._domainkey.revoked.example.revoked.example  TXT  "{rsa_key().record}"
twice.example.twice.example      TXT  "v=spf1 -all"
sha1._domainkey.revoked.example  TXT  "{rsa_key().record}; h=sha1"
sub.good.example                 MX   10 mx.good.example
sub.good.example                 TXT  "v=spf1 mx -all"
_dmarc.sub.good.example          TXT  "v=DMARC1; p=reject; np=none; rua=mailto:d@good.example"
default._domainkey.sub.good.example  TXT  "{rsa_key().record}"
"""
    assert named(found(zone, name, selectors)) == problems


KEY_TEXT = rsa_key().record  # v=DKIM1; k=rsa; p=...
MATERIAL = KEY_TEXT.partition("p=")[2]
LONG = "; rua=mailto:d@good.example"
REPORTS = "mailto:d@good.example"


def written(name, *texts):
    """TXT records as lines of a zone file; quotes and backslashes are escaped in the texts."""
    return "\n".join(f'{name} TXT "{text}"' for text in texts)


# what people write, what is to be published instead, and the problem that has to be gone
SPF_SLIPS = [
    (["spf1 mx -all"], "v=spf1 mx -all", "spf-malformed"),
    (["mx -all"], "v=spf1 mx -all", "spf-malformed"),
    (["v=spf1; mx -all"], "v=spf1 mx -all", "spf-malformed"),
    (["v=spf1, mx, -all"], "v=spf1 mx -all", "spf-malformed"),
    (["v=spf1;"], "v=spf1 ~all", "spf-malformed"),
    (["v:spf1 mx -all"], "v=spf1 mx -all", "spf-malformed"),
    (["v=spf mx -all"], "v=spf1 mx -all", "spf-malformed"),
    (["V = SPF1 mx -all"], "v=spf1 mx -all", "spf-malformed"),
    ([" v=spf1 mx -all"], "v=spf1 mx -all", "spf-malformed"),
    (['"v=spf1 mx -all"'.replace('"', "\\\\\"")], "v=spf1 mx -all", "spf-malformed"),
    (["v=spf1mx -all"], "v=spf1 mx -all", "spf-malformed"),
    (["v=spf1 mx -all", "v=spf1 ip4:192.0.2.7 ~all"], "v=spf1 ip4:192.0.2.7 mx ~all", "spf-several"),
    (["v=spf1 redirect=good.v4.example", "v=spf1 mx -all"], "v=spf1 mx include:good.v4.example -all", "spf-several"),
    (["v=spf1 mx -all", "spf1 ip4:192.0.2.7 -all"], "v=spf1 mx ip4:192.0.2.7 -all", "spf-malformed"),
    (["v=spf1 ip4:192.0.2.1include:good.v4.example -all"], "v=spf1 ip4:192.0.2.1 include:good.v4.example -all",
     "spf-syntax"),
    (["v=spf1 include:good.v4.exampleinclude:three.example -all"],
     "v=spf1 include:good.v4.example include:three.example -all", "spf-permerror"),
    (["v=spf1 include:good.v4.exampleip4:192.0.2.1 -all"], "v=spf1 include:good.v4.example ip4:192.0.2.1 -all",
     "spf-syntax"),
    (["v=spf1 ip4:192.0.2.1~all"], "v=spf1 ip4:192.0.2.1 ~all", "spf-syntax"),
    (["v=spf1 ip4:192.0.2.1, ip4:192.0.2.2; -all"], "v=spf1 ip4:192.0.2.1 ip4:192.0.2.2 -all", "spf-syntax"),
    (["v=spf1 ip4:192.0.2.1,192.0.2.2 -all"], "v=spf1 ip4:192.0.2.1 ip4:192.0.2.2 -all", "spf-syntax"),
    (["v=spf1 include:good.v4.example,three.example -all"],
     "v=spf1 include:good.v4.example include:three.example -all", "spf-permerror"),
    (["v=spf1 mx –all"], "v=spf1 mx -all", "spf-syntax"),
    (["v=spf1 mx - all"], "v=spf1 mx -all", "spf-syntax"),
    (["v=spf1 mx --all"], "v=spf1 mx -all", "spf-syntax"),
    (["v=spf1 mx -all."], "v=spf1 mx -all", "spf-syntax"),
    (["v=spf1 mx -all;"], "v=spf1 mx -all", "spf-syntax"),
    (["v=spf1 ip:192.0.2.1 -all"], "v=spf1 ip4:192.0.2.1 -all", "spf-syntax"),
    (["v=spf1 ip:2001:db8::1 -all"], "v=spf1 ip6:2001:db8::1 -all", "spf-syntax"),
    (["v=spf1 ipv4:192.0.2.1 -all"], "v=spf1 ip4:192.0.2.1 -all", "spf-syntax"),
    (["v=spf1 ip4=192.0.2.1 -all"], "v=spf1 ip4:192.0.2.1 -all", "spf-modifier"),
    (["v=spf1 ip4: 192.0.2.1 -all"], "v=spf1 ip4:192.0.2.1 -all", "spf-syntax"),
    (["v=spf1 192.0.2.1 2001:db8::/32 -all"], "v=spf1 ip4:192.0.2.1 ip6:2001:db8::/32 -all", "spf-syntax"),
    (["v=spf1 ip4:192.0.2.1/33 -all"], "v=spf1 ip4:192.0.2.1 -all", "spf-syntax"),
    (["v=spf1 ip4:192.0.2.1/ -all"], "v=spf1 ip4:192.0.2.1 -all", "spf-syntax"),
    (["v=spf1 ip4:192.0.2.0/255.255.255.0 -all"], "v=spf1 ip4:192.0.2.0/24 -all", "spf-syntax"),
    (["v=spf1 ip4:192.0.2.0/024 -all"], "v=spf1 ip4:192.0.2.0/24 -all", "spf-syntax"),
    (["v=spf1 ip4:192.0.2.* -all"], "v=spf1 ip4:192.0.2.0/24 -all", "spf-syntax"),
    (["v=spf1 ip4:192.0.2.4-192.0.2.7 -all"], "v=spf1 ip4:192.0.2.4/30 -all", "spf-syntax"),
    (["v=spf1 ip4:mx.good.example -all"], "v=spf1 a:mx.good.example -all", "spf-syntax"),
    (["v=spf1 a:192.0.2.1 -all"], "v=spf1 ip4:192.0.2.1 -all", "spf-syntax"),
    (["v=spf1 a:192.0.2.0/24 ~all"], "v=spf1 ip4:192.0.2.0/24 ~all", "spf-syntax"),
    (["v=spf1 mx:192.0.2.1 -all"], "v=spf1 ip4:192.0.2.1 -all", "spf-syntax"),
    (["v=spf1 include:192.0.2.1 -all"], "v=spf1 ip4:192.0.2.1 -all", "spf-syntax"),
    (["v=spf1 ip4:2001:db8::1 -all"], "v=spf1 ip6:2001:db8::1 -all", "spf-syntax"),
    (["v=spf1 ip6:192.0.2.1 -all"], "v=spf1 ip4:192.0.2.1 -all", "spf-syntax"),
    (["v=spf1 ~ip6:192.0.2.0/24 mx -all"], "v=spf1 ~ip4:192.0.2.0/24 mx -all", "spf-syntax"),
    (["v=spf1 includes:good.v4.example -all"], "v=spf1 include:good.v4.example -all", "spf-syntax"),
    (["v=spf1 inlcude:good.v4.example -all"], "v=spf1 include:good.v4.example -all", "spf-syntax"),
    (["v=spf1 include=good.v4.example -all"], "v=spf1 include:good.v4.example -all", "spf-modifier"),
    (["v=spf1 include:good.v4.example. include:https://three.example/ -all"],
     "v=spf1 include:good.v4.example. include:three.example -all", "spf-syntax"),
    (["v=spf1 redirect:good.v4.example"], "v=spf1 redirect=good.v4.example", "spf-syntax"),
    (["v=spf1 mx include: -all"], "v=spf1 mx -all", "spf-syntax"),
    (["v=spf1 mx: -all"], "v=spf1 mx -all", "spf-syntax"),
    (["v=spf1 mx include:gone.example -all"], "v=spf1 mx -all", "spf-permerror"),
    (["v=spf1 mx include:good.example -all"], "v=spf1 mx -all", "spf-permerror"),
    (["v=spf1 mx redirect=gone.example"], "v=spf1 mx ~all", "spf-permerror"),
    (["v=spf1 include:gone.example -all"], None, "spf-permerror"),
    (["v=spf1 mx include:bad.example -all"], None, "spf-syntax"),
    (["v=spf1 mx xyzzy:x.example -all"], None, "spf-syntax"),
    (["v=spf1 mx a:x.example a:y.example exists:z.example -all"], "v=spf1 mx -all", "spf-void"),
    (["v=spf1 mx a:x.example -all"], "v=spf1 mx -all", "spf-void-term"),
    (["v=spf1 a:v4.example a:v4.example/24 a:v4.example/23 -all"],
     "v=spf1 ip4:192.0.2.4 ip4:192.0.2.4/24 ip4:192.0.2.4/23 -all", "spf-void-ipv6"),
    ([f"v=spf1 {'mx ' * 11}-all"], "v=spf1 mx -all", "spf-twice"),
    (["v=spf1 mx +all"], "v=spf1 mx ~all", "spf-open"),
    (["v=spf1 mx all"], "v=spf1 mx ~all", "spf-open"),
    (["v=spf1 mx"], "v=spf1 mx ~all", "spf-neutral"),
    (["v=spf1 mx ?all"], "v=spf1 mx ~all", "spf-neutral"),
    (["v=spf1 mx -all ip4:192.0.2.1"], "v=spf1 mx ip4:192.0.2.1 -all", "spf-unreached"),
    (["v=spf1 mx -all redirect=good.v4.example"], "v=spf1 mx -all", "spf-unreached"),
]  # fmt: skip
DMARC_SLIPS = [
    (["DMARC1; p=reject" + LONG], "v=DMARC1; p=reject" + LONG, "dmarc-malformed"),
    (["p=reject" + LONG], "v=DMARC1; p=reject" + LONG, "dmarc-malformed"),
    (["v=DMARC1, p=reject, rua=" + REPORTS], "v=DMARC1; p=reject" + LONG, "dmarc-malformed"),
    (["v=DMARC1 p=reject rua=" + REPORTS], "v=DMARC1; p=reject" + LONG, "dmarc-malformed"),
    (["v=dmarc1; p=reject" + LONG], "v=DMARC1; p=reject" + LONG, "dmarc-malformed"),
    (["v=DMARC; p=reject" + LONG], "v=DMARC1; p=reject" + LONG, "dmarc-malformed"),
    (["v=DMARC 1; p=reject" + LONG], "v=DMARC1; p=reject" + LONG, "dmarc-malformed"),
    (["v:DMARC1; p=reject" + LONG], "v=DMARC1; p=reject" + LONG, "dmarc-malformed"),
    (["p=reject; v=DMARC1" + LONG], "v=DMARC1; p=reject" + LONG, "dmarc-malformed"),
    (['\\\\"v=DMARC1; p=reject' + LONG + '\\\\"'], "v=DMARC1; p=reject" + LONG, "dmarc-malformed"),
    (["v=DMARC1\\\\; p=reject\\\\" + LONG], "v=DMARC1; p=reject" + LONG, "dmarc-malformed"),
    (["v=DMARC1; p=none" + LONG, "v=DMARC1; p=reject" + LONG], "v=DMARC1; p=none" + LONG, "dmarc-several"),
    (["v=DMARC1; p=reject" + LONG, "v=DMARC1, p=reject"], "v=DMARC1; p=reject" + LONG, "dmarc-malformed"),
    (["v=DMARC1; p:reject" + LONG], "v=DMARC1; p=reject" + LONG, "dmarc-no-tag"),
    (["v=DMARC1; p reject" + LONG], "v=DMARC1; p=reject" + LONG, "dmarc-no-tag"),
    (["v=DMARC1; p=reject; nonsense" + LONG], "v=DMARC1; p=reject" + LONG, "dmarc-no-tag"),
    (["v=DMARC1; p=reject, rua=" + REPORTS], "v=DMARC1; p=reject" + LONG, "dmarc-policy"),
    (["v=DMARC1; p=reject rua=" + REPORTS], "v=DMARC1; p=reject" + LONG, "dmarc-policy"),
    (["v=DMARC1; p=rejct" + LONG], "v=DMARC1; p=reject" + LONG, "dmarc-policy"),
    (["v=DMARC1; p=quarantined" + LONG], "v=DMARC1; p=quarantine" + LONG, "dmarc-policy"),
    (["v=DMARC1; p=" + LONG], "v=DMARC1; p=none" + LONG, "dmarc-policy"),
    (["v=DMARC1; p='reject'" + LONG], "v=DMARC1; p=reject" + LONG, "dmarc-policy"),
    (["v=DMARC1; p=reject; sp=no" + LONG], "v=DMARC1; p=reject; np=reject; sp=none" + LONG, "dmarc-policy"),
    (["v=DMARC1; policy=reject" + LONG], "v=DMARC1; p=reject" + LONG, "dmarc-no-p"),
    (["v=DMARC1" + LONG], "v=DMARC1; p=none" + LONG, "dmarc-no-p"),
    (["v=DMARC1; p=reject; rua=d@good.example"], "v=DMARC1; p=reject" + LONG, "dmarc-uri"),
    (["v=DMARC1; p=reject; rua=mailto:d@good.example,e@good.example"],
     "v=DMARC1; p=reject; rua=mailto:d@good.example,mailto:e@good.example", "dmarc-uri"),
    (["v=DMARC1; p=reject; rua=mailto: d@good.example"], "v=DMARC1; p=reject" + LONG, "dmarc-uri"),
    (["v=DMARC1; p=reject; rua=<mailto:d@good.example>"], "v=DMARC1; p=reject" + LONG, "dmarc-uri"),
    (["v=DMARC1; p=reject; rua=mailto:d@good.example mailto:e@good.example"],
     "v=DMARC1; p=reject; rua=mailto:d@good.example,mailto:e@good.example", "dmarc-uri"),
    (["v=DMARC1; p=reject; rua=mailto:d@good.example;mailto:e@good.example"],
     "v=DMARC1; p=reject; rua=mailto:d@good.example,mailto:e@good.example", "dmarc-no-tag"),
    (["v=DMARC1; p:reject; rua=mailto:\u0142@good.example"], None, "dmarc-no-tag"),
    (["v=DMARC1; p=reject; rua=d; mailto:d@good.example"], "v=DMARC1; p=reject" + LONG, "dmarc-no-tag"),
    (["v=DMARC1; p=reject; ruas=" + REPORTS], "v=DMARC1; p=reject" + LONG, "dmarc-tag-unknown"),
    (["v=DMARC1; p=reject; p=none" + LONG], "v=DMARC1; p=reject" + LONG, "dmarc-tag-twice"),
    (["v=DMARC1; p=reject; adkim=strict; aspf=relaxed" + LONG], "v=DMARC1; p=reject; adkim=s; aspf=r" + LONG,
     "dmarc-tag"),
    (["v=DMARC1; p=reject; fo=1,d" + LONG + "; ruf=" + REPORTS],
     "v=DMARC1; p=reject; fo=1:d" + LONG + "; ruf=" + REPORTS, "dmarc-tag"),
    (["v=DMARC1; p=reject; pct=100; ri=3600; rf=afrf" + LONG], "v=DMARC1; p=reject" + LONG, "dmarc-historic"),
    (["v=DMARC1; p=reject; sp=none" + LONG], "v=DMARC1; p=reject; np=reject; sp=none" + LONG, "dmarc-subdomains"),
    (["v=DMARC1; p=reject; np=none" + LONG], "v=DMARC1; p=reject; np=reject" + LONG, "dmarc-subdomains"),
]  # fmt: skip
DKIM_SLIPS = [
    ([KEY_TEXT.replace(";", "\\\\;")], KEY_TEXT, "dkim-unusable"),
    (["\\\\\"" + KEY_TEXT + "\\\\\""], KEY_TEXT, "dkim-unusable"),
    ([KEY_TEXT.replace(";", "")], KEY_TEXT, "dkim-unusable"),
    ([KEY_TEXT.replace(";", ",")], KEY_TEXT, "dkim-unusable"),
    ([KEY_TEXT.replace("DKIM1", "dkim1")], KEY_TEXT, "dkim-unusable"),
    ([KEY_TEXT.replace("DKIM1", "DKIM")], KEY_TEXT, "dkim-unusable"),
    (["k=rsa; v=DKIM1; p=" + MATERIAL], KEY_TEXT, "dkim-unusable"),
    (["v=DKIM1; k=rsa; " + MATERIAL], KEY_TEXT, "dkim-unusable"),
    (["v=DKIM1; k=rsa; p:" + MATERIAL], KEY_TEXT, "dkim-unusable"),
    ([MATERIAL], KEY_TEXT, "dkim-unusable"),
    (["v=DKIM1; k=rsa-sha256; p=" + MATERIAL], KEY_TEXT, "dkim-unusable"),
    (["v=DKIM1; k=ed25519; p=" + MATERIAL], KEY_TEXT, "dkim-unusable"),
    ([ed25519_key().record.replace("k=ed25519", "k=rsa")], ed25519_key().record, "dkim-unusable"),
    (["v=DKIM1; k=rsa; h=sha1; p=" + MATERIAL], KEY_TEXT, "dkim-unusable"),
    (["v=DKIM1; k=rsa; s=web; p=" + MATERIAL], KEY_TEXT, "dkim-unusable"),
    ([f"v=DKIM1; k=rsa; p=-----BEGIN PUBLIC KEY-----{MATERIAL}-----END PUBLIC KEY-----"], KEY_TEXT, "dkim-unusable"),
    ([f"v=DKIM1; k=rsa; p={MATERIAL[:64]}\\\\n{MATERIAL[64:]}"], KEY_TEXT, "dkim-unusable"),
    ([f"v=DKIM1; k=rsa; p={MATERIAL[:64]}\\\\ {MATERIAL[64:]}"], KEY_TEXT, "dkim-unusable"),
    ([KEY_TEXT, "v=DKIM1; p=AAAA"], KEY_TEXT, "dkim-several"),
    ([KEY_TEXT, "v=spf1 mx -all"], KEY_TEXT, "dkim-several"),
    (["v=DKIM1, t=y:s, p=" + MATERIAL], KEY_TEXT + "; t=y:s", "dkim-unusable"),
    (["v=DKIM1; k=rsa; p=AAAA"], None, "dkim-unusable"),
    ([KEY_TEXT[:-40]], None, "dkim-unusable"),
]  # fmt: skip
MORE = """
good.v4.example  TXT  "v=spf1 ip4:192.0.2.9 -all"
"""
SLIPS = [
    *((SPF.split()[0], (), *slip) for slip in SPF_SLIPS),
    *((DMARC.split()[0], (), *slip) for slip in DMARC_SLIPS),
    *((KEY.split()[0], ("default",), *slip) for slip in DKIM_SLIPS),
]


@pytest.mark.parametrize(("name", "selectors", "texts", "meant", "problem"), SLIPS)
def test_what_is_to_be_published_is_right(name, selectors, texts, meant, problem):
    """The advice, done to the letter: the problem is gone, no new error is there, and nothing is left to do."""
    zone = changed(written(name, *texts)) + MORE
    before = found(zone, selectors=selectors)
    if meant is None:
        assert [each.changes for each in before.findings if each.code == problem] == [()]
        return
    [change] = {change for each in before.findings for change in each.changes}
    assert [each.fix for each in before.findings if each.code == problem and change in each.changes]
    after = found(published(zone, change), selectors=selectors)
    assert change.records == (meant,)
    assert problem not in [each.code for each in after.findings]
    assert not [each for each in {*named(after)} - {*named(before)} if each.startswith("error")]
    assert not [each for each in after.findings if each.changes]


RECORDS_THERE = st.sampled_from(
    [(SPF.split()[0], "v=spf1 mx ip4:192.0.2.1 include:good.v4.example a:mx.good.example -all"),
     (DMARC.split()[0], "v=DMARC1; p=reject; sp=quarantine; adkim=s; rua=mailto:d@good.example"),
     (KEY.split()[0], KEY_TEXT)]
)  # fmt: skip
SLIP = st.tuples(
    st.sampled_from(
        [("; ", " "), ("; ", ", "), (";", "\\\\;"), ("=", ":"), (":", "="), (" ", ""), (" ", "; "), ("v=", ""),
         ("1", ""), ("-", "–"), ("ip4", "ip6"), ("ip4", "ip"), ("mailto:", ""), ("all", "all."), ("reject", "rejct"),
         ("p=", ""),
         ("include", "includes"), ("", " "), ("rsa", "rsa256"), ("a:", "a:192.0.2.9 a:"), ("good", "gone")]
    ),
    st.integers(0, 4),
)  # fmt: skip


@given(RECORDS_THERE, st.lists(SLIP, min_size=1, max_size=3), st.booleans())
@settings(deadline=None, max_examples=150)
def test_whatever_is_to_be_published_is_no_worse(there, slips, twice):
    """However many slips there are: what has a fix is gone with it, and no error comes instead."""
    name, text = there
    garbled = text
    for (was, now), number in slips:
        pieces = garbled.split(was, number + 1) if was else ["", garbled]
        garbled = was.join(pieces[:-1]) + now + pieces[-1] if len(pieces) > 1 else garbled
    zone = changed(written(name, garbled, *([text] if twice else []))) + MORE
    before = found(zone, selectors=["default"])
    fixed = {}
    for each in before.findings:
        if each.changes:
            fixed.setdefault(each.changes, set()).add(each.code)
    for changes, names in fixed.items():
        after = found(published(zone, *changes), selectors=["default"])
        assert not names & {each.code for each in after.findings}
        errors = {each.code for each in after.findings if each.severity is Severity.ERROR}
        assert errors <= {each.code for each in before.findings}
        assert not [each for each in after.findings if set(each.changes) & set(changes)]


# what only a person can decide, done as it is said
DONE = [
    (f'{SPF} "v=spf1 ptr -all"', "spf-ptr", f'{SPF} "v=spf1 mx -all"', "List the servers with ip4, ip6, a or mx"),
    (f'{SPF} "v=spf1 {"".join(f"include:three.example exists:%{{i}}.{n}.v4.example " for n in range(3))}-all"',
     "spf-terms", f'{SPF} "v=spf1 mx exists:%{{i}}.0.v4.example -all"', "Remove what no longer sends"),
    (f'{SPF} "v=spf1 ip4:0.0.0.0/1 mx -all"', "spf-wide", f'{SPF} "v=spf1 mx -all"', "List the servers."),
    (f'{SPF} "v=spf1 ip4:0.0.0.0/0 mx -all"', "spf-open", f'{SPF} "v=spf1 mx -all"', "Remove ip4:0.0.0.0/0"),
    (f'{SPF} "v=spf1 mx include:all.example -all"', "spf-open", f'{SPF} "v=spf1 mx -all"',
     "Remove include:all.example"),
    (f'{SPF} "v=spf1 redirect=neutral.example"', "spf-neutral", f"neutral.example TXT v=spf1 ~all\n{SPF} "
     '"v=spf1 redirect=all.neutral.example"\nall.neutral.example TXT "v=spf1 mx:good.example ~all"',
     "Let the record that redirect= names end with ~all"),
    (f'{SPF} "v=spf1 include:gone.example -all"', "spf-permerror", f'{SPF} "v=spf1 include:good.v4.example -all"',
     "Correct the name in include:gone.example"),
    (f'{SPF} "v=spf1 mx include:bad.example -all"', "spf-syntax", f'{SPF} "v=spf1 mx -all"',
     "remove include:bad.example"),
    (f"{SPF} -", "spf-none", f'{SPF} "v=spf1 mx ~all"', 'Publish "v=spf1 mx ~all"'),
    (f"{SPF} -\ngood.example MX -", "spf-none", f'{SPF} "v=spf1 -all"\ngood.example MX 0 .',
     'If the domain sends no mail, publish "v=spf1 -all"'),
    (f"{SPF} -\ngood.example MX -\ngood.example A 192.0.2.1", "spf-none",
     f'{SPF} "v=spf1 a ~all"\ngood.example MX -\ngood.example A 192.0.2.1', 'Publish "v=spf1 a ~all"'),
    (f'{SPF} "v=spf1 mx include:p.example -all"\np.example TXT "v=spf1 ptr a:x.example ip4:0.0.0.0/2"', "spf-ptr",
     f'{SPF} "v=spf1 mx -all"',
     "In the record that include:p.example leads to, only its owner can do that; or remove that term."),
    (f'{SPF} "v=spf1 mx include:p.example -all"\np.example TXT "v=spf1 ptr a:x.example ip4:0.0.0.0/2"', "spf-void-term",
     f'{SPF} "v=spf1 mx -all"', "Remove these terms. In the record that include:p.example leads to, only its owner"),
    (f'{SPF} "v=spf1 mx include:p.example -all"\np.example TXT "v=spf1 ptr a:x.example ip4:0.0.0.0/2"', "spf-wide",
     f'{SPF} "v=spf1 mx -all"', "List the servers. In the record that include:p.example leads to, only its owner"),
    (f'{SPF} "v=spf1 include:three.example -all"', "spf-void-ipv6", f'{SPF} "v=spf1 mx -all"', "or remove that term"),
    ("good.example MX 10 gone.example\ngood.example MX 20 mx.good.example", "mx-dead",
     "good.example MX 20 mx.good.example", "remove the MX record"),
    ("mx.good.example A 10.0.0.1", "mx-unreachable", "mx.good.example A 192.0.2.1", "reached from everywhere"),
    ("good.example MX 0 .\ngood.example MX 10 mx.good.example", "mx-null-and-others",
     "good.example MX 10 mx.good.example", 'Remove "0 ."'),
    (f'good.example MX 0 .\n{SPF} "v=spf1 ip4:192.0.2.1 -all"', "mx-null-sender",
     f'{SPF} "v=spf1 -all"\ngood.example MX 0 .', 'If it sends none, publish "v=spf1 -all"'),
    ("good.example MX -", "mx-none", "good.example MX 10 mx.good.example", "Publish an MX record"),
    (f'{DMARC} "v=DMARC1; p=reject; psd=y{LONG}"', "dmarc-psd", f'{DMARC} "v=DMARC1; p=reject{LONG}"', "Remove it"),
    (f'{DMARC} "v=DMARC1; p=reject"', "dmarc-no-reports", f'{DMARC} "v=DMARC1; p=reject{LONG}"', "Add rua=mailto:"),
    (f'{KEY} "{rsa_key(1024).record}"', "dkim-short", f'{KEY} "{KEY_TEXT}"', "Make a 2048-bit key"),
    (f'{KEY} "{KEY_TEXT}; t=y"', "dkim-testing", f'{KEY} "{KEY_TEXT}"', "Remove t=y once signing works"),
    (f'{KEY} "v=DKIM1; p=AAAA"', "dkim-unusable", f'{KEY} "{KEY_TEXT}"', "Publish the record that the signer has"),
    (f"{KEY} -", "dkim-missing", f'{KEY} "{KEY_TEXT}"', "Publish the record that the signer has"),
    (f"{DMARC} -", "dmarc-none", f'{DMARC} "v=DMARC1; p=none; rua=mailto:postmaster@good.example"',
     '"v=DMARC1; p=none; rua=mailto:postmaster@good.example"'),
    (f'{DMARC} "v=DMARC1; p=none"', "dmarc-idle-none", f'{DMARC} "v=DMARC1; p=none{LONG}"', "Add rua=mailto:"),
    (f'{DMARC} "v=DMARC1; p=reject; t=y{LONG}"', "dmarc-testing", f'{DMARC} "v=DMARC1; p=reject{LONG}"', "Remove it"),
    (f'{DMARC} "v=DMARC1; p=reject; pct=50{LONG}"', "dmarc-historic", f'{DMARC} "v=DMARC1; p=reject{LONG}"',
     "Remove it"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "problem", "done", "said"), DONE)
def test_what_a_person_decides_is_right(changes, problem, done, said):
    before, after = (found(changed(each) + MORE, selectors=["default"]) for each in (changes, done))
    [advice] = [each.fix for each in before.findings if each.code == problem]
    assert said in advice
    assert problem not in [each.code for each in after.findings]
    assert not after.bad


@pytest.mark.parametrize(
    ("changes", "problem", "where"),
    [
        (f'{SPF} -\ngood.example.good.example TXT "v=spf1 mx -all"', "spf-doubled", "@"),
        (
            f'{KEY} -\ndefault._domainkey.good.example.good.example TXT "{KEY_TEXT}"',
            "dkim-doubled",
            "default._domainkey",
        ),
        (f'{DMARC} -\n_dmarc.good.example.good.example TXT "v=DMARC1; p=reject{LONG}"', "dmarc-doubled", "_dmarc"),
    ],
)
def test_a_name_that_the_zone_was_put_behind_twice(changes, problem, where):
    zone = changed(changes)
    before = found(zone, selectors=["default"])
    [advice] = [each for each in before.findings if each.code == problem]
    assert f"Enter the name as {where}, or" in advice.fix
    after = found(published(zone, *advice.changes), selectors=["default"])
    assert after.findings == ()


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        (KEY.split()[0], KEY_TEXT.replace(";", ","), "dkim-unusable"),
        (DMARC.split()[0], "v=DMARC1; p:reject", "dmarc-no-tag"),
    ],
)
def test_what_is_an_alias_is_fixed_where_it_stands(name, text, problem):
    """Nothing can be published beside a CNAME."""
    zone = changed(f"{name} TXT -\n{name} CNAME k.provider.example\n{written('k.provider.example', text)}")
    [said] = [each for each in found(zone, selectors=["default"]).findings if each.code == problem]
    assert said.fix
    assert not said.changes


def test_a_zone_above_the_domain_twice():
    zone = f"""
sub.good.example TXT "v=spf1 -all"
_dmarc.sub.good.example.good.example TXT "v=DMARC1; p=reject{LONG}"
"""
    [advice] = [each for each in found(zone, "sub.good.example").findings if each.code == "dmarc-doubled"]
    assert "Enter the name as _dmarc.sub, or" in advice.fix


@pytest.mark.parametrize(
    ("changes", "problem", "name"),
    [
        (f"{KEY} -\ndefault._domainkey.good.example CNAME k.gone.example", "dkim-alias", KEY.split()[0]),
        (f"{DMARC} -\n_dmarc.good.example CNAME k.gone.example", "dmarc-alias", DMARC.split()[0]),
    ],
)
def test_an_alias_of_nothing(changes, problem, name):
    [said] = [each for each in found(changed(changes), selectors=["default"]).findings if each.code == problem]
    assert f"{name} is an alias (CNAME) of k.gone.example, which does not exist" in said.what
    there = "\nk.gone.example A 192.0.2.1"
    [said] = [each for each in found(changed(changes) + there, selectors=["default"]).findings if each.code == problem]
    assert "k.gone.example, where there is no record" in said.what
    done = f'{changes}\nk.gone.example TXT "{KEY_TEXT if "dkim" in problem else "v=DMARC1; p=reject" + LONG}"'
    assert found(changed(done), selectors=["default"]).findings == ()


@pytest.mark.parametrize(
    ("changes", "moved"),
    [
        (f'{SPF} "v=spf1 mx -all"\n{SPF} "v=DMARC1; p=reject{LONG}"\n{DMARC} -', True),
        (f'{SPF} "v=spf1 mx -all"\n{SPF} "v=DMARC1; p=none{LONG}"', False),
    ],
)
def test_a_misplaced_record_is_moved_where_there_is_none(changes, moved):
    zone = changed(changes)
    [advice] = [each for each in found(zone).findings if each.code == "dmarc-misplaced"]
    assert advice.fix.startswith("Move" if moved else "Remove")
    assert found(published(zone, *advice.changes)).findings == ()


@pytest.mark.parametrize("tags", ["np=none; psd=n", ""])
def test_what_is_idle(tags):
    """As it is said: psd=n, or none of it here."""
    zone = f"""{GOOD}
sub.good.example         TXT  "v=spf1 -all"
_dmarc.sub.good.example  TXT  "v=DMARC1; p=reject; {{}}{LONG}"
"""
    [advice] = [
        each for each in found(zone.format("np=none"), "sub.good.example").findings if each.code == "dmarc-idle"
    ]
    assert advice.fix == "Move it to the record of good.example, or add psd=n to this one."
    assert "dmarc-idle" not in {each.code for each in found(zone.format(tags), "sub.good.example").findings}


def test_consent_to_reports():
    zone = changed(f'{DMARC} "v=DMARC1; p=reject; rua=mailto:d@other.example"')
    [advice] = found(zone).findings
    assert found(published(zone, *advice.changes)).findings == ()


@pytest.mark.parametrize(
    ("record", "whom"),
    [
        (
            "v=spf1 a include:s.example ip4:192.0.2.7 -all",
            "for every client that no term before include:s.example matches",
        ),
        ("v=spf1 include:s.example ip4:192.0.2.7 -all", "for every client"),
        ("v=spf1 exp=x.example include:s.example -all", "for every client"),
        ("v=spf1 include:t.example -all", "for every client that no term before include:s.example matches"),
        ("v=spf1 redirect=s.example mx", "for every client that no term before redirect=s.example matches"),
        ("v=spf1 redirect=s.example", "for every client"),
    ],
)
def test_whom_a_mistake_below_hits(record, whom):
    zone = f"""{changed(f'{SPF} "{record}"')}
good.example A 192.0.2.1
s.example TXT "v=spf1 ip4:198.51.100.1 ip:203.0.113.9 -all"
t.example TXT "v=spf1 mx:good.example include:s.example -all"
"""
    [problem] = [each for each in found(zone).findings if each.code == "spf-syntax"]
    assert '"ip:203.0.113.9": unknown mechanism (probably ip4)' in problem.what
    assert problem.what.endswith(f"The result is permerror {whom}.")
    assert not problem.changes


@pytest.mark.parametrize(("name", "text"), [(SPF, "v=spf1 mx"), (DMARC, "v=DMARC1; p:reject"), (KEY, "v=DKIM1; p=")])
def test_slips_are_looked_for_in_short_records(name, text):
    """What takes a search for each octet must not have many."""
    report = found(changed(f'{name} "{text}; {"a:" * 1000}"'), selectors=["default"])
    assert report.findings
    assert not [each for each in report.findings if each.changes]


def published(zone, *changes):
    """The zone as it is when somebody has done what is said."""
    for change in changes:
        lines = [line for line in zone.splitlines() if tuple(line.split()[:2]) != (change.name, change.type)]
        have = [
            text
            for text in Zone(zone, limits=LIMITS).lookup(change.name, change.type).records
            if text not in change.instead
        ]
        assert {*change.instead} <= {*Zone(zone, limits=LIMITS).lookup(change.name, change.type).records}
        zone = "\n".join(
            [*lines, *(f"{change.name} {change.type} {strings(text)}" for text in (*have, *change.records))]
        )
    return zone


def strings(text):
    """Character-strings, as a zone file has them."""
    pieces = [text[at : at + 255] for at in range(0, len(text), 255)]
    return " ".join('"' + re.sub(r'(["\\])', r"\\\1", piece) + '"' for piece in pieces)


def test_every_problem_has_its_case():
    sources = "".join(path.read_text() for path in Path(lookup.__file__).parent.glob("*.py"))
    every = set(re.findall(r'(?:error|warning|note|Problem|doubled)\(\s*(?:severity, )?"([a-z0-9-]+)"', sources))
    shown = {problem.split()[1] for *_, problems in (*CASES, *OTHER_CASES) for problem in problems}
    assert every == shown


@pytest.mark.parametrize(
    ("term", "hint"),
    [
        ("ipv4:192.0.2.1", "unknown mechanism (probably ip4)"),
        ("include:", "include needs a value"),
        ("redirect:x.example", "redirect is written with ="),
        ("include=%x", "include is written with :"),
        ("ip4:192.0.2.300", "not a valid value for ip4"),
        ("xyzzy!", "unknown mechanism or modifier"),
        ("–all", "not ASCII"),
    ],
)
def test_a_slip_is_explained(term, hint):
    [problem] = found(changed(f'{SPF} "v=spf1 {term} -all"')).findings
    assert hint in problem.what


@pytest.mark.parametrize(
    ("changes", "name", "said"),
    [
        (f'{SPF} "v=spf1 redirect=x.example mx -all"', "spf-unreached", "receivers ignore redirect=x.example"),
        (f'{SPF} "v=spf1 mx -all ip4:192.0.2.1"', "spf-unreached", "receivers never look at ip4:192.0.2.1"),
        (f'{SPF} "v=spf1 ip4:0.0.0.0/1 ip4:128.0.0.0/1 ~all"', "spf-open", "domain: ip4:0.0.0.0/1, ip4:128.0.0.0/1."),
        (f'{SPF} "v=spf1 ip4:0.0.0.0/1 ip4:0.0.0.0/0 ~all"', "spf-open", "domain: ip4:0.0.0.0/0."),
        (f'{SPF} "v=spf1 include:o.example ~all"\no.example TXT "v=spf1 exists:v4.example"', "spf-open",
         "domain: include:o.example > exists:v4.example."),
        (f'{DMARC} "v=DMARC1; p=reject; p=none; rua=mailto:d@good.example"', "dmarc-tag-twice", "uses the first"),
    ],
)  # fmt: skip
def test_what_is_said(changes, name, said):
    [problem] = [each for each in found(changed(changes)).findings if each.code == name]
    assert said in problem.what


@pytest.mark.parametrize(
    ("record", "asks", "void_ipv4", "void_ipv6"),
    [
        ("v=spf1 -all", 0, 0, 0),
        ("v=spf1 ip4:192.0.2.1 ip6:2001:db8::/32 -all", 0, 0, 0),
        ("v=spf1 mx -all", 1, 0, 0),
        ("v=spf1 a:v4.example -all", 1, 0, 1),
        ("v=spf1 a:gone.example exists:gone.example -all", 2, 2, 2),
        ("v=spf1 exists:v4.example -all", 1, 0, 0),
        ("v=spf1 ptr exists:%{i}.x.example exp=why.example -all", 2, 0, 0),
        ("v=spf1 include:three.example -all", 4, 0, 3),
        ("v=spf1 include:three.example include:three.example -all", 8, 0, 6),
        ("v=spf1 redirect=three.example", 4, 0, 3),
        ("v=spf1 -all redirect=three.example include:three.example", 0, 0, 0),
        ("v=spf1 a:v4.%{d} include:%{o2}._spf.%{d} ~all", 2, 1, 1),
    ],
)
def test_what_spf_costs(record, asks, void_ipv4, void_ipv6):
    tree = found(changed(f'{SPF} "{record}"')).spf.record
    assert (tree.asks, tree.void_ipv4, tree.void_ipv6) == (asks, void_ipv4, void_ipv6)


@pytest.mark.parametrize(
    ("record", "otherwise", "otherwise_ipv6"),
    [
        ("v=spf1 mx -all", "fail", "fail"),
        ("v=spf1 mx", "neutral", "neutral"),
        ("v=spf1 redirect=neutral.example", "neutral", "neutral"),
        ("v=spf1 ip4:x -all", "permerror", "permerror"),
        ("v=spf1 include:v4.example -all", "permerror", "permerror"),
        ("v=spf1 include:good.example -all", "permerror", "permerror"),
        ("v=spf1 include:astray.example -all", "permerror", "permerror"),
        ("v=spf1 mx:crowd.example -all", "permerror", "permerror"),
        (f"v=spf1 {'ptr ' * 10}-all", "fail", "fail"),
        (f"v=spf1 {'ptr ' * 11}-all", "permerror", "permerror"),
        ("v=spf1 include:broken.example -all", "temperror", "temperror"),
        ("v=spf1 a:lame.example -all", "fail", "temperror"),
        ("v=spf1 -all include:v4.example", "fail", "fail"),
        ("v=spf1 a:x.example a:y.example a:z.example ~all", "permerror", "permerror"),
        ("v=spf1 a:v4.example a:v4.example/24 a:v4.example/23 ~all", "softfail", "permerror"),
        ("v=spf1 exists:%{i}.x.example exists:%{l}.x.example exists:%{h}.x.example ~all", "permerror", "permerror"),
        ("v=spf1 a:v4.example/0 -all", "pass", "fail"),
        ("v=spf1 ?exists:v4.example -all", "neutral", "neutral"),
        ("v=spf1 ~include:all.example -all", "softfail", "softfail"),
        ("v=spf1 include:_spf.%{l}.example -all", "", ""),
        ("v=spf1 redirect=%{i}.example", "", ""),
        (f"v=spf1 {'ip4:192.0.2.1 ' * 300}~all", "softfail", "softfail"),
    ],
)
def test_any_other_client(record, otherwise, otherwise_ipv6):
    zone = f"""{changed(f'{SPF} "{record}"')}
lame.example    A     192.0.2.7
lame.example    AAAA  !
astray.example  TXT   "v=spf1 redirect=v4.example"
""" + "".join(f"crowd.example MX {n} mx{n}.example\n" for n in range(11))
    spf = found(zone).spf
    assert (spf.otherwise, spf.otherwise_ipv6) == (otherwise, otherwise_ipv6)


STRANGERS = ("203.0.113.77", "2001:db8:ffff::77")
STRANGER = "".join(f"{ip_address(each).reverse_pointer} PTR host.isp.example\n" for each in STRANGERS)
LABELS = [f"n{number}.example" for number in range(5)]
TERMS = st.one_of(
    st.sampled_from(["ip4:192.0.2.0/24", "ip6:2001:db8::/48", "ip4:x", "mx", "a", "a/0", "a//0", "mx/0//0", "ptr",
                     "all", "exists:%{i}.x.example", "a:%{o}", "include:[x.example", "exp=x.example", "x=y"]),
    st.tuples(st.sampled_from(["include:", "include:", "a:", "mx:", "exists:", "redirect=", "ptr:"]),
              st.sampled_from([*LABELS, "gone.example"])).map("".join),
)  # fmt: skip
SAYING = st.lists(st.tuples(st.sampled_from(["", "", "-", "~", "?"]), TERMS), max_size=6).map(
    lambda terms: "v=spf1 " + " ".join(term if "=" in term else sign + term for sign, term in terms)
)
SPF_LINES = st.one_of(
    st.tuples(st.just("TXT"), SAYING.map(lambda text: f'"{text}"')),
    st.tuples(st.just("MX"), st.sampled_from([*LABELS, "gone.example"]).map(lambda host: f"10 {host}")),
    st.sampled_from(
        [("A", "192.0.2.9"), ("AAAA", "2001:db8::9"), ("A", "!"), ("AAAA", "!"), ("MX", "!"), ("TXT", "!")]
    ),
)


@given(zone=st.lists(st.tuples(st.sampled_from(LABELS), SPF_LINES), max_size=16), text=SAYING)
@settings(deadline=None)
def test_any_other_client_is_judged_as_the_milter_does(zone, text):
    lines = [f'{LABELS[0]} TXT "{text}"', *(f"{owner} {rdtype} {value}" for owner, (rdtype, value) in zone)]
    source = Zone("\n".join([STRANGER, *lines]), limits=LIMITS)
    report = lookup.look_up(Domain(LABELS[0]), [], source, 5, LIMITS)
    results = [
        check_mail_from(
            ip_address(client),
            f"joe@{LABELS[0]}",
            "helo.example",
            lambda *each: source(question(*each)).result(),
            LIMITS,
        )
        for client in STRANGERS
    ]
    assert [report.spf.otherwise, report.spf.otherwise_ipv6] == [each.result for each in results]
    assert Result.PERMERROR not in (each.result for each in results) or any(
        each.code.startswith("spf-") and each.severity is not Severity.NOTE for each in report.findings
    )
    assert "error spf-open" in named(report) or Result.PASS not in (each.result for each in results)


def test_a_tree_without_end_is_cut():
    """Every record includes ten others, which are never the same."""
    asked = set()

    def forest(asking):
        asked.add(asking)
        future = Future()
        includes = " ".join(f"include:x{n}.{asking.name}" for n in range(9))
        future.set_result(Answer((f"v=spf1 {includes} -all",) if asking.rdtype == "TXT" else ()))
        return future

    report = lookup.look_up(Domain("x.example"), [], forest, 5, LIMITS)
    assert report.spf.record.asks > 10
    assert len(asked) < 200


RICH = f"""
example.com             MX    10 mx1.example.com
example.com             MX    20 mx2.example.net
mx1.example.com         A     192.0.2.1
mx1.example.com         AAAA  2001:db8::1
mx2.example.net         A     198.51.100.2
mx2.example.net         A     198.51.100.3
{ip_address("192.0.2.1").reverse_pointer}     PTR mx1.example.com
{ip_address("2001:db8::1").reverse_pointer}   PTR mx1.example.com
{ip_address("198.51.100.3").reverse_pointer}  PTR host3.isp.example
example.com             TXT   "v=spf1 ip4:192.0.2.0/24 a:www.example.com mx include:_spf.example.net ~all"
example.com             TXT   "some-site-verification=abcdef"
_spf.example.net        TXT   "v=spf1 include:_a.example.net exists:%{{i}}._check.example.net ptr:example.net -all"
_a.example.net          TXT   "v=spf1 ip4:198.51.100.0/24 ip6:2001:db8:2::/48 -all"
www.example.com         CNAME web.example.org
web.example.org         A     203.0.113.80
_dmarc.example.com      TXT   "v=DMARC1; p=reject; np=none; rua=mailto:dmarc@example.com,mailto:abc123@reports.example.net,mailto:x@other.example; ruf=mailto:f@example.com; adkim=s"
example.com._report._dmarc.reports.example.net TXT "v=DMARC1"
google._domainkey.example.com   TXT  "{rsa_key(1024).record}"
s1._domainkey.example.com       TXT  "{rsa_key().record}; t=y:s; n=our first key"
ed25519._domainkey.example.com  TXT  "{ed25519_key().record}"
"""  # noqa: E501


MANY = "".join(f"many.example MX {n} mx{n}.example\nmx{n}.example A 192.0.2.{n}\n" for n in range(9))


@pytest.mark.parametrize(
    ("text", "name", "depth"),
    [
        # MX, its address, the name of that
        (GOOD, "good.example", 3),
        # and the address of that one
        (RICH, "example.com", 4),
        # its record, the hosts, their addresses
        (changed(f'{SPF} "v=spf1 mx:many.example a:v4.example -all"') + "\n" + MANY, "good.example", 3),
    ],
)
def test_everything_is_asked_at_once(text, name, depth):
    """In as many rounds as one answer depends on another."""
    zone, rounds, waiting = Zone(text, limits=LIMITS), [], []
    lock = threading.Lock()

    def answer():
        with lock:
            arrived, waiting[:] = waiting[:], []
        rounds.append(len(arrived))
        for asked, future in arrived:
            future.set_result(zone(asked).result())

    def later(asked):
        future = Future()
        with lock:
            waiting.append((asked, future))
            if len(waiting) == 1:
                # when this round has been asked
                threading.Timer(0.1, answer).start()
        return future

    report = lookup.look_up(Domain(name), [], later, 20, LIMITS)
    assert report == lookup.look_up(Domain(name), [], zone, 20, LIMITS)
    assert len(rounds) == depth
    assert rounds[0] > len(WELL_KNOWN)


def test_time_is_limited():
    now = [0.0]

    def clock():
        now[0] += 1
        return now[0]

    def mute(asked):
        return Zone(GOOD, limits=LIMITS)(asked) if asked.rdtype != "MX" else Future()

    report = lookup.look_up(Domain("good.example"), [], mute, 0.5, clock=clock, limits=LIMITS)
    assert report.unanswered == ("good.example MX: no answer within 0.5 seconds",)
    assert named(report) == ["warning mx-unknown", "warning spf-unknown"]
    assert report.is_known


def test_dnssec():
    def signed(asked):
        future = Future()
        answer = Zone(GOOD, limits=LIMITS)(asked).result()
        future.set_result(Answer(answer.records, answer.exists, 300, authentic=asked.rdtype == "MX"))
        return future

    report = lookup.look_up(Domain("good.example"), [], signed, 5, LIMITS)
    assert (report.mx.authentic, report.spf.authentic) == (True, False)
    assert [step.authentic for step in report.dmarc.steps] == [False, False]


# the program


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mailassay.cli.options.DEFAULT_CONFIG", str(tmp_path / "no-such-file"))
    (tmp_path / "good").write_text(GOOD)
    (tmp_path / "rich").write_text(RICH)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_for_people(capsys):
    assert main(["lookup", "example.com", "--zone", "rich"]) == 1
    printed = capsys.readouterr().out
    assert printed == screen("lookup", printed)
    assert max(map(len, printed.splitlines())) <= 110


@pytest.mark.usefixtures("folder")
def test_colours_are_for_terminals(capsys, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    main(["lookup", "example.com", "--zone", "rich"])
    plain = capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    main(["lookup", "example.com", "--zone", "rich"])
    colourful = capsys.readouterr().out
    assert "\x1b[31m  error\x1b[0m    rua: other.example" in colourful
    assert re.sub(r"\x1b\[[0-9]+m", "", colourful) == plain
    monkeypatch.setenv("NO_COLOR", "1")
    main(["lookup", "example.com", "--zone", "rich"])
    assert capsys.readouterr().out == plain


def keys(value):
    """The keys of JSON all the way down. All values of a list have the same; any of them may be null or empty."""
    if isinstance(value, dict):
        return {key: keys(each) for key, each in value.items()}
    return [reduce(of_both, map(keys, value))] if isinstance(value, list) and value else None


def of_both(one, other):
    if one is None or other is None:
        return one or other
    if isinstance(one, list):
        return [of_both(one[0], other[0])]
    assert one.keys() == other.keys()
    return {key: of_both(one[key], other[key]) for key in one}


ASKS = {"policy": None, "tag": None, "at": None, "lowered": None}


def spf_record(*terms):
    return {
        **dict.fromkeys(["domain", "asks", "void_ipv4", "void_ipv6", "error", "trouble", "fault"]),
        "texts": [None],
        "terms": [*terms],
    }


def spf_term(found=None, record=None):
    return {
        **dict.fromkeys(["text", "mechanism", "result", "target", "asks", "void_ipv4", "void_ipv6", "reached"]),
        **dict.fromkeys(["circular", "error", "trouble"]),
        "found": found,
        "record": record,
    }


# in the rich zone one include leads to another
SPF_RECORD = spf_record(spf_term([None], spf_record(spf_term(record=spf_record(spf_term())))))


@pytest.mark.usefixtures("folder")
def test_for_programs(capsys):
    assert main(["lookup", "joe@example.com", "--zone", "rich", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert keys(said) == {
        "given": None,
        "domain": None,
        "exists": None,
        "findings": [
            {
                **dict.fromkeys(["severity", "code", "what", "fix", "rfc"]),
                "changes": [{**dict.fromkeys(["name", "type"]), "instead": [None], "records": [None]}],
            }
        ],
        "mx": {
            **dict.fromkeys(["kind", "count", "authentic", "trouble"]),
            "hosts": [
                {
                    **dict.fromkeys(["name", "preference", "alias", "trouble"]),
                    "addresses": [dict.fromkeys(["address", "result", "name", "reason"])],
                }
            ],
        },
        "spf": {
            "record": SPF_RECORD,
            **dict.fromkeys(["otherwise", "otherwise_ipv6", "why", "malformed", "authentic"]),
        },
        "dkim": {
            "tried": [None],
            "given": None,
            "some": None,
            "keys": [
                {
                    **dict.fromkeys(["selector", "name", "kind", "bits", "testing", "strict", "revoked", "authentic"]),
                    **dict.fromkeys(["error", "trouble", "fault", "alias", "exists"]),
                    "records": [None],
                    "tags": [[None]],
                }
            ],
        },
        "dmarc": {
            "steps": [
                {
                    **dict.fromkeys(["name", "malformed", "exists", "needed", "authentic", "trouble", "alias"]),
                    "records": [None],
                }
            ],
            "org_domain": None,
            "domain_asks": ASKS,
            "below_asks": ASKS,
            "missing_asks": ASKS,
            **dict.fromkeys(["strict_dkim", "strict_spf", "psd", "misplaced", "trouble"]),
            "reports": [dict.fromkeys(["tag", "uri", "host", "external", "consent", "authorized", "trouble"])],
        },
        "questions": None,
        "unanswered": None,
    }
    assert said["spf"]["record"]["asks"] == 6
    assert said["dmarc"]["missing_asks"] == {"policy": "none", "tag": "np", "at": "example.com", "lowered": False}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("good.example", "good.example"),
        ("GOOD.Example.", "good.example"),
        (" joe@good.example", "good.example\n  the domain of joe@good.example"),
        ("bücher.example", "xn--bcher-kva.example  (bücher.example)"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example  (bücher.example)"),
    ],
)
def test_the_domain_is_taken_as_people_write_it(given, shown, capsys):
    assert main(["lookup", given, "--zone", "good"]) in (0, 1)
    assert capsys.readouterr().out.startswith(f"{shown}\n\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["192.0.2.1"], "is an IP address"),
        (["[192.0.2.1]"], "is an IP address"),
        (["joe@[IPv6:2001:db8::1]"], "is an IP address"),
        (["2001:db8::1"], "is an IP address"),
        (["192.0.2"], "ends in a number"),
        (["https://good.example/"], "is not a domain name"),
        (["joe@"], "is not a domain name"),
        (["a..example"], "is not a domain name"),
        (["x y"], "is not a domain name"),
        ([""], "is not a domain name"),
        (["good.example", "--selector", "a b"], "'a b' is not a selector"),
        (["good.example", "--selector", ""], "'' is not a selector"),
        (["good.example", "--selector", "x" * 64], "is not a selector"),
        ([], "required: DOMAIN"),
    ],
)
def test_usage(arguments, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["lookup", *arguments])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_selectors_are_looked_up_as_given(capsys):
    assert main(["lookup", "good.example", "--zone=good", "--selector=Default", "--selector", "a.bücher"]) == 1
    printed = capsys.readouterr().out
    assert "DKIM    the selectors you named\n  Default               RSA, 2048 bits\n" in printed
    assert "DKIM key a.b\\252cher: there is no key at a.xn--bcher-kva._domainkey.good.example." in printed


TEXT = st.lists(
    st.sampled_from(
        ["v=spf1", " ", "v=DMARC1", ";", "p=", "reject", "sp=none", "psd=y", "rua=mailto:x@", "x.example", "include:",
         "redirect=", "a:", "mx", "exists:%{d}", "ptr", "-all", "+", "v=DKIM1", "k=ed25519", "\x1b[2J", "\n", "\xff",
         "\u202e", "ip4:192.0.2.1/0", "fo=", "t=y", ",", "=", "\x00", "@", "!"]
    ),
    max_size=14,
).map("".join)  # fmt: skip
NAME = st.sampled_from(["x.example", "_dmarc.x.example", "_dmarc.example", "s1._domainkey.x.example", "m.x.example"])
HOST = st.sampled_from(["m.x.example", ".", "192.0.2.1", "\x1b[2J.x.example", "\n", "\xff", "a b", "", "x" * 70, "%"])
RECORDS = st.one_of(
    st.tuples(NAME, st.just("TXT"), st.one_of(TEXT, st.text(max_size=20))),
    st.tuples(NAME, st.just("MX"), st.tuples(st.integers(0, 9), HOST).map(list)),
    st.tuples(NAME, st.just("A"), st.sampled_from(["192.0.2.1", "10.0.0.1"])),
    st.tuples(NAME, st.just("AAAA"), st.ip_addresses(v=6).map(str)),
    st.tuples(NAME, st.just("CNAME"), HOST),
    st.tuples(st.just("1.2.0.192.in-addr.arpa"), st.just("PTR"), HOST),
    st.tuples(NAME, st.sampled_from(["TXT", "MX", "A", "*"]), st.sampled_from(["SERVFAIL", "TIMEOUT"])),
)


@given(records=st.lists(RECORDS, max_size=12), name=st.sampled_from(["x.example", f"{'a.' * 120}x.example"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_records_give_a_report(folder, capsys, records, name):
    zone = {}
    for owner, rdtype, value in records:
        values = zone.setdefault(owner, {}).setdefault(rdtype, [])
        if not (rdtype == "MX" and not re.fullmatch(r"\S*", str(value[-1] if isinstance(value, list) else ""))):
            values.append(value)
    (folder / "any").write_text(json.dumps(zone))
    status = main(["lookup", name, "--zone", "any"])
    said = capsys.readouterr()
    assert status in (0, 1, 75)
    assert "\r" not in said.out
    _, *lines = said.out.split("\n")
    for line in lines:
        assert line.isprintable()
        assert fits(line, 110)
        assert line == line.rstrip()
    assert main(["lookup", name, "--zone", "any", "--json"]) in (0, 1, 75)
    assert json.loads(capsys.readouterr().out)["domain"] == name


def test_no_answer_at_all():
    report = lookup.look_up(Domain("x.example"), [], failed, 5, LIMITS)
    assert not report.is_known
    assert report.exists is None


def test_no_answer_of_the_domain_itself(folder, capsys):
    silent = "lame.example {} !\n".format
    zone = f'_dmarc.lame.example TXT "v=DMARC1; p=reject"\n{silent("MX")}{silent("TXT")}'
    (folder / "lame").write_text(zone + silent("A"))
    assert main(["lookup", "lame.example", "--zone", "lame"]) == 75
    said = capsys.readouterr()
    assert "DMARC   reject" in said.out
    assert said.err == "mailassay: DNS does not answer: lame.example MX: SERVFAIL\n"
    (folder / "lame").write_text(zone)
    assert main(["lookup", "lame.example", "--zone", "lame"]) == 0


def failed(asked):
    future = Future()
    future.set_exception(DnsTempError(f"{asked.name} {asked.rdtype}: SERVFAIL"))
    return future


def test_help(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["lookup", "--help"])
    assert stopped.value.code == 0
    assert "usage: mailassay lookup" in capsys.readouterr().out


def run(server, folder, *arguments):
    config = {"dns": {"nameservers": [f"{server.address}:{server.port}"], "timeout": 30}, "message_timeout": 60}
    (folder / "config.yaml").write_text(json.dumps(config))
    return subprocess.run(
        [*PROGRAM, "lookup", *arguments, "--config", "config.yaml"],
        capture_output=True, text=True, cwd=folder, env=ENVIRONMENT,
    )  # fmt: skip


@pytest.mark.process
def test_over_the_network(folder, capsys):
    with DnsServer(Zone(RICH, limits=LIMITS)) as server:
        server.authentic = True
        done = run(server, folder, "example.com")
        asked = [*server.asked]
        server.mode = "servfail"
        silent = run(server, folder, "example.com")
    assert done.stderr == ""
    main(["lookup", "example.com", "--zone", "rich"])
    assert done.stdout.partition("\nDNSSEC")[0] == capsys.readouterr().out.partition("\nDNSSEC")[0]
    assert done.stdout.endswith("\nDNSSEC  proves all of it, as the name server says (AD)\n")
    assert done.returncode == 1
    assert len(asked) == len({question(*each) for each in asked})
    assert (silent.returncode, silent.stdout) == (75, "")
    assert silent.stderr == "mailassay: DNS does not answer: example.com MX: SERVFAIL\n"
