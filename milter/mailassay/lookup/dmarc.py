"""The DMARC tree walk, the policies that follow from it, and where reports go. RFC 9989, RFC 9990."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from urllib.parse import unquote

from ..dmarc import Disposition, questions
from ..dmarc.discovery import Walk, names, walk
from ..dmarc.record import Record, is_record, tags
from ..domain import BadDomain, Domain
from ..limits import Limits
from ..resolver import DnsTempError, Resolver
from . import fix
from .asking import start
from .fix import Fixed, fixed
from .problem import Change, Problem, error, note, warning

MAX_REPORTS = 10  # addresses that are examined
_MAX_TAGS = 30  # of a record that are examined
_SOME = "x"  # any label
_ASKS = re.compile(r"(?:\A|[;,\s])[\W]*p\s*[=:]\s*(?:none|quarantine|reject)\b", re.IGNORECASE | re.ASCII)
_ADD_RUA = "Add rua=mailto: and an address, to learn who sends as the domain."
_FIRST = "v=DMARC1; p=none; rua=mailto:postmaster"
_HISTORIC = ("pct", "rf", "ri")
_KNOWN = {
    "v": None,
    **dict.fromkeys(("p", "sp", "np"), fix.POLICIES),
    "adkim": ("r", "s"),
    "aspf": ("r", "s"),
    "psd": ("y", "n", "u"),
    "t": ("y", "n"),
    "fo": None,
    "rua": None,
    "ruf": None,
}


@dataclass(frozen=True, slots=True)
class Step:
    """One question of the walk: the DMARC records at a ``name``, and those that only look like one (``malformed``).

    ``exists`` is None if there was no answer. ``needed`` is False if the walk had ended below. ``alias`` is the target
    of a CNAME at the domain's own name, if there is no record.
    """

    name: str
    records: tuple[str, ...] = ()
    malformed: tuple[str, ...] = ()
    exists: bool | None = None
    needed: bool = True
    authentic: bool = False
    trouble: str = ""
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What receivers are asked to do with mail that fails: the ``tag``, and the domain whose record has it (``at``).

    ``lowered``: by t=y.
    """

    policy: Disposition
    tag: str
    at: Domain
    lowered: bool = False


@dataclass(frozen=True, slots=True)
class Reports:
    """An address of ``rua`` or ``ruf`` (``tag``); ``host`` is its domain, empty if it has none.

    ``external``: in another organization, which has to agree by a record at ``consent`` (RFC 9990 section 4);
    ``authorized`` says if it does, None if that is unknown.
    """

    tag: str
    uri: str
    host: str = ""
    external: bool = False
    consent: str = ""
    authorized: bool | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Dmarc:
    """What receivers are asked to do about the domain, a subdomain without a record, and one that does not exist.

    They are None if there is no policy, or if ``trouble`` keeps it unknown. ``strict_dkim``, ``strict_spf`` and ``psd``
    are those of the record that applies. ``misplaced`` has DMARC records at the domain itself.
    """

    steps: tuple[Step, ...]
    org_domain: Domain | None = None
    domain_asks: Asked | None = None
    below_asks: Asked | None = None
    missing_asks: Asked | None = None
    strict_dkim: bool = False
    strict_spf: bool = False
    psd: str = "u"
    reports: tuple[Reports, ...] = ()
    misplaced: tuple[str, ...] = ()
    trouble: str = ""


def look(domain: Domain, resolve: Resolver, limits: Limits) -> Dmarc:
    """Walk the tree for the domain, and for a subdomain that does not exist."""
    steps = tuple(_step(name, resolve, own=place == 0) for place, name in enumerate(questions(domain, limits)))
    misplaced: tuple[str, ...] = ()
    with suppress(DnsTempError):
        misplaced = tuple(filter(_is_nearly, resolve(domain, "TXT").records))
    whole = None
    with suppress(DnsTempError):
        whole = walk(domain, resolve, limits)
    try:
        # trouble above the domain's own record does not affect its policy
        found = whole or walk(domain, resolve, limits, for_policy=True)
        exists = found.policy is None or found.policy[0] == domain or resolve(domain, "A").exists
    except DnsTempError as trouble:
        return Dmarc(steps, misplaced=misplaced, trouble=str(trouble))
    if whole:
        walked = {step.question for step in whole.steps}
        steps = tuple(replace(step, needed=step.name in walked) for step in steps)
    dmarc = Dmarc(steps, domain_asks=_asked(found, exists=exists), misplaced=misplaced)
    if whole:
        below = _below(whole, limits)
        dmarc = replace(
            dmarc,
            org_domain=whole.org_domain,
            below_asks=_asked(below, exists=True) if below else None,
            missing_asks=_asked(below, exists=False) if below else None,
        )
    if found.policy:
        at, record = found.policy
        dmarc = replace(
            dmarc,
            strict_dkim=record.strict_dkim,
            strict_spf=record.strict_spf,
            psd=record.psd,
            reports=tuple(_reports(at, record, resolve, limits)),
        )
    return dmarc


def _step(name: str, resolve: Resolver, *, own: bool) -> Step:
    try:
        answer = resolve(name, "TXT")
    except DnsTempError as trouble:
        return Step(name, trouble=str(trouble))
    records = tuple(text for text in answer.records if is_record(text))
    malformed = tuple(
        text
        for text in answer.records
        if (_is_nearly(text) or _ASKS.search(text[: fix.LONGEST])) and not is_record(text)
    )
    alias = "" if answer.records or not own else fix.alias(name, resolve)
    return Step(name, records, malformed, answer.exists, authentic=answer.authentic, alias=alias)


def _is_nearly(text: str) -> bool:
    return any(part.startswith("v=dmarc") for part in "".join(text.lower().split()).strip("\"'").split(";"))


def _asked(found: Walk, *, exists: bool) -> Asked | None:
    if found.policy is None or not found.policy[1].usable:
        return None
    at, record = found.policy
    tag, policy = ("p", record.for_author()) if at == found.start else record.below(exists)
    return Asked(policy.lowered() if record.testing else policy, tag, at, record.testing)


def _below(found: Walk, limits: Limits) -> Walk | None:
    """The walk of a name below, which has no record itself; None if no name can be below."""
    try:
        start = Domain(f"{_SOME}.{found.start}")
    except BadDomain:
        return None
    on_its_way = names(start, limits)
    return Walk(start, tuple(each for each in found.records if each[0] in on_its_way))


def _reports(domain: Domain, record: Record, resolve: Resolver, limits: Limits) -> Iterator[Reports]:
    wanted = [("rua", uri) for uri in record.rua]
    if record.psd != "y":
        # RFC 9991 section 5
        wanted += [("ruf", uri) for uri in record.ruf]
    for tag, uri in wanted[:MAX_REPORTS]:
        yield _report(Reports(tag, uri), domain, resolve, limits)


def _report(report: Reports, domain: Domain, resolve: Resolver, limits: Limits) -> Reports:
    host = _mail_host(report.uri)
    if host is None or host == domain:
        return replace(report, host=host or "")
    report = replace(report, host=host)
    try:
        consent = Domain(f"{domain}._report._dmarc.{host}")
    except BadDomain:
        return replace(report, external=True, trouble="the name where it would agree is too long")
    start(((name, "TXT") for name in (consent, *questions(host, limits))), resolve)
    try:
        if walk(domain, resolve, limits).org_domain == walk(host, resolve, limits).org_domain:
            return report
        report = replace(report, external=True, consent=consent)
        return replace(report, authorized=any(map(is_record, resolve(consent, "TXT").records)))
    except DnsTempError as error:
        return replace(report, trouble=str(error))


def _mail_host(uri: str) -> Domain | None:
    scheme, _, address = uri.partition(":")
    try:
        return Domain(unquote(address.partition("?")[0]).rpartition("@")[2]) if scheme.lower() == "mailto" else None
    except BadDomain:
        return None


def problems(found: Dmarc, domain: Domain, resolve: Resolver, limits: Limits) -> list[Problem]:
    """The problems of the record, and what to publish instead."""
    wrong = list(_problems(found, domain))
    own = found.steps[0]
    wrong = fix.doubled("dmarc-doubled", "DMARC record", "dmarc-none", wrong, own.name, domain, resolve, is_record)
    for step in found.steps if own.name == f"_dmarc.{domain}" else ():
        better = _fixed(step, own_domain=step is own, found=found)
        if better and step.needed:
            name = step.name

            def again(answering: Resolver, name: str = name) -> tuple[list[Problem], Fixed | None]:
                seen = look(domain, answering, limits)
                at = next(each for each in seen.steps if each.name == name)
                return list(_problems(seen, domain)), _fixed(at, own_domain=at is seen.steps[0], found=seen)

            change = Change(name, "TXT", (*step.records, *step.malformed), (better.text,))
            wrong = fixed(wrong, change, resolve, again, better.said)
    return wrong


def _fixed(step: Step, *, own_domain: bool, found: Dmarc) -> Fixed | None:
    """One record to replace all records at a name; None if there is none."""
    texts = (*step.records, *step.malformed)
    better = fix.dmarc(texts, _KNOWN)
    if not better:
        return None
    asks, missing = found.domain_asks, found.missing_asks
    if own_domain and asks and missing and missing.at == asks.at and _weight(missing.policy) < _weight(asks.policy):
        better = fix.with_tag(better, "np", "reject")
    if step.malformed:
        said = 'Begin with "v=DMARC1;", in these letters, and nothing before it.'
        better = Fixed(better.text, (said, *better.said))
    return better


def _problems(found: Dmarc, domain: Domain) -> Iterator[Problem]:
    """The problems of the record, without fixes."""
    for text in found.misplaced:
        yield warning(
            "dmarc-misplaced",
            f'"{text[:60]}" stands at {domain}, where nobody looks for it.',
            f"Remove it: the record that counts is at _dmarc.{domain}."
            if found.steps[0].records
            else f"Move it to _dmarc.{domain}.",
            "RFC 9989 section 4.7",
            _moved(text, domain, found.steps[0]),
        )
    owned = found.org_domain or domain
    for step in found.steps:
        # the owner cannot fix the record of a registry
        if step.needed and Domain(step.name.removeprefix("_dmarc.")).is_within(owned):
            yield from _of_step(step)
    if found.trouble:
        yield warning("dmarc-unknown", f"The DMARC policy could not be looked up: {found.trouble}.")
    elif not found.domain_asks and not any(step.records for step in found.steps):
        yield warning(
            "dmarc-none",
            "There is no DMARC policy: receivers are told nothing about mail that only claims to be from the domain.",
            ""
            if any(step.malformed for step in found.steps) or found.misplaced
            else f'Publish one at _dmarc.{domain}, at first "{_FIRST}@{domain}", or with another address that gets the'
            " reports, to see who sends.",
            "RFC 9989 section 4.7",
        )
    own = found.steps[0]
    idle = sorted({"sp", "np"} & tags(own.records[0]).keys()) if len(own.records) == 1 else []
    if idle and found.org_domain not in (domain, None):
        yield warning(
            "dmarc-idle",
            f"{' and '.join(f'{tag}=' for tag in idle)} at {own.name} without effect, since {found.org_domain} is the"
            " organizational domain.",
            f"Put it into the record of {found.org_domain}, or say psd=n in this one.",
            "RFC 9989 section 4.7",
        )
    if found.domain_asks and not found.domain_asks.at.is_within(owned):
        yield warning(
            "dmarc-registry",
            f"There is no DMARC policy but that of {found.domain_asks.at}, which is for all domains below it.",
            f"Publish one at _dmarc.{owned}.",
            "RFC 9989 section 4.10.1",
        )
        return
    yield from _of_policy(found)
    for report in found.reports:
        yield from _of_report(report)


def _moved(text: str, domain: Domain, own: Step) -> tuple[Change, ...]:
    """The changes that move a record from the domain itself."""
    away = Change(str(domain), "TXT", (text,), ())
    if own.records or own.malformed:
        return (away,) if own.records else ()
    better = fix.dmarc([text], _KNOWN)
    return (away, Change(own.name, "TXT", (), (better.text,))) if better else ()


def _of_step(step: Step) -> Iterator[Problem]:
    if step.alias:
        yield error(
            "dmarc-alias",
            f"{step.name} is an alias (CNAME) of {fix.leads_nowhere(step.alias, 'record', exists=step.exists)}.",
            f"Have the record published at {step.alias}, or a record of your own in place of the alias.",
            "RFC 1034 section 3.6.2",
        )
    for text in step.malformed:
        yield error(
            "dmarc-malformed",
            f'"{text[:60]}" at {step.name} looks like a DMARC record, and is none.',
            'A DMARC record begins with "v=DMARC1;", in these letters, and nothing before it.',
            "RFC 9989 section 4.8",
        )
    if len(step.records) > 1:
        yield error(
            "dmarc-several",
            f"There are {len(step.records)} DMARC records at {step.name}: none of them counts.",
            "Make one record of them.",
            "RFC 9989 section 4.10",
        )
    elif step.records:
        yield from _twice(step.name, step.records[0])
        yield from _of_parts(step.name, step.records[0])
        yield from _of_tags(step.name, tags(step.records[0]))


def _twice(name: str, record: str) -> Iterator[Problem]:
    written = [tag.partition("=")[0].strip(" \t").lower() for tag in record.split(";")]
    if twice := [f"{tag[:20]}=" for tag in tags(record) if written.count(tag) > 1][:_MAX_TAGS]:
        yield warning(
            "dmarc-tag-twice",
            f"{', '.join(twice)} at {name} more than once, which makes a tag list invalid: some receivers pass over the"
            " record, others take one of them, mailassay the first.",
            "Keep one.",
            "RFC 6376 section 3.2",
        )


def _of_parts(name: str, record: str) -> Iterator[Problem]:
    """Problems of the parts that are not tags: receivers ignore them (section 4.8)."""
    for part in [each.strip() for each in record.split(";")[:_MAX_TAGS]]:
        if not part or "=" in part.partition(":")[0]:
            continue
        written = re.match(r"([a-z]+)\s*[:\s]", part, re.IGNORECASE)
        if written and written[1].lower() in _KNOWN:
            tag = written[1].lower()
            do = f'Write {tag}= in place of "{written[0].strip()}".'
            what = f'"{part[:60]}" at {name} is no tag, and is passed over: "=" stands between a tag and its value.'
            yield error("dmarc-no-tag", what, do, "RFC 9989 section 4.8")
        elif "=" not in part:
            what = f'"{part[:60]}" at {name} is no tag, and is passed over.'
            yield warning("dmarc-no-tag", what, "Remove it.", "RFC 9989 section 4.8")


def _of_tags(name: str, found: dict[str, str]) -> Iterator[Problem]:
    for tag, value in [*found.items()][:_MAX_TAGS]:
        allowed = _KNOWN.get(tag)
        if tag in ("p", "sp", "np") and allowed and value.lower() not in allowed:
            yield error(
                "dmarc-policy",
                f"{tag}={value[:30]} at {name} is no policy: the record asks for nothing.",
                "It is none, quarantine or reject.",
                "RFC 9989 section 4.10.1",
            )
        elif allowed and value.lower() not in allowed:
            do = f"It is {' or '.join(allowed)}."
            yield warning("dmarc-tag", f"{tag}={value[:30]} at {name} is not understood.", do, "RFC 9989 section 4.7")
        elif tag in _HISTORIC:
            yield note(
                "dmarc-historic",
                f"{tag}= at {name} is historic: receivers pass over it"
                + (
                    ", and older ones apply the policy to a part of the mail."
                    if tag == "pct" and value != "100"
                    else "."
                ),
                "Remove it; t=y is for trying a policy out." if tag == "pct" and value != "100" else "Remove it.",
                "RFC 9989 appendix A.6" if tag == "pct" else "RFC 9989 section 4.7",
            )
        elif tag not in _KNOWN:
            meant = get_close_matches(tag, _KNOWN, 1)
            do = f"{meant[0]}= may be meant." if meant else "Remove it."
            yield note(
                "dmarc-tag-unknown", f"{tag[:20]}= at {name} is a tag that nobody knows.", do, "RFC 9989 section 4.7"
            )
    for tag in ("rua", "ruf"):
        for part in found[tag].split(",")[:MAX_REPORTS] if tag in found else []:
            if not (alone := Record.parse(f"v=DMARC1; {tag}={part}")) or not (alone.rua or alone.ruf):
                do = "Write mailto: and the address, several with a comma between them."
                what = f'{tag}= at {name} has "{part.strip()[:60]}", which is no URI: no reports go there.'
                yield error("dmarc-uri", what, do, "RFC 9989 section 4.7")
    options = found.get("fo", "0").lower()
    alone = Record.parse(f"v=DMARC1; ruf=mailto:x@example.org; fo={options}")
    if alone and alone.fo != options:
        do = "It is 0, 1, d or s, several with a colon between them."
        yield warning("dmarc-tag", f"fo={options[:30]} at {name} is not understood.", do, "RFC 9989 section 4.7")
    if "p" not in found:
        what = f"The record at {name} has no p=, and asks for nothing."
        yield warning("dmarc-no-p", what, "Add p=none, p=quarantine or p=reject.", "RFC 9989 section 4.7")


def _of_policy(found: Dmarc) -> Iterator[Problem]:
    asks, below, missing = found.domain_asks, found.below_asks, found.missing_asks
    has_rua = any(report.tag == "rua" for report in found.reports)
    if not asks:
        return
    if asks.policy is Disposition.NONE:
        so = "t=y lowers the policy to" if asks.lowered else f"{asks.tag}=none asks for"
        if has_rua:
            do = "When the reports show that all mail of your own passes, ask for quarantine or reject."
            yield note("dmarc-monitor", f"DMARC only watches: {so} nothing to be done with mail that fails.", do)
        else:
            yield warning(
                "dmarc-idle-none",
                f"DMARC has no effect: {so} nothing, and no reports are asked for.",
                _ADD_RUA,
                "RFC 9989 section 4.7",
            )
    elif asks.lowered:
        yield note(
            "dmarc-testing",
            f"t=y lowers the policy to {asks.policy}.",
            "Remove it when all is well.",
            "RFC 9989 section 4.7",
        )
    if missing and _weight(missing.policy) < _weight(asks.policy):
        all_of_them = below and _weight(below.policy) < _weight(asks.policy)
        what = "Subdomains are" if all_of_them else "A subdomain that does not exist is"
        yield warning(
            "dmarc-subdomains",
            f"{what} less protected than the domain: {missing.tag}= at {missing.at} asks for {missing.policy}.",
            "Say np=reject there at least: no honest mail comes from names that do not exist.",
            "RFC 9989 section 4.7",
        )
    if asks.policy is not Disposition.NONE and not has_rua:
        yield note("dmarc-no-reports", "No aggregate reports are asked for (rua=).", _ADD_RUA, "RFC 9989 section 4.7")
    if found.psd == "y":
        what = f"psd=y at {asks.at}: the names below it are organizations of their own."
        yield note("dmarc-psd", what, "Remove it: it is for registries only.", "RFC 9989 section 4.7")


def _weight(policy: Disposition) -> int:
    return list(Disposition).index(policy)


def _of_report(report: Reports) -> Iterator[Problem]:
    if report.trouble:
        yield warning(
            "dmarc-reports-unknown", f"Whether {report.host} wants the reports is not known: {report.trouble}."
        )
    elif not report.host:
        do = "Use mailto: with an address."
        yield warning(
            "dmarc-reports-address",
            f"{report.tag}: nobody sends reports to {report.uri[:60]}.",
            do,
            "RFC 9990",
        )
    elif report.authorized is False:
        yield error(
            "dmarc-reports-refused",
            f"{report.tag}: {report.host} does not agree to get the reports, so nobody sends them there.",
            f'Have "v=DMARC1" published as TXT at {report.consent}.',
            "RFC 9990 section 4",
            (Change(report.consent, "TXT", (), ("v=DMARC1",)),),
        )
