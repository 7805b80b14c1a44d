"""What a failure report shows of a message (RFC 9991 section 7, RFC 6590).

The local-part of each address is replaced by a keyed hash, so that equal ones stay equal and nobody without the key can
try names. Every value is written anew from the parts that are known to be harmless: addresses, domains, dates,
identifiers, tags of a signature. What is not such a part does not come through, whatever it looks like: names of
people, comments, words, URLs, file names. So a value that cannot be read is left out, and never shown as it is.
"""

from __future__ import annotations

import hmac
import re
from base64 import b32encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC
from email.utils import format_datetime, parsedate_to_datetime
from hashlib import sha256
from ipaddress import ip_address

from ..domain import BadDomain, Domain
from .incident import Incident, Signature, Spf

_LENGTH = 16  # characters of a hash: 80 bits
_MOST_ADDRESSES = 20  # of one field
_MAX_NAME = 253

_BREAKS = r'\s<>(),;:"@\[\]\\'  # what an address that is not quoted never has
_ADDRESS = re.compile(
    rf'(?:"((?:[^"\\]|\\.){{0,100}})"|(?<![^{_BREAKS}])([^{_BREAKS}]{{1,400}}+))'
    rf"[ \t]{{0,9}}@[ \t]{{0,9}}([^{_BREAKS}]{{1,255}})"
)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_BRACKETS = re.compile(r"<([^<>\s]{1,998})>")
_BLANK = re.compile(r"\s+")
# of a Received field (RFC 5321 section 4.4), without comments and without a FOR clause, which has a recipient
_FROM = re.compile(r"\A\s*from\s+([\w.-]{1,253}+)(?![\w@.-])", re.IGNORECASE | re.ASCII)
_LITERAL = re.compile(r"\[(?:IPv6:)?([0-9a-f.:]{2,45})\]", re.IGNORECASE)
_BY = re.compile(r"\sby\s+([\w.-]{1,253}+)(?![\w@.-])", re.IGNORECASE | re.ASCII)
_WITH = re.compile(r"\swith\s+((?:UTF8)?(?:E?SMTP|LMTP)S?A?)(?![\w@.-])", re.IGNORECASE | re.ASCII)
_TYPE = re.compile(
    r"\A\s*((?:text|image|audio|video|application|multipart|message)/[a-z0-9.+-]{1,40})(?=\s*(?:;|\Z))",
    re.IGNORECASE | re.ASCII,
)
# The tags of a signature that say how it was made (RFC 6376 section 3.5). Never z=, which copies header fields, and not
# b=, which nobody can verify without them.
_TAGS = {
    "v": re.compile(r"[0-9]{1,3}"),
    "a": re.compile(r"[a-z0-9-]{1,40}"),
    "c": re.compile(r"(?:simple|relaxed)(?:/(?:simple|relaxed))?"),
    "t": re.compile(r"[0-9]{1,12}"),
    "x": re.compile(r"[0-9]{1,12}"),
    "l": re.compile(r"[0-9]{1,19}"),
    "bh": re.compile(r"[A-Za-z0-9+/]{43}=|[A-Za-z0-9+/]{27}="),
}
_NAMES = re.compile(r"[A-Za-z0-9-]{1,60}(?::[A-Za-z0-9-]{1,60})*")
# the fields whose names h= may list: a name that nobody knows may say anything
_KNOWN = """
    from to cc sender reply-to subject date message-id in-reply-to references mime-version content-type
    content-transfer-encoding content-disposition content-id content-description content-language list-id list-help
    list-unsubscribe list-unsubscribe-post list-subscribe list-post list-owner list-archive resent-date resent-from
    resent-sender resent-to resent-cc resent-message-id feedback-id autocrypt openpgp auto-submitted
    user-agent x-mailer
""".split()  # noqa: SIM905 - a list of literals would be forty lines


class Redactor:
    """Redacts with a key, which stays the same as long as equal names are to look equal (RFC 6590)."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def local_part(self, text: str) -> str:
        """The hash of a local-part, as letters and digits. Letter case makes no difference."""
        digest = hmac.digest(self._key, text.lower().encode(errors="surrogatepass"), sha256)
        return b32encode(digest)[:_LENGTH].decode().lower()

    def address(self, text: str) -> str:
        """An address with the hash of its local-part; empty if it has no domain."""
        local_part, at, domain = text.rpartition("@")
        name = _domain(domain) if at else ""
        if not name:
            return ""
        if local_part.startswith('"') and local_part.endswith('"') and len(local_part) > 1:
            local_part = _QUOTED_PAIR.sub(r"\1", local_part[1:-1])
        return f"{self.local_part(local_part)}@{name}" if local_part else f"@{name}"

    def incident(self, found: Incident) -> Incident:
        """The incident without anything that may be private. What is redacted already must not be redacted again."""
        return replace(
            found,
            client=_ip(found.client),
            host=_domain(found.host, labels=1),
            queue_id=_matching(found.queue_id, re.compile(r"[A-Za-z0-9]{1,40}")),
            mail_from=self.address(found.mail_from),
            spf=self._spf(found),
            signatures=tuple(map(self._signature, found.signatures)),
            fields=tuple(self._fields(found.fields)),
        )

    def _spf(self, found: Incident) -> Spf:
        # an address without a domain is checked as if it were one
        has_domain = found.spf.scope != "mailfrom" or "@" in found.mail_from
        return replace(found.spf, domain=_domain(found.spf.domain) if has_domain else "")

    def _signature(self, found: Signature) -> Signature:
        domain = _domain(found.domain)
        identity = self.address(found.identity)
        return replace(found, domain=domain, identity=identity, selector=_domain(found.selector, labels=1))

    def _fields(self, fields: tuple[tuple[str, str], ...]) -> Iterator[tuple[str, str]]:
        for name, value in fields:
            if (redacts := _REDACTS.get(name)) and (written := redacts(self, value)):
                yield name, written


def _addresses(redactor: Redactor, value: str) -> str:
    """The addresses of a field, without the names and comments around them."""
    found = []
    for match in _ADDRESS.finditer(value):
        quoted, plain, domain = match.groups()
        if name := _domain(domain):
            local_part = plain if quoted is None else _QUOTED_PAIR.sub(r"\1", quoted)
            found.append(f"<{redactor.local_part(local_part)}@{name}>")
        if len(found) == _MOST_ADDRESSES:
            break
    return ", ".join(dict.fromkeys(found))


def _message_id(redactor: Redactor, value: str) -> str:
    """The identifier with the hash of its left side, which often has the name of a person or an address."""
    match = _BRACKETS.search(value)
    written = redactor.address(match[1]) if match else ""
    return f"<{written}>" if written else ""


def _list_id(redactor: Redactor, value: str) -> str:
    """The identifier with the hash of its first label: it is the local-part of the list (RFC 2919)."""
    match = _BRACKETS.search(value)
    first, dot, rest = match[1].partition(".") if match else ("", "", "")
    name = _domain(rest)
    return f"<{redactor.local_part(first)}.{name}>" if first and dot and name else ""


def _received(_: Redactor, value: str) -> str:
    """Who gave the message to whom, when, and by which protocol."""
    text = _BLANK.sub(" ", value)
    before, _semicolon, date = text.rpartition(";")
    parts = []
    if (match := _FROM.search(before)) and (name := _domain(match[1])):
        parts.append(f"from {name}")
    if (match := _LITERAL.search(before)) and (address := _ip(match[1])):
        literal = f"IPv6:{address}" if ":" in address else address
        parts.append(f"([{literal}])" if parts else f"from [{literal}]")
    if (match := _BY.search(before)) and (name := _domain(match[1])):
        parts.append(f"by {name}")
    if match := _WITH.search(before):
        parts.append(f"with {match[1].upper()}")
    when = _date(_, date)
    return f"{' '.join(parts)}; {when}" if parts and when else ""


def _date(_: Redactor, value: str) -> str:
    """The date in its usual form, in UTC."""
    try:
        when = parsedate_to_datetime(_BLANK.sub(" ", value[:200]).strip())
        # a date without a zone is in UTC (RFC 5322 section 3.3, -0000)
        return format_datetime(when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC))
    except (ValueError, TypeError, OverflowError, IndexError):
        return ""


def _version(_: Redactor, value: str) -> str:
    return "1.0" if value.strip() == "1.0" else ""


def _type(_: Redactor, value: str) -> str:
    """The type and subtype; the parameters may have the name of a file."""
    match = _TYPE.match(value)
    return match[1].lower() if match else ""


def _signature_field(redactor: Redactor, value: str) -> str:
    """The tags that say how the signature was made."""
    tags: dict[str, str] = {}
    for part in value.split(";")[:30]:
        name, _equals, text = part.partition("=")
        name, text = name.strip(), _BLANK.sub("", text)
        if name in tags:
            continue
        if (pattern := _TAGS.get(name)) and pattern.fullmatch(text):
            tags[name] = text
        elif name in ("d", "s"):
            tags[name] = _domain(text, labels=2 if name == "d" else 1)
        elif name == "i":
            tags[name] = redactor.address(text)
        elif name == "h" and _NAMES.fullmatch(text):
            tags[name] = ":".join(each for each in text.split(":")[:60] if each.lower() in _KNOWN)
    return "; ".join(f"{name}={text}" for name, text in tags.items() if text)


_REDACTS: dict[str, Callable[[Redactor, str], str]] = {
    "Received": _received,
    "DKIM-Signature": _signature_field,
    "From": _addresses,
    "Sender": _addresses,
    "Reply-To": _addresses,
    "To": _addresses,
    "Cc": _addresses,
    "Date": _date,
    "Message-ID": _message_id,
    "List-Id": _list_id,
    "MIME-Version": _version,
    "Content-Type": _type,
}


def _domain(text: str, labels: int = 2) -> str:
    """A domain name with A-labels and so many labels or more; empty for any other text."""
    if len(text) > _MAX_NAME:
        return ""
    try:
        name = Domain(text)
    except BadDomain:
        return ""
    return str(name) if len(name.labels) >= labels else ""


def _ip(text: str) -> str:
    try:
        return str(ip_address(text.partition("%")[0]))
    except ValueError:
        return ""


def _matching(text: str, pattern: re.Pattern[str]) -> str:
    return text if pattern.fullmatch(text) else ""
