"""The settings of the daemon: ``mailassay.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any

from ..address import Network
from ..address import client as client_address
from ..config_key import Key
from ..domain import Domain
from ..policy import Policy
from ..policy.sets import Networks
from ..sign import ACTIVE, Believed, Keys, Seal, Selectors, Sign, SigningKey
from ..verdict import Action
from . import shapes, values
from .document import AnyName, List, Map, Members, Problem, Short, Unfit, Value
from .policy_file import trusted
from .reports import REPORTS, Reports
from .values import Listen, Nameserver


class LogLevel(StrEnum):
    """The lowest level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """Lines for people, or one JSON object a line."""

    TEXT = "text"
    JSON = "json"


class Untraced(StrEnum):
    """What happens to a message that fails DMARC, if it is unknown which client a relay received it from."""

    DMARC = "dmarc"
    ACCEPT = "accept"


@dataclass(frozen=True, slots=True)
class Relays:
    """The operator's own hosts that pass on other people's mail."""

    networks: Annotated[
        Networks,
        Key(
            "The addresses from which relays connect to this host and to each other. IPv6 networks need quotes.",
        ),
    ] = field(default_factory=Networks)
    logins: Annotated[
        tuple[str, ...],
        Key(
            "The logins (SASL) of relays, whatever their addresses are. Anybody with such a login can claim that a "
            "message came from any client.",
        ),
    ] = ()
    untraced: Annotated[
        Untraced,
        Key(
            "What happens if it is unknown which client a relay received a message from. This is so if the Received "
            "field is missing or unreadable; if it names no client, because the relay fetched the message (POP3, "
            "IMAP) or a program on the relay sent it; or if the client logged in to the relay. SPF is then `none`, "
            "with the reason, and the header has no iprev result. No `spf` or `iprev` setting applies, and no rule "
            "can let the message in because of SPF, iprev, `client`, `client_name` or `helo`. `dmarc` judges the "
            "message by DMARC, which it can still pass by DKIM. `accept` lets it in even if it fails, with "
            '`reason="local_policy: ..."`. Use `accept` only if the relays judge mail themselves, since a stranger '
            "may find a way to be untraceable.",
        ),
    ] = Untraced.DMARC


@dataclass(frozen=True, slots=True)
class Dns:
    """How DNS is asked."""

    nameservers: Annotated[
        tuple[Nameserver, ...],
        Key(
            "The resolvers, tried in this order, such as `127.0.0.1`, `127.0.0.1:5353`, `::1` or `[::1]:5353`. An "
            "empty list means those in /etc/resolv.conf; changes to that file are followed without a reload. Use a "
            "resolver on this machine that validates DNSSEC if you can.",
        ),
    ] = ()
    timeout: Annotated[
        float,
        Key(
            "Seconds for one try, of two or three. A resolver that refuses a question, for example while it restarts, "
            "is asked again only after this time; another resolver is asked at once.",
            high=60,
        ),
    ] = 2.0
    unavailable: Annotated[
        Action,
        Key(
            "What happens to a message if DNS does not work at all: none of the message's questions, or none of those "
            "for its author's policy, was answered, and DNS gives no answer for the author's top-level domain either. "
            "The resolver is then down, refuses to answer, or cannot reach anybody. `defer` makes the sender try "
            "again until DNS works; `accept` lets in mail that nobody could check.",
            words=(Action.DEFER, Action.ACCEPT),
        ),
    ] = Action.DEFER
    cache_size: Annotated[
        int,
        Key(
            "The number of answers that each worker keeps for as long as their TTL allows. Each takes about 2 kB of "
            "memory, and 8 kB at most. 0 keeps none. A change needs a restart.",
            0,
            10_000_000,
        ),
    ] = 50_000


@dataclass(frozen=True, slots=True)
class Held:
    """What happens to messages on hold. No mail is sent if ``remind_to`` is None."""

    remind_to: Annotated[
        str | None,
        Key(
            "The address to which `mailassay held --remind` mails a list of the messages that mailassay put on hold: "
            "queue id, age, author domain and the policy setting that decided. `mailassay-held.timer` runs it every "
            "hour. It sends a mail if a message has not been reported yet, or if the same messages have waited for "
            "another day. The mail is sent by sendmail(1) with the null reverse-path. `null` sends no mail, and only "
            "warns in the log.",
        ),
    ] = None


class KeptAddresses(StrEnum):
    """What the history keeps of addresses: all, the domain only, or nothing."""

    FULL = "full"
    DOMAIN = "domain"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class History:
    """What is kept of each message, and for how long. Nothing is if ``directory`` is None.

    ``database`` None means a file of SQLite in the directory.
    """

    directory: Annotated[
        str | None,
        Key(
            "The folder in which mailassay keeps what happened to each message: results, verdict, the rule that "
            "decided, and the envelope, but neither the subject nor the body. `mailassay-collector.service` moves the "
            "records from here into the database. `null` keeps nothing. A change needs a restart.",
        ),
    ] = None
    addresses: Annotated[
        KeptAddresses,
        Key(
            "What is kept of MAIL FROM, of the recipients, and of other addresses: `full` addresses, the `domain` "
            "only, or `none`. Domains stay in the results in any case.",
        ),
    ] = KeptAddresses.FULL
    database: Annotated[
        str | None,
        Key(
            "Where the history is kept: `null` means `history.sqlite` in the directory; "
            "`postgresql://USER@HOST/NAME` is for several hosts that share one history. A password belongs in "
            "~/.pgpass of the user of the service, in PGPASSWORD in the environment of the commands, or in a service "
            "file of libpq (`postgresql:///?service=NAME`); one in the URL is never shown. The role must own the "
            "database, whose encoding is UTF8.",
        ),
    ] = None
    days: Annotated[int, Key("Days after which a message is deleted from the history.", 1, 3650)] = 30
    messages: Annotated[
        int, Key("How many messages the history keeps; if there are more, the oldest are deleted.", 1000, 1_000_000_000)
    ] = 2_000_000


@dataclass(frozen=True, slots=True)
class Metrics:
    """What the collector counts for Prometheus, and where. No file is written if ``textfile`` is None."""

    textfile: Annotated[
        str | None,
        Key(
            "The file that the collector writes every 15 seconds for the textfile collector of node_exporter. Its name "
            "ends in `.prom`. The user of the collector must be able to write to its folder. `null` writes none. A "
            "change needs a restart of the collector."
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class Web:
    """The pages that show the history. There are none if ``listen`` is None."""

    listen: Annotated[
        Listen | None,
        Key(
            "Where `mailassay-collector.service` shows the history as web pages: `127.0.0.1:8028`, `[::1]:8028` or "
            "`unix:/PATH`, a Unix socket with the permissions 0660. The pages show who wrote to whom, and ask for no "
            "password: every user of this machine can open a port of the loopback address. `null` means no pages. A "
            "change of this section needs a restart of the collector.",
        ),
    ] = None
    allow_remote: Annotated[
        bool,
        Key(
            "Allow an address in `listen` that other machines can reach. The connection is not encrypted; a web "
            "server in front of the pages can ask for a login and encrypt.",
        ),
    ] = False
    hosts: Annotated[
        tuple[str, ...],
        Key(
            "The names of hosts by which a browser or a web server in front asks for the pages, besides `localhost` "
            "and any IP address. A request for another name is refused. Otherwise the web page of a stranger could "
            "read the history: it would make its own name lead to your address (DNS rebinding).",
        ),
    ] = ()


@dataclass(frozen=True, slots=True)
class Log:
    """The level and the format of the log."""

    level: Annotated[LogLevel, Key("The lowest level that is logged. The line about each message is `info`.")] = (
        LogLevel.INFO
    )
    format: Annotated[LogFormat, Key("`text` for lines that people read; `json` for one JSON object a line.")] = (
        LogFormat.TEXT
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of the daemon. Times are in seconds.

    None means: the host's name (``authserv_id``), the built-in standard policy (``policy_path``), one worker for every
    two CPUs (``workers``), no retirement (``retire_after``, in messages), the daemon's group (``socket_group``), and
    Postfix's value (``recipient_delimiter``, and ``trusted_networks``: its mynetworks). ``owner_request_special`` is
    Postfix's value, None if it cannot be asked. ``policy_lines`` are the lines of the policy's keys by their dotted
    names, and of its rules (``rules.NAME``); ``lines`` are those of the configuration. ``odd`` has the warnings about
    the policy file. ``signing_keys`` and ``sealing_key`` are missing unless keys were asked for: a command needs none.
    """

    listen: Annotated[
        Listen,
        Key(
            "The socket on which mailassay listens for Postfix: `unix:/PATH` (or `local:/PATH`), `inet:PORT@HOST`, "
            "`inet6:PORT@HOST`, or `inet:HOST:PORT`, as Postfix writes it. A port alone means the loopback address. "
            "On Debian, smtpd runs chrooted and cannot see `/run`: use "
            "`unix:/var/spool/postfix/mailassay/mailassay.sock` there. A socket that systemd passes "
            "(`mailassay.socket`) replaces this one. A change needs a restart.",
        ),
    ] = field(default=Listen("unix", path="/run/mailassay/mailassay.sock"))
    socket_mode: Annotated[int, Key("The permissions of a Unix socket, in quotes. A change needs a restart.")] = 0o660
    socket_group: Annotated[
        str | None,
        Key(
            "The group of a Unix socket, by name or number. smtpd must be a member of it. `null` keeps the group of "
            "the daemon. A change needs a restart.",
        ),
    ] = "postfix"
    authserv_id: Annotated[
        str | None,
        Key(
            "The name of this host in Authentication-Results (RFC 8601 section 2.5). Fields with this name that come "
            "from outside are removed. `null` means the host name that Postfix reports (`{j}`, its `myhostname`).",
        ),
    ] = None
    policy_path: Annotated[
        str | None,
        Key(
            "The policy file. A relative path starts at the folder of this file. `null` means the built-in policy, "
            "which is the same as the shipped `standard.yaml`.",
            name="policy",
        ),
    ] = None
    workers: Annotated[
        int | None,
        Key(
            "The number of processes that judge messages. `auto` starts one for every two CPUs, and at least one, "
            "since Postfix needs as much CPU for a message as mailassay does. If a quota is set for mailassay's "
            "control group, as by a container or `CPUQuota=`, it starts at most as many as the quota has CPUs. If "
            "Postfix runs on another host, set the number of CPUs.",
            1,
            1024,
            unless="auto",
        ),
    ] = None
    retire_after: Annotated[
        int | None,
        Key(
            "The number of messages after which a new process replaces a worker. The old process ends when its last "
            "connection closes.",
            1,
            999_999_999,
            unless="never",
        ),
    ] = None
    trusted_networks: Annotated[
        tuple[Network, ...] | None,
        Key(
            "Mail from clients in these networks is not judged, and neither is mail from clients that logged in. "
            "Forged Authentication-Results fields are removed from it all the same. Hosts listed in `relays` are an "
            "exception: their mail is judged by the client that they received it from. IPv6 networks need quotes. A "
            "network wider than /8, or /16 for IPv6, must be marked as intended, unless it is private (fc00::/7, "
            "fe80::/10): `{network: 0.0.0.0/0, unsafe: true, comment: why}`. `postfix` stands for Postfix's "
            "`mynetworks`, read at each start and reload: its addresses and networks, up to the first exclusion or "
            "file. Tables are not read, and a network that covers nearly everybody is ignored. If Postfix cannot be "
            "asked, no network is trusted.",
        ),
    ] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
    relays: Annotated[
        Relays,
        Key(
            "Your own hosts that receive mail from strangers and pass it on to this host: a backup MX, a filtering "
            "gateway, a load balancer. Give a list of their networks, or a map. A message from a relay is judged by "
            "the client that the relay received it from. The topmost Received field is the relay's own and is "
            "believed. If it names another relay, the next field is believed too, and so on, up to the first client "
            "outside these networks. iprev, SPF, DMARC, the rules and `trusted_networks` use the address and the HELO "
            "name of that client. Received fields further down are written by the sender and are not read. The header "
            "and the log name the relays (`via`). So a relay must write a Received field with the address of its "
            "client on top of all others, and must not change MAIL FROM: do not list a forwarder that changes it, or "
            "a mailing list. The mail of a relay is judged even if the relay is in `trusted_networks` or logs in. "
            "List only hosts whose Received fields you can trust.",
        ),
    ] = field(default_factory=Relays)
    recipient_delimiter: Annotated[
        str | None,
        Key(
            'The characters that begin an address extension, as in Postfix. With `"+"`, mail for `user+x@` goes to '
            '`user@`, and a rule with `recipient: user@` matches it. `""` means that there are none. `null` asks '
            "Postfix (`postconf recipient_delimiter`, of the primary instance) at each start and reload. If Postfix "
            "cannot be asked, rules that keep mail out ignore anything after a `+` or `-`, and rules that let mail in "
            "take addresses as they are. If `-` is a delimiter, Postfix is also asked for `owner_request_special`: "
            "whether `owner-x@` and `x-request@` are addresses without an extension.",
        ),
    ] = None
    dns: Annotated[Dns, Key("How mailassay asks DNS.")] = field(default_factory=Dns)
    message_timeout: Annotated[
        float,
        # Postfix itself waits 300 s (milter_content_timeout)
        Key(
            "Seconds for all checks of one message. A result that is not known by then is a temperror. RFC 7208 "
            "section 4.6.4 asks for at least 20 seconds for SPF; Postfix itself waits 300 (`milter_content_timeout`).",
            high=300,
        ),
    ] = 20.0
    held: Annotated[Held, Key("What happens to messages that the policy holds.")] = field(default_factory=Held)
    history: Annotated[
        History, Key("What is kept of each message. A change needs a restart of `mailassay-collector` too.")
    ] = field(default_factory=History)
    metrics: Annotated[Metrics, Key("How Prometheus gets the metrics of the collector.")] = field(
        default_factory=Metrics
    )
    web: Annotated[Web, Key("The history as web pages.")] = field(default_factory=Web)
    reports: Annotated[
        Reports, Key("The DMARC reports that mailassay sends to the owners of domains. There are none without `from`.")
    ] = field(default_factory=Reports)
    sign: Annotated[
        Sign,
        Key("The signatures (DKIM) of mail that is not judged: outgoing mail. And the seals (ARC) of incoming mail."),
    ] = field(default_factory=Sign)
    log: Annotated[Log, Key("What is logged to stderr.")] = field(default_factory=Log)
    signing_keys: Keys = field(default_factory=dict, repr=False)
    sealing_key: SigningKey | None = field(default=None, repr=False)
    policy: Policy = field(default_factory=Policy)
    owner_request_special: bool | None = None
    policy_lines: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)
    lines: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)
    odd: tuple[Problem, ...] = field(default=(), repr=False, compare=False)


def _relays(networks: tuple[Network, ...] = (), **given: Any) -> Relays:
    return Relays(Networks(networks), **given)


def _web(listen: Listen | None = None, *, allow_remote: bool = False, **given: Any) -> Web:
    if listen and listen.kind != "unix" and not allow_remote and not client_address(listen.host).is_loopback:
        raise Unfit(
            f"other machines can reach {listen.host}, and would read who wrote to whom: listen on 127.0.0.1 or on a "
            "Unix socket, or set `allow_remote: true`"
        )
    return Web(listen, allow_remote=allow_remote, **given)


def _domains(**given: Selectors) -> dict[Domain, Selectors]:
    found: dict[Domain, Selectors] = {}
    for name, selectors in given.items():
        domain = Domain(name)
        if domain in found:
            raise Unfit(f"{domain} is there twice")
        for each in selectors.keys or ():
            values.check_record_name(domain, each)
        found[domain] = replace(selectors, written=name)
    return found


def _selectors(**given: tuple[str, ...] | None) -> Selectors:
    if not given:
        raise Unfit(f"needs `keys`, with a selector at least or the word {ACTIVE}")
    if given["keys"] == ():
        # none of those that were given fits, which was reported
        raise Unfit("")
    written = given["keys"] or ()
    if len({each.lower() for each in written}) < len(written):
        raise Unfit("two selectors differ only in upper and lower case, which DNS does not tell apart")
    return Selectors(given["keys"])


def _sign(**given: Any) -> Sign:
    made = Sign(**given)
    if made.believed is Believed.LOGIN and not made.logins:
        raise Unfit("`from: login` needs `logins`, with the addresses of each login")
    if made.seal is Seal.ALL and not made.seal_as:
        raise Unfit("`seal: all` needs `seal_as`, the key that seals, such as `seal_as: example.org/2026a`")
    return made


_SELECTORS = Short(
    shapes.of(
        Selectors,
        {"keys": Members(values.selector, shapes.unique, unless=ACTIVE)},
        _selectors,
        schema={"required": ["keys"]},
    ),
    "keys",
)
_SIGN = shapes.of(
    Sign,
    {
        "domains": Map(_domains, AnyName(values.domain, _SELECTORS, "DOMAIN")),
        "directory": values.folder,
        "logins": Map(dict, AnyName(values.login, Members(values.address_pattern, shapes.addresses), "LOGIN")),
        "seal_as": values.or_nothing(values.key_name),
    },
    _sign,
)
_RELAYS = shapes.of(
    Relays,
    {
        "networks": List(Value(lambda node: trusted(values.network(node)), values.network.schema)),
        "logins": List(values.login),
    },
    _relays,
)
SETTINGS: Map[dict[str, Any]] = shapes.of(
    Settings,
    {
        "listen": values.listen,
        "socket_mode": values.mode,
        "socket_group": values.or_nothing(values.group),
        "authserv_id": values.or_nothing(values.authserv_id),
        "policy": values.or_nothing(values.path),
        "trusted_networks": List(values.trusted_network, unless="postfix"),
        "relays": Short(_RELAYS, "networks"),
        "recipient_delimiter": values.or_nothing(values.delimiters),
        "dns": shapes.of(Dns, {"nameservers": List(values.nameserver)}),
        "history": shapes.of(
            History,
            {"directory": values.or_nothing(values.folder), "database": values.or_nothing(values.database)},
        ),
        "metrics": shapes.of(Metrics, {"textfile": values.or_nothing(values.textfile)}),
        "web": shapes.of(Web, {"listen": values.or_nothing(values.web_listen), "hosts": List(values.host)}, _web),
        "reports": REPORTS,
        "sign": _SIGN,
        "held": shapes.of(Held, {"remind_to": values.or_nothing(values.address)}),
    },
    dict,
)
"""The shape of the file. It gives the fields that the file has; ``policy_path`` is still a node."""
