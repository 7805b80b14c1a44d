"""The milter events of one SMTP connection, in order, without pymilter: facts go in, an ``Outcome`` comes out."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple, Protocol

from .. import iprev, sender_domain, spf
from ..address import Address, canonical
from ..authres.render import render, unwanted
from ..config import Settings, Untraced
from ..dmarc import Remembered
from ..evidence import Case, Connection, Evidence, Transaction, Trouble
from ..message import Field, Headers, crlf
from ..policy import Mode
from ..received import Client, Relayed
from ..resolver import Answer, Deadline, Method, Resolver, Shared, Source, Start
from ..sign import Sealed, Signed, Signing, SigningKey, Submission, Unsealed, Unsignable, seal
from ..sign.signature import BODY
from ..verdict import Action, Decider, Kind, Reply, Verdict
from .authenticate import Content, EarlyResults, authenticate, resinfos, untraced
from .dns_down import is_dns_down
from .outcome import Outcome
from .sample import HOST_SECRET, sample

AUTHENTICATION_RESULTS = "Authentication-Results"
MAX_RECIPIENTS = 1000  # kept for the policy; Postfix's own limit is the same
# a message may be expensive if its header section has so many octets, or if its signatures have cost so much so far
# (dkim.Work); few honest messages are
DEAR, DEAR_WORK = 32_768, 2000

_log = logging.getLogger(__name__)


class Lock(Protocol):
    """``threading.Lock``, or the like."""

    def acquire(self) -> object:
        """Wait for the lock."""

    def release(self) -> object:
        """Release the lock."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """``now`` in seconds since 1970, ``monotonic`` for time-outs."""

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


@dataclass(slots=True)
class _Mail:
    """One transaction. ``relayed`` follows the Received fields if one of the operator's relays is connected."""

    transaction: Transaction
    shared: Shared
    relayed: Relayed | None = None
    iprev: iprev.Iprev | None = None
    spf_helo: Callable[[], spf.Spf | None] = lambda: None
    spf_mail_from: Callable[[], spf.Spf | None] = lambda: None
    sender_domain: sender_domain.SenderDomain | None = None
    recipients: list[str] = field(default_factory=list)
    fields: list[Field] = field(default_factory=list)
    octets: int = 0
    cut: bool = False
    forged_inside: bool = False
    unjudged: str = ""
    content: Content | None = None
    signing: Signing | None = None
    has_turn: bool = False
    dns_wait: float = 0.0

    @property
    def may_cost_much(self) -> bool:
        """Is the header section large, or do the signatures cost much? Neither matters if the client is trusted."""
        return not self.unjudged and (
            self.octets > DEAR or (self.content is not None and self.content.work.spent > DEAR_WORK)
        )

    @property
    def utf8(self) -> bool:
        """May our field contain UTF-8? Only if the message needs SMTPUTF8 anyway.

        Otherwise the MTA would bounce, because of us, a message that a next hop without SMTPUTF8 takes.
        """
        return self.transaction.smtputf8 and not all(field.value.isascii() for field in self.fields)


class _Decision(NamedTuple):
    """The part of an outcome that follows from judging; only the verdict is set if the message was not judged."""

    verdict: Verdict
    add: tuple[tuple[str, str], ...] = ()
    signed: Signed = Signed()
    evidence: Evidence | None = None
    seconds: float = 0.0
    dns_wait: float = 0.0
    unanswered: bool = False
    unsent: bool = False
    sample: int | None = None
    seal: Sealed | None = None


class Session:
    """One SMTP connection. Call the events in the order of the protocol; each message ends with an ``Outcome``.

    ``settings`` can be replaced between messages.
    """

    def __init__(
        self,
        settings: Settings,
        source: Source,
        authserv_id: str,
        clocks: Clocks = Clocks(),
        *,
        first: Source | None = None,
        anew: Source | None = None,
        remembered: Remembered | None = None,
        dear: Lock | None = None,
        explain: bool = False,
        secret: bytes = HOST_SECRET,
    ) -> None:
        """``authserv_id`` is the MTA's own name, which is used if the settings have none.

        ``first`` asks questions that go before others, ``anew`` asks even if the answer is cached. ``remembered`` has
        the DMARC records of the process. ``dear`` is the turn of expensive messages: few of them are judged at a time,
        and no other message waits for them. ``explain``: keep all SPF terms that are looked at.
        ``secret`` decides which messages are in the sample of ``enforce_percent``.
        """
        self.settings, self._source, self._clocks = settings, source, clocks
        self._first, self._anew, self._remembered, self._dear = first, anew, remembered, dear
        self._explains, self._secret = explain, secret
        self._name = authserv_id
        self._client_ip: Address | None = None
        self._local = False
        self._helo = ""
        self._shared = Shared(source, most=settings.policy.limits.dns_questions)
        self._iprev: iprev.Iprev | None = None
        self._spf_helo: Callable[[], spf.Spf | None] = lambda: None
        self._mail: _Mail | None = None

    @property
    def authserv_id(self) -> str:
        """Our authserv-id in Authentication-Results."""
        return self.settings.authserv_id or self._name

    @property
    def client(self) -> str:
        """The address of the connected host, for the log; empty if it has none."""
        return str(self._client_ip or "")

    def connect(self, client_ip: Address | None, *, local: bool = False) -> None:
        """The client's address; None if the MTA does not know it. ``local``: the client is on this host."""
        self._client_ip, self._local = canonical(client_ip) if client_ip else None, local
        self._iprev = None
        if self._client_ip and not self._is_relay("") and not self._unjudged(""):
            of_iprev = self._shared.of(Method.IPREV)
            self._iprev = iprev.prefetch(self._client_ip, of_iprev.prefetch, self.settings.policy.limits)

    def helo(self, name: str) -> None:
        """HELO or EHLO; a second one replaces the first."""
        self._helo = name
        self._spf_helo = lambda: None
        if self._client_ip and not self._is_relay("") and not self._unjudged(""):
            of_spf = self._shared.of(Method.SPF_HELO)
            self._spf_helo = self._prefetch(self._client_ip, "", name, of_spf.prefetch)

    def mail_from(self, address: str, login: str = "", *, smtputf8: bool = False) -> None:
        """MAIL begins a message. ``address`` is as in the command; ``login`` is the SASL name, or empty."""
        transaction = Transaction(_reverse_path(address), login=login, smtputf8=smtputf8)
        most = self.settings.policy.limits.dns_questions
        shared = Shared(self._source, self._shared, most=most, first=self._first)
        self._mail = mail = _Mail(transaction, shared, unjudged=self._unjudged(login))
        if self._client_ip and self._is_relay(login):
            mail.relayed = Relayed(self._client_ip, self.settings.relays.networks.__contains__)
        if self._client_ip and transaction.mail_from and not mail.unjudged:
            if domain := spf.checkable(transaction.mail_from_domain):
                shared.of(Method.DMARC).prefetch(f"_dmarc.{domain}", "TXT")
            if self.settings.policy.asks_sender_domain:
                of_sender = shared.of(Method.SENDER_DOMAIN)
                mail.sender_domain = sender_domain.prefetch(transaction.mail_from_domain, of_sender.prefetch)
            if not mail.relayed:
                self._ask_spf(mail, self._client_ip, self._helo)

    def _ask_spf(self, mail: _Mail, client_ip: Address, helo: str) -> None:
        of_spf = mail.shared.of(Method.SPF)
        mail.spf_mail_from = self._prefetch(client_ip, mail.transaction.mail_from, helo, of_spf.prefetch)

    def _prefetch(self, client_ip: Address, mail_from: str, helo: str, start: Start) -> Callable[[], spf.Spf | None]:
        limits = self.settings.policy.limits
        return spf.prefetch(client_ip, mail_from, helo, start, limits, explain=self._explains)

    def _traced(self, mail: _Mail, client: Client) -> None:
        """Start the questions for the client from which the relays received the message."""
        mail.unjudged = self._unjudged(mail.transaction.login, mail.relayed)
        if mail.unjudged:
            return
        limits = self.settings.policy.limits
        of_iprev, of_helo = mail.shared.of(Method.IPREV), mail.shared.of(Method.SPF_HELO)
        mail.iprev = iprev.prefetch(client.address, of_iprev.prefetch, limits)
        mail.spf_helo = self._prefetch(client.address, "", client.helo, of_helo.prefetch)
        if mail.transaction.mail_from:
            self._ask_spf(mail, client.address, client.helo)

    def recipient(self, address: str) -> None:
        """RCPT."""
        mail = self._current()
        if len(mail.recipients) < MAX_RECIPIENTS:
            mail.recipients.append(address.strip("<>"))
        elif len(mail.recipients) == MAX_RECIPIENTS:
            # a placeholder for all further recipients; no pattern matches it, so no rule lets in because of them
            mail.recipients.append("")

    def header(self, name: bytes, value: bytes) -> None:
        """One header field. The value is as received, except that its line ends may be LF."""
        mail, limits = self._current(), self.settings.policy.limits
        mail.octets += len(name) + len(value)
        if b"\r" in value and _inside(self._ours).search(value):
            mail.forged_inside = True
        if mail.cut or len(mail.fields) >= limits.header_fields or mail.octets > limits.header_octets:
            mail.cut = True
            if not self._is_ours(name) or len(mail.fields) > limits.header_fields + limits.forged_fields:
                return
            # a field that is not read is removed
            value = self.authserv_id.encode()
        mail.fields.append(Field(name, crlf(value) if b"\n" in value else value))
        if mail.relayed and not mail.relayed.is_over and name.lower() == b"received":
            mail.relayed.read(value)
            if mail.relayed.client:
                self._traced(mail, mail.relayed.client)

    def end_of_headers(self) -> None:
        """The header section is complete."""
        mail = self._current()
        if mail.relayed:
            mail.relayed.end()
        if not mail.unjudged:
            self._take(mail)
            try:
                mail.content = self._content(mail)
            finally:
                self._leave(mail)
            mail.content.prefetch(mail.shared)
        elif self.settings.signing_keys:
            mail.signing = self._signing(mail)

    def _content(self, mail: _Mail) -> Content:
        may_be_sealed = self.settings.sealing_key is not None and not mail.cut
        more = (BODY,) if may_be_sealed else ()
        return Content(Headers(mail.fields), self.settings.policy.limits, cut=mail.cut, more=more)

    def _signing(self, mail: _Mail) -> Signing:
        """Who is not judged may be signed: there is one notion of who is ours."""
        is_here = self._local or (self._client_ip is not None and self._client_ip.is_loopback)
        login = mail.transaction.login
        if self._is_relay(login):
            # it brings what another client gave it, and its login is not that client's
            is_here, login = False, ""
        submission = Submission(mail.transaction.mail_from, login, is_here)
        settings = self.settings
        headers, limits = Headers(mail.fields), settings.policy.limits
        return Signing(settings.sign, settings.signing_keys, headers, submission, limits, cut=mail.cut)

    def body(self, chunk: bytes) -> bool:
        """A piece of the body. Returns False if no more of it is needed."""
        mail = self._current()
        reader = mail.content or mail.signing
        if reader is None or not reader.body.hungry:
            return False
        reader.body.update(chunk)
        return reader.body.hungry

    def end_of_message(self, queue_id: str = "") -> Outcome:
        """Judge the message. ``queue_id`` is Postfix's name for it."""
        mail = self._current()
        self._take(mail)
        try:
            outcome = self._outcome(mail, queue_id)
        finally:
            self._leave(mail)
        self._mail = None
        return outcome

    def give_up(self, queue_id: str = "") -> Outcome:
        """Defer the message, because something failed while it was judged or received."""
        mail, self._mail = self._mail, None
        connection = Connection(self._client_ip, self._helo) if self._client_ip else None
        transaction = replace(mail.transaction, recipients=tuple(mail.recipients)) if mail else Transaction()
        return Outcome(verdict=INTERNAL_ERROR, transaction=transaction, connection=connection, queue_id=queue_id)

    def _outcome(self, mail: _Mail, queue_id: str) -> Outcome:
        headers = mail.content.headers if mail.content else Headers(mail.fields)
        connection, remove = self._connection(mail), self._unwanted(mail, headers)
        transaction = replace(mail.transaction, recipients=tuple(mail.recipients))
        if mail.forged_inside or len(remove) > self.settings.policy.limits.forged_fields:
            # in every mode and from every client: if it were delivered, forged results would come in
            text = "A forged header field inside another" if mail.forged_inside else "Too many forged header fields"
            decision, remove = _Decision(_built_in("forged_fields", Action.REJECT, Reply(550, "5.7.1", text))), ()
        elif mail.unjudged:
            decision = self._unjudged_decision(mail, remove)
        elif connection is None:
            action = Action.ACCEPT if self.settings.policy.mode is Mode.MONITOR else Action.DEFER
            verdict = _built_in("no_client_address", action, Reply(451, "4.7.1", "The client's address is unknown"))
            decision = _Decision(verdict, self._unchecked(mail, remove))
        else:
            decision = self._judge(mail, connection, transaction, remove)
        return Outcome(
            verdict=decision.verdict,
            transaction=transaction,
            connection=connection,
            evidence=decision.evidence,
            queue_id=queue_id,
            message_id=_message_id(headers),
            remove=remove,
            add=decision.add,
            seconds=decision.seconds,
            dns_wait=decision.dns_wait,
            unanswered=decision.unanswered,
            unsent=decision.unsent,
            sample=decision.sample,
            signatures=decision.signed.values,
            signed_by=decision.signed.by,
            signed_with=decision.signed.algorithms,
            unsigned=decision.signed.why,
            seal=decision.seal,
            asked_by={**self._shared.asked_by, **mail.shared.asked_by},
            headers=headers,
        )

    def _unjudged_decision(self, mail: _Mail, remove: tuple[tuple[str, int], ...]) -> _Decision:
        verdict = Verdict(Action.ACCEPT, Decider(Kind.UNJUDGED, mail.unjudged))
        if mail.signing is None:
            return _Decision(verdict, self._unchecked(mail, remove))
        judged = any(name == AUTHENTICATION_RESULTS for name, _ in remove)
        started = self._clocks.monotonic()
        signed = mail.signing.finish(self._clocks.now(), judged=judged)
        seconds = self._clocks.monotonic() - started
        if signed.why and signed.ours and self.settings.sign.unsignable is not Unsignable.SEND:
            verdict = _unsignable(self.settings.sign.unsignable, signed.why.words)
        # no field that is removed or added here is one that a signature covers
        return _Decision(verdict, self._unchecked(mail, remove), signed, seconds=seconds)

    def _unwanted(self, mail: _Mail, headers: Headers) -> tuple[tuple[str, int], ...]:
        """The header fields to remove, by name and instance: those that claim to be ours."""
        most = self.settings.policy.limits.results_octets
        forged = unwanted(headers, self.authserv_id, trusted=bool(mail.unjudged), most=most)
        written = self.settings.policy.fields
        return (
            *((AUTHENTICATION_RESULTS, instance) for instance in forged),
            *((name, 1 + place) for name in written for place in range(len(headers.named(name.encode())))),
        )

    def _unchecked(self, mail: _Mail, remove: tuple[tuple[str, int], ...]) -> tuple[tuple[str, str], ...]:
        """The field that says that nothing was checked. It is written only if a field is removed."""
        return ((AUTHENTICATION_RESULTS, render(self.authserv_id, [], utf8=mail.utf8)),) if remove else ()

    def _connection(self, mail: _Mail) -> Connection | None:
        """The connected host, or the client from which the operator's relays received the message."""
        if self._client_ip is None:
            return None
        if mail.relayed is None:
            return Connection(self._client_ip, self._helo)
        mail.relayed.end()
        if client := mail.relayed.client:
            return Connection(client.address, client.helo, via=client.via)
        is_spared = self.settings.relays.untraced is Untraced.ACCEPT
        return Connection(self._client_ip, untraced=mail.relayed.problem, is_spared=is_spared)

    def _judge(
        self, mail: _Mail, connection: Connection, transaction: Transaction, remove: tuple[tuple[str, int], ...]
    ) -> _Decision:
        started = self._clocks.monotonic()
        deadline = started + self.settings.message_timeout
        policy = self.settings.policy
        content = mail.content or self._content(mail)
        evidence = authenticate(
            connection,
            transaction,
            content,
            self._resolvers(mail, deadline),
            self._clocks.now(),
            policy,
            self._early(mail, connection, transaction),
            self._remembered,
            explain=self._explains,
        )
        unanswered = is_dns_down(evidence.dmarc, mail.shared, policy.limits, lambda: self._asking_anew(mail, deadline))
        trouble = None
        if mail.shared.unsent:
            trouble = Trouble.UNSENT
        elif unanswered and self.settings.dns.unavailable is Action.DEFER:
            trouble = Trouble.UNAVAILABLE
        drawn = sample(content.headers, self._secret) if policy.dmarc.enforce_percent < 100 else None
        case = Case(
            connection=connection,
            transaction=transaction,
            evidence=evidence,
            now=self._clocks.now(),
            sample=drawn or 0,
            recipient_delimiter=self.settings.recipient_delimiter,
            owner_request_special=self.settings.owner_request_special,
            trouble=trouble,
        )
        verdict = policy.decide(case)
        infos = resinfos(connection, evidence, verdict.override)
        found = render(self.authserv_id, infos, utf8=mail.utf8)
        add = [(AUTHENTICATION_RESULTS, found), *verdict.headers]
        if verdict.action is Action.TAG:
            add.append((policy.tag.flag, "YES"))
        if verdict.action in (Action.TAG, Action.HOLD):
            # Postfix shows no reason for holding a message; postcat shows this field
            add.append((policy.tag.verdict, f"{verdict.action}; rule={verdict.rule}"))
        sealed = None
        if self.settings.sealing_key and verdict.action in (Action.ACCEPT, Action.TAG, Action.HOLD):
            sealed = self._sealed(self.settings.sealing_key, mail, content, evidence, seal.Change(remove, add, found))
        seconds = self._clocks.monotonic() - started
        unsent = bool(mail.shared.unsent)
        return _Decision(
            verdict, tuple(add), Signed(), evidence, seconds, mail.dns_wait, unanswered, unsent, drawn, sealed
        )

    def _sealed(
        self, key: SigningKey, mail: _Mail, content: Content, evidence: Evidence, change: seal.Change
    ) -> Sealed:
        """Seal the message, or say why not. Whatever happens here, the verdict stays."""
        if mail.cut:
            return Sealed(why=Unsealed.LIMIT)
        try:
            body_hash = content.bodies[BODY].digest
            incoming = seal.Incoming(content.headers, content.chain, evidence.arc, body_hash, content.work)
            return seal.sealed(key, incoming, change, self._clocks.now())
        except Exception:  # noqa: BLE001 - a message without a seal is better than one that does not arrive
            _log.exception("a message is not sealed")
            return Sealed(why=Unsealed.ERROR)

    def _early(self, mail: _Mail, connection: Connection, transaction: Transaction) -> EarlyResults:
        """The results that are known, or cannot be known, before the checks begin."""
        if connection.untraced:
            return untraced(connection, transaction, mail.sender_domain)
        spf_mail_from, sender_domain = mail.spf_mail_from(), mail.sender_domain
        if mail.relayed:
            of_iprev, spf_helo = mail.iprev, mail.spf_helo()
        else:
            of_iprev, spf_helo = self._iprev, self._spf_helo()
        return EarlyResults(iprev=of_iprev, spf_helo=spf_helo, spf_mail_from=spf_mail_from, sender_domain=sender_domain)

    def _resolvers(self, mail: _Mail, deadline: float) -> Callable[[Method], Resolver]:
        """Makes the resolver of each check."""

        def resolver(method: Method) -> Resolver:
            resolve = mail.shared.of(method).resolver(deadline, self._clocks.monotonic)

            def others_first(name: str, rdtype: str) -> Answer:
                # no expensive message waits while another one waits for DNS
                self._leave(mail)
                asked = self._clocks.monotonic()
                try:
                    return resolve(name, rdtype)
                finally:
                    mail.dns_wait += self._clocks.monotonic() - asked
                    self._take(mail)

            return others_first

        return resolver

    def _asking_anew(self, mail: _Mail, deadline: float) -> Resolver:
        """A resolver that asks even if the answer is cached. The message gives up its turn while it waits for it."""
        self._leave(mail)
        # a check that the sender makes slow must not use up the time for this question
        until = max(deadline, self._clocks.monotonic() + self.settings.dns.timeout)
        return Deadline(self._anew or mail.shared.of(Method.DMARC), until, self._clocks.monotonic)

    def _take(self, mail: _Mail) -> None:
        """Begin to work on a message; an expensive one waits for its turn."""
        if self._dear and mail.may_cost_much and not mail.has_turn:
            self._dear.acquire()
            mail.has_turn = True

    def _leave(self, mail: _Mail) -> None:
        """Stop working on a message, so that the next one has its turn."""
        if self._dear and mail.has_turn:
            mail.has_turn = False
            self._dear.release()

    def abort(self) -> None:
        """RSET, or a transaction that ended without a message."""
        self._mail = None

    def _is_ours(self, name: bytes) -> bool:
        """Do we write fields of this name?"""
        return name.lower().decode("latin-1") in {each.lower() for each in self._ours}

    @property
    def _ours(self) -> tuple[str, ...]:
        """The names of the fields that we write."""
        return (AUTHENTICATION_RESULTS, *self.settings.policy.fields)

    def _current(self) -> _Mail:
        if self._mail is None:
            raise RuntimeError("a message event without MAIL")
        return self._mail

    def _is_relay(self, login: str) -> bool:
        """Is the connected host one of the operator's relays?"""
        relays = self.settings.relays
        return login in relays.logins or (self._client_ip is not None and self._client_ip in relays.networks)

    def _is_trusted(self, client_ip: Address) -> bool:
        return any(client_ip in network for network in self.settings.trusted_networks or ())

    def _unjudged(self, login: str, relayed: Relayed | None = None) -> str:
        """Why messages of this client are not judged; empty if they are, or may be.

        A message from a relay is judged by the client that the relay received it from, even if the relay logged in or
        is in a trusted network. So ``relayed`` says more once the header section is complete.
        """
        if self._local:
            return "local"
        client_ip = self._client_ip
        if self._is_relay(login):
            login, client_ip = "", relayed.client.address if relayed and relayed.client else None
        if client_ip and self._is_trusted(client_ip):
            return "trusted_network"
        return "authenticated" if login else ""


@lru_cache(maxsize=8)
def _inside(names: tuple[str, ...]) -> re.Pattern[bytes]:
    """Matches a field of one of these names inside the value of another: some readers end a line at a lone CR."""
    either = b"|".join(re.escape(each.encode()) for each in names)
    return re.compile(rb"\r[ \t]*(?:" + either + rb")[ \t]*:", re.IGNORECASE)


def _message_id(headers: Headers) -> str:
    """The first Message-ID field, unfolded."""
    found = headers.named(b"message-id")
    return b" ".join(found[0].value.split()).decode(errors="replace") if found else ""


def _reverse_path(address: str) -> str:
    """The address of a MAIL command without angle brackets and source route (RFC 5321 section 4.1.1.2)."""
    address = address.strip()
    if address.startswith("<") and address.endswith(">"):
        address = address[1:-1]
    if address.startswith("@") and ":" in address:
        address = address.partition(":")[2]
    return address


def _built_in(name: str, action: Action, reply: Reply) -> Verdict:
    """A verdict that no policy changes; in monitor mode, ``action`` may be milder than the reply."""
    would = Action.REJECT if reply.code >= 500 else Action.DEFER
    return Verdict(action, Decider(Kind.BUILT_IN, name), reply.text, reply, would)


def _unsignable(asked: Unsignable, why: str) -> Verdict:
    """The verdict on a message of our own that cannot be signed."""
    action = Action.REJECT if asked is Unsignable.REJECT else Action.DEFER
    code, enhanced = (550, "5.7.1") if action is Action.REJECT else (451, "4.7.1")
    reply = Reply(code, enhanced, f"The message cannot be signed: {why}")
    return Verdict(action, Decider(Kind.CONFIGURATION, "sign.unsignable"), reply.text, reply, action)


INTERNAL_ERROR = _built_in(
    "internal_error", Action.DEFER, Reply(451, "4.3.0", "Internal error, please try again later")
)
