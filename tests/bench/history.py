"""A history as a busy host has it: plausible records of some weeks, and the database that they make.

python -m tests.bench.history FOLDER [--messages N] [--days N] writes FOLDER/history.sqlite.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import accumulate
from multiprocessing import Pool
from pathlib import Path
from typing import Any

from mailassay.config import Settings
from mailassay.history.record import KEYS, Judged, line, read
from mailassay.message import split
from mailassay.policy import Mode, Policy
from mailassay.store import database, writing
from mailassay.store.rows import Rows, rows
from mailassay.zone import Zone
from tests.lab.limits import LIMITS
from tests.lab.sign import ed25519_key
from tests.lab.talk import Talk

DOMAINS = 20_000
CLIENTS = 50_000
_KEY = ed25519_key()
_BATCH = 5000
_encode = json.JSONEncoder(separators=(",", ":")).encode
# by what is said of them in DNS; each of our domains is one of these
_POLICIES = {"none": 55, "reject": 25, "quarantine": 20}
_ZONE = "".join(
    f"""
    {name}.example                 TXT  "v=spf1 ip4:192.0.2.1 -all"
    _dmarc.{name}.example          TXT  "v=DMARC1; p={name}; rua=mailto:dmarc@{name}.example"
    sel._domainkey.{name}.example  TXT  "{_KEY.record}"
    """
    for name in _POLICIES
)
_ZONE += f"""
    1.2.0.192.in-addr.arpa     PTR  mail.host.example
    mail.host.example          A    192.0.2.1
    host.example               TXT  "v=spf1 ip4:192.0.2.1 -all"
    sel._domainkey.host.example TXT "{_KEY.record}"
"""
# kinds of mail, and their shares in a hundred
_KINDS = {
    "aligned": 63,
    "by a service": 16,
    "forwarded": 5,
    "no record": 7,
    "spoofed": 4,
    "monitored": 1,
    "broken": 1,
    "submitted": 3,
}
_PLACES = re.compile(r"(none|reject|quarantine|plain|host)\.example|192\.0\.2\.1|198\.51\.100\.66|bob@receiver")


def records(first: int, until: float, days: float, many: int) -> Iterator[dict[str, Any]]:
    """What :func:`lines` say."""
    return (read(json.loads(each)) for each in lines(first, until, days, many))


def lines(first: int, until: float, days: float, many: int) -> Iterator[str]:
    """So many lines of the spool, each with the record of a message, the oldest first.

    Few domains and clients have most of them (Zipf's law). ``first`` is a number that tells their queue ids apart from
    those of others.
    """
    chance = random.Random(first)
    templates = _templates()
    weights = {count: [*accumulate(1 / rank for rank in range(1, count + 1))] for count in (DOMAINS, CLIENTS)}
    began = until - days * 86_400
    for number in range(many):
        at = began + (number + chance.random()) * days * 86_400 / many
        [domain] = chance.choices(range(DOMAINS), cum_weights=weights[DOMAINS])
        [client] = chance.choices(range(CLIENTS), cum_weights=weights[CLIENTS])
        [policy] = random.Random(domain).choices([*_POLICIES], [*_POLICIES.values()])
        [kind] = chance.choices([*_KINDS], [*_KINDS.values()])
        text = templates[kind, policy]
        fills = {
            **dict.fromkeys((f"{each}.example" for each in (*_POLICIES, "plain")), _domain(domain)),
            "host.example": f"esp{client % 400}.example.net",
            # most mail of a domain comes from its own few hosts
            "192.0.2.1": _address(client if kind != "aligned" else domain * 2 + number % 2),
            "198.51.100.66": _address(client),
            "bob@receiver": f"user{chance.randrange(3000)}@receiver",
        }
        found: dict[str, Any] = json.loads(_PLACES.sub(lambda match, fills=fills: fills[match[0]], text))
        for key, value in (
            ("time", round(at, 3)),
            ("host", f"mx{1 + number % 2}"),
            ("queue_id", f"4{first + number:013X}"),
            ("message_id", f"<{chance.getrandbits(96):x}@{_domain(domain)}>"),
            ("seconds", round(chance.lognormvariate(-5, 1.2), 6)),
            *(_signing(number) if kind == "submitted" else {}).items(),
        ):
            found["values"][KEYS.index(key)] = value
        yield _encode(found)


def _signing(number: int) -> dict[str, Any]:
    """What became of outgoing mail."""
    if number % 5 == 0:
        return {"unsigned": "domain" if number % 10 else "envelope"}
    return {"signed_by": ["host.example/a", "host.example/b"], "signed_with": ["rsa-sha256", "ed25519-sha256"]}


def fill(folder: Path, many: int, days: float) -> None:
    """Write the records into a database of their own."""
    engine = database.connect(database.address(str(folder), None))
    database.migrate(engine)
    began, each_takes = time.time() - days * 86_400, days * 86_400 / many
    parts = [
        (first, began + first * each_takes, min(_BATCH, many - first), each_takes) for first in range(0, many, _BATCH)
    ]
    with Pool() as pool:
        for made in pool.imap(_part, parts):
            with engine.begin() as connection:
                writing.add(connection, made)
                writing.count(connection, Counter(key for each in made for key in each.counts))
    engine.dispose()


def _part(place: tuple[int, float, int, float]) -> list[Rows]:
    first, began, many, each_takes = place
    days = many * each_takes / 86_400
    made = lines(first, began + days * 86_400, days, many)
    return [rows(read(json.loads(each)), each.encode()) for each in made]


@cache
def _templates() -> dict[tuple[str, str], str]:
    """Lines as a worker writes them, with the names of our zone, by kind and policy."""
    made = {}
    for kind in _KINDS:
        for policy in _POLICIES:
            name = f"{'plain' if kind == 'no record' else policy}.example"
            zone, mode = _ZONE, Mode.ENFORCE
            message = (
                f"From: News <news@{name}>\r\nTo: bob@receiver.example\r\nSubject: x\r\n"
                f"Message-ID: <1@{name}>\r\n\r\nx\r\n"
            ).encode()
            client, mail_from, login = "192.0.2.1", f"<bounce@{name}>", ""
            match kind:
                case "aligned":
                    message = _KEY.sign(message, name, "sel")
                case "by a service":
                    mail_from = "<bounce@host.example>"
                    message = _KEY.sign(_KEY.sign(message, name, "sel"), "host.example", "sel")
                case "forwarded":
                    client = "198.51.100.66"
                    message = _KEY.sign(message, name, "sel")
                case "spoofed":
                    client = "198.51.100.66"
                case "monitored":
                    client, mode = "198.51.100.66", Mode.MONITOR
                case "broken":
                    client, zone = "198.51.100.66", re.sub(rf"(?m)^( *_dmarc.{name} *TXT).*", r"\1 !", _ZONE)
                case "submitted":
                    login = "ann"
            settings = Settings(policy=Policy(mode=mode))
            talk = Talk(Zone(zone, limits=LIMITS), settings=settings, client=client, helo="mail.host.example")
            fields, body = split(message)
            outcome = talk.send(list(fields), body, mail_from=mail_from, login=login)
            made[kind, policy] = line(Judged(outcome, settings, 0.0), "mx1")
    return made


def _domain(number: int) -> str:
    return f"{('news', 'shop', 'mail', 'bank', 'club')[number % 5]}{number}.example.com"


def _address(number: int) -> str:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--messages", type=int, default=2_000_000)
    parser.add_argument("--days", type=float, default=30)
    arguments = parser.parse_args()
    fill(arguments.folder, arguments.messages, arguments.days)
