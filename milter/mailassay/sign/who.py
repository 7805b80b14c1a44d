"""Which domain signs a message, or why none does. A pure function of the author, the envelope and the settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from ..author import author
from ..authres.render import authserv_ids
from ..domain import BadDomain, Domain
from ..limits import Limits
from ..message import Headers
from .from_field import address_of
from .settings import Believed, Selectors, Sign


class Unsigned(StrEnum):
    """Why a message has no signature of ours: a closed vocabulary for the log and for programs."""

    AUTHOR = "author"  # From does not name one clear author domain
    DOMAIN = "domain"  # the author domain is none of ours
    ENVELOPE = "envelope"  # MAIL FROM belongs to another domain
    NO_LOGIN = "no_login"
    LOGIN = "login"  # the configuration does not know the login
    ADDRESS = "address"  # the login may not use the address in From
    LIMIT = "limit"  # the header is larger than what is looked at
    FIELDS = "fields"  # too many fields to sign
    JUDGED = "judged"  # the message has results of our organization: it came from outside
    SIGNED = "signed"  # by these keys already, and nothing was changed since

    @property
    def words(self) -> str:
        """The same in words."""
        return _WORDS[self]


_WORDS = {
    Unsigned.AUTHOR: "From does not name one clear author domain",
    Unsigned.DOMAIN: "the configuration has no keys for the author domain",
    Unsigned.ENVELOPE: "MAIL FROM belongs to another domain than the author",
    Unsigned.NO_LOGIN: "the client did not log in",
    Unsigned.LOGIN: "the configuration does not know the login",
    Unsigned.ADDRESS: "the login may not use the address in From",
    Unsigned.LIMIT: "the header is larger than what is looked at",
    Unsigned.FIELDS: "the header repeats fields too often",
    Unsigned.JUDGED: "the message has results of our own hosts, so it came from outside",
    Unsigned.SIGNED: "the message has our signature already",
}


@dataclass(frozen=True, slots=True)
class Submission:
    """Who hands a message over: MAIL FROM without angle brackets, the login (SASL), and whether it is this host.

    A relay that brings the message of another client is neither a login nor this host.
    """

    mail_from: str
    login: str = ""
    local: bool = False


class Signer(NamedTuple):
    """The domain of ``domains`` that the author leads to, and why it does not sign; ``why`` is None if it does.

    ``ours``: the message should be signed, so it is for ``unsignable`` if it is not.
    """

    domain: Domain | None
    why: Unsigned | None
    ours: bool


def signer(headers: Headers, submission: Submission, settings: Sign, limits: Limits, *, cut: bool = False) -> Signer:
    """Who signs. ``cut``: not all fields of the header were kept."""
    found = _signer(headers, submission, settings, limits, cut=cut)
    if found.why and settings.believed is Believed.LOGIN and submission.local and not submission.login:
        # bounces, cron and what a filter hands back have no login, and nobody who could use another address
        return found._replace(ours=False)
    return found


def was_judged(headers: Headers, settings: Sign) -> bool:
    """Has a host of a domain that signs written its results? It judged the message, which came from outside."""
    return any(_nearest(each, settings.domains, below=True) for each in authserv_ids(headers))


def _signer(headers: Headers, submission: Submission, settings: Sign, limits: Limits, *, cut: bool) -> Signer:
    found = author(headers, limits)
    candidates = [_nearest(each, settings.domains, below=settings.subdomains) for each in found.domains]
    # what readers see as From inside another field is none that a signature can cover (RFC 6376 section 5.4)
    if found.fault or len(candidates) != 1 or len(headers.places(b"from")) != 1:
        ours = bool(submission.login) or any(candidates) or bool(_of_envelope(submission.mail_from, settings))
        return Signer(None, Unsigned.AUTHOR, ours=ours)
    [domain] = candidates
    if domain is None:
        return Signer(None, Unsigned.DOMAIN, ours=bool(submission.login))
    if cut:
        # a signature covers the lowest fields, and they are the ones that were left out
        return Signer(None, Unsigned.LIMIT, ours=True)
    return Signer(domain, _not_believed(headers, domain, submission, settings), ours=True)


def _nearest(name: Domain, domains: Mapping[Domain, Selectors], *, below: bool) -> Domain | None:
    """The domain among these that a name is, or with ``below`` the nearest one that it is below."""
    return next((each for each in (name, *(name.parents() if below else ())) if each in domains), None)


def _not_believed(headers: Headers, domain: Domain, submission: Submission, settings: Sign) -> Unsigned | None:
    if settings.believed is Believed.ANY:
        return None
    if settings.believed is Believed.LOGIN:
        return _not_of_login(headers, submission.login, settings)
    if not submission.mail_from:
        return None if submission.local and not submission.login else Unsigned.ENVELOPE
    return None if _of_envelope(submission.mail_from, settings) == domain else Unsigned.ENVELOPE


def _of_envelope(mail_from: str, settings: Sign) -> Domain | None:
    """The domain of ``domains`` that MAIL FROM leads to, by the rule for authors."""
    _, at, name = mail_from.rpartition("@")
    try:
        return _nearest(Domain(name), settings.domains, below=settings.subdomains) if at else None
    except BadDomain:
        return None


def _not_of_login(headers: Headers, login: str, settings: Sign) -> Unsigned | None:
    if not login:
        return Unsigned.NO_LOGIN
    if login not in settings.logins:
        return Unsigned.LOGIN
    [field] = headers.named(b"from")
    may_use = settings.logins[login]
    address = address_of(field.value, may_use)
    return None if address and address in may_use else Unsigned.ADDRESS
