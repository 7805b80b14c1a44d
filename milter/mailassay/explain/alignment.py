"""Why each domain that SPF or DKIM authenticated aligns with the author domain, or does not (RFC 9989 section 4.4)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from ..dmarc import Dmarc, How, Identifier
from ..domain import BadDomain, Domain
from ..evidence import Evidence
from ..policy import Partial
from ..result import Result


class Alignment(NamedTuple):
    """Whether an identifier aligns with the author domain, and why. ``mode`` is relaxed or strict."""

    identifier: Identifier
    aligned: bool
    mode: str
    words: str


def alignments(evidence: Evidence, partial: Partial) -> Iterator[Alignment]:
    """The alignment of each identifier, in words. ``partial`` is the policy's ``dkim.partial``."""
    dmarc, record = evidence.dmarc, evidence.dmarc.record
    if dmarc.disposition is None or dmarc.ambiguous or record is None:
        return
    found = dict(dmarc.alignment)
    for identifier, subject, useless in _identifiers(evidence, partial):
        strict = record.strict_spf if identifier.method == "spf" else record.strict_dkim
        words = f": {useless}" if useless else f", {_aligned(found.get(identifier), dmarc, identifier.method)}"
        mode = "strict" if strict else "relaxed"
        yield Alignment(identifier, identifier in dmarc.aligned, mode, subject + words)


def _identifiers(evidence: Evidence, partial: Partial) -> Iterator[tuple[Identifier, str, str]]:
    """Each identifier, its description, and why DMARC cannot use it; empty if it can."""
    spf = evidence.spf
    with suppress(BadDomain):
        identifier = Identifier("spf", Domain(spf.domain), spf.result)
        yield identifier, f"SPF {_word(spf.result)} for {spf.domain}", _useless(spf.result)
    for each in evidence.dkim:
        if each.domain is None:
            continue
        useless = _useless(each.result)
        if not useless and each.testing:
            useless = "its key is being tested (t=y), so it counts as unsigned"
        elif not useless and each.partial and partial is Partial.IGNORE:
            useless = "it leaves a part of the body unsigned (l=), so it does not count (dkim.partial)"
        yield Identifier("dkim", each.domain, each.result), f"DKIM {_word(each.result)} for {each.domain}", useless


def _word(result: Result) -> str:
    return "passed" if result is Result.PASS else "failed" if result is Result.FAIL else f"gives {result}"


def _useless(result: Result) -> str:
    return "" if result is Result.PASS else "nothing to align"


def _aligned(how: How | None, dmarc: Dmarc, method: str) -> str:
    """Whether an authenticated domain aligns with the author domain, in words."""
    author = dmarc.header_from
    match how:
        case How.SAME:
            return "which is the author domain: aligned"
        case How.STRICT:
            tag = "aspf" if method == "spf" else "adkim"
            return f"which is not {author} itself: not aligned (strict, {tag}=s)"
        case How.ORGANIZATION:
            return f"which is in the organization of {dmarc.org_domain}: aligned (relaxed)"
        case How.PUBLIC_SUFFIX:
            return f"which the public suffix {dmarc.public_suffix} keeps apart from {author}: not aligned"
        case None:
            return "which is not looked at: there are more than limits.identifiers"
        case _:
            return f"which is not in the organization of {dmarc.org_domain or author}: not aligned (relaxed)"
