"""The two YAML contracts: what each key takes, and how each mistake is reported."""

from __future__ import annotations

import itertools
import os
import threading
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from mailassay.config import (
    ConfigError,
    Dns,
    Held,
    Listen,
    Log,
    LogFormat,
    LogLevel,
    Problem,
    Relays,
    Settings,
    Untraced,
    document,
    load,
    load_policy,
    schema,
)
from mailassay.config.document import MAX_OCTETS, Unfit, read
from mailassay.config.settings import SETTINGS
from mailassay.finding import Severity
from mailassay.limits import Limits
from mailassay.policy import DkimRules, DmarcActions, IprevActions, Mode, Partial, Policy, SpfActions, TagHeaders
from mailassay.policy.sets import Networks
from mailassay.verdict import Action

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config")


def settings(folder: Path, text: str | bytes) -> Settings:
    path = folder / "mailassay.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load(str(path))


def policy(folder: Path, text: str) -> Policy:
    path = folder / "policy.yaml"
    path.write_text(text)
    return load_policy(str(path))


def refused(folder: Path, text: str | bytes) -> tuple[Problem, ...]:
    """The problems, none where the file is taken."""
    try:
        settings(folder, text)
    except ConfigError as error:
        return error.problems
    return ()


def problems(error: pytest.ExceptionInfo[ConfigError]) -> list[tuple[int, int, str]]:
    return [(problem.line, problem.column, problem.message) for problem in error.value.problems]


def test_without_a_file_or_with_an_empty_map_everything_is_default(folder: Path) -> None:
    assert load(None) == Settings()
    for text in ("{}", "# nothing\n{}\n", "dns:\nlog:\n", "\ufeff{}"):
        assert settings(folder, text) == Settings()
        assert policy(folder, text.replace("dns", "spf").replace("log", "dmarc")) == Policy()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("\ufeff", 1),
        ("\n# nothing\n", 3),
        ("---\n", 2),
        ("# nothing\n---\n...\n", 3),
        ("null\n", 1),
        (" ~", 1),
    ],
)
def test_a_file_without_a_document_is_an_error(folder: Path, text: str, line: int) -> None:
    """A program that wrote it may have been interrupted; the operator's rules must not disappear with that."""
    with pytest.raises(ConfigError) as error:
        settings(folder, text)
    assert [(found[0], found[2]) for found in problems(error)] == [
        (line, "the file has no keys; write {} for the defaults")
    ]
    with pytest.raises(ConfigError):
        policy(folder, text)


@pytest.mark.parametrize("refuses", [True, False])
def test_a_file_that_is_being_written_is_read_again(tmp_path: Path, refuses: bool) -> None:
    """Whether the part that was read can be used or not."""
    path, seen = tmp_path / "file", list[bytes]()
    path.write_bytes(b"half")

    def parse(octets: bytes) -> bytes:
        seen.append(octets)
        if len(seen) == 1:
            path.write_bytes(b"the whole text")
            if refuses:
                raise Unfit("cut")
        return octets

    assert read(str(path), 100, parse) == b"the whole text"
    assert seen == [b"half", b"the whole text"]


def test_a_file_that_does_not_change_is_refused_once(tmp_path: Path) -> None:
    path, seen = tmp_path / "file", list[bytes]()
    path.write_bytes(b"wrong")

    def parse(octets: bytes) -> bytes:
        seen.append(octets)
        raise Unfit("wrong")

    with pytest.raises(Unfit):
        read(str(path), 100, parse)
    assert seen == [b"wrong"]


def test_a_file_that_is_written_all_the_time_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, count = folder / "busy.yaml", itertools.count(1)
    path.write_text("{}")

    def write_more(_: float) -> None:
        path.write_text("x: [" + "y" * next(count))

    monkeypatch.setattr(document.time, "sleep", write_more)
    write_more(0)
    with pytest.raises(ConfigError) as error:
        load(str(path))
    assert problems(error) == [(1, 1, "cannot be read: another program keeps writing to it")]


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    threading.Thread(target=path.write_text, args=("workers: 3",)).start()
    assert load(str(path)).workers == 3


def test_the_defaults_are_those_of_the_contract() -> None:
    assert Settings() == Settings(
        listen=Listen("unix", path="/run/mailassay/mailassay.sock"),
        socket_mode=0o660,
        socket_group="postfix",
        authserv_id=None,
        policy=Policy(
            mode=Mode.ENFORCE,
            dmarc=DmarcActions(reject=Action.REJECT, quarantine=Action.HOLD, temperror=Action.DEFER),
            spf=SpfActions(Action.ACCEPT, Action.ACCEPT, Action.ACCEPT, Action.ACCEPT),
            iprev=IprevActions(Action.ACCEPT, Action.ACCEPT, Action.ACCEPT),
            tag=TagHeaders("X-Spam-Flag", "X-Mailassay-Verdict"),
            rules=(),
        ),
        policy_path=None,
        workers=None,
        trusted_networks=(ip_network("127.0.0.0/8"), ip_network("::1/128")),
        dns=Dns(nameservers=(), timeout=2.0, unavailable=Action.DEFER, cache_size=50_000),
        message_timeout=20.0,
        log=Log(LogLevel.INFO, LogFormat.TEXT),
    )


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ('socket_mode: "0600"', "socket_mode", 0o600),
        ("socket_mode: 0666", "socket_mode", 0o666),
        ("socket_group: mail", "socket_group", "mail"),
        ("socket_group: 105", "socket_group", "105"),
        ('socket_group: "105"', "socket_group", "105"),
        ("socket_group:", "socket_group", None),
        ("authserv_id: mx.example.org", "authserv_id", "mx.example.org"),
        ("authserv_id: MX_1", "authserv_id", "MX_1"),
        ("authserv_id: mx.bücher.example", "authserv_id", "mx.xn--bcher-kva.example"),
        ("authserv_id: null", "authserv_id", None),
        ("workers: 4", "workers", 4),
        ("workers: auto", "workers", None),
        ("trusted_networks: []", "trusted_networks", ()),
        ("relays: [192.0.2.50]", "relays", Relays(Networks((ip_network("192.0.2.50/32"),)))),
        ("relays: {networks: [192.0.2.50]}", "relays", Relays(Networks((ip_network("192.0.2.50/32"),)))),
        ("relays: {logins: [mx2, 7], untraced: accept}", "relays", Relays(Networks(), ("mx2", "7"), Untraced.ACCEPT)),
        ("relays:", "relays", Relays()),
        ("trusted_networks: postfix", "trusted_networks", None),
        ("held: {remind_to: postmaster@example.org}", "held", Held("postmaster@example.org")),
        ("held: {remind_to: root}", "held", Held("root")),
        ("held: {remind_to: null}", "held", Held(None)),
        ('recipient_delimiter: "+-"', "recipient_delimiter", "+-"),
        ("recipient_delimiter: =", "recipient_delimiter", "="),
        ("recipient_delimiter: ''", "recipient_delimiter", ""),
        (
            'trusted_networks: [192.0.2.0/24, 198.51.100.7, "2001:db8::/32"]',
            "trusted_networks",
            (ip_network("192.0.2.0/24"), ip_network("198.51.100.7/32"), ip_network("2001:db8::/32")),
        ),
        (
            'trusted_networks: ["fc00::/7", "fe80::/10"]',
            "trusted_networks",
            (ip_network("fc00::/7"), ip_network("fe80::/10")),
        ),
        (
            "trusted_networks: [{network: 0.0.0.0/0, unsafe: true, comment: a filter behind another}]",
            "trusted_networks",
            (ip_network("0.0.0.0/0"),),
        ),
        # which YAML 1.1 takes for a number to the base of 60
        ("trusted_networks: [1:2:3:4:5:6:7:8]", "trusted_networks", (ip_network("1:2:3:4:5:6:7:8/128"),)),
        (
            'dns: {nameservers: [127.0.0.1, 127.0.0.1:5353, "::1", "[::1]:5353", "[::1]"]}',
            "dns",
            Dns(nameservers=(("127.0.0.1", 53), ("127.0.0.1", 5353), ("::1", 53), ("::1", 5353), ("::1", 53))),
        ),
        ("dns: {timeout: 0.5}", "dns", Dns(timeout=0.5)),
        ("dns: {timeout: 5}", "dns", Dns(timeout=5.0)),
        ("dns: {cache_size: 0}", "dns", Dns(cache_size=0)),
        ("message_timeout: 300", "message_timeout", 300.0),
        ("log: {level: debug}", "log", Log(level=LogLevel.DEBUG)),
        ("log: {format: json}", "log", Log(format=LogFormat.JSON)),
        ("log: {format: 'text'}", "log", Log(format=LogFormat.TEXT)),
    ],
)
def test_a_key_sets_its_field_and_no_other(folder: Path, text: str, field: str, value: object) -> None:
    assert settings(folder, text) == replace(Settings(), **{field: value})


@pytest.mark.parametrize(
    ("text", "listen", "libmilter"),
    [
        ("unix:/run/m.sock", Listen("unix", path="/run/m.sock"), "unix:/run/m.sock"),
        ("local:/run/m.sock", Listen("unix", path="/run/m.sock"), "unix:/run/m.sock"),
        ("inet:8899@127.0.0.1", Listen("inet", host="127.0.0.1", port=8899), "inet:8899@127.0.0.1"),
        ("inet:127.0.0.1:8899", Listen("inet", host="127.0.0.1", port=8899), "inet:8899@127.0.0.1"),
        ("inet:8899", Listen("inet", host="127.0.0.1", port=8899), "inet:8899@127.0.0.1"),
        ("inet6:8899", Listen("inet6", host="::1", port=8899), "inet6:8899@::1"),
        ("inet6:8899@::1", Listen("inet6", host="::1", port=8899), "inet6:8899@::1"),
        ("inet6:8899@[::1]", Listen("inet6", host="::1", port=8899), "inet6:8899@::1"),
        ("inet6:[::1]:8899", Listen("inet6", host="::1", port=8899), "inet6:8899@::1"),
        ("inet:[0:0::1]:8899", Listen("inet6", host="::1", port=8899), "inet6:8899@::1"),
        ("inet:1@localhost", Listen("inet", host="localhost", port=1), "inet:1@localhost"),
        ("inet6:MX.example:65535", Listen("inet6", host="mx.example", port=65535), "inet6:65535@mx.example"),
    ],
)
def test_listen(folder: Path, text: str, listen: Listen, libmilter: str) -> None:
    found = settings(folder, f"listen: {text}").listen
    assert found == listen
    assert found.libmilter == libmilter
    assert settings(folder, f"listen: {found.libmilter}").listen == found


LISTEN = "listen: expected unix:/PATH, inet:PORT@HOST, inet6:PORT@HOST or inet:HOST:PORT, found"
PATH = "listen: expected the absolute path of a socket, found"
PORT = "expected a port from 1 to 65535, found"
HOST = "listen: expected an IP address or the name of a host, found"
MODE = 'socket_mode: expected four octal digits such as "0660", found'
ID = "authserv_id: expected a domain name or another token of RFC 8601, found"
GROUP = "socket_group: expected the name or number of a group, found"
WORKERS = "workers: expected a whole number from 1 to 1024 or auto, found"
NETWORK = "trusted_networks: expected a network such as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.1, found"
WIDE = (
    "trusted_networks: {0} covers nearly everybody, and no mail from there would be judged; if you want that, write "
    '{{network: "{0}", unsafe: true, comment: ...}}'
)
UNSAFE_MAP = "trusted_networks: expected a map of `network`, `unsafe` and `comment`"
SERVER = "dns.nameservers: expected an IP address such as 127.0.0.1, 127.0.0.1:5353 or [::1]:5353, found"
TIMEOUT = "dns.timeout: expected a number of seconds, more than 0 and at most 60, found"
CACHE = "dns.cache_size: expected a whole number from 0 to 10000000, found"
KEYS = (
    "the keys here are listen, socket_mode, socket_group, authserv_id, policy, workers, retire_after, "
    "trusted_networks, relays, recipient_delimiter, dns, message_timeout, held, history, metrics, web, reports, "
    "sign, log"
)


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("listen: 8899", 1, 9, f"{LISTEN} the number `8899`"),
        ("listen: [a]", 1, 9, f"{LISTEN} a list"),
        ("listen:", 1, 8, f"{LISTEN} nothing"),
        ("listen: tcp:8899@127.0.0.1", 1, 9, f"{LISTEN} the text `tcp:8899@127.0.0.1`"),
        ("listen: 'inet:'", 1, 9, f"{LISTEN} the text `inet:`"),
        ("listen: /run/m.sock", 1, 9, f"{LISTEN} the text `/run/m.sock`"),
        ("listen: unix:m.sock", 1, 9, f"{PATH} `m.sock`"),
        ("listen: local:/run/", 1, 9, f"{PATH} `/run/`"),
        ('listen: "unix:/a\\0b"', 1, 9, f"{PATH} `/a\\x00b`"),
        ('listen: "unix:/a\\ud800"', 1, 9, f"{PATH} `/a\\ud800`"),
        (f"listen: unix:/{107 * 'a'}", 1, 9, "listen: the path of a Unix socket has at most 107 octets"),
        ("listen: inet:0@127.0.0.1", 1, 9, f"listen: {PORT} `0`"),
        ("listen: inet:65536", 1, 9, f"listen: {PORT} `65536`"),
        ("listen: inet:127.0.0.1", 1, 9, f"listen: {PORT} ``"),
        ("listen: inet:milter@127.0.0.1", 1, 9, f"listen: {PORT} `milter`"),
        ("listen: inet:8899@", 1, 9, f"{HOST} ``"),
        ("listen: inet:8899@127.0.0.256", 1, 9, f"{HOST} `127.0.0.256`"),
        ("listen: inet6:8899@fe80::1%eth0", 1, 9, f"{HOST} `fe80::1%eth0`"),
        ("listen: inet6:8899@127.0.0.1", 1, 9, "listen: expected an IPv6 address after inet6:, found 127.0.0.1"),
        ("socket_mode: 660", 1, 14, f"{MODE} the number `660`"),
        ("socket_mode: '660'", 1, 14, f"{MODE} the text `660`"),
        ("socket_mode: 0o660", 1, 14, f"{MODE} the text `0o660`"),
        ("socket_mode: 0680", 1, 14, f"{MODE} the text `0680`"),
        ("socket_mode: rw", 1, 14, f"{MODE} the text `rw`"),
        ("socket_group: 1.5", 1, 15, f"{GROUP} the number `1.5`"),
        ("socket_group: a b", 1, 15, f"{GROUP} the text `a b`"),
        ("authserv_id: a b", 1, 14, f"{ID} the text `a b`"),
        ("authserv_id: 'mx;'", 1, 14, f"{ID} the text `mx;`"),
        ("authserv_id: ''", 1, 14, f"{ID} the text ``"),
        ("authserv_id: 12", 1, 14, f"{ID} the number `12`"),
        ("authserv_id: 2026-11-20", 1, 14, f"{ID} the date `2026-11-20`"),
        ("authserv_id: b ücher", 1, 14, f"{ID} the text `b ücher`"),
        ("policy: ''", 1, 9, "policy: expected the path of a file, found the text ``"),
        ("policy: {mode: monitor}", 1, 9, "policy: expected the path of a file, found a map"),
        ("workers: 0", 1, 10, f"{WORKERS} the number `0`"),
        ("workers: '4'", 1, 10, f"{WORKERS} the text `4`"),
        ("workers: 0x10", 1, 10, f"{WORKERS} the number `0x10`"),
        ("workers: 1:30", 1, 10, f"{WORKERS} the number `1:30`"),
        ("workers: many", 1, 10, f"{WORKERS} the text `many`"),
        (f"workers: 1{5000 * '0'}", 1, 10, f"{WORKERS} the number `1{56 * '0'}...`"),
        ("relays: 127.0.0.1", 1, 9, "relays: expected a list, found the text `127.0.0.1`"),
        ("relays: [192.0.2.1, x]", 1, 21, f"{NETWORK.replace('trusted_networks', 'relays')} the text `x`"),
        ("relays: [0.0.0.0/0]", 1, 10, "relays: `0.0.0.0/0` covers nearly everybody"),
        ("relays: {networks: [0.0.0.0/0]}", 1, 21, "relays.networks: `0.0.0.0/0` covers nearly everybody"),
        ("relays: {logins: ['']}", 1, 19, "relays.logins: expected a login, found the text ``"),
        ("relays: {network: []}", 1, 10, "unknown key `relays.network`; did you mean `relays.networks`?"),
        (
            "trusted_networks: 127.0.0.1",
            1,
            19,
            "trusted_networks: expected a list or postfix, found the text `127.0.0.1`",
        ),
        ("recipient_delimiter: a@", 1, 22, 'recipient_delimiter: expected characters such as "+", found the text `a@`'),
        ("recipient_delimiter: 1", 1, 22, 'recipient_delimiter: expected characters such as "+", found the number `1`'),
        ("trusted_networks:", 1, 18, "trusted_networks: expected a list or postfix, found nothing"),
        ("trusted_networks: [x]", 1, 20, f"{NETWORK} the text `x`"),
        ("trusted_networks:\n - [a]", 2, 4, f"{NETWORK} a list"),
        ("trusted_networks: [10.0.0.0/255.0.0.0]", 1, 20, f"{NETWORK} the text `10.0.0.0/255.0.0.0`"),
        (
            'trusted_networks: ["[::1]/128"]',
            1,
            20,
            f"{NETWORK} the text `[::1]/128`; write it without brackets: '::1/128'",
        ),
        (
            'trusted_networks: ["!192.168.1.7"]',
            1,
            20,
            f"{NETWORK} the text `!192.168.1.7`; nothing can be excluded here: leave it out, and write the networks "
            "around it",
        ),
        ("trusted_networks: [0.0.0.0/0]", 1, 20, WIDE.format("0.0.0.0/0")),
        ("trusted_networks: [128.0.0.0/1]", 1, 20, WIDE.format("128.0.0.0/1")),
        ('trusted_networks: ["2000::/3"]', 1, 20, WIDE.format("2000::/3")),
        ("trusted_networks: [{network: 0.0.0.0/0}]", 1, 20, WIDE.format("0.0.0.0/0")),
        ("trusted_networks: [{network: 0.0.0.0/0, unsafe: false, comment: x}]", 1, 20, WIDE.format("0.0.0.0/0")),
        (
            "trusted_networks: [{network: 0.0.0.0/0, unsafe: true}]",
            1,
            20,
            "trusted_networks: 0.0.0.0/0 is unsafe; say in `comment` why it has to be",
        ),
        ("trusted_networks: [{unsafe: true}]", 1, 20, UNSAFE_MAP),
        ("trusted_networks: [{network: 10.0.0.0/8, for: x}]", 1, 20, UNSAFE_MAP),
        ("trusted_networks: [{network: 10.0.0.0/8, network: 11.0.0.0/8}]", 1, 20, UNSAFE_MAP),
        ("trusted_networks: [10.0.0.0/33]", 1, 20, f"{NETWORK} the text `10.0.0.0/33`"),
        (
            "trusted_networks: [127.0.0.0/8,\n  10.1.2.3/8]",
            2,
            3,
            "trusted_networks: `10.1.2.3/8` is an address inside a network; the network is 10.0.0.0/8",
        ),
        (
            'trusted_networks: ["2001:db8::1/32"]',
            1,
            20,
            "trusted_networks: `2001:db8::1/32` is an address inside a network; the network is 2001:db8::/32",
        ),
        (
            'trusted_networks: ["::ffff:10.0.0.0/104"]',
            1,
            20,
            "trusted_networks: `::ffff:10.0.0.0/104` is IPv4 inside IPv6; write 10.0.0.0/8",
        ),
        ("dns: 127.0.0.1", 1, 6, "dns: expected a map, found the text `127.0.0.1`"),
        ("dns:\n  nameservers: [ns.example]", 2, 17, f"{SERVER} the text `ns.example`"),
        ("dns:\n  nameservers: ['[127.0.0.1']", 2, 17, f"{SERVER} the text `[127.0.0.1`"),
        ("dns:\n  nameservers: [127.0.0.1:0]", 2, 17, f"dns.nameservers: {PORT} `0`"),
        ("dns:\n  nameservers: [null]", 2, 17, "dns.nameservers: expected an IP address, found nothing"),
        ("dns:\n  timeout: 0", 2, 12, f"{TIMEOUT} the number `0`"),
        ("dns:\n  timeout: 61", 2, 12, f"{TIMEOUT} the number `61`"),
        ("dns:\n  timeout: -1.0", 2, 12, f"{TIMEOUT} the number `-1.0`"),
        ("dns:\n  timeout: .inf", 2, 12, f"{TIMEOUT} the number `.inf`"),
        ("dns:\n  timeout: .nan", 2, 12, f"{TIMEOUT} the number `.nan`"),
        ("dns:\n  timeout: 2s", 2, 12, f"{TIMEOUT} the text `2s`"),
        ("dns:\n  timeout: yes", 2, 12, f"{TIMEOUT} the boolean `yes`"),
        ("dns:\n  cache_size: 10000001", 2, 15, f"{CACHE} the number `10000001`"),
        ("dns:\n  cache_size: 1.5", 2, 15, f"{CACHE} the number `1.5`"),
        (
            "message_timeout: 301",
            1,
            18,
            "message_timeout: expected a number of seconds, more than 0 and at most 300, found the number `301`",
        ),
        ("log: info", 1, 6, "log: expected a map, found the text `info`"),
        ("log: {level: loud}", 1, 14, "log.level: expected debug | info | warning | error, found the text `loud`"),
        ("log: {format: [json]}", 1, 15, "log.format: expected text | json, found a list"),
        (
            "held: {remind_to: Ann <a@b.example>}",
            1,
            19,
            "held.remind_to: expected a mail address, found the text `Ann <a@b.example>`",
        ),
        ('held: {remind_to: "a@b\\nc"}', 1, 19, "held.remind_to: expected a mail address, found the text `a@b\\nc`"),
        ("polcy: x", 1, 1, "unknown key `polcy`; did you mean `policy`?"),
        ("# first\ndns:\n  timeot: 1", 3, 3, "unknown key `dns.timeot`; did you mean `dns.timeout`?"),
        ("xyzzy: 1", 1, 1, f"unknown key `xyzzy`; {KEYS}"),
        ("<<: {workers: 4}", 1, 1, f"unknown key `<<`; {KEYS}"),
        ("? [a]\n: 1", 1, 3, "expected a key, found a list"),
        ("workers: 1\nlog:\nworkers: 2", 3, 1, "duplicate key `workers`, first on line 1"),
        ("log: {level: info, level: info}", 1, 20, "duplicate key `log.level`, first on line 1"),
        ("just text", 1, 1, "expected a map, found the text `just text`"),
        ("- listen", 1, 1, "expected a map, found a list"),
        # YAML itself
        ("log: {level: info", 1, 18, "while parsing a flow mapping: expected ',' or '}', but got '<stream end>'"),
        ("log:\n  @", 2, 3, "while scanning for the next token: found character '@' that cannot start any token"),
        (
            "log:\n\tlevel: info",
            2,
            1,
            "while scanning for the next token: found character '\\t' that cannot start any token; "
            "indent with spaces, not with tabs",
        ),
        ("workers: 1\n---\nworkers: 2", 2, 1, "expected a single document in the stream: but found another document"),
        ("dns: &a {timeout: 1}", 1, 6, "anchors and aliases are not supported"),
        ("dns: *a", 1, 6, "anchors and aliases are not supported"),
        ("workers: !!int '4'", 1, 10, "tags are not supported"),
        ("log: !!python/object:os.system {}", 1, 6, "tags are not supported"),
        ("[" * 10_000, 1, 17, "nested too deeply"),
        ("{a: " * 10_000, 1, 62, "nested too deeply"),
        ("- " * 10_000, 1, 33, "nested too deeply"),
        ('listen: "\\UFFFFFFFF"', 1, 12, "a number out of range"),
        (f"%YAML 1.{5000 * '1'}\n---\n", 1, 9, "a number out of range"),
        (b"workers: 1\n# \xc3\xbc\xff", 2, 4, "not UTF-8 text"),
        ("workers: 4\n".encode("utf-16"), 1, 1, "not UTF-8 text"),
        ("workers: 1\nlog: \x00", 2, 6, "the character U+0000 is not allowed"),
        ("#" * (MAX_OCTETS + 1), 1, 1, f"longer than {MAX_OCTETS} octets"),
    ],
)
def test_a_mistake_is_named_with_its_place(
    folder: Path, text: str | bytes, line: int, column: int, message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        settings(folder, text)
    assert problems(error) == [(line, column, message)]
    assert str(error.value) == f"{folder}/mailassay.yaml:{line}:{column}: {message}"


@pytest.mark.parametrize("depth", [0, 100])
def test_aliases_cannot_multiply(folder: Path, depth: int) -> None:
    bomb = "a: &a [x]\n" + "".join(f"k{i}: &k{i} [*a, *a]\n" for i in range(depth))
    with pytest.raises(ConfigError, match="anchors and aliases"):
        settings(folder, bomb)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("mode: monitor", Policy(mode=Mode.MONITOR)),
        (
            "dmarc: {reject: accept, quarantine: tag, temperror: defer}",
            Policy(dmarc=DmarcActions(reject=Action.ACCEPT, quarantine=Action.TAG, temperror=Action.DEFER)),
        ),
        ("dmarc: {none: tag}", Policy(dmarc=DmarcActions(none=Action.TAG))),
        ("dmarc: {quarantine: reject}", Policy(dmarc=DmarcActions(quarantine=Action.REJECT))),
        (
            "spf: {fail: reject, softfail: tag, permerror: hold, temperror: defer}",
            Policy(spf=SpfActions(Action.REJECT, Action.TAG, Action.HOLD, Action.DEFER)),
        ),
        (
            "iprev: {fail: hold, permerror: reject, temperror: tag}",
            Policy(iprev=IprevActions(Action.HOLD, Action.REJECT, Action.TAG)),
        ),
        ("dmarc: {ambiguous_author: reject}", Policy(dmarc=DmarcActions(ambiguous_author=Action.REJECT))),
        ("dmarc: {ambiguous_author: readings}", Policy(dmarc=DmarcActions(ambiguous_author=None))),
        ("dmarc: {public_suffixes: false}", Policy(dmarc=DmarcActions(public_suffixes=False))),
        ("dkim: {partial: align}", Policy(dkim=DkimRules(Partial.ALIGN))),
        ("limits: {signatures: 20}", Policy(limits=Limits(signatures=20))),
        ("tag: {flag: X-Junk}", Policy(tag=TagHeaders(flag="X-Junk"))),
        ("tag: {verdict: X-Verdict}", Policy(tag=TagHeaders(verdict="X-Verdict"))),
        ("rules: []", Policy()),
    ],
)
def test_policy(folder: Path, text: str, value: Policy) -> None:
    assert policy(folder, text) == value


DMARC = "reject | hold | tag | accept"
ALL = "accept | tag | hold | defer | reject"
UNDECIDED = "accept | tag | hold | defer"
NAME = "expected the name of a header field, found"
OWN = "has a meaning of its own in mail; choose a name such as X-Spam-Flag"


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("mode: off", 1, 7, "mode: expected enforce | monitor, found the boolean `off`"),
        ("mode: Enforce", 1, 7, "mode: expected enforce | monitor, found the text `Enforce`; did you mean `enforce`?"),
        ("dmarc:\n  reject: defer", 2, 11, f"dmarc.reject: expected {DMARC}, found the text `defer`"),
        ("dmarc:\n  quarantine: no", 2, 15, f"dmarc.quarantine: expected {DMARC}, found the boolean `no`"),
        ("dmarc:\n  temperror: reject", 2, 14, "dmarc.temperror: expected accept | defer, found the text `reject`"),
        (
            "dmarc:\n  other: accept",
            2,
            3,
            "unknown key `dmarc.other`; the keys here are "
            "reject, quarantine, none, temperror, ambiguous_author, public_suffixes, reject_needs, authors, "
            "trusted_sealers, trusted_forwarders, mailing_lists, enforce_percent",
        ),
        (
            "dmarc: {ambiguous_author: accept}",
            1,
            27,
            "dmarc.ambiguous_author: expected readings | reject | hold | tag, found the text `accept`",
        ),
        (
            "dmarc: {public_suffixes: maybe}",
            1,
            26,
            "dmarc.public_suffixes: expected true | false, found the text `maybe`",
        ),
        ("dkim: {partial: pass}", 1, 17, "dkim.partial: expected ignore | align, found the text `pass`"),
        (
            "limits: {signatures: 0}",
            1,
            22,
            "limits.signatures: expected a whole number from 1 to 100, found the number `0`",
        ),
        (
            "limits:\n  spf_terms: 9",
            2,
            14,
            "limits.spf_terms: expected a whole number from 10 to 100, found the number `9`",
        ),
        ("spf: {fail: drop}", 1, 13, f"spf.fail: expected {ALL}, found the text `drop`"),
        ("spf: {temperror: reject}", 1, 18, f"spf.temperror: expected {UNDECIDED}, found the text `reject`"),
        ("iprev: {permerror: }", 1, 19, f"iprev.permerror: expected {ALL}, found nothing"),
        ("iprev: {temperror: reject}", 1, 20, f"iprev.temperror: expected {UNDECIDED}, found the text `reject`"),
        ("iprev: {softfail: tag}", 1, 9, "unknown key `iprev.softfail`; did you mean `iprev.fail`?"),
        ("iprev: [tag]", 1, 8, "iprev: expected a map, found a list"),
        ("tag: {flag: 'X Spam'}", 1, 13, f"tag.flag: {NAME} the text `X Spam`"),
        ("tag: {flag: 'X-Spam:'}", 1, 13, f"tag.flag: {NAME} the text `X-Spam:`"),
        ("tag: {flag: ''}", 1, 13, f"tag.flag: {NAME} the text ``"),
        ("tag: {flag: X-Späm}", 1, 13, f"tag.flag: {NAME} the text `X-Späm`"),
        ('tag: {flag: "X-Spam\\nFrom"}', 1, 13, f"tag.flag: {NAME} the text `X-Spam\\nFrom`"),
        ("tag: {flag: 5}", 1, 13, f"tag.flag: {NAME} the number `5`"),
        ("tag: {flag: authentication-results}", 1, 13, f"tag.flag: `authentication-results` {OWN}"),
        ("tag: {verdict: DKIM-Signature}", 1, 16, f"tag.verdict: `DKIM-Signature` {OWN}"),
        ("tag: {verdict: ARC-Seal}", 1, 16, f"tag.verdict: `ARC-Seal` {OWN}"),
        ("tag: {verdict: From}", 1, 16, f"tag.verdict: `From` {OWN}"),
        ("tag: {verdict: Received}", 1, 16, f"tag.verdict: `Received` {OWN}"),
        ("tag: {verdict: x-spam-flag}", 1, 6, "tag: flag and verdict are both `X-Spam-Flag`"),
        ("rules: [{name: a}]", 1, 9, "rules: a rule needs `if` and `then`"),
        ("rules:", 1, 7, "rules: expected a list, found nothing"),
    ],
)
def test_a_mistake_in_the_policy_is_named_with_its_place(
    folder: Path, text: str, line: int, column: int, message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        policy(folder, text)
    assert problems(error) == [(line, column, message)]


def test_all_problems_of_both_files_at_once(folder: Path) -> None:
    (folder / "both.yaml").write_text("mode: on\nspf:\n  fial: tag\n")
    text = "listn: x\nworkers: -1\ntrusted_networks: [10.0.0.1/8, x]\npolicy: both.yaml\nlog: {level: 1}\n"
    with pytest.raises(ConfigError) as error:
        settings(folder, text)
    places = [(Path(problem.path).name, problem.line, problem.column) for problem in error.value.problems]
    assert places == [
        ("mailassay.yaml", 1, 1),
        ("mailassay.yaml", 2, 10),
        ("mailassay.yaml", 3, 20),
        ("mailassay.yaml", 3, 32),
        ("mailassay.yaml", 5, 14),
        ("both.yaml", 1, 7),
        ("both.yaml", 3, 3),
    ]
    assert str(error.value).splitlines() == [str(problem) for problem in error.value.problems]


def test_the_policy_is_found_from_the_folder_of_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "sub").mkdir()
    path = folder / "sub" / "p.yaml"
    path.write_text("mode: monitor\n")
    expected = Policy(mode=Mode.MONITOR)
    for named in ("sub/p.yaml", str(path)):
        found = settings(folder, f"policy: {named}")
        assert (found.policy, found.policy_path) == (expected, str(path))
    monkeypatch.chdir(folder)
    found = load("mailassay.yaml")
    assert (found.policy, found.policy_path) == (expected, str(path))
    (folder / "near.yaml").write_text("policy: sub/p.yaml")
    assert load("near.yaml").policy_path == "sub/p.yaml"


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ("absent.yaml", "`{}/absent.yaml` cannot be read: No such file or directory"),
        (".", "`{}/.` cannot be read: Is a directory"),
        ('"a\\0b"', "`{}/a\\x00b` cannot be read: embedded null byte"),
    ],
)
def test_a_policy_that_cannot_be_read_is_a_problem_of_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, why: str
) -> None:
    # from there the paths are short, since long ones are cut
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(f"workers: 1\npolicy: {named}\n")
    with pytest.raises(ConfigError) as error:
        load("./c.yaml")
    assert problems(error) == [(2, 9, "policy: " + why.format("."))]


@pytest.mark.parametrize("read", [load, load_policy])
@pytest.mark.parametrize(
    ("name", "why"),
    [("absent.yaml", "No such file or directory"), ("", "Is a directory"), ("a\0b", "embedded null byte")],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, read: object, name: str, why: str) -> None:
    assert callable(read)
    path = f"{tmp_path}/{name}"
    with pytest.raises(ConfigError) as error:
        read(path)
    assert error.value.problems == (Problem(Severity.ERROR, "unreadable", f"cannot be read: {why}", path=path),)


def test_the_shipped_files_say_what_is_built_in() -> None:
    assert load(str(ROOT / "conf/mailassay.yaml")) == Settings()
    assert load_policy(str(ROOT / "policies/standard.yaml")) == Policy()
    assert load_policy(str(ROOT / "policies/monitor.yaml")) == Policy(mode=Mode.MONITOR)
    strict = load_policy(str(ROOT / "policies/strict.yaml"))
    assert strict.mode is Mode.ENFORCE
    assert strict.dmarc == DmarcActions(reject=Action.REJECT, quarantine=Action.REJECT, temperror=Action.DEFER)


def test_the_shipped_configuration_leaves_no_key_out() -> None:
    def keys(tree: dict[str, object]) -> set[str]:
        return {
            f"{key}.{inner}" if inner else key
            for key, value in tree.items()
            for inner in (keys(value) if isinstance(value, dict) else {""})
        }

    shipped = keys(yaml.safe_load((ROOT / "conf/mailassay.yaml").read_text()))
    # `relays` has its short form
    ours = {key.name for key in schema.settings().keys if not key.name.startswith("relays.")}
    assert shipped == ours - {
        *("dns", "held", "history", "metrics", "reports", "reports.failure", "web", "log"),
        *("sign", "sign.domains.DOMAIN.keys"),
    }


PIECES = st.sampled_from(
    """
    listen socket_mode socket_group authserv_id workers trusted_networks dns nameservers timeout log level
    unix:/a inet: inet:1@ [::1]:5 ::1 10.0.0.1/8 0660 auto null ~ no 1:30 .inf 2026-01-01 accept
    << = !!str !a &a *a %YAML --- ... ? - : , [ ] { } | > # ' " \\ @ \\U0010FFFF \\ud800
    """.split()  # noqa: SIM905
) | st.sampled_from(["\n", " ", ": ", "\n- ", "\n  ", "\t", "\r", "\ufeff", "\x85"])


@given(st.binary() | st.text().map(str.encode) | st.lists(PIECES).map("".join).map(str.encode))
@example(b"? " * 500)
@example(b'"\\')
@example(b"%YAML 1.1\n%YAML 1.1\n---")
@example(b"! x")
@example(b"listen: |9\n x")
def test_any_octets_give_settings_or_a_config_error(folder: Path, octets: bytes) -> None:
    for problem in refused(folder, octets):
        assert problem.line >= 1
        assert problem.column >= 1
        assert str(problem).isprintable()


@given(
    st.sampled_from(sorted({*SETTINGS.keys} - {"policy"})),
    st.text(),
)
def test_any_text_as_a_value_is_taken_or_refused_where_it_stands(folder: Path, key: str, text: str) -> None:
    quoted = yaml.safe_dump(text, default_style='"', width=10_000).strip()
    assert {problem.line for problem in refused(folder, f"#\n{key}: {quoted}\n")} <= {2}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: [", "syntax"),
        ("", "syntax"),
        (b"\xff", "syntax"),
        ("listne: x", "unknown-key"),
        ("workers: 1\nworkers: 2", "duplicate"),
        ("workers: many", "value"),
        ("policy: nowhere.yaml", "unreadable"),
    ],
)
def test_the_kind_of_a_mistake(tmp_path: Path, text: str | bytes, code: str) -> None:
    [problem] = refused(tmp_path, text)
    assert (problem.severity, problem.code) == (Severity.ERROR, code)


def test_what_to_do_is_apart_from_what_is_wrong(tmp_path: Path) -> None:
    [problem] = refused(tmp_path, "workres: 2")
    assert (problem.what, problem.fix) == ("unknown key `workres`", "did you mean `workers`?")
