"""Would a report of ours pass DMARC, aligned (RFC 9990 section 3.5.2, RFC 9991 section 5.1)? By our own checks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..address import Address
from ..author import Author
from ..dmarc import AuthorPolicy, Identifier, check, policies
from ..dmarc.record import is_record
from ..domain import Domain
from ..finding import Severity
from ..limits import Limits
from ..lookup.problem import Change, Problem, error, warning
from ..resolver import DnsLimit, DnsTempError, Resolver
from ..result import Result
from ..spf import Spf, check_mail_from

_ALIGNED = "RFC 9990 section 3.5.2"
_RECORD = "v=DMARC1; p=reject"
_VERSION = "v=spf1"


@dataclass(frozen=True, slots=True)
class Sending:
    """How this host sends its reports: from which mail ``address``, and from which IP addresses (``egress``).

    ``unknown`` says why the latter are not known, empty if they are; ``fix`` is what to do about that. ``helo`` is the
    name by which the host greets others.
    """

    address: str
    egress: tuple[Address, ...] = ()
    helo: str = ""
    unknown: str = ""
    fix: str = ""

    @property
    def domain(self) -> Domain:
        """The domain of From and of the return path."""
        return Domain(self.address.rpartition("@")[2])


@dataclass(frozen=True, slots=True)
class Alignment:
    """What keeps reports from passing DMARC, with the records to publish; and warnings, which do not.

    ``trouble``: DNS gave no answer, so it is not known whether there is more.
    """

    problems: tuple[Problem, ...] = ()
    trouble: str = ""

    @property
    def passes(self) -> bool:
        """Is it certain that a report passes?"""
        return not self.trouble and not any(each.severity is Severity.ERROR for each in self.problems)


def alignment(sending: Sending, resolve: Resolver, limits: Limits) -> Alignment:
    """Evaluate SPF for each address from which mail leaves, and DMARC with the result. Never raises."""
    author, [policy] = Author((sending.domain,)), policies(Author((sending.domain,)), resolve, limits)
    problems = [*_of_record(sending.domain, policy)]
    troubles = [policy.otherwise.reason] if policy.otherwise.result is Result.TEMPERROR else []
    if sending.unknown or not sending.egress:
        what = "; ".join(filter(None, ("it is not known from which addresses reports leave", sending.unknown)))
        problems.append(error("reports-egress", what, sending.fix, _ALIGNED))
    refused: dict[Address, Spf] = {}
    for address in sending.egress:
        found = check_mail_from(address, sending.address, sending.helo, resolve, limits)
        identifier = Identifier("spf", sending.domain, found.result)
        if found.result is Result.TEMPERROR:
            troubles.append(found.reason or f"SPF of {sending.domain} cannot be looked up")
        elif found.result is not Result.PASS:
            refused[address] = found
        elif policy.record:
            whole = check(author, [identifier], resolve, limits, known=[policy])
            if whole.result is not Result.PASS:
                troubles.append(whole.reason or f"DMARC of {sending.domain}: {whole.result}")
    if refused:
        try:
            problems.append(_of_spf(sending.domain, refused, resolve))
        except DnsTempError as trouble:
            troubles.append(str(trouble))
    return Alignment(tuple(problems), next(iter(troubles), ""))


def _of_record(domain: Domain, policy: AuthorPolicy) -> Iterator[Problem]:
    result, record = policy.otherwise.result, policy.record
    if record:
        if record.rua:
            yield _loop(domain, policy.otherwise.found_at or domain)
    elif result is Result.NONE:
        steps = policy.otherwise.walk.steps if policy.otherwise.walk else ()
        several = tuple(filter(is_record, steps[0].answer.records)) if steps and steps[0].answer else ()
        what = f"{domain} has {'several DMARC records' if several else 'no DMARC record'}, so no report passes DMARC"
        fix = f'Publish {"only " if several else ""}"{_RECORD}" as TXT at _dmarc.{domain}'
        yield error("reports-dmarc", what, fix, _ALIGNED, (Change(f"_dmarc.{domain}", "TXT", several, (_RECORD,)),))
    elif result is not Result.TEMPERROR:
        yield error(
            "reports-dmarc",
            f"the DMARC record of {domain} is in error, so no report passes DMARC",
            f"mailassay lookup {domain} says what is wrong",
            _ALIGNED,
        )


def _loop(domain: Domain, at: Domain) -> Problem:
    """Others would report on each of our reports, and we on theirs."""
    what = f"the DMARC record at _dmarc.{at} asks for aggregate reports (rua), so each report causes reports on itself"
    if at == domain:
        fix = f"Let reports.from be an address of another name, such as reports.{domain}, with a record without rua"
        return warning("reports-loop", what, fix, _ALIGNED)
    fix = f'Publish "{_RECORD}" as TXT at _dmarc.{domain}'
    return warning("reports-loop", what, fix, _ALIGNED, (Change(f"_dmarc.{domain}", "TXT", (), (_RECORD,)),))


def _of_spf(domain: Domain, refused: dict[Address, Spf], resolve: Resolver) -> Problem:
    """SPF does not pass for these addresses. Raises DnsTempError."""
    shown = ", ".join(f"{found.result} for {address}" for address, found in refused.items())
    what = f"SPF of {domain} is {shown}, so reports from there do not pass DMARC"
    try:
        answer = resolve(domain, "TXT")
    except DnsLimit:
        answer = None
    old = [text for text in answer.records if text.lower().split(" ")[0] == _VERSION] if answer else []
    terms = " ".join(f"ip{address.version}:{address}" for address in refused)
    if answer and not old:
        new = f"{_VERSION} {terms} -all"
    elif len(old) == 1 and all(found.result is not Result.PERMERROR for found in refused.values()):
        # the first term that matches decides
        new = f"{old[0][: len(_VERSION)]} {terms}{old[0][len(_VERSION) :]}"
    else:
        return error("reports-spf", what, f"mailassay lookup {domain} says what is wrong", _ALIGNED)
    fix = f'Publish "{new}" as TXT at {domain}' + (f', in place of "{old[0]}"' if old else "")
    return error("reports-spf", what, fix, _ALIGNED, (Change(str(domain), "TXT", tuple(old), (new,)),))
