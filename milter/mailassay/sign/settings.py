"""What ``sign:`` of the configuration says: which domains sign, with which keys, who is believed, what is sealed."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, NamedTuple

from ..config_key import Key
from ..domain import Domain

ACTIVE = "active"
"""In place of the selectors of a domain: those keys sign that are active by its file of keys."""


class Believed(StrEnum):
    """What has to agree with the author of a message before it is signed."""

    ENVELOPE = "envelope"
    LOGIN = "login"
    ANY = "any"


class Unsignable(StrEnum):
    """What happens to a message of our own that cannot be signed."""

    SEND = "send"
    DEFER = "defer"
    REJECT = "reject"


class Seal(StrEnum):
    """Which incoming mail is sealed."""

    NONE = "none"
    ALL = "all"


class KeyName(NamedTuple):
    """A key by its domain and its selector."""

    domain: Domain
    selector: str

    def __str__(self) -> str:
        return f"{self.domain}/{self.selector}"


@dataclass(frozen=True, slots=True)
class Selectors:
    """The keys of one domain; None for those that are active by its file of keys.

    ``written`` is the domain as the file has it, for messages about its line.
    """

    keys: Annotated[
        tuple[str, ...] | None,
        Key(
            "The selectors of the keys that sign for the domain. Each of them signs every message. A domain with a "
            "list alone has these keys. `active` stands for those that are active by the file `DOMAIN/keys.json` in "
            "`sign.directory`, which `mailassay key` keeps.",
        ),
    ]
    written: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Sign:
    """How outgoing mail is signed. Nothing is signed if there are no ``domains``.

    ``logins`` has the addresses of each login.
    """

    domains: Annotated[
        Mapping[Domain, Selectors],
        Key(
            "The domains that sign, each with its selectors: `example.org: [2026a, 2026b]`. A message is signed for "
            "the domain of its author, if that is in this map, and with every key of that domain. An RSA key and an "
            "Ed25519 key beside it give two signatures (RFC 8463). `example.org: active` leaves the choice to "
            "`mailassay key rotate`. There is no key for all domains, and no wildcard.",
        ),
    ] = field(default_factory=dict)
    directory: Annotated[
        str,
        Key(
            "The folder of the private keys. The key of a selector is the file `DOMAIN/SELECTOR.pem` in it, with the "
            "domain in A-labels: PKCS#8 in PEM, not encrypted, RSA with 1024 to 4096 bits or Ed25519. The keys are "
            "read at start and at a reload, by the user of the service. If one cannot be used, the configuration has "
            "a mistake, and a reload changes nothing.",
        ),
    ] = "/etc/mailassay/keys"
    subdomains: Annotated[
        bool,
        Key(
            "Sign for author domains below a domain of `domains` too, with the keys of the nearest one. DMARC then "
            "passes unless the domain asks for strict alignment (`adkim=s`).",
        ),
    ] = False
    believed: Annotated[
        Believed,
        Key(
            "What has to agree with the author before a message is signed. `envelope`: MAIL FROM leads to the same "
            "domain of `domains`: it is of that domain, or with `subdomains: true` of one below it. A host for "
            "bounces below the domain needs `subdomains: true`. A null reverse-path is enough only for a client on "
            "this host that did not log in, such as Postfix itself with a bounce; a relay is not this host. "
            "Postfix has to see to it that a login uses its own MAIL FROM only (`reject_sender_login_mismatch`). "
            "`login`: the client logged in, and `logins` lets it use the address in From; no other message is "
            "signed. `any`: the author domain alone is enough.",
            name="from",
        ),
    ] = Believed.ENVELOPE
    logins: Annotated[
        Mapping[str, Container[str]],
        Key(
            "For `from: login`, the authors that each login may use: `anna: [anna@example.org, .example.com]`. Each "
            "is an address, a domain, or `.example.com` for a domain and every name below it; `anna@` is that "
            "local-part at every domain. A display name may have no other addresses than these. A login that is not "
            "UTF-8 matches none, so `?`, which the log shows for it, is no login.",
        ),
    ] = field(default_factory=dict)
    unsignable: Annotated[
        Unsignable,
        Key(
            "What happens to a message that should be signed and cannot be: its author is unclear, or `from` forbids "
            "it. `send` lets it out without a signature, `defer` and `reject` refuse it. A message with an author "
            "of another domain is refused only if the client logged in; one without a clear author if the client "
            "logged in, or if an author or MAIL FROM is of a domain of `domains`. With `from: login`, mail of this "
            "host itself without a login is never refused.",
        ),
    ] = Unsignable.SEND
    seal: Annotated[
        Seal,
        Key(
            "Which incoming mail gets an ARC seal (RFC 8617). `all`: every message that is judged and let in, also if "
            "it is tagged or put on hold. The seal has the results of this host, and no others. `none`: no message. "
            "ARC is experimental, and the IETF means to declare it historic. A seal is of use only to a host that "
            "trusts yours.",
        ),
    ] = Seal.NONE
    seal_as: Annotated[
        KeyName | None,
        Key(
            "The key that seals, as `DOMAIN/SELECTOR`: `example.org/2026a`. Its file is in `directory` like those of "
            "the others, and its record in DNS too. The domain need not be in `domains`. Take an RSA key, since some "
            "programs verify no seal by an Ed25519 key. `seal: all` needs it.",
        ),
    ] = None
