"""The pages as a WSGI application (PEP 3333). It only reads, and trusts nothing that it is asked."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from ..config import Settings
from ..domain import BadDomain, Domain
from ..explain.recorded import Recorded, Unreadable
from ..lookup import look_up
from ..lookup.text import Text
from ..report.domain import of_domain
from ..report.figures import Figures, Span, figures
from ..report.reported import Reported, named, reported
from ..resolver import Source
from ..result import METHODS
from ..store import database, outbox, reading
from ..store.filter import SIGNINGS, Filter
from ..store.rows import HOUR
from . import guard, query, state, templating
from .query import BadQuery
from .row import row
from .sent import said

_SECONDS = 5.0  # that a page may read the database, or ask DNS
_AT_ONCE = 4  # pages that read; waitress has more threads, so that one is left for /healthz
_ROWS = 50  # messages on a page
_LATEST = 10  # messages of a domain
_SPANS = ("1d", "2d", "7d", "30d")
_USUAL = "7d"
_MOST_DAYS = 400  # on a page
_REPORTS = 100  # on a page
_SILENT = 100  # addresses that get no reports, on a page
_COLUMNS = 100  # of what a command would print
_LINES = 3000  # of a report
_DOMAIN = "/domain/([^/]{1,253})"
_LABELS = 8  # of a domain about which there may be reports (RFC 9989 section 4.10)
_RESULTS = ("pass", "none", "neutral", "policy", "softfail", "fail", "temperror", "permerror")
_TEXT = "text/plain; charset=utf-8"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"  # the text format of Prometheus

_log = logging.getLogger(__name__)

Start = Callable[[str, list[tuple[str, str]]], Any]


@dataclass(frozen=True, slots=True)
class Response:
    """What a request is answered."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    type: str = "text/html; charset=utf-8"
    more: tuple[tuple[str, str], ...] = ()


class Refused(Exception):
    """A request is not answered with what it asks for. ``why`` is for people."""

    def __init__(self, status: HTTPStatus, why: str, *more: tuple[str, str]) -> None:
        super().__init__(why)
        self.status, self.why, self.more = status, why, more


class Pages:
    """The application.

    ``settings`` are the present ones, ``engine`` only reads, ``source`` answers questions to DNS, and ``known`` is what
    the collector last said about itself.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        engine: Engine,
        source: Callable[[], Source],
        known: state.Known,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._engine, self._source = settings, engine, source
        self._known, self._clock = known, clock
        self._turns, self._lookups = threading.Semaphore(_AT_ONCE), threading.Semaphore(1)
        self._hosts, self._has_reports = settings().web.hosts, False
        database.limit(engine, _SECONDS)
        routes: dict[str, Callable[..., Response]] = {
            "/": self._overview,
            "/messages": self._messages,
            "/message/([0-9]{1,18})": self._message,
            _DOMAIN: self._domain,
            "/rules": self._rules,
            "/reports": self._reports,
            "/report/([0-9]{1,18})": self._report,
            "/healthz": self._health,
            "/metrics": self._metrics,
            "/style.css": partial(self._file, templating.style(), "text/css"),
            "/icon.svg": partial(self._file, templating.icon(), "image/svg+xml"),
        }
        self._routes = _compiled(routes)
        # nobody has to click a link: a page can lead its visitor here again and again
        self._routes_of_links = _compiled(routes | {_DOMAIN: partial(self._domain, may_ask=False)})

    def __call__(self, environ: dict[str, Any], start: Start) -> list[bytes]:
        """Answer a request. Whatever goes wrong, the answer says nothing about the program."""
        try:
            response = self._answer(environ)
        except Refused as refused:
            response = self._refusal(environ, refused)
        except Exception:  # noqa: BLE001 - a bug costs this answer
            _log.exception("a page cannot be shown")
            response = Response(
                b"This page cannot be shown; the log says why.\n", HTTPStatus.INTERNAL_SERVER_ERROR, _TEXT
            )
        headers = [("Content-Type", response.type), ("Content-Length", str(len(response.body)))]
        start(f"{response.status.value} {response.status.phrase}", [*headers, *guard.HEADERS, *response.more])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]

    def _answer(self, environ: dict[str, Any]) -> Response:
        """Raises Refused."""
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "These pages can only be read.", ("Allow", "GET, HEAD"))
        if not guard.is_our_host(environ.get("HTTP_HOST", ""), self._hosts):
            raise Refused(
                HTTPStatus.MISDIRECTED_REQUEST,
                "This host is not known by the name in the address. Use localhost or the IP address, or add the name "
                "to web.hosts in the configuration of mailassay.",
            )
        is_foreign = guard.is_foreign(environ)
        if is_foreign and not guard.is_link(environ):
            raise Refused(HTTPStatus.FORBIDDEN, "The page of another site asked for this. Open the address yourself.")
        try:
            path = guard.path_of(environ)
            for pattern, answer in self._routes_of_links if is_foreign else self._routes:
                if found := pattern.fullmatch(path):
                    return answer(environ.get("QUERY_STRING", ""), *found.groups())
        except BadQuery as error:
            raise Refused(HTTPStatus.BAD_REQUEST, f"{error}.") from error
        except UnicodeDecodeError as error:
            raise Refused(HTTPStatus.BAD_REQUEST, "The path is not UTF-8.") from error
        raise Refused(HTTPStatus.NOT_FOUND, "There is no such page.")

    def _refusal(self, environ: dict[str, Any], refused: Refused) -> Response:
        if refused.status in (HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.MISDIRECTED_REQUEST):
            return Response(f"{refused.why}\n".encode(), refused.status, _TEXT, refused.more)
        depth = max(0, environ.get("PATH_INFO", "").count("/") - 1)
        body = self._page("refusal.html", depth, title=refused.status.phrase, why=refused.why)
        return Response(body, refused.status, more=refused.more)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """A connection to the database, for a bounded time. Raises Refused."""
        busy = HTTPStatus.SERVICE_UNAVAILABLE
        if not self._turns.acquire(blocking=False):
            raise Refused(busy, "Too many pages are asked for at once. Try again.", ("Retry-After", "2"))
        try:
            with self._engine.connect() as connection:
                self._has_reports = outbox.is_any(connection)
                yield connection
        except DBAPIError as error:
            if database.took_too_long(error):
                why = f"This took longer than {_SECONDS:.0f} seconds. Ask for a shorter time, or for an exact name."
                raise Refused(busy, why) from error
            why = database.cause(error, self._engine.url)
            _log.warning("the pages cannot read the history: %s", why)
            raise Refused(busy, f"The history cannot be read now: {why}.") from error
        finally:
            self._turns.release()

    def _page(self, template: str, depth: int, **values: Any) -> bytes:
        """A page in its frame, which leads to the reports if there are any, or shall be."""
        return templating.page(template, depth, has_reports=self._is_reporting() or self._has_reports, **values)

    def _is_reporting(self) -> bool:
        return self._settings().reports.sender is not None

    def _overview(self, asked: str) -> Response:
        given = query.parameters(asked, "since", "host")
        return Response(self._page("overview.html", 0, figures=self._figures(given), given=given, spans=_SPANS))

    def _figures(self, given: dict[str, str]) -> Figures:
        span = self._span(given)
        with self._reading() as connection:
            return figures(connection, self._settings(), span, given.get("host", ""))

    def _span(self, given: dict[str, str]) -> Span:
        """The span of time that is asked for, as far as the history goes back."""
        now, days = self._clock(), min(self._settings().history.days + 1, _MOST_DAYS)
        since = query.since(given.setdefault("since", _USUAL), now)
        return Span.since(max(since, now - days * 86_400), now)

    def _messages(self, asked: str) -> Response:
        wanted = query.messages(asked, self._clock())
        with self._reading() as connection:
            found = next(filter(None, (self._search(connection, each, wanted.before) for each in wanted.filters)), [])
        last = found[_ROWS - 1] if len(found) > _ROWS else None
        body = self._page(
            "messages.html",
            0,
            given=wanted.given,
            found=[row(each) for each in found[:_ROWS]],
            more=wanted.after(last.time, last.number) if last else "",
            is_first=wanted.before is None,
            methods=METHODS,
            results=_RESULTS,
            signings=SIGNINGS,
        )
        return Response(body)

    @staticmethod
    def _search(
        connection: Connection, wanted: Filter, before: tuple[float, int] | None = None, most: int = _ROWS + 1
    ) -> list[reading.Found]:
        return list(reading.search(database.asking(connection), wanted, most, before))

    def _message(self, asked: str, number: str) -> Response:
        query.parameters(asked)
        with self._reading() as connection:
            found = reading.one(database.asking(connection), int(number))
        if found is None:
            raise Refused(
                HTTPStatus.NOT_FOUND,
                "The history has no such message that this version can read; old ones are deleted.",
            )
        try:
            lines = Recorded(found.record).lines(self._settings(), self._clock())
        except Unreadable as error:
            lines = [("record", f"is not one that this version can read ({error})")]
        return Response(self._page("message.html", 1, message=row(found), lines=lines))

    def _domain(self, asked: str, name: str, *, may_ask: bool = True) -> Response:
        given = query.parameters(asked, "since", "dns")
        if not name.isprintable() or not name.strip("."):
            raise Refused(HTTPStatus.BAD_REQUEST, "This is not a domain name.")
        name, span = name.lower(), self._span(given)
        with self._reading() as connection:
            found = of_domain(connection, name, span)
            latest = [row(each) for each in self._search(connection, Filter(author=name), most=_LATEST)]
            sent = outbox.about(connection, _and_above(name), self._days(span), most=_LATEST)
            to = outbox.deliveries(connection, [each.id for each in sent])
        dns = self._dns(name) if "dns" in given and may_ask else []
        body = self._page(
            "domain.html", 1, domain=found, latest=latest, given=given, spans=_SPANS, dns=dns, sent=sent, to=to
        )
        return Response(body)

    @staticmethod
    def _days(span: Span) -> range:
        """The UTC days of a span."""
        return range(span.first * HOUR // outbox.DAY, int(span.now) // outbox.DAY + 1)

    def _dns(self, name: str) -> list[str]:
        """What DNS says about a domain, as ``mailassay lookup`` prints it. Raises Refused."""
        try:
            domain = Domain(name)
        except BadDomain as error:
            raise Refused(HTTPStatus.BAD_REQUEST, f"DNS cannot have this name: {error}.") from error
        if not self._lookups.acquire(blocking=False):
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "Another domain is being looked up.", ("Retry-After", "2"))
        try:
            limits = self._settings().policy.limits
            report = look_up(domain, (), self._source(), _SECONDS, limits)
        finally:
            self._lookups.release()
        return list(Text(_COLUMNS).lines(report, name, limits))

    def _reports(self, asked: str) -> Response:
        given = query.parameters(asked, "since", "domain", "state")
        domain, states = query.reports(given)
        days = self._days(self._span(given))
        with self._reading() as connection:
            if domain:
                found = outbox.about(connection, [domain], days, states, _REPORTS + 1)
            else:
                found = outbox.reports(connection, days.start, states=states, most=_REPORTS + 1)
            is_cut, found = len(found) > _REPORTS, found[:_REPORTS]
            to = outbox.deliveries(connection, [each.id for each in found])
            # of one domain, the list says it all
            total = None if domain else self._reported(connection, days.start)
        body = self._page(
            "reports.html",
            0,
            given=given,
            spans=_SPANS,
            since=named(days.start),
            found=found,
            is_cut=is_cut,
            to=to,
            total=total,
        )
        return Response(body)

    def _reported(self, connection: Connection, since: int) -> Reported | None:
        return reported(connection, since, self._clock(), is_on=self._is_reporting(), most=_SILENT)

    def _report(self, asked: str, number: str) -> Response:
        query.parameters(asked)
        with self._reading() as connection:
            found = outbox.one(connection, int(number))
            if found is None:
                raise Refused(HTTPStatus.NOT_FOUND, "There is no such report; old ones are deleted.")
            to = outbox.deliveries(connection, [found.id])[found.id]
            mail = outbox.body(connection, found.id)
        lines = said(mail, _COLUMNS, _LINES + 1) if mail is not None and found.kind == "aggregate" else []
        is_cut = len(lines) > _LINES
        body = self._page("report_sent.html", 1, report=found, to=to, lines=lines[:_LINES], is_cut=is_cut)
        return Response(body)

    def _rules(self, asked: str) -> Response:
        given = query.parameters(asked, "since")
        found, settings = self._figures(given), self._settings()
        used = {each.name: each for each in found.rules}
        monitored = {each.name: each for each in found.monitored}
        names = [f"rules.{rule.name}" for rule in settings.policy.rules]
        body = self._page(
            "rules.html",
            0,
            given=given,
            spans=_SPANS,
            figures=found,
            rules=[
                (name, settings.policy_lines.get(name), rule)
                for name, rule in zip(names, settings.policy.rules, strict=True)
            ],
            used=used,
            monitored=monitored,
            others=[each for each in found.rules if each.name not in names],
        )
        return Response(body)

    def _health(self, asked: str) -> Response:
        query.parameters(asked)
        trouble = self._known.trouble()
        status = HTTPStatus.SERVICE_UNAVAILABLE if trouble else HTTPStatus.OK
        return Response(f"{trouble or 'ok'}\n".encode(), status, _TEXT)

    def _metrics(self, asked: str) -> Response:
        query.parameters(asked)
        found = self._known.metrics
        if not found:
            # old ones would look as if nothing happened
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "The collector says nothing.", ("Retry-After", "2"))
        return Response(found.encode(), type=_METRICS)

    @staticmethod
    def _file(body: bytes, kind: str, asked: str) -> Response:
        query.parameters(asked)
        return Response(body, type=kind)


def _compiled(routes: dict[str, Callable[..., Response]]) -> list[tuple[re.Pattern[str], Callable[..., Response]]]:
    return [(re.compile(pattern), answer) for pattern, answer in routes.items()]


def _and_above(name: str) -> list[str]:
    """A domain and those above it: the DMARC record that holds for it may be at any of them."""
    labels = name.strip(".").split(".")[-_LABELS:]
    return [".".join(labels[first:]) for first in range(len(labels))]
