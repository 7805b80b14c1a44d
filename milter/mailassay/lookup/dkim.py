"""The keys of a domain: RFC 6376 section 3.6, RFC 8301, RFC 8463. DNS does not list selectors, so some are tried."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..dkim import Fault
from ..dkim.key import BadKey, parse
from ..dkim.signature import BadSignature, tag_list
from ..dkim.verify import NO_KEY
from ..domain import BadDomain, Domain, a_labels
from ..finding import Severity
from ..limits import Limits
from ..resolver import DnsTempError, Resolver
from . import fix
from .fix import Fixed, fixed
from .problem import Change, Problem, error, note, warning

WELL_KNOWN = (
    "default", "dkim", "mail", "email", "smtp", "key1", "key2", "dkim1", "s1", "s2", "sig1", "k1", "k2", "k3",
    "selector1", "selector2", "google", "20230601", "fm1", "fm2", "fm3", "protonmail", "protonmail2", "protonmail3",
    "zoho", "zmail", "mxvault", "mandrill", "mailjet", "pm", "cm", "ed25519",
)  # fmt: skip
"""Tried if no selector is given: defaults of programs, and the selectors of large providers."""

EVERY = "*"
_GOOD_BITS = 2048  # RFC 8301 section 3.2: signers SHOULD use at least
_SURE_BITS = 4096  # and verifiers need not support more
_PUBLISH = "Publish the record that the signer has for this selector."
_RENEW = "Publish the record that the signer has for this selector, or make a 2048-bit key with a new selector."
_KEEP = "Keep one; another key needs its own selector."
_TAGS = ("k", "h", "s", "t", "n")


@dataclass(frozen=True, slots=True)
class Key:
    """The key at one selector (``*``: at each that was tried); ``name`` is its DNS name.

    ``kind`` is ``rsa`` or ``ed25519`` and ``bits`` its size; both are empty if the key cannot be used. ``error`` then
    says why, and ``fault`` in one word. ``testing`` is t=y, ``strict`` t=s; ``tags`` has k=, h=, s=, t= and n= as they
    are written. ``alias`` is the target of a CNAME at the name, if there is no record and the selector was given;
    ``exists`` then says whether the target exists.
    """

    selector: str
    name: str
    records: tuple[str, ...] = ()
    kind: str = ""
    bits: int = 0
    testing: bool = False
    strict: bool = False
    revoked: bool = False
    tags: tuple[tuple[str, str], ...] = ()
    authentic: bool = False
    error: str = ""
    trouble: str = ""
    alias: str = ""
    exists: bool | None = None
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Dkim:
    """The keys that exist at the selectors ``tried``; if selectors were ``given``, an entry for each.

    ``some``: other selectors may have keys, since names exist below ``_domainkey``; None if that is unknown.
    """

    tried: tuple[str, ...]
    given: bool
    keys: tuple[Key, ...] = ()
    some: bool | None = None


def key_name(selector: str, domain: Domain) -> Domain:
    """The DNS name of the key of a selector. Raises BadDomain."""
    return Domain(f"{a_labels(selector)}._domainkey.{domain}")


def look(domain: Domain, selectors: Sequence[str], resolve: Resolver, limits: Limits) -> Dkim:
    """The keys at these selectors; if none are given, at the well-known ones."""
    tried = tuple(selectors) or tuple(each for each in WELL_KNOWN if _fits(each, domain))
    keys = [_key(selector, domain, resolve, limits, given=bool(selectors)) for selector in tried]
    some = None
    try:
        some = resolve(f"_domainkey.{domain}", "TXT").exists
    except DnsTempError:
        # a key that exists shows it too
        some = True if any(key.records for key in keys) else None
    if not selectors:
        if keys and keys[0].records and len({key.records for key in keys}) == 1:
            # a wildcard
            keys = [replace(keys[0], selector=EVERY, name=f"*._domainkey.{domain}")]
        # below a wildcard that is not about keys, any record is there
        keys = [key for key in keys if key.trouble or any(name == "p" for name, _ in _tags(key.records))]
    return Dkim(tried, bool(selectors), tuple(keys), some)


def _fits(selector: str, domain: Domain) -> bool:
    """Is the name of the key short enough? Below a very long domain it is not."""
    try:
        return bool(key_name(selector, domain))
    except BadDomain:
        return False


def _key(selector: str, domain: Domain, resolve: Resolver, limits: Limits, *, given: bool) -> Key:
    key = Key(selector, key_name(selector, domain))
    try:
        answer = resolve(key.name, "TXT")
    except DnsTempError as trouble:
        return replace(key, trouble=str(trouble))
    records = answer.records[: limits.key_records]
    if not records:
        # aliases are not looked up for guessed selectors: there are too many
        alias = fix.alias(key.name, resolve) if given else ""
        missing = replace(key, error=NO_KEY, fault=Fault.NO_KEY)
        return replace(missing, authentic=answer.authentic, alias=alias, exists=answer.exists)
    tags = _tags(records)
    key = replace(
        key,
        records=records,
        authentic=answer.authentic,
        revoked=("p", "") in tags,
        tags=tuple((name, value) for name, value in tags if name in _TAGS),
    )
    if len(records[0]) > limits.record_octets:
        error = f"the key record has more than {limits.record_octets} octets"
        return replace(key, records=(), error=error, fault=Fault.LIMIT)
    try:
        found = parse(records[0])
    except BadKey as bad:
        return replace(key, error=str(bad), fault=bad.fault)
    return replace(key, kind=found.kind, bits=found.bits, testing=found.testing, strict=found.strict)


def _tags(records: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The tags of the first record, without white space around their values."""
    try:
        found = tag_list(records[0].encode("latin-1", "replace")) if records else {}
    except BadSignature:
        return ()
    return tuple((name.decode("latin-1"), value.decode("latin-1").strip()) for name, value in found.items())


def problems(found: Dkim, domain: Domain, resolve: Resolver, limits: Limits, *, sends_nothing: bool) -> list[Problem]:
    """The problems of the keys, and what to publish instead."""
    if not found.keys:
        return list(_of_none(found, sends_nothing=sends_nothing))
    wrong: list[Problem] = []
    for key in found.keys:
        of_key = list(_of_key(key, given=found.given))
        whose, at = f"DKIM key {key.selector}", key.name
        of_key = fix.doubled("dkim-doubled", whose, "dkim-missing", of_key, at, domain, resolve, _is_key)
        if of_key and key.selector != EVERY and (better := _fixed(key)):

            def again(answering: Resolver, key: Key = key) -> tuple[list[Problem], Fixed | None]:
                seen = _key(key.selector, domain, answering, limits, given=found.given)
                return list(_of_key(seen, given=found.given)), _fixed(seen)

            change = Change(str(key.name), "TXT", key.records, (better.text,))
            of_key = fixed(of_key, change, resolve, again, better.said)
        wrong += of_key
    return wrong


def _is_key(text: str) -> bool:
    return any(name == "p" for name, _ in _tags([text]))


def _fixed(key: Key) -> Fixed | None:
    """One record to replace all records at a selector, with one of their keys; None if none has a key."""
    found = next(filter(None, map(fix.dkim, key.records)), None)
    if found and len(key.records) > 1:
        return Fixed(found.text, (*found.said, "Keep one record; another key needs its own selector."))
    return found


def _of_none(found: Dkim, *, sends_nothing: bool) -> Iterator[Problem]:
    if not found.keys and not found.given and not sends_nothing:
        if found.some is False:
            yield warning(
                "dkim-none",
                "There is no DKIM key at any selector.",
                "Sign with DKIM: DMARC needs it if mail is forwarded.",
                "RFC 6376",
            )
        else:
            yield note(
                "dkim-unknown",
                f"No DKIM key at any of {len(found.tried)} well-known selectors; there may be others.",
                "Use --selector with the s= of one of the domain's DKIM-Signature fields.",
            )


def _of_key(key: Key, *, given: bool) -> Iterator[Problem]:
    yield from _unusable(key, given=given)
    for rule in _KEY_RULES:
        yield from rule(key)


def _whose(key: Key) -> str:
    return f"DKIM key {key.selector}"


def _unusable(key: Key, *, given: bool) -> Iterator[Problem]:
    """The reason why no signature with the key counts. A selector that was only guessed need not be in use."""
    if key.trouble:
        yield warning("dkim-unanswered", f"{_whose(key)} could not be looked up: {key.trouble}.")
    elif key.revoked:
        severity = Severity.ERROR if given else Severity.NOTE
        what = f"{_whose(key)} is revoked: no signature made with it counts."
        do = "Sign with a key at another selector." if given else ""
        yield Problem(severity, "dkim-revoked", what, do, "RFC 6376 section 3.6.1")
    elif key.alias:
        alias = fix.leads_nowhere(key.alias, "record", exists=key.exists)
        yield error(
            "dkim-alias",
            f"{_whose(key)}: {key.name} is an alias (CNAME) of {alias}.",
            f"Have the key published at {key.alias}, or replace the alias at {key.name} with it.",
            "RFC 6376 section 3.6.2",
        )
    elif not key.records and key.fault is Fault.NO_KEY:
        what = f"{_whose(key)}: there is no key at {key.name}."
        yield error("dkim-missing", what, _PUBLISH, "RFC 6376 section 3.6.2")
    elif key.error:
        severity = Severity.ERROR if given else Severity.WARNING
        what = f"{_whose(key)} cannot be used: {key.error}."
        yield Problem(severity, "dkim-unusable", what, _RENEW, _section(key.fault))


def _several(key: Key) -> Iterator[Problem]:
    if len(key.records) > 1:
        what = f"{_whose(key)}: there are several records, and receivers may try any of them."
        yield warning("dkim-several", what, _KEEP, "RFC 6376 section 3.6.2.2")


def _testing(key: Key) -> Iterator[Problem]:
    if key.testing:
        what = f"{_whose(key)} says t=y (testing): mail signed with it is treated as unsigned."
        yield warning("dkim-testing", what, "Remove t=y once signing works.", "RFC 6376 section 3.6.1")


def _size(key: Key) -> Iterator[Problem]:
    if key.kind == "rsa" and key.bits < _GOOD_BITS:
        do = f"Make a {_GOOD_BITS}-bit key with a new selector."
        yield warning("dkim-short", f"{_whose(key)} has only {key.bits} bits.", do, "RFC 8301 section 3.2")
    if key.kind == "rsa" and key.bits > _SURE_BITS:
        what = f"{_whose(key)} has {key.bits} bits, more than some receivers verify."
        yield warning("dkim-long", what, f"Use {_GOOD_BITS} bits.", "RFC 8301 section 3.2")


def _ed25519(key: Key) -> Iterator[Problem]:
    if key.kind == "ed25519":
        what = f"{_whose(key)} is Ed25519, which some receivers do not support."
        yield note("dkim-ed25519", what, "Sign with an RSA key as well.", "RFC 8463")


_KEY_RULES: list[Callable[[Key], Iterable[Problem]]] = [_several, _testing, _size, _ed25519]


def _section(fault: Fault | None) -> str:
    return "RFC 8301 section 3.2" if fault is Fault.KEY_SIZE else "RFC 6376 section 3.6.1"
