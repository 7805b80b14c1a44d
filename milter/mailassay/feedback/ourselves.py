"""Would a report of ours pass DMARC, aligned (RFC 9990 section 3.5.2, RFC 9991 section 5.1)? By our own checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

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
from ..sign import SigningKey
from ..sign.published import Published, look
from ..spf import Spf, check_mail_from

_ALIGNED = "RFC 9990 section 3.5.2"
_RECORD = "v=DMARC1; p=reject"
_VERSION = "v=spf1"
_SPF = "reports-spf"


@dataclass(frozen=True, slots=True)
class Sending:
    """How this host sends its reports: from which mail ``address``, and from which IP addresses (``egress``).

    ``unknown`` says why the latter are not known, empty if they are; ``fix`` is what to do about that. ``helo`` is the
    name by which the host greets others. ``keys`` are those that sign the reports.
    """

    address: str
    egress: tuple[Address, ...] = ()
    helo: str = ""
    unknown: str = ""
    fix: str = ""
    keys: tuple[SigningKey, ...] = ()

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
    """Evaluate DMARC with the keys that sign, and with SPF for each address from which mail leaves. Never raises.

    One of both is enough.
    """
    author, [policy] = Author((sending.domain,)), policies(Author((sending.domain,)), resolve, limits)
    troubles = [policy.otherwise.reason] if policy.otherwise.result is Result.TEMPERROR else []
    problems = [*_of_record(sending.domain, policy)]
    published = [look(key, resolve) for key in sending.keys]

    def passes(identifier: Identifier) -> str:
        """Why DMARC does not pass by what is authenticated; empty if it does, or if there is no record."""
        if not policy.record:
            return ""
        whole = check(author, [identifier], resolve, limits, known=[policy])
        return "" if whole.result is Result.PASS else whole.reason or f"DMARC of {sending.domain}: {whole.result}"

    if any(_counts(each) and not passes(Identifier("dkim", each.key.domain, Result.PASS)) for each in published):
        problems += [
            replace(each, severity=Severity.WARNING, what=f"{each.what} by SPF, only by their signature")
            for each in _by_spf(sending, passes, resolve, limits).problems
            if each.code == _SPF
        ]
        return Alignment(tuple(problems), next(iter(troubles), ""))
    by_spf = _by_spf(sending, passes, resolve, limits)
    if not by_spf.passes:
        problems += [*by_spf.problems, *_of_keys(published)]
        troubles += [each for each in (by_spf.trouble, *(each.trouble for each in published)) if each]
    return Alignment(tuple(problems), next(iter(troubles), ""))


def _counts(found: Published) -> bool:
    """Can every recipient verify by this key? Many do not know Ed25519 (RFC 8463)."""
    return found.is_right and found.key.algorithm == "rsa-sha256"


def _of_keys(published: Sequence[Published]) -> Iterator[Problem]:
    for each in published:
        if each.problem:
            what = f"reports are signed by {each.key}, but {each.problem} at {each.name}"
            fix = f'Publish "{each.key.record}" as TXT at {each.name}'
            yield warning("reports-dkim", what, fix, _ALIGNED)


def _by_spf(sending: Sending, passes: Callable[[Identifier], str], resolve: Resolver, limits: Limits) -> Alignment:
    """Whether reports pass by SPF, from each address."""
    problems, troubles = list[Problem](), list[str]()
    if sending.unknown or not sending.egress:
        what = "; ".join(filter(None, ("it is not known from which addresses reports leave", sending.unknown)))
        problems.append(error("reports-egress", what, sending.fix, _ALIGNED))
    refused: dict[Address, Spf] = {}
    for address in sending.egress:
        found = check_mail_from(address, sending.address, sending.helo, resolve, limits)
        if found.result is Result.TEMPERROR:
            troubles.append(found.reason or f"SPF of {sending.domain} cannot be looked up")
        elif found.result is not Result.PASS:
            refused[address] = found
        elif why := passes(Identifier("spf", sending.domain, found.result)):
            troubles.append(why)
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
        return error(_SPF, what, f"mailassay lookup {domain} says what is wrong", _ALIGNED)
    fix = f'Publish "{new}" as TXT at {domain}' + (f', in place of "{old[0]}"' if old else "")
    return error(_SPF, what, fix, _ALIGNED, (Change(str(domain), "TXT", tuple(old), (new,)),))
