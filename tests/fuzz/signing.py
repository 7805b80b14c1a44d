"""Fuzzed messages that are signed or sealed: what we write on one, our own verifier accepts, or a word says why not.

An input is pieces that end with the octet 0xFF. The first octet of a piece says what it is: ``f`` a field, ``b`` a part
of the body, ``m`` MAIL FROM.
"""

from __future__ import annotations

import base64
from ipaddress import ip_address
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mailassay import arc as arcs
from mailassay import config
from mailassay import dkim as dkims
from mailassay.config import Settings
from mailassay.dkim import Work
from mailassay.domain import Domain
from mailassay.judge.outcome import Outcome
from mailassay.judge.session import Clocks, Session
from mailassay.limits import Limits
from mailassay.message import Field, Headers, crlf
from mailassay.policy import Policy
from mailassay.resolver import Deadline
from mailassay.sign import Believed, KeyName, Seal, Selectors, Sign, SigningKey, Unsealed, Unsigned
from mailassay.verdict import Action
from tests.lab.limits import LIMITS
from tests.lab.sealing import header_after

from .world import AUTHSERV_ID, NOW, PUBLIC, SECRET, Dns

OWN, SELECTOR = "own.test", "arc"
OTHER = "other.test"
"""A host whose key is the same, so that a seed can have a chain that passes."""
_PIECE = b"\xff"
_CLIENT = ip_address("198.51.100.66")
_PEM = Ed25519PrivateKey.from_private_bytes(base64.b64decode(SECRET)).private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
)
_RECORD = f"v=DKIM1; k=ed25519; p={PUBLIC}"
_KEY = SigningKey(Domain(OWN), SELECTOR, "ed25519-sha256", _PEM, _RECORD)
_DNS = Dns({(f"{SELECTOR}._domainkey.{name}", "TXT"): [_RECORD] for name in (OWN, OTHER)})
_CLOCKS = Clocks(now=lambda: NOW, monotonic=lambda: 0.0)
# what verifies has no limit that an input of this size reaches
_WIDE = Limits(signature_work=1_000_000)
_SETTINGS = Settings(
    authserv_id=AUTHSERV_ID,
    message_timeout=0.0,
    dns=config.Dns(timeout=0.0),
    policy=Policy(limits=LIMITS),
    sign=Sign({Domain(OWN): Selectors((SELECTOR,))}, believed=Believed.ANY, seal=Seal.ALL,
              seal_as=KeyName(Domain(OWN), SELECTOR)),
    signing_keys={Domain(OWN): (_KEY,)},
    sealing_key=_KEY,
)  # fmt: skip


class _Message(NamedTuple):
    fields: list[Field]
    body: bytes
    mail_from: str

    @property
    def headers(self) -> Headers:
        return Headers(Field(name, crlf(value)) for name, value in self.fields)


def _message(data: bytes) -> _Message:
    """Read an input; every input is one."""
    fields, body, mail_from = [], [], ""
    for piece in data.split(_PIECE):
        kind, rest = piece[:1], piece[1:]
        name, colon, value = rest.partition(b":")
        if kind == b"f" and colon and name and all(33 <= octet <= 126 for octet in name):
            fields.append(Field(name, value))
        elif kind == b"b":
            body.append(rest)
        elif kind == b"m":
            mail_from = rest.decode("utf-8", "surrogateescape")
    return _Message(fields, b"".join(body), mail_from)


def signed(data: bytes) -> None:
    """One message, of a user and of a stranger."""
    message = _message(data)
    _check_signed(_outcome(message, "anna"), message)
    _check_sealed(_outcome(message, ""), message)


def _outcome(message: _Message, login: str) -> Outcome:
    talk = Session(_SETTINGS, _DNS, AUTHSERV_ID, _CLOCKS)
    talk.connect(None if login else _CLIENT, local=bool(login))
    talk.mail_from(message.mail_from, login)
    for each in message.fields:
        talk.header(*each)
    talk.end_of_headers()
    # in two pieces, as a line end may be
    middle = len(message.body) // 2
    for piece in (message.body[:middle], message.body[middle:]):
        if not talk.body(piece):
            break
    return talk.end_of_message()


def _check_signed(outcome: Outcome, message: _Message) -> None:
    if outcome.verdict.action is Action.REJECT:
        assert outcome.verdict.rule == "forged_fields"
        return
    assert bool(outcome.signed_by) != bool(outcome.unsigned)
    if outcome.unsigned:
        assert outcome.unsigned in Unsigned
        assert not outcome.signatures
        return
    new = [Field(b"DKIM-Signature", crlf(b" " + each.encode())) for each in outcome.signatures]
    headers = Headers([*new, *header_after(outcome, message.headers)])
    found = dkims.signatures(headers, LIMITS)[: len(new)]
    body = dkims.Body([each.body for each in found if not each.problem])
    body.update(message.body)
    resolve = Deadline(_DNS, 0.0, lambda: 0.0)
    hashes, bodies = dkims.HeaderHashes(headers, Work(_WIDE), repeated_fail=True), body.finish()
    results = [dkims.check(each, hashes, bodies, resolve, NOW, _WIDE) for each in found]
    assert [(each.result, each.domain) for each in results] == [("pass", OWN)] * len(new), results


def _check_sealed(outcome: Outcome, message: _Message) -> None:
    seal = outcome.seal
    if seal is None:
        assert outcome.verdict.action in (Action.DEFER, Action.REJECT)
        return
    assert bool(seal.by) != bool(seal.why)
    if seal.why:
        assert seal.why in set(Unsealed) - {Unsealed.ERROR}
        assert not seal.fields
        return
    headers = header_after(outcome, message.headers)
    assert [each.name.lower() for each in headers][:4] == [
        b"arc-seal", b"arc-message-signature", b"arc-authentication-results", b"authentication-results",
    ]  # fmt: skip
    assert arcs.newest(headers, Work(_WIDE)) == (seal.instance, seal.status == "fail")
    chain = arcs.chain(headers, _WIDE)
    body = dkims.Body(arcs.body_requests(chain))
    body.update(message.body)
    hashes = dkims.HeaderHashes(headers, Work(_WIDE))
    found = arcs.check(chain, hashes, body.finish(), Deadline(_DNS, 0.0, lambda: 0.0), _WIDE)
    assert found.result == ("fail" if seal.status == "fail" else "pass"), found
    assert (seal.instance == 1) or seal.status != "none"
