"""The values that keys may have. Each function reads one node and raises ``Unfit`` if it does not fit.

A plain scalar is read by its text, so that YAML 1.1 does not turn ``no`` into a boolean when an action is meant,
``0660`` into 432, or an IPv6 address into a number to the base of 60.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from ipaddress import IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

import yaml

from ..address import Address, Network
from ..domain import BadDomain, Domain
from ..policy.condition import is_too_wide
from ..policy.rule import trouble
from ..policy.sets import NULL_SENDER
from ..sign import KeyName
from ..sign.keys import is_selector
from .document import Unfit, Value, brief, is_nothing, kind, shown, unexpected, value

MAX_NETWORK = 43  # characters that a network can have
MAX_SOCKET_PATH = 107  # octets; unix(7): sun_path has 108, with the final NUL

# for a value that may look like a number in YAML
_SCALAR = ["string", "number", "boolean"]

Nameserver: TypeAlias = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Listen:
    """The socket for Postfix: the ``path`` of a Unix socket, or ``host`` (address or name) and ``port``."""

    kind: Literal["unix", "inet", "inet6"]
    path: str = ""
    host: str = ""
    port: int = 0

    @property
    def libmilter(self) -> str:
        """The socket as libmilter spells it: ``unix:/path``, ``inet:8899@127.0.0.1``, ``inet6:8899@::1``."""
        return f"unix:{self.path}" if self.kind == "unix" else f"{self.kind}:{self.port}@{self.host}"


@dataclass(frozen=True, slots=True)
class Server:
    """A server on this machine: its address and its port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _scalar(node: yaml.Node, expected: str, kinds: str = "str") -> str:
    """The text of a scalar of one of the YAML ``kinds``; any kind but null if ``kinds`` is empty."""
    if not isinstance(node, yaml.ScalarNode) or is_nothing(node) or (kinds and kind(node) not in kinds.split()):
        raise unexpected(expected, node)
    text: str = node.value
    return text


def or_nothing(inner: Value) -> Value:
    """A value, or null."""
    return Value(lambda node: None if is_nothing(node) else inner(node), {"anyOf": [inner.schema, {"type": "null"}]})


def or_word(word: str, inner: Value) -> Value:
    """A value, or a word that stands for None."""

    def read(node: yaml.Node) -> object:
        if isinstance(node, yaml.ScalarNode) and node.value == word:
            return None
        try:
            return inner(node)
        except Unfit as error:
            raise Unfit(str(error).replace("expected ", f"expected {word} | ", 1)) from error

    return Value(read, {"anyOf": [{"const": word}, inner.schema]})


@value(type="boolean")
def boolean(node: yaml.Node) -> bool:
    text = _scalar(node, "true | false", kinds="bool")
    if text not in ("true", "false"):
        raise unexpected("true | false", node)
    return text == "true"


def one_of(*words: StrEnum) -> Value:
    """One of some words."""

    def read(node: yaml.Node) -> StrEnum:
        expected = " | ".join(words)
        text = _scalar(node, expected, kinds="")
        for word in words:
            if word == text:
                return word
        near = difflib.get_close_matches(text.lower(), words, 1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        raise Unfit(f"{unexpected(expected, node)}{hint}")

    return Value(read, {"enum": [str(word) for word in words]})


def whole(low: int, high: int, unless: str | None = None) -> Value:
    """A whole number, or the word ``unless``, which gives None."""
    expected = f"a whole number from {low} to {high}" + (f" or {unless}" if unless else "")

    def read(node: yaml.Node) -> int | None:
        if kind(node) == "str" and node.value == unless:
            return None
        text = _scalar(node, expected, kinds="int")
        if not re.fullmatch("0|[1-9][0-9]{0,8}", text) or not low <= int(text) <= high:
            raise unexpected(expected, node)
        return int(text)

    number = {"type": "integer", "minimum": low, "maximum": high}
    return Value(read, {"anyOf": [number, {"const": unless}]} if unless else number)


def seconds(most: int) -> Value:
    """A time."""
    expected = f"a number of seconds, more than 0 and at most {most}"

    def read(node: yaml.Node) -> float:
        text = _scalar(node, expected, kinds="int float")
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{0,9})?", text) or not 0 < float(text) <= most:
            raise unexpected(expected, node)
        return float(text)

    return Value(read, {"type": "number", "exclusiveMinimum": 0, "maximum": most})


# YAML 1.2 takes 0660 for a number
@value(title="four octal digits", type=["string", "integer"], pattern="^0[0-7]{3}$", minimum=0, maximum=777)
def mode(node: yaml.Node) -> int:
    expected = 'four octal digits such as "0660"'
    text = _scalar(node, expected, kinds="str int")
    if not re.fullmatch("0[0-7]{3}", text):
        raise unexpected(expected, node)
    return int(text, 8)


_GROUP = r"[A-Za-z_][A-Za-z0-9_.-]*\$?|[0-9]{1,9}"


@value(title="the name or number of a group", type=["string", "integer"], pattern=f"^({_GROUP})$", minimum=0)
def group(node: yaml.Node) -> str:
    """A number stays text: the group of another container may have no name here."""
    text = _scalar(node, "the name or number of a group", kinds="str int")
    if not re.fullmatch(_GROUP, text, re.ASCII):
        raise unexpected("the name or number of a group", node)
    return text


@value(title="the path of a file", type="string", minLength=1)
def path(node: yaml.Node) -> yaml.Node:
    """The node itself: only later is it known whether the file can be read, and then its line is needed."""
    if not _scalar(node, "the path of a file"):
        raise unexpected("the path of a file", node)
    return node


@value(title="the absolute path of a folder", type="string", pattern="^/")
def folder(node: yaml.Node) -> str:
    expected = "the absolute path of a folder"
    text = _scalar(node, expected)
    if not text.startswith("/") or "\0" in text:
        raise unexpected(expected, node)
    return text


@value(title="the absolute path of a file that ends in .prom", type="string", pattern="^/.*[^/][.]prom$")
def textfile(node: yaml.Node) -> str:
    """node_exporter reads no other file."""
    expected = "the absolute path of a file that ends in .prom"
    text = _scalar(node, expected)
    if not re.fullmatch("/([^\0]*[^\0/])[.]prom", text, re.DOTALL):
        raise unexpected(expected, node)
    return text


@value(title="the URL of a PostgreSQL database", type="string", pattern="^postgresql://.")
def database(node: yaml.Node) -> str:
    expected = "a URL such as postgresql://mailassay@db.example.org/mailassay"
    text = _scalar(node, expected)
    try:
        urlsplit(text).port  # noqa: B018 - raises ValueError if it is no number
        if re.fullmatch(r"postgresql://[!-~]+", text):
            return text
    except ValueError:
        pass
    # the text may hold a password, and so may the error
    raise Unfit(f"expected {expected}, in which special characters are percent-encoded")


@value(title="a domain name or another token", type="string", minLength=1, maxLength=253)
def authserv_id(node: yaml.Node) -> str:
    """A token (RFC 8601 section 2.2, RFC 2045 section 5.1); U-labels of a domain name become A-labels."""
    expected = "a domain name or another token of RFC 8601"
    text = _scalar(node, expected)
    try:
        text = text if text.isascii() else Domain(text)
    except BadDomain as error:
        raise unexpected(expected, node) from error
    if not re.fullmatch(r"[!#$%&'*+.0-9A-Z^_`a-z{|}~-]{1,253}", text):
        raise unexpected(expected, node)
    return str(text)


@value(title="characters", type="string", pattern="^[!-?A-~]{0,20}$")
def delimiters(node: yaml.Node) -> str:
    """Characters of a local-part, each of which begins an address extension; none if there are no extensions."""
    expected = 'characters such as "+"'
    # YAML 1.1 has a kind of its own for a plain =
    text = _scalar(node, expected, kinds="str value")
    if not re.fullmatch("[!-?A-~]{0,20}", text):
        raise unexpected(expected, node)
    return text


def _split_port(text: str) -> tuple[str, str]:
    """``host``, ``host:port``, ``[host]`` and ``[host]:port`` taken apart; a missing port is empty."""
    if bracketed := re.fullmatch(r"\[([^\[\]]*)\](?::(.+))?", text):
        return bracketed[1], bracketed[2] or ""
    host, colon, port = text.partition(":")
    return (host, port) if colon and port and ":" not in port else (text, "")


def _port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise Unfit(f"expected a port from 1 to 65535, found {shown(text)}")
    return int(text)


def _address(text: str) -> str | None:
    """An IP address in its short form; None if it is not one. A zone (``%eth0``) is not allowed."""
    try:
        return None if "%" in text else str(ip_address(text))
    except ValueError:
        return None


@value(title="an IP address, with a port or without", type="string", pattern=r"^[0-9A-Fa-f:.\[\]]+$")
def nameserver(node: yaml.Node) -> Nameserver:
    host, port = _split_port(_scalar(node, "an IP address", kinds=""))
    address = _address(host)
    if address is None:
        raise unexpected("an IP address such as 127.0.0.1, 127.0.0.1:5353 or [::1]:5353", node)
    return address, _port(port) if port else 53


@value(title="a network or an address", type="string", pattern="^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$")
def network(node: yaml.Node) -> Network:
    expected = "a network such as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.1"
    text = _scalar(node, expected, kinds="")
    try:
        # the library also takes masks, and one and the same text can be two of them
        if "%" in text or not re.fullmatch("[^/]+(/[0-9]{1,3})?", text):
            raise ValueError
        network = ip_network(text, strict=False)
    except ValueError as error:
        raise Unfit(f"{unexpected(expected, node)}{_as_in_postfix(text)}") from error
    if isinstance(network, IPv6Network) and (inner := network[0].ipv4_mapped):
        # a client with such an address is known by its IPv4 address
        raise Unfit(f"{shown(text)} is IPv4 inside IPv6; write {inner}/{network.prefixlen - 96}")
    if ip_address(text.partition("/")[0]) != network[0]:
        raise Unfit(f"{shown(text)} is an address inside a network; the network is {network}")
    return network


def _as_in_postfix(text: str) -> str:
    """A hint, if the text is a pattern of Postfix's mynetworks; otherwise empty."""
    if text.startswith("!"):
        return "; nothing can be excluded here: leave it out, and write the networks around it"
    if text.startswith("["):
        return f"; write it without brackets: {text.replace('[', '').replace(']', '')[:MAX_NETWORK]!r}"
    return ""


def _trusted_network(node: yaml.Node) -> Network:
    """A trusted network: as text, or as a map which confirms that everybody may be in it."""
    if not isinstance(node, yaml.MappingNode):
        return _narrow(network(node))
    expected = "`network`, `unsafe` and `comment`"
    given = {key.value: inner for key, inner in node.value if isinstance(key, yaml.ScalarNode)}
    if len(given) != len(node.value) or set(given) - {"network", "unsafe", "comment"} or "network" not in given:
        raise Unfit(f"expected a map of {expected}")
    found: Network = network(given["network"])
    if "unsafe" not in given or not boolean(given["unsafe"]):
        return _narrow(found)
    if "comment" not in given or not _scalar(given["comment"], "text", kinds=""):
        raise Unfit(f"{found} is unsafe; say in `comment` why it has to be")
    return found


def is_nearly_everybody(found: Network) -> bool:
    """Is the network so wide that strangers are in it? A private one has none."""
    return is_too_wide(found) and not any(found.version == 6 and found.subnet_of(each) for each in _PRIVATE)


def _narrow(found: Network) -> Network:
    if is_nearly_everybody(found):
        raise Unfit(
            f"{found} covers nearly everybody, and no mail from there would be judged; if you want that, write "
            f'{{network: "{found}", unsafe: true, comment: ...}}'
        )
    return found


_PRIVATE = (IPv6Network("fc00::/7"), IPv6Network("fe80::/10"))
_UNSAFE: dict[str, Any] = {
    "type": "object",
    "properties": {"network": network.schema, "unsafe": boolean.schema, "comment": {"type": _SCALAR}},
    "required": ["network"],
    "additionalProperties": False,
}
trusted_network = Value(
    _trusted_network,
    {
        "title": "a network, an address, or a map of `network`, `unsafe` and `comment`",
        "anyOf": [network.schema, _UNSAFE],
    },
)


@value(title="a login", type=_SCALAR, minLength=1, maxLength=255)
def login(node: yaml.Node) -> str:
    """The SASL name of a client, as Postfix reports it."""
    text = _scalar(node, "a login", kinds="")
    # ? stands for a login that is not known, or not UTF-8
    if not 1 <= len(text) <= 255 or not text.isprintable() or text == "?":
        raise unexpected("a login", node)
    return text


_MAILBOX = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}(@[A-Za-z0-9.-]{1,253})?"


@value(title="a mail address", type="string", pattern=f"^{_MAILBOX}$")
def address(node: yaml.Node) -> str:
    """A mail address; without a domain it is one of this host."""
    text = _scalar(node, "a mail address")
    if not re.fullmatch(_MAILBOX, text):
        raise unexpected("a mail address", node)
    return text


_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
MAX_REPORT_LOCAL_PART = 37  # octets; 64, less a delimiter and the 26 characters that tell what bounced


@value(title="a mail address", type="string", pattern=rf"^{_ATOM}(\.{_ATOM})*@[^\s*@/<>]+$")
def report_address(node: yaml.Node) -> str:
    """A mail address with a domain; the local-part has room for an address extension."""
    expected = "a mail address such as dmarc-reports@example.org"
    local_part, _, domain = _scalar(node, expected).rpartition("@")
    try:
        name = Domain(domain)
    except BadDomain as trouble:
        raise unexpected(expected, node) from trouble
    if not re.fullmatch(rf"{_ATOM}(\.{_ATOM})*", local_part) or len(name.labels) < 2 or name.labels[-1].isdigit():
        raise unexpected(expected, node)
    if len(local_part) > MAX_REPORT_LOCAL_PART:
        raise Unfit(
            f"the part before the @ has {len(local_part)} characters; it can have {MAX_REPORT_LOCAL_PART}, since an "
            "address extension tells which report a bounce is about"
        )
    return f"{local_part}@{name}"


@value(title="text", type=_SCALAR, minLength=1, maxLength=255)
def short_text(node: yaml.Node) -> str:
    """One line of text for people and XML."""
    expected = "one line of text, at most 255 characters"
    text = _scalar(node, expected, kinds="").strip()
    if not 1 <= len(text) <= 255 or not text.isprintable():
        raise unexpected(expected, node)
    return text


@value(
    title="an address of this machine, and a port",
    type="string",
    pattern=r"^(127(\.[0-9]{1,3}){3}|\[[0-9A-Fa-f:]+\]):[0-9]{1,5}$",
)
def loopback(node: yaml.Node) -> Server:
    """A port that no other machine can reach."""
    expected = "a loopback address with a port, such as 127.0.0.1:25 or [::1]:25"
    text = _scalar(node, expected, kinds="")
    host, port = _split_port(text)
    address = _address(host)
    if address is None or not port or not ip_address(address).is_loopback:
        raise unexpected(expected, node)
    return Server(address, _port(port))


@value(title="an IP address", type="string", pattern="^[0-9A-Fa-f:.]+$")
def egress(node: yaml.Node) -> Address:
    """An address from which mail leaves this host."""
    expected = "an IP address from which mail leaves, such as 192.0.2.1 or 2001:db8::1"
    text = _scalar(node, expected, kinds="")
    if _address(text) is None:
        raise unexpected(expected, node)
    found = ip_address(text)
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        raise Unfit(f"{shown(text)} is IPv4 inside IPv6; write {found.ipv4_mapped}")
    if found.is_loopback or found.is_unspecified or found.is_multicast or found.is_link_local:
        raise Unfit(f"no mail reaches others from {found}; write the address that they see")
    return found


@value(title="a socket", type="string", pattern="^(unix|local|inet6?):.+$")
def listen(node: yaml.Node) -> Listen:
    expected = "unix:/PATH, inet:PORT@HOST, inet6:PORT@HOST or inet:HOST:PORT"
    scheme, _, rest = _scalar(node, expected).partition(":")
    if scheme in ("unix", "local"):
        return _unix(rest)
    if scheme not in ("inet", "inet6") or not rest:
        raise unexpected(expected, node)
    port, at, host = rest.partition("@")
    if at:
        host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    elif rest.isdigit():
        # libmilter would listen on every address
        host = "127.0.0.1" if scheme == "inet" else "::1"
    else:
        host, port = _split_port(rest)
    return _inet(scheme == "inet6", host, _port(port))


def _unix(path: str) -> Listen:
    if not path.startswith("/") or path.endswith("/") or not path.isprintable():
        raise Unfit(f"expected the absolute path of a socket, found {shown(path)}")
    if len(path.encode()) > MAX_SOCKET_PATH:
        raise Unfit(f"the path of a Unix socket has at most {MAX_SOCKET_PATH} octets")
    return Listen("unix", path=path)


@value(title="a socket", type="string", pattern=r"^(unix:/.+|[0-9.]+:[0-9]{1,5}|\[[0-9A-Fa-f:.]+\]:[0-9]{1,5})$")
def web_listen(node: yaml.Node) -> Listen:
    """An address, never a name, so that it is clear who can reach it."""
    expected = "127.0.0.1:PORT, [::1]:PORT or unix:/PATH"
    text = _scalar(node, expected)
    if text.startswith("unix:"):
        return _unix(text.removeprefix("unix:"))
    host, port = _split_port(text)
    address = _address(host)
    if address is None or not port:
        raise unexpected(expected, node)
    return Listen("inet6" if ":" in address else "inet", host=address, port=_port(port))


@value(title="the name of a host", type="string", pattern="^[^\\s*@/<>:]+$")
def host(node: yaml.Node) -> str:
    """A domain name, or a single label."""
    expected = "the name of a host such as mx1.example.org"
    try:
        return str(Domain(_scalar(node, expected)))
    except BadDomain as error:
        raise unexpected(expected, node) from error


@value(title="a domain name", type=_SCALAR, pattern=r"^[^\s*@/<>]+$")
def domain(node: yaml.Node) -> Domain:
    """A domain name alone, without the names below it: of at least two labels, as d= must have."""
    expected = "a domain such as example.org"
    try:
        found = Domain(_scalar(node, expected, kinds=""))
    except BadDomain as error:
        raise unexpected(expected, node) from error
    if len(found.labels) < 2 or found.labels[-1].isdigit():
        raise unexpected(expected, node)
    return found


@value(title="the selector of a key", type=_SCALAR, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")
def selector(node: yaml.Node) -> str:
    """RFC 6376 section 3.1: labels that are the name of a file too."""
    expected = "a selector of letters, digits, _, . and -, such as 2026a"
    text = _scalar(node, expected, kinds="")
    if not is_selector(text):
        raise unexpected(expected, node)
    return text


def check_record_name(domain: Domain, selector: str) -> None:
    """Raise Unfit if the record of a key could not be in DNS (RFC 6376 section 3.6.2.1)."""
    try:
        Domain(f"{selector}._domainkey.{domain}")
    except BadDomain as error:
        where = f"{brief(selector)}._domainkey.{brief(domain)}"
        raise Unfit(f"the key record cannot be in DNS, at {where}: {error}") from error


@value(title="a domain and a selector", type="string", pattern=r"^[^\s*@/<>]+/[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")
def key_name(node: yaml.Node) -> KeyName:
    """A key as the log names it."""
    expected = "a domain and a selector such as example.org/2026a"
    parts = [yaml.ScalarNode("tag:yaml.org,2002:str", part) for part in _scalar(node, expected).split("/")]
    try:
        of_domain, of_selector = parts
        found = KeyName(domain(of_domain), selector(of_selector))
    except (ValueError, Unfit) as error:
        raise unexpected(expected, node) from error
    check_record_name(*found)
    return found


def _inet(only_ipv6: bool, host: str, port: int) -> Listen:
    if address := _address(host):
        if only_ipv6 and ":" not in address:
            raise Unfit(f"expected an IPv6 address after inet6:, found {address}")
        return Listen("inet6" if ":" in address else "inet", host=address, port=port)
    try:
        name = Domain(host)
    except BadDomain:
        name = None
    if not name or name.labels[-1].isdigit():
        raise Unfit(f"expected an IP address or the name of a host, found {shown(host)}")
    return Listen("inet6" if only_ipv6 else "inet", host=str(name), port=port)


_STRUCTURAL = re.compile(
    "(arc|content|dkim2?|list|resent)-.*|authentication-results|bcc|cc|comments|date|delivered-to|from|in-reply-to"
    "|x-mailassay-marker|keywords|message-id|message-instance|mime-version|received(-spf)?|references|reply-to|return-path|sender"
    "|subject|to",
    re.IGNORECASE,
)


@value(title="the name of a header field", type="string", pattern="^[!-9;-~]{1,76}$")
def header_name(node: yaml.Node) -> str:
    """RFC 5322 section 3.6.8, without the names that mean something to mail software already."""
    text = _scalar(node, "the name of a header field")
    if not re.fullmatch("[!-9;-~]{1,76}", text):
        raise unexpected("the name of a header field", node)
    if _STRUCTURAL.fullmatch(text):
        raise Unfit(f"{shown(text)} has a meaning of its own in mail; choose a name such as X-Spam-Flag")
    return text


@value(title="a domain", type=_SCALAR, pattern=r"^[^\s*@/<>]+$")
def domain_pattern(node: yaml.Node) -> str:
    """A domain name; with a full stop in front, the domain and every name below it."""
    text = _scalar(node, _DOMAIN, kinds="")
    if text.startswith("*."):
        raise Unfit(f"{unexpected(_DOMAIN, node)}; write {shown(text[1:])}")
    try:
        name = Domain(text.removeprefix("."))
    except BadDomain as error:
        raise unexpected(_DOMAIN, node) from error
    if name.labels[-1].isdigit():
        raise unexpected(_DOMAIN, node)
    return "." + name if text.startswith(".") else str(name)


@value(title="a domain or <>", type=_SCALAR, pattern=r"^(<>|[^\s*@/<>]+)$")
def sender_pattern(node: yaml.Node) -> str:
    """A domain pattern, or ``<>`` for the null reverse-path."""
    return NULL_SENDER if getattr(node, "value", None) == NULL_SENDER else str(domain_pattern(node))


@value(title="an address or a domain", type=_SCALAR, pattern=r"^[^\s<>]+$")
def address_pattern(node: yaml.Node) -> str:
    """``user@example.com``, ``user@`` at any domain, or a domain pattern."""
    text = _scalar(node, _ADDRESS, kinds="")
    local_part, at, domain = text.rpartition("@")
    if not at:
        return str(domain_pattern(node))
    if not local_part or not re.fullmatch(r"[^\s<>@]+", local_part):
        raise unexpected(_ADDRESS, node)
    try:
        return f"{local_part.lower()}@{Domain(domain) if domain else ''}"
    except BadDomain as error:
        raise unexpected(_ADDRESS, node) from error


_DOMAIN = "a domain such as example.com, or .example.com for it and every name below it"
_ADDRESS = "an address such as user@example.com, user@ for every domain, or a domain"


@value(title="a name", type=_SCALAR, pattern="^[A-Za-z0-9][A-Za-z0-9_.-]{0,59}$")
def rule_name(node: yaml.Node) -> str:
    """A word that the log and a header field can contain."""
    expected = "a name of at most 60 letters, digits, _, . and -"
    text = _scalar(node, expected, kinds="")
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_.-]{0,59}", text):
        raise unexpected(expected, node)
    return text


@value(title="text", type=_SCALAR)
def comment(node: yaml.Node) -> str:
    """Words for people."""
    return _scalar(node, "some words", kinds="")


@value(title="a day", type="string", format="date")
def day(node: yaml.Node) -> date:
    """A day of the calendar, by ISO 8601."""
    expected = "a day such as 2030-12-31"
    text = _scalar(node, expected, kinds="")
    try:
        if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return date.fromisoformat(text)
    except ValueError as error:
        raise unexpected(expected, node) from error
    raise unexpected(expected, node)


@value(title="text with placeholders", type=_SCALAR, minLength=1, maxLength=300, pattern="^[ -~]+$")
def template(node: yaml.Node) -> str:
    """One line of text with placeholders in braces, for an SMTP reply, a field or the log."""
    expected = "one line of ASCII text, at most 300 characters"
    text = _scalar(node, expected, kinds="")
    if not re.fullmatch("[ -~]{1,300}", text) or not text.strip():
        raise unexpected(expected, node)
    if problem := trouble(text):
        raise Unfit(problem)
    return text


@value(title="a status code", type="string", pattern=r"^[45]\.[0-9]{1,3}\.[0-9]{1,3}$")
def enhanced(node: yaml.Node) -> str:
    """RFC 3463 section 2."""
    expected = "a status code such as 5.7.1"
    text = _scalar(node, expected, kinds="")
    if not re.fullmatch(r"[45](\.(0|[1-9][0-9]{0,2})){2}", text):
        raise unexpected(expected, node)
    return text
