"""The milter events of one SMTP connection, in order, without pymilter: facts go in, an ``Outcome`` comes out."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from .. import iprev, sender_domain, spf
from ..address import Address, canonical
from ..authres.render import render, unwanted
from ..config import Settings, Untraced
from ..dmarc import Dmarc, Remembered, questions, top_level
from ..evidence import Case, Connection, Evidence, Transaction, Trouble
from ..message import Field, Headers, crlf
from ..policy import Mode
from ..received import Client, Relayed
from ..resolver import Answer, Deadline, DnsLimit, DnsTempError, Method, Prefetch, Question, Resolver, Shared, Source
from ..result import Result
from ..verdict import Action, Reply, Verdict
from .authenticate import Content, Known, authenticate, resinfos, untraced

AUTHENTICATION_RESULTS = "Authentication-Results"
MAX_RECIPIENTS = 1000  # kept for the policy; Postfix's own limit is the same
_TOP_LEVEL = "com"  # asked for if the author domain is missing, or has no public top-level domain
# a message may be expensive if its header section has so many octets, or if its signatures have cost so much so far
# (dkim.Work); few honest messages are
DEAR, DEAR_WORK = 32_768, 2000


class Lock(Protocol):
    """``threading.Lock``, or the like."""

    def acquire(self) -> object:
        """Wait for the lock."""

    def release(self) -> object:
        """Release the lock."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdict on a message, and the changes to it.

    ``remove`` has header fields by name and instance, counted from 1 at the top as milters do; remove the last first.
    ``add`` has (name, value) pairs for the top of the message; the first one ends up highest. ``evidence`` is None if
    the message was not judged. ``seconds`` is the time of the checks at the end of the message. ``connection`` is that
    of the client, which is not the connected host if a relay brought the message; None if it has no address.
    ``unanswered``: DNS as a whole gave no answer. ``asked_by`` has every DNS question of the message and of its
    connection, with the check that asked it first.
    """

    verdict: Verdict
    remove: tuple[tuple[str, int], ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    evidence: Evidence | None = None
    seconds: float = 0.0
    unanswered: bool = False
    connection: Connection | None = None
    asked_by: Mapping[Question, Method] = field(default_factory=dict)

    @property
    def client(self) -> str:
        """The address of the client, or of the relay if the client is unknown; empty if there is none."""
        return str(self.connection.client_ip) if self.connection else ""


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
    has_turn: bool = False

    @property
    def may_cost_much(self) -> bool:
        """By its header section, or by its signatures, which are not looked at if the client is trusted."""
        return not self.unjudged and (
            self.octets > DEAR or (self.content is not None and self.content.work.spent > DEAR_WORK)
        )

    @property
    def utf8(self) -> bool:
        """May our field contain UTF-8? Only if the message needs SMTPUTF8 anyway.

        Otherwise the MTA would bounce, because of us, a message that a next hop without SMTPUTF8 takes.
        """
        return self.transaction.smtputf8 and not all(field.value.isascii() for field in self.fields)


class Session:
    """One SMTP connection. Call the events in the order of the protocol; each message ends with an ``Outcome``.

    ``settings`` can be replaced between messages.
    """

    def __init__(
        self,
        settings: Settings,
        source: Source,
        authserv_id: str = "",
        clocks: Clocks = Clocks(),
        *,
        first: Source | None = None,
        anew: Source | None = None,
        remembered: Remembered | None = None,
        dear: Lock | None = None,
        explain: bool = False,
    ) -> None:
        """``authserv_id`` is the MTA's own name, which is used if the settings have none.

        ``first`` asks questions that go before others, ``anew`` asks even if the answer is cached. ``remembered`` has
        the DMARC records of the process. ``dear`` is the turn of expensive messages: few of them are judged at a time,
        and no other message waits for them. ``explain``: keep all SPF terms that are looked at.
        """
        self.settings, self._source, self._clocks = settings, source, clocks
        self._first, self._anew, self._remembered, self._dear = first, anew, remembered, dear
        self._explains = explain
        self._name = authserv_id
        self._client_ip: Address | None = None
        self._local = False
        self._helo = ""
        self._shared = Shared(source, most=settings.policy.limits.dns_questions, first=first)
        self._known = Known()
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
        self._known = Known()
        if self._client_ip and not self._is_relay("") and not self._unjudged(""):
            of_iprev = self._shared.of(Method.IPREV)
            found = iprev.ahead(self._client_ip, of_iprev.prefetch, self.settings.policy.limits)
            self._known = Known(iprev=found)

    def helo(self, name: str) -> None:
        """HELO or EHLO; a second one replaces the first."""
        self._helo = name
        self._spf_helo = lambda: None
        if self._client_ip and not self._is_relay("") and not self._unjudged(""):
            of_spf = self._shared.of(Method.SPF_HELO)
            self._spf_helo = self._ahead(self._client_ip, "", name, of_spf.prefetch)

    def mail_from(self, address: str, login: str = "", *, smtputf8: bool = False) -> None:
        """MAIL begins a message. ``address`` is as in the command; ``login`` is the SASL name, or empty."""
        transaction = Transaction(_reverse_path(address), login, smtputf8)
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
                mail.sender_domain = sender_domain.ahead(transaction.mail_from_domain, of_sender.prefetch)
            if not mail.relayed:
                self._ask_spf(mail, self._client_ip, self._helo)

    def _ask_spf(self, mail: _Mail, client_ip: Address, helo: str) -> None:
        of_spf = mail.shared.of(Method.SPF)
        mail.spf_mail_from = self._ahead(client_ip, mail.transaction.mail_from, helo, of_spf.prefetch)

    def _ahead(self, client_ip: Address, mail_from: str, helo: str, prefetch: Prefetch) -> Callable[[], spf.Spf | None]:
        limits = self.settings.policy.limits
        return spf.ahead(client_ip, mail_from, helo, prefetch, limits, explain=self._explains)

    def _traced(self, mail: _Mail, client: Client) -> None:
        """Start the questions for the client from which the relays received the message."""
        mail.unjudged = self._unjudged(mail.transaction.login, mail.relayed)
        if mail.unjudged:
            return
        limits = self.settings.policy.limits
        of_iprev, of_helo = mail.shared.of(Method.IPREV), mail.shared.of(Method.SPF_HELO)
        mail.iprev = iprev.ahead(client.address, of_iprev.prefetch, limits)
        mail.spf_helo = self._ahead(client.address, "", client.helo, of_helo.prefetch)
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
        mail.forged_inside |= b"\r" in value and bool(_inside(self._ours).search(value))
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
            with self._turn(mail):
                mail.content = Content(Headers(mail.fields), self.settings.policy.limits, cut=mail.cut)
            mail.content.prefetch(mail.shared)

    def body(self, chunk: bytes) -> bool:
        """A piece of the body. Returns False if no more of it is needed."""
        content = self._current().content
        if content is None or not content.body.hungry:
            return False
        content.body.update(chunk)
        return content.body.hungry

    def end_of_message(self) -> Outcome:
        """Judge the message."""
        mail, self._mail = self._current(), None
        with self._turn(mail):
            return self._outcome(mail)

    def _outcome(self, mail: _Mail) -> Outcome:
        headers = mail.content.headers if mail.content else Headers(mail.fields)
        written = self.settings.policy.fields
        because = mail.unjudged
        connection = self._connection(mail)
        most = self.settings.policy.limits.results_octets
        forged = unwanted(headers, self.authserv_id, trusted=bool(because), most=most)
        remove = (
            *((AUTHENTICATION_RESULTS, instance) for instance in forged),
            *((name, 1 + place) for name in written for place in range(len(headers.named(name.encode())))),
        )
        if mail.forged_inside or len(remove) > self.settings.policy.limits.forged_fields:
            # in every mode and from every client: if it were delivered, forged results would come in
            text = "A forged header field inside another" if mail.forged_inside else "Too many forged header fields"
            reply = Reply(550, "5.7.1", text)
            verdict = Verdict(Action.REJECT, "forged_fields", reply.text, reply, Action.REJECT)
            return Outcome(verdict, connection=connection)
        # if a field was removed, say that nothing was checked
        none = render(self.authserv_id, [], utf8=mail.utf8)
        unchecked = ((AUTHENTICATION_RESULTS, none),) if remove else ()
        if because:
            return Outcome(Verdict(Action.ACCEPT, because), remove, unchecked, connection=connection)
        if connection is None:
            reply = Reply(451, "4.7.1", "The client's address is unknown")
            action = Action.ACCEPT if self.settings.policy.mode is Mode.MONITOR else Action.DEFER
            return Outcome(Verdict(action, "no_client_address", reply.text, reply, Action.DEFER), remove, unchecked)
        return self._judge(mail, connection, remove)

    def _connection(self, mail: _Mail) -> Connection | None:
        """The connected host, or the client from which the operator's relays received the message."""
        if self._client_ip is None:
            return None
        if mail.relayed is None:
            return Connection(self._client_ip, self._helo)
        mail.relayed.end()
        if client := mail.relayed.client:
            return Connection(client.address, client.helo, client.via)
        is_spared = self.settings.relays.untraced is Untraced.ACCEPT
        return Connection(self._client_ip, untraced=mail.relayed.problem, is_spared=is_spared)

    def _judge(self, mail: _Mail, connection: Connection, remove: tuple[tuple[str, int], ...]) -> Outcome:
        started = self._clocks.monotonic()
        content = mail.content or Content(Headers(mail.fields), self.settings.policy.limits, cut=mail.cut)
        deadline = started + self.settings.message_timeout
        policy = self.settings.policy

        def resolver(method: Method) -> Resolver:
            resolve = mail.shared.of(method).resolver(deadline, self._clocks.monotonic)

            def others_first(name: str, rdtype: str) -> Answer:
                # no expensive message waits while another one waits for DNS
                self._leave(mail)
                try:
                    return resolve(name, rdtype)
                finally:
                    self._take(mail)

            return others_first

        transaction = replace(mail.transaction, recipients=tuple(mail.recipients))
        if connection.untraced:
            known = untraced(connection, transaction)
        elif mail.relayed:
            known = Known(mail.iprev, mail.spf_helo(), mail.spf_mail_from())
        else:
            known = self._known._replace(spf_helo=self._spf_helo(), spf_mail_from=mail.spf_mail_from())
        known = known._replace(sender_domain=mail.sender_domain)
        evidence = authenticate(
            connection,
            transaction,
            content,
            resolver,
            self._clocks.now(),
            policy,
            known,
            self._remembered,
            explain=self._explains,
        )
        unanswered = self._is_unanswered(mail, evidence.dmarc, deadline)
        trouble = None
        if mail.shared.unsent:
            trouble = Trouble.UNSENT
        elif unanswered and self.settings.dns.unavailable is Action.DEFER:
            trouble = Trouble.UNAVAILABLE
        sample = _sample(content.headers) if policy.dmarc.enforce_percent < 100 else 0
        extensions = self.settings.recipient_delimiter, self.settings.owner_request_special
        case = Case(connection, transaction, evidence, self._clocks.now(), sample, *extensions, trouble)
        verdict = policy.decide(case)
        infos = resinfos(connection, evidence, verdict.override)
        found = render(self.authserv_id, infos, utf8=mail.utf8)
        add = [(AUTHENTICATION_RESULTS, found), *verdict.headers]
        if verdict.action is Action.TAG:
            add.append((policy.tag.flag, "YES"))
        if verdict.action in (Action.TAG, Action.HOLD):
            # Postfix shows no reason for holding a message; postcat shows this field
            add.append((policy.tag.verdict, f"{verdict.action}; rule={verdict.rule}"))
        seconds = self._clocks.monotonic() - started
        asked_by = {**self._shared.asked_by, **mail.shared.asked_by}
        return Outcome(verdict, remove, tuple(add), evidence, seconds, unanswered, connection, asked_by)

    def _is_unanswered(self, mail: _Mail, dmarc: Dmarc, deadline: float) -> bool:
        """Does DNS not work at all, so that nobody can say what the author's policy is?

        That may be so if no question of the message was answered, or none for the policy of an author; the sender
        chooses all other questions, and the resolver may have zones of its own. Then the top-level domain of each
        author is asked for, even if it is cached, so that one domain's trouble is not taken for everybody's.
        """
        readings = (dmarc, *dmarc.readings)
        limits = self.settings.policy.limits
        without = [
            each
            for each in readings
            if each.result is Result.TEMPERROR
            and not (each.header_from and mail.shared.heard(questions(each.header_from, limits)))
        ]
        if not without and not mail.shared.unanswered():
            return False
        # a resolver may never answer for names that are not public, such as those below local
        domains = {top_level(each.header_from) or _TOP_LEVEL for each in readings if each.header_from}
        # a check that the sender makes slow must not use up the time for this question
        until = max(deadline, self._clocks.monotonic() + self.settings.dns.timeout)
        resolve = Deadline(self._anew or mail.shared.of(Method.DMARC), until, self._clocks.monotonic)
        try:
            self._leave(mail)
            for domain in sorted(domains) or [_TOP_LEVEL]:
                resolve(f"_dmarc.{domain}", "TXT")
        except DnsTempError:
            return True
        except DnsLimit:
            pass
        return False

    @contextmanager
    def _turn(self, mail: _Mail) -> Iterator[None]:
        """Work at a message; an expensive one waits for its turn."""
        self._take(mail)
        try:
            yield
        finally:
            self._leave(mail)

    def _take(self, mail: _Mail) -> None:
        if self._dear and mail.may_cost_much and not mail.has_turn:
            self._dear.acquire()
            mail.has_turn = True

    def _leave(self, mail: _Mail) -> None:
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


def _reverse_path(address: str) -> str:
    """The address of a MAIL command without angle brackets and source route (RFC 5321 section 4.1.1.2)."""
    address = address.strip()
    if address.startswith("<") and address.endswith(">"):
        address = address[1:-1]
    if address.startswith("@") and ":" in address:
        address = address.partition(":")[2]
    return address


def _secret() -> bytes:
    """A secret that all processes of this host share: machine-id(5), or else a random number of this process."""
    try:
        return hashlib.sha256(b"mailassay" + Path("/etc/machine-id").read_bytes()).digest()
    except OSError:
        return os.urandom(32)


_SECRET = _secret()


def _sample(headers: Headers) -> int:
    """A number from 0 to 99: the same each time a message is sent again, and unknown to its sender."""
    identity = [field.value for name in (b"message-id", b"from", b"date") for field in headers.named(name)]
    return int.from_bytes(hashlib.blake2b(b"\0".join(identity), key=_SECRET, digest_size=8).digest()) % 100
