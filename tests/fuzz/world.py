"""The world in which a fuzzed conversation takes place: DNS that the input writes, but for one bank's.

What the bank publishes is fixed, so that a simple check tells whether mail in its name can be genuine.
"""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address

from mailassay.domain import MAX_LABEL, MAX_OCTETS
from mailassay.message import Headers
from mailassay.resolver import NO_DATA, NXDOMAIN, Answer, DnsTempError, Question
from mailassay.zone import Zone
from tests.lab.limits import LIMITS

NOW = 1_800_000_000.0
AUTHSERV_ID = "mx.receiver.example"
BANK = "bank.example"
BANK_CLIENTS = {"192.0.2.30", "192.0.2.40", "2001:db8::30"}
# RFC 8463 appendix A
SECRET = b"nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
PUBLIC = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

_BANK_ZONE = Zone(
    f"""
    bank.example                          A    192.0.2.30
    bank.example                          MX   10 mail.bank.example
    mail.bank.example                     A    192.0.2.30
    mail.bank.example                     AAAA 2001:db8::30
    bank.example                          TXT  "v=spf1 ip4:192.0.2.30 exists:%{{l}}.%{{ir}}.%{{v}}.spf.bank.example ptr:bank.example include:spf.bank.example -all"
    spf.bank.example                      TXT  "v=spf1 ip6:2001:db8::30 a:partner.bank.example mx:bank.example ?all"
    partner.bank.example                  A    192.0.2.40
    news.bank.example                     TXT  "v=spf1 redirect=bank.example"
    _dmarc.bank.example                   TXT  "v=DMARC1; p=reject; rua=mailto:dmarc@bank.example"
    ed._domainkey.bank.example            TXT  "v=DKIM1; k=ed25519; p={PUBLIC}"
    strict._domainkey.bank.example        TXT  "v=DKIM1; k=ed25519; t=s; p={PUBLIC}"
    test._domainkey.bank.example          TXT  "v=DKIM1; k=ed25519; t=y; p={PUBLIC}"
    ed._domainkey.news.bank.example       TXT  "k=ed25519; p={PUBLIC}"
    """,  # noqa: E501
    limits=LIMITS,
)

LETTERS = [
    b"From: Alice <alice@bank.example>\r\nTo: bob@receiver.example\r\nSubject: Hello\r\n\r\n"
    b"Dear Bob,\r\n\r\n  hi \r\n\r\n",
    b'From: "Bank, the" (news)\r\n <info@news.bank.example>\r\nSubject: Interest\r\n\r\nMore.\r\n',
]
"""What the bank has signed, as it was before."""

TRIED = b"From: test@bank.example\r\nTo: bob@receiver.example\r\nSubject: Test\r\n\r\nTest\r\n"
"""What it has signed with a key in testing (t=y), which counts as unsigned."""


def squeezed(text: bytes) -> bytes:
    """Without any white space."""
    return b"".join(text.split())


_GENUINE = {
    (squeezed(head.split(b"From:")[1].split(b"\r\nTo:")[0].split(b"\r\nSubject:")[0]), squeezed(body))
    for head, _, body in (letter.partition(b"\r\n\r\n") for letter in LETTERS)
}


def can_be_from_the_bank(client: str, sender: str, headers: Headers, body: bytes, *, longer: bool) -> bool:
    """A deliberately simple view: its client with its domain in the envelope, or one of its letters.

    ``longer``: something may follow, since l= is taken for good.
    """
    if len(authors := headers.named(b"from")) != 1:
        return False
    if client in BANK_CLIENTS and sender.lower().rstrip(".").endswith(BANK):
        return True
    author, text = squeezed(authors[0].value), squeezed(body)
    return any(author == each and (text == all_ or (longer and text.startswith(all_))) for each, all_ in _GENUINE)


def is_the_banks(name: str) -> bool:
    """Names that only the bank, or the registry above it, can publish at."""
    return name == BANK or name.endswith("." + BANK) or name in ("example", "_dmarc.example")


@dataclass(frozen=True)
class Dns:
    """A source of answers. ``records`` are what the input published, ``TXT`` and so on; a first ``!`` is SERVFAIL, a
    first ``?`` no answer, and ``*`` as the name stands for every name that is not there.
    """

    records: dict[tuple[str, str], list[str]]

    @cached_property
    def _names(self) -> set[str]:
        names = (name.split(".") for name, _ in self.records)
        return {".".join(labels[at:]) for labels in names for at in range(len(labels))}

    def __call__(self, question: Question) -> Future[Answer]:
        name, rdtype = question
        future: Future[Answer] = Future()
        if is_the_banks(name):
            return _BANK_ZONE(question)
        labels = name.split(".")
        octets = [len(label.encode("utf-8", "surrogatepass")) for label in labels]
        if not all(0 < size <= MAX_LABEL for size in octets) or sum(octets) + len(octets) - 1 > MAX_OCTETS:
            found = None
        elif name in self._names:
            found = self.records.get((name, rdtype), [])
        else:
            found = self.records.get(("*", rdtype))
        if found is None:
            future.set_result(NXDOMAIN)
        elif found[:1] == ["!"]:
            future.set_exception(DnsTempError(f"{name} {rdtype}: SERVFAIL"))
        elif found[:1] != ["?"]:
            future.set_result(Answer(tuple(found), ttl=300) if found else NO_DATA)
        return future


def add_record(records: dict[tuple[str, str], list[str]], rdtype: str, line: bytes) -> None:
    """One line of the input, ``name value``, in the form that the network gives it, if DNS can carry it at all."""
    name, _, octets = line.partition(b" ")
    values = records.setdefault((name.decode("latin-1").lower(), rdtype), [])
    value = octets.decode("latin-1")
    if value in ("!", "?"):
        values.insert(0, value)
    elif rdtype == "TXT":
        values.append(value)
    elif rdtype in ("A", "AAAA"):
        with suppress(ValueError):
            values.append(str(IPv4Address(value) if rdtype == "A" else IPv6Address(value)))
    elif 0 < len(value) <= MAX_OCTETS:
        host = value.lower().removesuffix(".") or "."
        values.append(f"{len(host)} {host}" if rdtype == "MX" else host)
