"""Each limit: set by its policy key, what still counts at it, and what the result is beyond it."""

import base64
import time
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from mailassay import dkim
from mailassay.config import load_policy
from mailassay.dkim.work import reading
from mailassay.limits import Limits
from mailassay.message import split
from mailassay.resolver import Answer
from mailassay.zone import Zone
from tests.lab.sign import TAGS, arc_set, ed25519_key, rsa_key, written
from tests.lab.talk import Talk

NOW = int(time.time())
LIMITS = Limits()
RSA, ED, OTHER = rsa_key(), ed25519_key(), ed25519_key("other")
MESSAGE = b"From: a@bank.example\r\nTo: bob@receiver.example\r\nSubject: hi\r\n\r\nHello\r\n"
REJECT = '_dmarc.bank.example TXT "v=DMARC1; p=reject"\n'
SPF = 'bank.example TXT "v=spf1 ip4:192.0.2.1 -all"\n'


@dataclass(frozen=True)
class Mail:
    """A message from MAIL FROM a@bank.example, and the DNS that its checks find."""

    zone: str = SPF + REJECT
    message: bytes = MESSAGE


def judge(mail: Mail, policy: str, tmp_path: Path) -> str:
    """The field that is written, on one line, and the rule that decided."""
    path = tmp_path / "policy.yaml"
    path.write_text(policy)
    read = load_policy(str(path))
    talk = Talk(Zone(mail.zone, limits=read.limits), read, now=NOW)
    outcome = talk.send(*split(mail.message), mail_from="<a@bank.example>")
    field = " ".join(outcome.add[0][1].split()) if outcome.add else ""
    return f"{field}; rule={outcome.verdict.rule} remove={len(outcome.remove)}"


def with_fields(*fields: bytes) -> Mail:
    """More header fields above the rest."""
    return Mail(message=b"".join(field + b"\r\n" for field in fields) + MESSAGE)


def header_octets(number: int) -> Mail:
    used = sum(len(name) + len(value) for name, value in split(MESSAGE)[0])
    lines = b"".join(b"X: " + b"x" * 400 + b"\r\n" for _ in range((number - used) // 403))
    used = sum(len(name) + len(value) for name, value in split(lines + MESSAGE)[0])
    return Mail(message=b"Y:" + b"y" * (number - used - 1) + b"\r\n" + lines + MESSAGE)


def authors(*values: bytes) -> Mail:
    """The From fields, instead of the one."""
    rest = MESSAGE.partition(b"\r\n")[2]
    return Mail(message=b"".join(b"From:" + value + b"\r\n" for value in values) + rest)


def results_octets(number: int) -> Mail:
    """Somebody else's, on lines that a milter may get."""
    fields = []
    while number:
        size = number if number <= 900 else min(900, number - 100)
        fields.append(b" other.example; none (" + b"x" * (size - 23) + b")")
        number -= size
    return with_fields(*(b"Authentication-Results:" + value for value in fields))


def dns_records(number: int) -> Mail:
    names = "".join(f"1.2.0.192.in-addr.arpa PTR n{place}.example\n" for place in range(number))
    return Mail(names + "n0.example A 192.0.2.1")


def dns_octets(number: int) -> Mail:
    """What a question for bank.example, EDNS and the record take, and the rest in another record."""
    record = "v=spf1 +all"
    left = number - (12 + 18 + 11) - (12 + 1 + len(record)) - 12
    return Mail(f'bank.example TXT "{record}"\nbank.example TXT "{"x" * (left - -(-left // 256))}"')


def signatures(number: int) -> Mail:
    """The lowest of them is right."""
    signed = ED.sign(MESSAGE, "bank.example", "right")
    for _ in range(number - 1):
        signed = OTHER.sign(signed, "bank.example", "right")
    return Mail(f'right._domainkey.bank.example TXT "{ED.record}"\n{REJECT}', signed)


def key_records(number: int) -> Mail:
    """The last of them is right, in the order that they are looked at."""
    records = [OTHER.record] * (number - 1) + [ED.record]
    numbered = [each.replace("; ", f"; n={place}; ", 1) for place, each in enumerate(records)]
    zone = "".join(f'sel._domainkey.bank.example TXT "{record}"\n' for record in numbered)
    return Mail(zone, ED.sign(MESSAGE, "bank.example"))


def key_bits(number: int) -> Mail:
    public = RSAPublicNumbers(65537, (1 << number) - 1).public_key()
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    record = f"v=DKIM1; p={base64.b64encode(der).decode()}"
    return Mail(f'sel._domainkey.bank.example TXT "{record}"', RSA.sign(MESSAGE, "bank.example"))


def signature_work(number: int) -> Mail:
    """A signature that is right, below another one that takes what is left."""
    signed = ED.sign(MESSAGE, "bank.example", "right")
    headers, content = split(signed)
    account = dkim.Work(LIMITS)
    (found,) = dkim.signatures(headers, LIMITS, account)
    body = dkim.Body([found.body])
    body.update(content)
    dkim.check(found, dkim.HeaderHashes(headers, account), body.finish(), lambda *_: Answer((ED.record,)), NOW, LIMITS)
    rest = number - account.spent
    value = b";" * ((rest - reading(b"")) // (reading(b";") - reading(b"")))
    while reading(value) > rest:
        value = value[1:]
    while reading(value) < rest:
        value += b"x"
    message = b"DKIM-Signature:" + value + b"\r\n" + signed
    return Mail(f'right._domainkey.bank.example TXT "{ED.record}"\n{REJECT}', message)


def signed_with(tag: str) -> Mail:
    value = TAGS.replace(b"d=example.com", f"d=bank.example; {tag}".encode())
    return Mail(f'sel._domainkey.bank.example TXT "{RSA.record}"', written(MESSAGE, value))


def arc_sets(number: int) -> Mail:
    message = MESSAGE
    for instance in range(1, number + 1):
        message = arc_set(message, instance, "list.example", RSA)
    return Mail(f'arc._domainkey.list.example TXT "{RSA.record}"', message)


def spf(terms: list[str], zone: str = "") -> Mail:
    return Mail(f'bank.example TXT "v=spf1 {" ".join(terms)} ip4:192.0.2.1 -all"\n{zone}')


def spf_terms(number: int) -> Mail:
    return spf(["a:here.example"] * number, "here.example A 192.0.2.99")


def spf_mx_hosts(number: int) -> Mail:
    """The last of them is the client."""
    zone = "".join(f"bank.example MX {place} mx{place}.example\n" for place in range(number))
    hosts = "".join(f"mx{place}.example A 192.0.2.{2 + place}\n" for place in range(number - 1))
    return Mail(f'bank.example TXT "v=spf1 mx -all"\n{zone}{hosts}mx{number - 1}.example A 192.0.2.1')


def ptr_names(number: int) -> Mail:
    """The last of them leads back."""
    names = "".join(f"1.2.0.192.in-addr.arpa PTR m{place}.example\n" for place in range(number))
    hosts = "".join(f"m{place}.example A 192.0.2.99\n" for place in range(number - 1))
    return Mail(f"{names}{hosts}m{number - 1}.example A 192.0.2.1")


def ptr_names_of_spf(number: int) -> Mail:
    mail = ptr_names(number)
    mine = mail.zone.replace(f"m{number - 1}.example", "mx.bank.example")
    return Mail(f'{mine}\nbank.example TXT "v=spf1 ptr -all"')


def dmarc_queries(number: int) -> Mail:
    """The policy stands at the longest parent that so many questions reach."""
    parent = ".".join([*(f"l{place}" for place in range(number - 2)), "example"])
    message = MESSAGE.replace(b"bank.example", f"a.b.c.{parent}".encode())
    return Mail(f'_dmarc.{parent} TXT "v=DMARC1; p=reject"', message)


def identifiers(number: int) -> Mail:
    """The last of them aligns, as one of the author's organization."""
    domains = [f"other{place}.example" for place in range(number - 1)] + ["sub.bank.example"]
    message, zone = MESSAGE, REJECT
    for domain in reversed(domains):
        message = ED.sign(message, domain)
        zone += f'sel._domainkey.{domain} TXT "{ED.record}"\n'
    return Mail(zone, message)


def spf_record(number: int) -> Mail:
    start, end = "v=spf1 ip4:192.0.2.1", " -all"
    return Mail(f'bank.example TXT "{start}{" " * (number - len(start + end))}{end}"')


def dkim_record(number: int) -> Mail:
    record = f"{ED.record}; n="
    return Mail(
        f'sel._domainkey.bank.example TXT "{record}{"x" * (number - len(record))}"', ED.sign(MESSAGE, "bank.example")
    )


def dmarc_record(number: int) -> Mail:
    record = "v=DMARC1; p=reject; x="
    return Mail(f'_dmarc.bank.example TXT "{record}{"x" * (number - len(record))}"')


def dns_questions(number: int) -> Mail:
    """The record, seven terms and their hosts; the last of these is the client."""
    zone, hosts = "", number - 8
    for term in range(7):
        for host in range(hosts // 7 + (term < hosts % 7)):
            zone += f"m{term}.example MX {host} h{host}.m{term}.example\n"
            zone += f"h{host}.m{term}.example A 192.0.2.99\n"
    return spf([f"mx:m{term}.example" for term in range(7)], zone)


CASES = [
    (
        "header_fields",
        50,
        lambda number: with_fields(*[b"X: y"] * (number - 3)),
        "dmarc=pass",
        'dmarc=fail reason="more header fields than are looked at" policy.dmarc=reject; rule=dmarc.reject',
    ),
    (
        "header_octets",
        10_000,
        header_octets,
        "dmarc=pass",
        'dmarc=fail reason="more header fields than are looked at" policy.dmarc=reject; rule=dmarc.reject',
    ),
    (
        "from_fields",
        3,
        lambda number: authors(*[b" a@shop.example"] * number),
        "dmarc=permerror",
        "policy.dmarc=reject; rule=dmarc.reject",
    ),
    (
        "from_octets",
        1000,
        lambda number: authors(b" (%s\r\n ) a@bank.example" % (b"x" * (number - 21))),
        "dmarc=pass",
        "policy.dmarc=reject; rule=dmarc.reject",
    ),
    (
        "from_domains",
        3,
        lambda number: authors(b",".join(b" a@shop%d.example" % place for place in range(number))),
        "dmarc=permerror",
        "policy.dmarc=reject; rule=dmarc.reject",
    ),
    ("forged_fields", 100, lambda n: with_fields(*[b"X-Mailassay-Verdict: y"] * n), "remove=100", "rule=forged_fields"),
    ("results_octets", 10_000, results_octets, "remove=0", "remove=1"),
    ("signatures", 3, signatures, "dkim=pass", "dmarc=fail"),
    ("key_records", 3, key_records, "dkim=pass", "dkim=fail"),
    ("key_bits", 4096, key_bits, "dkim=fail", "dkim=permerror"),
    ("signature_work", 5000, signature_work, "dkim=pass", 'dkim=permerror reason="limit: more work'),
    ("clock_tolerance", 60, lambda number: signed_with(f"t={NOW + number}"), "dkim=pass", "dkim=permerror"),
    ("clock_tolerance", 60, lambda number: signed_with(f"x={NOW - number}"), "dkim=pass", "dkim=permerror"),
    ("arc_sets", 2, arc_sets, "arc=pass", "arc=fail"),
    ("spf_terms", 12, spf_terms, "spf=pass", 'spf=permerror reason="more than 12 terms that ask DNS"'),
    (
        "spf_void_lookups",
        4,
        lambda number: spf([f"a:void{place}.example" for place in range(number)]),
        "spf=pass",
        'spf=permerror reason="more than 4 terms without an answer"',
    ),
    ("spf_mx_hosts", 12, spf_mx_hosts, "spf=pass", 'spf=permerror reason="more than 12 MX hosts"'),
    ("ptr_names", 3, ptr_names, "iprev=pass", "iprev=fail"),
    ("ptr_names", 3, ptr_names_of_spf, "spf=pass", "spf=fail"),
    ("dmarc_queries", 9, dmarc_queries, "policy.dmarc=reject", "dmarc=none"),
    ("identifiers", 4, identifiers, "dmarc=pass", "dmarc=fail"),
    ("record_octets", 1000, spf_record, "spf=pass", 'spf=permerror reason="a record of more than 1000 octets"'),
    ("record_octets", 1000, dkim_record, "dkim=pass", "dkim=permerror"),
    ("record_octets", 1000, dmarc_record, "policy.dmarc=reject", "dmarc=none"),
    (
        "dns_questions",
        50,
        dns_questions,
        "spf=pass",
        'spf=permerror reason="limit: more than 50 questions for spf"',
    ),
    ("dns_records", 50, dns_records, "iprev=pass", "iprev=permerror"),
    ("dns_octets", 4096, dns_octets, "spf=pass", 'spf=permerror reason="limit: an answer of more than 4096 octets"'),
]


@pytest.mark.parametrize(("key", "limit", "make", "at", "beyond"), CASES)
def test_a_limit(key, limit, make, at, beyond, tmp_path):
    room = "" if key in ("signatures", "identifiers") else ", signatures: 100"
    policy = f"limits: {{{key}: {limit}{room}}}"
    allowed, refused = (judge(make(number), policy, tmp_path) for number in (limit, limit + 1))
    assert at in allowed
    assert beyond not in allowed
    assert beyond in refused
    assert at not in refused
    assert getattr(Limits(), key) != limit, "the policy key would make no difference"


@pytest.mark.parametrize("field", fields(Limits))
def test_every_limit_is_here(field):
    assert field.name in {key for key, *_ in CASES}
