"""The pages as a WSGI application (PEP 3333). It only reads, and trusts nothing that it is asked."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from ..config import Settings
from ..store import database, reading
from ..verdict import Action
from . import guard, query, state
from .look import Look
from .query import BadQuery

_SECONDS = 5.0  # that a page may read the database
_AT_ONCE = 4  # pages that read the database; waitress has more threads, so /healthz has one left
_ROWS = 50  # messages on a page
_RESULTS = ("pass", "none", "neutral", "policy", "softfail", "fail", "temperror", "permerror")
_STATIC = {"/style.css": "text/css", "/icon.svg": "image/svg+xml"}

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
    """The application. ``known`` is what the collector last said about itself; ``engine`` only reads."""

    def __init__(
        self, settings: Settings, engine: Engine, known: state.Known, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings, self._engine, self._known, self._clock = settings, engine, known, clock
        self._turns = threading.Semaphore(_AT_ONCE)
        self._look = Look()
        database.limit(engine, _SECONDS)
        self._routes: tuple[tuple[re.Pattern[str], Callable[..., Response]], ...] = tuple(
            (re.compile(pattern), answer)
            for pattern, answer in (
                ("/", self._overview),
                ("/messages", self._messages),
                ("/message/([0-9]{1,18})", self._message),
                ("/healthz", self._health),
                ("/metrics", self._metrics),
                ("(/style.css|/icon.svg)", self._static),
            )
        )

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
        start(
            f"{response.status.value} {response.status.phrase}",
            [
                ("Content-Type", response.type),
                ("Content-Length", str(len(response.body))),
                *guard.HEADERS,
                *response.more,
            ],
        )
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]

    def _answer(self, environ: dict[str, Any]) -> Response:
        """Raises Refused."""
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "These pages can only be read.", ("Allow", "GET, HEAD"))
        if not guard.is_our_host(environ.get("HTTP_HOST", ""), self._settings.web.hosts):
            raise Refused(
                HTTPStatus.MISDIRECTED_REQUEST,
                "This host is not known by the name in the address. Use localhost or the IP address, or add the name "
                "to web.hosts in the configuration of mailassay.",
            )
        try:
            path = guard.path_of(environ)
            for pattern, answer in self._routes:
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
        depth = environ.get("PATH_INFO", "/").count("/") - 1
        page = self._look.page("refusal.html", depth, title=refused.status.phrase, why=refused.why)
        return Response(page, refused.status, more=refused.more)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """A connection to the database, for a bounded time. Raises Refused."""
        if not self._turns.acquire(blocking=False):
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE, "Too many pages are asked for at once. Try again.", ("Retry-After", "2")
            )
        try:
            with self._engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            if database.took_too_long(error):
                why = f"This took longer than {_SECONDS:.0f} seconds. Ask for a shorter time, or for an exact name."
                raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, why) from error
            why = str(error.orig).partition("\n")[0]
            _log.warning("the pages cannot read the history: %s", why)
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, f"The history cannot be read now: {why}.") from error
        finally:
            self._turns.release()

    def _overview(self, asked: str) -> Response:
        query.parameters(asked)
        return Response(self._look.page("overview.html", 0))

    def _messages(self, asked: str) -> Response:
        wanted = query.messages(asked, self._clock())
        with self._reading() as connection:
            found = list(reading.search(connection, wanted.filter, _ROWS + 1, wanted.before))
        more = wanted.after(found[_ROWS - 1].time, found[_ROWS - 1].number) if len(found) > _ROWS else ""
        page = self._look.page(
            "messages.html",
            0,
            given=wanted.given,
            found=found[:_ROWS],
            more=more,
            is_first=wanted.before is None,
            actions=tuple(Action),
            methods=reading.METHODS,
            results=_RESULTS,
        )
        return Response(page)

    def _message(self, asked: str, number: str) -> Response:
        query.parameters(asked)
        with self._reading() as connection:
            found = reading.one(connection, int(number))
        if found is None:
            raise Refused(HTTPStatus.NOT_FOUND, "There is no such message in the history; old ones leave it.")
        return Response(self._look.page("message.html", 1, found=found, record=found.record))

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

    def _static(self, asked: str, name: str) -> Response:
        query.parameters(asked)
        return Response(_FILES[name], type=_STATIC[name])


_TEXT = "text/plain; charset=utf-8"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"  # the text format of Prometheus
_FILES: Mapping[str, bytes] = {name: files(__package__).joinpath(name[1:]).read_bytes() for name in _STATIC}
