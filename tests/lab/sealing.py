"""Hosts that seal: messages go through the session of one after the other, and independent programs look at them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

import dkim as dkimpy

from mailassay import arc, dkim
from mailassay.config import Settings
from mailassay.config.signing import with_keys
from mailassay.dkim import Work
from mailassay.domain import Domain
from mailassay.judge.outcome import Outcome
from mailassay.message import Field, Headers, crlf, split
from mailassay.resolver import Deadline
from mailassay.sign import KeyName, Seal, Sign
from mailassay.zone import Zone

from .limits import LIMITS
from .signing import NOW, write
from .talk import Envelope, Talk

MESSAGE = (
    b"Received: by a\r\nFrom: A <ann@member.example>\r\nTo: list@list.example\r\nSubject: hi\r\n\r\nHello \r\n\r\n"
)


def host(folder: Path, domain: str, selector: str = "arc", octets: bytes | None = None, **more: Any) -> Settings:
    """The settings of a host ``mx.DOMAIN`` that seals as ``DOMAIN/SELECTOR``, with an RSA key unless one is given."""
    write(folder, domain, selector, octets)
    sign = Sign(seal=Seal.ALL, seal_as=KeyName(Domain(domain), selector), directory=str(folder))
    settings, problems = with_keys(Settings(authserv_id=f"mx.{domain}", sign=sign, **more), "mailassay.yaml")
    assert not problems
    return settings


def published(*hosts: Settings) -> dict[str, str]:
    """The key records of hosts by their names."""
    keys = [each.sealing_key for each in hosts]
    return {f"{key.selector}._domainkey.{key.domain}": key.record for key in keys if key}


def zone(records: Mapping[str, str]) -> str:
    """DNS that has these TXT records, and the policy of the author domain, which accepts everything."""
    lines = [f'{name} TXT "{record}"' for name, record in records.items()]
    return "\n".join([*lines, '_dmarc.member.example TXT "v=DMARC1; p=none"'])


def judged(
    settings: Settings, message: bytes, dns: str = "", client: str = "192.0.2.1", **envelope: Unpack[Envelope]
) -> Outcome:
    """What the host makes of a message of a stranger."""
    headers, body = split(message)
    talk = Talk(dns, settings=settings, client=client, now=NOW)
    return talk.send(headers, body, **({"mail_from": "<ann@member.example>"} | envelope))


def header_after(outcome: Outcome, headers: Headers) -> Headers:
    """The header as the next host gets it: fields removed, added and sealed as Postfix does it."""
    kept = list(headers)
    for name, instance in sorted(outcome.remove, reverse=True):
        del kept[[at for at, each in enumerate(kept) if each.name.lower() == name.lower().encode()][instance - 1]]
    new = [*(outcome.seal.fields if outcome.seal else ()), *outcome.add]
    return Headers([*(Field(name.encode(), crlf(b" " + value.encode())) for name, value in new), *kept])


def passed_on(outcome: Outcome, message: bytes) -> bytes:
    """The message as the next host gets it."""
    headers, body = split(message)
    fields = header_after(outcome, headers)
    return b"".join(name + b":" + value + b"\r\n" for name, value in fields) + b"\r\n" + body


def through(message: bytes, *hosts: Settings, dns: str | None = None) -> bytes:
    """The message after it went through these hosts, each of which seals it."""
    for each in hosts:
        found = judged(each, message, zone(published(*hosts)) if dns is None else dns)
        assert found.seal
        assert found.seal.by, found.seal
        message = passed_on(found, message)
    return message


def ours(message: bytes, dns: str) -> arc.Arc:
    """What our own validator says of the chain."""
    return validated(*split(message), dns)


def validated(headers: Headers, content: bytes, dns: str) -> arc.Arc:
    """The same of a message taken apart."""
    chain = arc.chain(headers, LIMITS)
    body = dkim.Body(arc.body_requests(chain))
    body.update(content)
    resolve = Deadline(Zone(dns, limits=LIMITS), float("inf"), lambda: 0.0)
    return arc.check(chain, dkim.HeaderHashes(headers, Work(LIMITS)), body.finish(), resolve, LIMITS)


def dkimpys(message: bytes, records: Mapping[str, str]) -> str:
    """What dkimpy says of the chain: ``none``, ``pass``, ``fail``, or ``ended`` if a seal says that it failed."""

    def answer(name: bytes, **_: object) -> bytes | None:
        record = records.get(name.decode().rstrip("."))
        return record.encode() if record else None

    status, _, _ = dkimpy.arc_verify(message, dnsfunc=answer)
    return status.decode() if status else "ended"
