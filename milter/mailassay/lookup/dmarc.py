"""The DMARC tree walk, the policies that follow from it, and where reports go. RFC 9989, RFC 9990."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import NamedTuple
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
_ADD_RUA = "Add rua=mailto: and an address to learn who sends as the domain."
_BEGIN = 'Begin the record with "v=DMARC1;", in exactly these letters, with nothing before it.'
_FIRST = "v=DMARC1; p=none; rua=mailto:postmaster"
_HISTORIC = ("pct", "rf", "ri")
_POLICY_TAGS = ("p", "sp", "np")
_KNOWN = {
    "v": None,
    **dict.fromkeys(_POLICY_TAGS, fix.POLICIES),
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

    @property
    def has_rua(self) -> bool:
        """Are aggregate reports requested?"""
        return any(report.tag == "rua" for report in self.reports)


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
        better = Fixed(better.text, (_BEGIN, *better.said))
    return better


def _problems(found: Dmarc, domain: Domain) -> Iterator[Problem]:
    """The problems of the record, without the changes that fix them."""
    for rule in _RULES:
        yield from rule(found, domain)
    # the owner of the domain cannot change the policy of a registry
    for policy_rule in () if _registry_alone(found, domain) else _POLICY_RULES:
        yield from policy_rule(found)


def _misplaced(found: Dmarc, domain: Domain) -> Iterator[Problem]:
    own = found.steps[0]
    there = f"Remove it: the record that counts is at _dmarc.{domain}."
    for text in found.misplaced:
        yield warning(
            "dmarc-misplaced",
            f'"{text[:60]}" is at {domain}, where nobody looks for it.',
            there if own.records else f"Move it to _dmarc.{domain}.",
            "RFC 9989 section 4.7",
            _moved(text, domain, own),
        )


def _moved(text: str, domain: Domain, own: Step) -> tuple[Change, ...]:
    """The changes that move a record from the domain itself."""
    away = Change(str(domain), "TXT", (text,), ())
    if own.records or own.malformed:
        return (away,) if own.records else ()
    better = fix.dmarc([text], _KNOWN)
    return (away, Change(own.name, "TXT", (), (better.text,))) if better else ()


def _records(found: Dmarc, domain: Domain) -> Iterator[Problem]:
    """The problems at each name of the walk that the owner of the domain can fix."""
    for step in found.steps:
        if step.needed and Domain(step.name.removeprefix("_dmarc.")).is_within(found.org_domain or domain):
            yield from _of_step(step)


def _of_step(step: Step) -> Iterator[Problem]:
    if step.alias:
        yield error(
            "dmarc-alias",
            f"{step.name} is an alias (CNAME) of {fix.leads_nowhere(step.alias, 'record', exists=step.exists)}.",
            f"Have the record published at {step.alias}, or replace the alias with a record of your own.",
            "RFC 1034 section 3.6.2",
        )
    for text in step.malformed:
        yield error(
            "dmarc-malformed",
            f'"{text[:60]}" at {step.name} looks like a DMARC record but is not one.',
            _BEGIN,
            "RFC 9989 section 4.8",
        )
    if len(step.records) > 1:
        what = f"There are {len(step.records)} DMARC records at {step.name}, so none of them counts."
        yield error("dmarc-several", what, "Merge them into one record.", "RFC 9989 section 4.10")
    elif step.records:
        text = step.records[0]
        for rule in _RECORD_RULES:
            yield from rule(_Text(step.name, text, tags(text)))


def _unknown(found: Dmarc, domain: Domain) -> Iterator[Problem]:
    del domain
    if found.trouble:
        yield warning("dmarc-unknown", f"The DMARC policy could not be looked up: {found.trouble}.")


def _missing(found: Dmarc, domain: Domain) -> Iterator[Problem]:
    if found.trouble or found.domain_asks or any(step.records for step in found.steps):
        return
    has_other = any(step.malformed for step in found.steps) or found.misplaced
    first = f'Publish one at _dmarc.{domain}. To see who sends as the domain, begin with "{_FIRST}@{domain}", or with'
    yield warning(
        "dmarc-none",
        "There is no DMARC policy: receivers are told nothing about mail that only claims to be from the domain.",
        "" if has_other else f"{first} another address for the reports.",
        "RFC 9989 section 4.7",
    )


def _idle(found: Dmarc, domain: Domain) -> Iterator[Problem]:
    """Tags for subdomains in a record that is not the organizational domain's."""
    own = found.steps[0]
    idle = sorted({"sp", "np"} & tags(own.records[0]).keys()) if len(own.records) == 1 else []
    if idle and found.org_domain not in (domain, None):
        has, it = ("has", "it") if len(idle) == 1 else ("have", "them")
        yield warning(
            "dmarc-idle",
            f"{' and '.join(f'{tag}=' for tag in idle)} at {own.name} {has} no effect, since {found.org_domain} is the"
            " organizational domain.",
            f"Move {it} to the record of {found.org_domain}, or add psd=n to this one.",
            "RFC 9989 section 4.7",
        )


def _registry_alone(found: Dmarc, domain: Domain) -> bool:
    """Is the only policy that of a registry?"""
    asks = found.domain_asks
    return asks is not None and not asks.at.is_within(found.org_domain or domain)


def _registry(found: Dmarc, domain: Domain) -> Iterator[Problem]:
    if found.domain_asks and _registry_alone(found, domain):
        yield warning(
            "dmarc-registry",
            f"The only DMARC policy is that of {found.domain_asks.at}, which is for all domains below it.",
            f"Publish one at _dmarc.{found.org_domain or domain}.",
            "RFC 9989 section 4.10.1",
        )


class _Text(NamedTuple):
    """The only record at a name, and its tags."""

    name: str
    text: str
    tags: dict[str, str]

    @property
    def first_tags(self) -> list[tuple[str, str]]:
        """The tags that are examined."""
        return [*self.tags.items()][:_MAX_TAGS]


def _tag_twice(record: _Text) -> Iterator[Problem]:
    written = [tag.partition("=")[0].strip(" \t").lower() for tag in record.text.split(";")]
    if twice := [f"{tag[:20]}=" for tag in record.tags if written.count(tag) > 1][:_MAX_TAGS]:
        yield warning(
            "dmarc-tag-twice",
            f"The record at {record.name} has {', '.join(twice)} more than once, which makes a tag list invalid: some"
            " receivers ignore the record, others use one of them. mailassay uses the first.",
            "Keep one.",
            "RFC 6376 section 3.2",
        )


def _not_a_tag(record: _Text) -> Iterator[Problem]:
    """Receivers ignore what is not a tag (section 4.8)."""
    for part in [each.strip() for each in record.text.split(";")[:_MAX_TAGS]]:
        if not part or "=" in part.partition(":")[0]:
            continue
        what = f'"{part[:60]}" at {record.name} is not a tag, so it is ignored'
        written = re.match(r"([a-z]+)\s*[:\s]", part, re.IGNORECASE)
        if written and written[1].lower() in _KNOWN:
            do = f'Write {written[1].lower()}= instead of "{written[0].strip()}".'
            yield error("dmarc-no-tag", f'{what}: "=" goes between a tag and its value.', do, "RFC 9989 section 4.8")
        elif "=" not in part:
            yield warning("dmarc-no-tag", f"{what}.", "Remove it.", "RFC 9989 section 4.8")


def _policy_words(record: _Text) -> Iterator[Problem]:
    for tag, value in record.first_tags:
        if tag in _POLICY_TAGS and value.lower() not in fix.POLICIES:
            yield error(
                "dmarc-policy",
                f"{tag}={value[:30]} at {record.name} is not a policy, so the record asks for nothing.",
                "Use none, quarantine or reject.",
                "RFC 9989 section 4.10.1",
            )


def _values(record: _Text) -> Iterator[Problem]:
    for tag, value in record.first_tags:
        allowed = _KNOWN.get(tag)
        if allowed and tag not in _POLICY_TAGS and value.lower() not in allowed:
            do = f"Use {' or '.join(allowed)}."
            yield _not_understood(record, tag, value, do)


def _not_understood(record: _Text, tag: str, value: str, do: str) -> Problem:
    what = f"{tag}={value[:30]} at {record.name} is not a value that receivers understand."
    return warning("dmarc-tag", what, do, "RFC 9989 section 4.7")


def _historic(record: _Text) -> Iterator[Problem]:
    for tag, value in record.first_tags:
        if tag in _HISTORIC:
            what, do = f"{tag}= at {record.name} is historic: receivers ignore it", "Remove it"
            if tag == "pct" and value != "100":
                what += ", and older ones apply the policy to a part of the mail"
                do += "; to try a policy out, use t=y"
            rfc = "RFC 9989 appendix A.6" if tag == "pct" else "RFC 9989 section 4.7"
            yield note("dmarc-historic", f"{what}.", f"{do}.", rfc)


def _unknown_tags(record: _Text) -> Iterator[Problem]:
    for tag, _ in record.first_tags:
        if tag not in _KNOWN and tag not in _HISTORIC:
            meant = get_close_matches(tag, _KNOWN, 1)
            do = f"Perhaps {meant[0]}= is meant." if meant else "Remove it."
            what = f"{tag[:20]}= at {record.name} is an unknown tag, so it is ignored."
            yield note("dmarc-tag-unknown", what, do, "RFC 9989 section 4.7")


def _uris(record: _Text) -> Iterator[Problem]:
    for tag in ("rua", "ruf"):
        for part in record.tags[tag].split(",")[:MAX_REPORTS] if tag in record.tags else []:
            if not (alone := Record.parse(f"v=DMARC1; {tag}={part}")) or not (alone.rua or alone.ruf):
                do = "Write mailto: before each address, and separate several with commas."
                what = f'{tag}= at {record.name} has "{part.strip()[:60]}", which is not a URI, so no reports go there.'
                yield error("dmarc-uri", what, do, "RFC 9989 section 4.7")


def _failure_options(record: _Text) -> Iterator[Problem]:
    options = record.tags.get("fo", "0").lower()
    alone = Record.parse(f"v=DMARC1; ruf=mailto:x@example.org; fo={options}")
    if alone and alone.fo != options:
        yield _not_understood(record, "fo", options, "Use 0, 1, d or s, and separate several with colons.")


def _no_policy(record: _Text) -> Iterator[Problem]:
    if "p" not in record.tags:
        what = f"The record at {record.name} has no p=, so it asks for nothing."
        yield warning("dmarc-no-p", what, "Add p=none, p=quarantine or p=reject.", "RFC 9989 section 4.7")


def _without_effect(found: Dmarc) -> Iterator[Problem]:
    asks = found.domain_asks
    if not asks or asks.policy is not Disposition.NONE:
        return
    so = "t=y lowers the policy to none" if asks.lowered else f"the policy is {asks.tag}=none"
    if found.has_rua:
        do = "Once the reports show that all of your own mail passes, ask for quarantine or reject."
        yield note("dmarc-monitor", f"DMARC only monitors mail that fails: {so}.", do)
    else:
        what = f"DMARC has no effect: {so}, and no reports are requested."
        yield warning("dmarc-idle-none", what, _ADD_RUA, "RFC 9989 section 4.7")


def _testing(found: Dmarc) -> Iterator[Problem]:
    asks = found.domain_asks
    if asks and asks.lowered and asks.policy is not Disposition.NONE:
        do = "Remove it once all of your own mail passes."
        yield note("dmarc-testing", f"t=y lowers the policy to {asks.policy}.", do, "RFC 9989 section 4.7")


def _subdomains(found: Dmarc) -> Iterator[Problem]:
    asks, below, missing = found.domain_asks, found.below_asks, found.missing_asks
    if asks and missing and _weight(missing.policy) < _weight(asks.policy):
        all_of_them = below and _weight(below.policy) < _weight(asks.policy)
        what = "Subdomains are" if all_of_them else "A subdomain that does not exist is"
        yield warning(
            "dmarc-subdomains",
            f"{what} less protected than the domain: {missing.tag}= at {missing.at} asks for {missing.policy}.",
            "Set np=reject there at least: no honest mail comes from names that do not exist.",
            "RFC 9989 section 4.7",
        )


def _weight(policy: Disposition) -> int:
    return list(Disposition).index(policy)


def _no_reports(found: Dmarc) -> Iterator[Problem]:
    asks = found.domain_asks
    if asks and asks.policy is not Disposition.NONE and not found.has_rua:
        yield note("dmarc-no-reports", "No aggregate reports are requested (rua=).", _ADD_RUA, "RFC 9989 section 4.7")


def _psd(found: Dmarc) -> Iterator[Problem]:
    if found.domain_asks and found.psd == "y":
        what = f"psd=y at {found.domain_asks.at}: the names below it are organizations of their own."
        yield note("dmarc-psd", what, "Remove it: it is for registries only.", "RFC 9989 section 4.7")


def _report_addresses(found: Dmarc) -> Iterator[Problem]:
    for report in found.reports:
        yield from _of_report(report)


def _of_report(report: Reports) -> Iterator[Problem]:
    if report.trouble:
        what = f"It is not known whether {report.host} agrees to receive the reports: {report.trouble}."
        yield warning("dmarc-reports-unknown", what)
    elif not report.host:
        what = f"{report.tag}: nobody sends reports to {report.uri[:60]}."
        yield warning("dmarc-reports-address", what, "Use mailto: with an address.", "RFC 9990")
    elif report.authorized is False:
        yield error(
            "dmarc-reports-refused",
            f"{report.tag}: {report.host} does not agree to receive the reports, so nobody sends them there.",
            f'Have "v=DMARC1" published as TXT at {report.consent}.',
            "RFC 9990 section 4",
            (Change(report.consent, "TXT", (), ("v=DMARC1",)),),
        )


_RULES: list[Callable[[Dmarc, Domain], Iterable[Problem]]] = [
    _misplaced,
    _records,
    _unknown,
    _missing,
    _idle,
    _registry,
]
_RECORD_RULES: list[Callable[[_Text], Iterable[Problem]]] = [
    _tag_twice,
    _not_a_tag,
    _policy_words,
    _values,
    _historic,
    _unknown_tags,
    _uris,
    _failure_options,
    _no_policy,
]
"""The rules for the text of a record, if it is the only one at its name."""
_POLICY_RULES: list[Callable[[Dmarc], Iterable[Problem]]] = [
    _without_effect,
    _testing,
    _subdomains,
    _no_reports,
    _psd,
    _report_addresses,
]
"""The rules for the policy that applies to the domain."""
