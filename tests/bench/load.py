"""The load: so many SMTP connections at a time, a message each, every one from its own client."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tests.lab.mta import Mta
from tests.lab.smtp import Reply, SmtpClient

from .corpus import RECIPIENT, Message

_SECONDS = 120.0  # for one reply

T = TypeVar("T")


@dataclass(frozen=True)
class Sent:
    """One message, its last reply, and the seconds from the connection to it."""

    message: Message
    reply: Reply
    seconds: float

    @property
    def is_right(self) -> bool:
        """Refused for good where it should be, else accepted."""
        return self.reply.code // 100 == (5 if self.message.refused else 2)


@dataclass(frozen=True)
class Load:
    """What was sent, and the seconds from the first connection to the last reply."""

    sent: list[Sent]
    seconds: float


def send(postfix: Mta, messages: Sequence[Message], connections: int) -> Load:
    """Send them all. Raises the first error of any connection."""
    sent: list[Sent] = []
    begun = time.perf_counter()
    at_a_time(messages, connections, lambda message: sent.append(session(postfix.port, message)))
    return Load(sent, time.perf_counter() - begun)


def at_a_time(things: Iterable[T], many: int, work: Callable[[T], object]) -> None:
    """Do the work for each thing, for so many at a time. Raises the first error."""
    waiting, errors, lock = iter(things), list[BaseException](), threading.Lock()

    def some() -> None:
        try:
            while not errors:
                with lock:
                    try:
                        thing = next(waiting)
                    except StopIteration:
                        return
                work(thing)
        except BaseException as error:  # noqa: BLE001
            # it is raised below, in the thread that waits
            errors.append(error)

    threads = [threading.Thread(target=some, daemon=True) for _ in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def wrong(sent: Iterable[Sent], log: Iterable[Mapping[str, object]] | None = None) -> int:
    """Messages with another reply than expected or, if that is more, with another DMARC result in a log of mailassay's.

    ``log`` holds its entries about these messages, and any others.
    """
    sent = [*sent]
    replies = sum(not each.is_right for each in sent)
    if log is None:
        return replies
    expected = Counter[tuple[object, ...]](
        (each.message.client, each.message.header_from, each.message.dmarc) for each in sent
    )
    found = Counter[tuple[object, ...]](
        (entry["client"], entry["header_from"], entry["dmarc"]) for entry in log if "dmarc" in entry
    )
    return max(replies, (expected - found).total())


def session(port: int, message: Message) -> Sent:
    """One message, over a connection of its own."""
    begun = time.perf_counter()
    with SmtpClient("127.0.0.1", port, _SECONDS) as client:
        client.command(f"EHLO {message.helo}")
        client.become(message.client, message.reverse)
        client.command(f"EHLO {message.helo}")
        reply = client.send(message.mail_from, [RECIPIENT], message.content)
        return Sent(message, reply, time.perf_counter() - begun)
