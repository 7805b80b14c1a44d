"""Files of signing keys, the settings that name them, and messages signed by them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import dkim as dkimpy
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mailassay.config import Settings
from mailassay.config.signing import with_keys
from mailassay.domain import Domain
from mailassay.message import Headers, split
from mailassay.result import Result
from mailassay.sign import Selectors, Sign, Signed, Signing, Submission
from tests.lab.limits import LIMITS
from tests.lab.talk import Talk

DOMAIN, RSA, ED = "example.org", "2026a", "2026b"
NOW = 1_700_000_000.7


@cache
def pem(kind: str = "rsa", name: str = "") -> bytes:
    """A private key as its file has it: ``rsa``, ``rsa1024``, ``ed25519``; ``name`` tells several of a kind apart."""
    del name
    private = Ed25519PrivateKey.generate() if kind == "ed25519" else rsa.generate_private_key(65537, _bits(kind))
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _bits(kind: str) -> int:
    return int(kind.removeprefix("rsa") or 2048)


def write(folder: Path, domain: str, selector: str, octets: bytes | None = None) -> Path:
    """A key file at its place."""
    place = folder / domain / f"{selector}.pem"
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(pem() if octets is None else octets)
    place.chmod(0o640)
    return place


def signing(folder: Path, domains: Mapping[str, tuple[str, ...]] | None = None, **more: Any) -> Settings:
    """Settings with keys: an RSA and an Ed25519 key for ``DOMAIN``, unless ``domains`` has others, of RSA."""
    if domains is None:
        domains = {DOMAIN: (RSA, ED)}
        write(folder, DOMAIN, RSA)
        write(folder, DOMAIN, ED, pem("ed25519"))
    else:
        for domain, selectors in domains.items():
            for selector in selectors:
                write(folder, domain, selector)
    found = {Domain(domain): Selectors(selectors, domain) for domain, selectors in domains.items()}
    settings = Settings(sign=Sign(found, str(folder), **more))
    with_them, problems = with_keys(settings, "mailassay.yaml")
    assert not problems
    return with_them


def records(settings: Settings) -> dict[str, str]:
    """The key records of all keys by their names."""
    return {
        f"{key.selector}._domainkey.{key.domain}": key.record for each in settings.signing_keys.values() for key in each
    }


def finished(settings: Settings, message: bytes, submission: Submission | None = None, **more: Any) -> Signed:
    """What becomes of a message."""
    headers, body = split(message)
    return finished_parts(settings, headers, body, submission, **more)


def finished_parts(
    settings: Settings, headers: Headers, body: bytes, submission: Submission | None = None, **more: Any
) -> Signed:
    """The same of a message taken apart; ``more`` is for ``Signing``, but ``judged`` for its end."""
    judged, limits = more.pop("judged", False), more.pop("limits", LIMITS)
    submission = submission or Submission(f"alice@{DOMAIN}")
    made = Signing(settings.sign, settings.signing_keys, headers, submission, limits, **more)
    if made.body.hungry:
        made.body.update(body)
    return made.finish(NOW, judged=judged)


def on_top(signed: Signed, message: bytes) -> bytes:
    """The message as Postfix sends it: the fields on top, lines ended by CRLF."""
    fields = "".join(f"DKIM-Signature: {each}\n" for each in signed.values)
    return fields.replace("\n", "\r\n").encode() + message


def dkimpy_says(settings: Settings, message: bytes) -> list[bool]:
    """What dkimpy thinks of each signature of a message, from the top."""
    known = records(settings)

    def answer(name: bytes, **_: object) -> bytes | None:
        record = known.get(name.decode().rstrip("."))
        return record.encode() if record else None

    def passes(at: int) -> bool:
        try:
            return bool(dkimpy.DKIM(message).verify(at, dnsfunc=answer))
        except dkimpy.ValidationError:
            # the body was changed
            return False

    return [passes(at) for at in range(message.lower().count(b"dkim-signature:"))]


def ours_says(settings: Settings, message: bytes) -> list[bool]:
    """Whether our own verifier lets each signature of a message pass, from the top."""
    zone = "\n".join(f'{name} TXT "{record}"' for name, record in records(settings).items())
    headers, body = split(message)
    evidence = Talk(zone).send([(each.name, each.value) for each in headers], body).evidence
    assert evidence
    return [each.result is Result.PASS for each in evidence.dkim]


def all_pass(settings: Settings, message: bytes) -> bool:
    """Is there a signature, and does each pass? Both verifiers have to agree."""
    theirs, ours = dkimpy_says(settings, message), ours_says(settings, message)
    assert theirs == ours, (theirs, ours, message)
    return all(theirs) and bool(theirs)


def renamed(settings: Settings, **more: Any) -> Settings:
    """The same keys with other settings of ``sign``."""
    return replace(settings, sign=replace(settings.sign, **more))
