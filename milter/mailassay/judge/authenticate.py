"""Which checks run for one message, and in which order: facts in, evidence out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial

from .. import arc, dkim, dmarc, iprev, sender_domain, spf
from ..author import Fault, author
from ..dmarc import Identifier, Remembered
from ..domain import BadDomain, Domain
from ..evidence import Connection, Evidence, Transaction
from ..limits import Limits
from ..message import Headers
from ..policy import Partial, Policy, Repeated
from ..resolver import Answer, Method, Resolver, Share, Shared, when
from ..result import NO_CLIENT, Resinfo, Result


class Content:
    """The header section of a message, read once when it is complete, and the body hashes that its signatures need.

    ``cut``: the header section is longer than what is looked at. ``more`` are body hashes that are needed besides.
    """

    def __init__(
        self, headers: Headers, limits: Limits, *, cut: bool = False, more: Sequence[dkim.BodyRequest] = ()
    ) -> None:
        self.headers = headers
        self.author = author(headers, limits)
        if cut:
            self.author = replace(self.author, fault=Fault.HEADER_SECTION, unread=True)
        self.work = dkim.Work(limits)
        self.signatures = dkim.signatures(headers, limits, self.work)
        self.chain = arc.chain(headers, limits, self.work)
        self._limits = limits
        wanted = [signature.body for signature in self.signatures if not signature.problem]
        self.body = dkim.Body([*wanted, *arc.body_requests(self.chain), *more])

    @cached_property
    def bodies(self) -> Mapping[dkim.BodyRequest, dkim.BodyDigest]:
        """The body hashes. Ask for them when the whole body has been seen."""
        return self.body.finish()

    def prefetch(self, shared: Shared) -> None:
        """Start the questions that the header section raises: the policy of each author domain, and keys.

        Not more keys for ARC than for DKIM: a chain could ask for more than all other checks, and seldom decides.
        """
        of_dmarc, of_dkim, of_arc = (shared.of(each) for each in (Method.DMARC, Method.DKIM, Method.ARC))
        for domain in self.author.domains:
            own, *above = dmarc.questions(domain, self._limits)
            of_dmarc.prefetch(own, "TXT")
            for name in above:
                when(of_dmarc.prefetch(name, "TXT"), partial(self._ask_whether_it_exists, domain, of_dmarc))
        for signature in self.signatures:
            if not signature.problem:
                of_dkim.prefetch(signature.key_name, "TXT")
        for signature in arc.signatures(self.chain)[: self._limits.signatures]:
            if not signature.problem:
                of_arc.prefetch(signature.key_name, "TXT")

    def _ask_whether_it_exists(self, domain: Domain, of_dmarc: Share, answer: Answer) -> None:
        """If the record has np=, that decides which policy the author domain has."""
        record = dmarc.the_record(answer.records, self._limits)
        if record and record.np:
            of_dmarc.prefetch(domain, "A")


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyResults:
    """Results that are ready before the end of the message, since all answers have arrived."""

    iprev: iprev.Iprev | None = None
    spf_helo: spf.Spf | None = None
    spf_mail_from: spf.Spf | None = None
    sender_domain: sender_domain.SenderDomain | None = None


_NOTHING = EarlyResults()


def untraced(
    connection: Connection, transaction: Transaction, found_sender: sender_domain.SenderDomain | None
) -> EarlyResults:
    """The results for a message whose client is unknown: nothing can be said about its address or HELO name."""
    why = f"{NO_CLIENT}{connection.untraced}"
    of_mail_from, no_client = None, spf.Fault.NO_CLIENT
    if transaction.mail_from:
        name = spf.checkable(transaction.mail_from_domain) or transaction.mail_from_domain.lower()
        of_mail_from = spf.Spf(Result.NONE, "mailfrom", name, reason=why, fault=no_client)
    return EarlyResults(
        iprev=iprev.Iprev(Result.NONE, connection.client_ip, reason=why, fault=iprev.Fault.NO_CLIENT),
        spf_helo=spf.Spf(Result.NONE, "helo", "", reason=why, fault=no_client),
        spf_mail_from=of_mail_from,
        sender_domain=found_sender,
    )


_OF_LISTS = (b"list-id", b"list-post")
_FAILURES = (Result.FAIL, Result.SOFTFAIL, Result.PERMERROR, Result.TEMPERROR)  # that have `spf` settings


def authenticate(
    connection: Connection,
    transaction: Transaction,
    content: Content,
    resolver: Callable[[Method], Resolver],
    now: float,
    policy: Policy = Policy(),
    early: EarlyResults = _NOTHING,
    remembered: Remembered | None = None,
    *,
    explain: bool = False,
) -> Evidence:
    """Run the five checks, except those with an ``early`` result. Call it when the whole body has been seen.

    ``now`` is in seconds since 1970. ``resolver`` gives each check its own resolver. ``explain``: keep all SPF terms
    that are looked at.

    What DMARC depends on comes first. The time of a message is limited, and the sender's own DNS answers for the HELO
    name and the client's address; it must not use up the time that the author domain needs.
    """
    client_ip, helo, limits = connection.client_ip, connection.helo, policy.limits
    of_dmarc = resolver(Method.DMARC)
    policies = dmarc.policies(content.author, of_dmarc, limits, remembered)
    header = dkim.HeaderHashes(
        content.headers, content.work, repeated_fail=policy.dkim.repeated_fields is Repeated.FAIL
    )
    bodies = content.bodies

    def check_spf(mail_from: str, method: Method) -> spf.Spf:
        return spf.check_mail_from(client_ip, mail_from, helo, resolver(method), limits, explain=explain)

    spf_mail_from = early.spf_mail_from
    if transaction.mail_from and not spf_mail_from:
        spf_mail_from = check_spf(transaction.mail_from, Method.SPF)
    found_spf = spf_mail_from or early.spf_helo or check_spf("", Method.SPF_HELO)
    keys = resolver(Method.DKIM)
    found_dkim = tuple(dkim.check(each, header, bodies, keys, now, limits) for each in content.signatures)
    found_dmarc = dmarc.check(
        content.author,
        list(_identifiers(found_spf, found_dkim, policy.dkim.partial)),
        of_dmarc,
        limits,
        public_suffixes=policy.dmarc.public_suffixes,
        known=policies,
    )
    found_iprev = early.iprev or iprev.check(client_ip, resolver(Method.IPREV), limits)
    # if the reverse-path is null, the HELO result is known by now
    spf_helo = early.spf_helo or (check_spf("", Method.SPF_HELO) if spf_mail_from else found_spf)
    found_arc = arc.check(content.chain, header, bodies, resolver(Method.ARC), limits)
    authors = None if content.author.unread else tuple(content.author.domains)
    vouched = arc.Vouched()
    if found_dmarc.result is Result.FAIL or found_spf.result in _FAILURES:
        vouched = _vouched(content, authors, found_arc, policy, now)
    return Evidence(
        iprev=found_iprev,
        spf_helo=spf_helo,
        spf_mail_from=spf_mail_from,
        dkim=found_dkim,
        arc=found_arc,
        dmarc=found_dmarc,
        authors=authors,
        sender_domain=_sender_domain(transaction, early, resolver) if policy.asks_sender_domain else None,
        vouched=vouched.because,
        mailing_list=any(content.headers.named(name) for name in _OF_LISTS),
        vouched_mail_from=vouched.mail_from or "",
        not_vouched=vouched.doubt,
    )


def _vouched(
    content: Content, authors: tuple[Domain, ...] | None, found_arc: arc.Arc, policy: Policy, now: float
) -> arc.Vouched:
    """What a trusted sealer says about the message, if the policy trusts one. It can speak for one author only."""
    sealers = policy.dmarc.trusted_sealers
    if not sealers:
        return arc.Vouched()
    author = authors[0] if authors and len(authors) == 1 else None
    return arc.vouched(content.chain, found_arc, author, sealers.__contains__, now)


def _sender_domain(
    transaction: Transaction, early: EarlyResults, resolver: Callable[[Method], Resolver]
) -> sender_domain.SenderDomain:
    if early.sender_domain:
        return early.sender_domain
    return sender_domain.check(transaction.mail_from_domain, resolver(Method.SENDER_DOMAIN))


def _identifiers(found_spf: spf.Spf, found_dkim: tuple[dkim.Dkim, ...], partial: Partial) -> Iterator[Identifier]:
    """The identifiers that DMARC may align (RFC 9989 section 3.2): the MAIL FROM domain and the signing domains."""
    with suppress(BadDomain):
        yield Identifier("spf", Domain(found_spf.domain), found_spf.result)
    for each in found_dkim:
        # a signature by a key in testing counts as none (RFC 6376 section 3.6.1, t=y), and anybody may have written
        # what l= does not cover (section 8.2)
        if each.domain and not each.testing and (partial is Partial.ALIGN or not each.partial):
            yield Identifier("dkim", each.domain, each.result)


def resinfos(connection: Connection, evidence: Evidence, override: str = "") -> list[Resinfo]:
    """The clauses of our header field, in order; ``override`` says why a DMARC failure is accepted.

    The SPF clause is about MAIL FROM, or about HELO if the reverse-path is null. If there is a MAIL FROM, the HELO
    result is in the log only: any client can have a HELO name that passes, and a program that looks for ``spf=pass``
    must not find that one.
    """
    of_dmarc, of_iprev = dmarc.resinfo(evidence.dmarc), evidence.iprev.resinfo()
    if connection.via:
        via = f"by way of {', '.join(map(str, connection.via))}"
        of_iprev = of_iprev._replace(reason=f"{via}, {of_iprev.reason}" if of_iprev.reason else via)
    return [
        # iprev has no result word for an unknown client; SPF does, and gives the reason
        *([] if connection.untraced else [of_iprev]),
        evidence.spf.resinfo(),
        *dkim.resinfos(evidence.dkim),
        evidence.arc.resinfo(connection.client_ip),
        of_dmarc._replace(reason=override) if override else of_dmarc,
    ]
