"""The facts of a message file: what the client said, and the message as the milter saw it.

A message that Postfix has received carries its facts, in three forms: the envelope records that ``postcat -q`` prints,
our own Authentication-Results field, and the fields that Postfix and its delivery agents wrote on top. Nothing below
the Received field of this host is believed, since the sender's part begins there.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email.utils import parsedate
from itertools import takewhile

from ..address import Address
from ..authres.read import resinfos
from ..authres.render import is_ours
from ..config import Relays
from ..domain import BadDomain, Domain
from ..message import BOM, Field, Headers, split
from ..received import Received, parsed
from ..received import read as received
from ..result import NO_CLIENT, Resinfo

_POSTCAT = re.compile(rb"\A\*\*\* ENVELOPE RECORDS ([^\n]*) \*\*\*\n")
_QUEUE_FILE = re.compile(rb"\AC[\x00-\xff](?: +[0-9]+){4,6}")
_FROM = re.compile(rb">?From [^\n]*\n")
_DELIVERY = (b"return-path", b"x-original-to", b"delivered-to", b"envelope-to", b"received")


class Unknown(Exception):
    """A fact is missing in the file. The text says which one, why, and which option supplies it."""


@dataclass(frozen=True, slots=True)
class Given:
    """The facts from the operator; None if not given. ``tags`` are the names of our fields beside the results.

    ``relays`` are the operator's relays: the client behind them is in the message itself. ``host`` is the host whose
    Received field names the client, even if other hosts had the message after it.
    """

    client_ip: Address | None = None
    helo: str | None = None
    mail_from: str | None = None
    recipients: tuple[str, ...] | None = None
    tags: tuple[str, ...] = ("X-Spam-Flag", "X-Mailassay-Verdict")
    relays: Relays = Relays()
    host: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as the milter saw it, with its facts.

    ``at`` is when it came in, in seconds since 1970, None if unknown. ``local``: no client sent it by SMTP. ``host`` is
    the name of the host that received it, empty if unknown. ``sources`` has the source of each fact. ``stripped`` has
    the names of the fields that were added on top after the milter saw the message, top to bottom; ``then`` has the
    results in our own field among them.
    """

    headers: Headers
    body: bytes
    client_ip: Address | None = None
    helo: str = ""
    mail_from: str = ""
    recipients: tuple[str, ...] = ()
    login: str = ""
    smtputf8: bool = False
    local: bool = False
    at: float | None = None
    host: str = ""
    sources: dict[str, str] = field(default_factory=dict)
    stripped: tuple[str, ...] = ()
    then: tuple[Resinfo, ...] = ()


def read(raw: bytes, given: Given, hosts: Sequence[str]) -> Message:
    """A message file, or what ``postcat -q`` prints of a queue file, with its facts. Raises Unknown.

    ``hosts`` are the names of the host that received the message; one without a dot matches in any domain. If the
    client's address is given, a message file is judged as it is, and no facts are read from it. A byte order mark, as
    programs on Windows write it, is not part of the message.
    """
    raw = raw.removeprefix(BOM)
    if found := _POSTCAT.match(raw):
        message = _queue_file(raw[found.end() :], found[1].decode(errors="replace"), given.tags)
    elif _QUEUE_FILE.match(raw):
        raise Unknown("this is a queue file as Postfix stores it; give the output of `postcat -q ID`")
    elif wrong := _no_message(raw):
        raise Unknown(wrong)
    elif given.client_ip:
        return Message(
            *split(raw),
            given.client_ip,
            given.helo or "",
            given.mail_from or "",
            given.recipients or (),
            sources={
                "client": "--ip",
                "helo": _said("--helo", given.helo),
                "mail from": _said("--mail-from", given.mail_from),
                "recipients": _said("--rcpt", given.recipients),
            },
        )
    else:
        message = _delivered(raw, given, hosts)
    return _as_given(message, given)


def _no_message(raw: bytes) -> str:
    """Why a file is not a message; empty if it is one. Otherwise its fields would be read as body, and missed."""
    if not raw:
        return "the file is empty"
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "the file is UTF-16 text; save the message as it came, octet by octet"
    first = _FROM.match(raw)
    rest = raw[first.end() :] if first else raw
    if b"\n" not in rest and b"\r" in rest.strip():
        return "the lines of the file end in CR alone; save the message as it came, octet by octet"
    if split(rest)[0]:
        return ""
    line = rest.partition(b"\n")[0].rstrip(b"\r").decode(errors="replace")
    what = repr(line[:60]) if line else "an empty line"
    return f"the file begins with {what}, which is not a header field; remove what comes before the header section"


def _said(option: str, value: object) -> str:
    return option if value is not None else f"no {option}"


def _as_given(message: Message, given: Given) -> Message:
    """The message with the operator's facts in place of those found."""
    sources = dict(message.sources)
    if given.client_ip:
        message = replace(message, client_ip=given.client_ip, local=False)
        sources["client"] = "--ip"
    if given.helo is not None:
        message = replace(message, helo=given.helo)
        sources["helo"] = "--helo"
    if given.mail_from is not None:
        message = replace(message, mail_from=given.mail_from)
        sources["mail from"] = "--mail-from"
    if given.recipients is not None:
        message = replace(message, recipients=given.recipients)
        sources["recipients"] = "--rcpt"
    return replace(message, sources=sources)


def _queue_file(printed: bytes, path: str, tags: Sequence[str]) -> Message:
    envelope, begins, rest = printed.partition(b"*** MESSAGE CONTENTS %b ***\n" % path.encode(errors="replace"))
    content, ends, _ = rest.rpartition(b"*** HEADER EXTRACTED ")
    if not begins or not ends or not content:
        raise Unknown("the output of postcat is incomplete; give the whole output of `postcat -q ID`")
    if content.startswith((b"pointer_record:", b"regular_text:")):
        raise Unknown("postcat printed records (-v); give the output of `postcat -q ID`")
    attributes, values, recipients = _records(envelope.decode("utf-8", "surrogateescape").split("\n"))
    if "sender" not in values:
        raise Unknown("the output of postcat names no sender; give the whole output of `postcat -q ID`")
    # octets of the content, its place, recipients, flags of qmgr, octets of the records, flags of SMTPUTF8
    sizes = [_number(each) for each in values.get("message_size", "").split()]
    if len(recipients) > sum(sizes[2:3]):
        raise Unknown(
            "the output of postcat names more recipients than the queue file has: the client wrote line breaks into a "
            "parameter of RCPT; give the client's address by --ip, for the message alone"
        )
    # the client as an inner hop (a content filter) reported it
    address = parsed(attributes.get("client_address", ""))
    inner = "log_" if address is not None and address.is_loopback else ""
    outer = parsed(attributes.get(f"{inner}client_address", ""))
    local = attributes.get("log_message_origin") == "local"
    if outer is None and address is None and not local:
        raise Unknown("the output of postcat names no client_address; give it by --ip")
    headers, body = split(content)
    place = _run(headers.fields, ())
    stripped, then, host = _strip(headers.fields, place, tags, ())
    record = "the envelope of the queue file"
    arrived = parsedate(values.get("message_arrival_time", ""))
    return Message(
        Headers(each for number, each in enumerate(headers.fields) if number not in stripped),
        body,
        outer or address,
        attributes.get(f"{inner}helo_name" if outer else "helo_name", ""),
        values["sender"],
        tuple(recipients),
        attributes.get("sasl_username", ""),
        bool(sum(sizes[5:6]) & 1),  # SMTPUTF8_FLAG_REQUESTED
        local,
        _local_time(arrived) if arrived else None,
        host,
        {
            "client": f"{record} ({inner if outer else ''}client_address)",
            "helo": f"{record} ({inner if outer else ''}helo_name)",
            "mail from": f"{record} (sender)",
            "recipients": f"{record} (original_recipient)",
            "login": f"{record} (sasl_username)",
            "time": f"{record} (message_arrival_time)",
        },
        tuple(headers.fields[number].name.decode() for number in sorted(stripped)),
        then,
    )


def _records(lines: Sequence[str]) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """The attributes, the other records and the recipients of an envelope; the first of each name counts.

    Postfix decodes an ORCPT (xtext, RFC 3461 section 4), and postcat prints the line breaks in it unchanged, so the
    client may have written what follows. Postfix writes all records of the message itself before that. It rejects such
    an ENVID.
    """
    attributes: dict[str, str] = {}
    values: dict[str, str] = {}
    recipients: list[str] = []
    original = ""
    believed = True
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "named_attribute":
            key, _, value = value.partition("=")
            believed = believed and key != "dsn_orig_rcpt"
            if believed:
                attributes.setdefault(key, value)
        elif name == "original_recipient":
            original, believed = value, False
        elif name in ("recipient", "done_recipient"):
            recipients.append(original or value)
            original, believed = "", False
        else:
            values.setdefault(name, value)
    return attributes, values, recipients


def _number(text: str) -> int:
    with suppress(ValueError):
        return int(text)
    return 0


def _local_time(arrived: tuple[int, int, int, int, int, int, int, int, int]) -> float | None:
    with suppress(OverflowError, ValueError):
        return time.mktime((*arrived[:8], -1))
    return None


def _delivered(raw: bytes, given: Given, hosts: Sequence[str]) -> Message:
    headers, body = split(raw)
    fields = headers.fields
    place = _place(fields, given.host) if given.host else 0
    place += _run(fields[place:], [given.host] if given.host else hosts, given.relays)
    stripped, then, host = _strip(fields, place, given.tags, [given.host] if given.host else hosts)
    came = received(fields[place].value)
    top = [fields[number] for number in sorted(stripped)]
    recorded = {f"{ptype}.{name}": value for each in then for ptype, name, value in each.properties}
    sources = {"client": "our Authentication-Results (policy.iprev)", "helo": "Received", "time": "Received"}
    client_ip = parsed(recorded.get("policy.iprev", ""))
    # a client that logged in is not judged, unless it is a relay
    login = came.login
    if then and login:
        login = login if login in given.relays.logins else next(iter(given.relays.logins), "")
    is_relay = login in given.relays.logins or (came.client_ip is not None and came.client_ip in given.relays.networks)
    if client_ip is None or (is_relay and came.client_ip):
        # our own field names the client from which the relay received the message
        client_ip, sources["client"] = came.client_ip, "Received"
    local = client_ip is None and came.local
    if client_ip is None and not local:
        raise Unknown("the Received field of this host has no client address; give it by --ip")
    mail_from, sources["mail from"] = _mail_from(raw, top, recorded, given, local=local)
    if given.host and sources["mail from"] == "Return-Path" and not _same(_topmost(fields), given.host):
        sources["mail from"] += ", which a later host may have rewritten"
    recipients, sources["recipients"] = _recipients(top, came)
    if login:
        sources["login"] = "Received"
    return Message(
        Headers(each for number, each in enumerate(fields) if number not in stripped),
        body,
        client_ip,
        came.helo or recorded.get("smtp.helo", ""),
        mail_from,
        recipients,
        login,
        came.protocol.startswith("UTF8") or any(not each.value.isascii() for each in top),
        local,
        came.at,
        host,
        sources,
        tuple(each.name.decode() for each in top),
        then,
    )


def _place(fields: Sequence[Field], host: str) -> int:
    """The place of the topmost Received field by ``host``, which the operator named. Raises Unknown.

    0 if there is no Received field at all.
    """
    writers = {place: received(each.value).by for place, each in enumerate(fields) if each.name.lower() == b"received"}
    if not (own := [place for place, writer in writers.items() if _same(writer, host)]):
        if not writers:
            return 0
        of_others = ", ".join(dict.fromkeys(filter(None, writers.values()))) or "unnamed hosts"
        raise Unknown(f"no Received field was written by {host}; they were written by {of_others}")
    return own[0]


def _topmost(fields: Sequence[Field]) -> str:
    """The host that wrote the topmost Received field; empty if unknown."""
    return next(received(each.value).by for each in fields if each.name.lower() == b"received")


def _run(fields: Sequence[Field], hosts: Sequence[str], relays: Relays = Relays()) -> int:
    """The place of the Received field that this host wrote when the message came in. Raises Unknown.

    Programs of one host pass a message on (LMTP, a content filter on a loopback address): the first field with a client
    from outside counts, or else the last one that this host wrote. Without ``hosts``, the topmost field is this host's.
    """
    last = None
    for place, each in enumerate(fields):
        if each.name.lower() != b"received":
            continue
        found = received(each.value)
        if not hosts and last is None and found.by:
            hosts = (found.by,)
        if found.protocol.startswith("LMTP"):
            continue
        if last is None and any(_results(above, (found.by,)) for above in fields[:place]):
            # our own field names this host, and a sender's fields are below it
            hosts = (*hosts, found.by)
        if not any(_same(found.by, host) for host in (*hosts, "localhost")):
            if last is None:
                writer = f"was written by {found.by}" if found.by else "does not say who wrote it"
                raise Unknown(
                    f"the topmost Received field {writer}, and this host is {' or '.join(hosts)}; "
                    "name the host that received the message by --host, or give the client's address by --ip"
                )
            break
        last = place
        if not found.inside or (found.client_ip is not None and found.client_ip in relays.networks):
            break
    if last is None:
        raise Unknown("no Received field has the client's address; give it by --ip")
    return last


def _same(name: str, host: str) -> bool:
    name, host = name.lower().rstrip("."), host.lower().rstrip(".")
    return bool(name) and (name == host or ("." not in host and name.partition(".")[0] == host))


def _strip(
    fields: Sequence[Field], place: int, tags: Sequence[str], hosts: Sequence[str]
) -> tuple[set[int], tuple[Resinfo, ...], str]:
    """The fields that this host added after the milter saw the message, to ``place``; our results; the host's name.

    A field below our own that is neither ours nor of the delivery was added by an earlier milter, so ours saw it.
    """
    host = received(fields[place].value).by
    ours = next((number for number in range(place) if _results(fields[number], (host, *hosts))), None)
    if ours is None:
        return set(range(place + 1)), (), host
    names = {name.lower().encode() for name in tags}
    own = len(list(takewhile(lambda each: each.name.lower() in names, fields[ours + 1 : place])))
    stripped = set(range(ours + 1 + own))
    stripped |= {number for number in range(ours, place + 1) if fields[number].name.lower() in _DELIVERY}
    return stripped, _results(fields[ours], (host, *hosts)), host


def _results(each: Field, hosts: Sequence[str]) -> tuple[Resinfo, ...]:
    """The results in a field, if they are ours for a message that was judged; else empty.

    Above the Received field of this host only its own programs write. Only mailassay writes iprev under its name, or
    that a relay does not name the client.
    """
    if each.name.lower() != b"authentication-results" or not any(is_ours(each.value, host) for host in hosts if host):
        return ()
    found = resinfos(each.value)
    # a field that was written earlier has no fault, only the reason
    is_judged = any(one.method == "iprev" or one.reason.startswith(NO_CLIENT) for one in found)
    return found if is_judged else ()


def _mail_from(
    raw: bytes, top: Sequence[Field], recorded: dict[str, str], given: Given, *, local: bool
) -> tuple[str, str]:
    """The reverse-path and its source. Raises Unknown."""
    domain = recorded.get("smtp.mailfrom", "").rpartition("@")[2]
    # for a lower hop, its own field is closer to what the client said
    for path, source in _paths(raw, top[::-1] if given.host else top):
        # a path that was rewritten since (SRS) is not what the client said
        if not domain or _is_of(path, domain):
            return path, source
    if domain:
        return f"postmaster@{domain}", "our Authentication-Results (smtp.mailfrom; the local-part is not known)"
    if "smtp.helo" in recorded:
        return "", "our Authentication-Results (smtp.helo: a null reverse-path)"
    if given.mail_from is None and not local:
        raise Unknown("no Return-Path field of this host has the reverse-path; give it by --mail-from")
    return "", "not known"


def _paths(raw: bytes, top: Sequence[Field]) -> Iterator[tuple[str, str]]:
    for each in top:
        text = each.value.decode("utf-8", "surrogateescape")
        if each.name.lower() == b"return-path":
            yield text.strip().removeprefix("<").removesuffix(">"), "Return-Path"
        elif each.name.lower() == b"received" and (path := received(each.value).envelope_from) is not None:
            yield path, "Received (envelope-from)"
    if raw.startswith(b"From ") and (words := raw[:2000].partition(b"\n")[0].split()[1:]):
        path = words[0].decode("utf-8", "surrogateescape")
        yield "" if path == "MAILER-DAEMON" else path, "the line `From ` of the mbox"


def _is_of(path: str, domain: str) -> bool:
    name = path.rpartition("@")[2]
    with suppress(BadDomain):
        return Domain(name) == Domain(domain)
    return name.lower() == domain.lower()


def _recipients(top: Sequence[Field], came: Received) -> tuple[tuple[str, ...], str]:
    """The recipient as the client named it, as far as that is known; a file has one of possibly several."""
    if came.recipient:
        return (came.recipient,), "Received (for)"
    for name in (b"x-original-to", b"delivered-to", b"envelope-to"):
        # the lowest: an alias writes its own above
        if found := [each for each in top if each.name.lower() == name]:
            return (found[-1].value.decode("utf-8", "surrogateescape").strip().strip("<>"),), found[-1].name.decode()
    return (), "not known"
