"""The Postfix of this machine as postconf(1) shows it, and the commands that change it."""

from __future__ import annotations

import errno
import os
import re
import selectors
import shlex
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import IO

from ..config.mynetworks import tokens

RESTRICTIONS = tuple(
    f"smtpd_{stage}_restrictions" for stage in ("client", "helo", "sender", "relay", "recipient", "data", "end_of_data")
)
PARAMETERS = (
    "compatibility_level",
    "content_filter",
    "default_transport",
    "disable_mime_output_conversion",
    "header_checks",
    "inet_interfaces",
    "inet_protocols",
    "internal_mail_filter_classes",
    "lmtp_line_length_limit",
    "mail_owner",
    "mail_version",
    "milter_command_timeout",
    "milter_content_timeout",
    "milter_default_action",
    "milter_header_checks",
    "milter_protocol",
    "multi_instance_directories",
    "mydomain",
    "myhostname",
    "mynetworks",
    "non_smtpd_milters",
    "queue_directory",
    "receive_override_options",
    "recipient_delimiter",
    "relayhost",
    "sender_dependent_relayhost_maps",
    "smtp_bind_address",
    "smtp_bind_address6",
    "smtp_body_checks",
    "smtp_generic_maps",
    "smtp_header_checks",
    "smtp_helo_name",
    "smtp_line_length_limit",
    "smtp_mime_header_checks",
    "smtp_nested_header_checks",
    "smtpd_discard_ehlo_keywords",
    "smtpd_forbid_bare_newline",
    "smtpd_forbid_unauth_pipelining",
    "smtpd_milter_maps",
    "smtpd_milters",
    "smtpd_proxy_filter",
    "smtpd_restriction_classes",
    "smtpd_sasl_auth_enable",
    "smtpd_sender_login_maps",
    "smtpd_tls_wrappermode",
    *RESTRICTIONS,
)
_PATH = os.pathsep.join(["/usr/sbin", "/sbin", "/usr/local/sbin"])
_MOST_PRINTED = 10_000_000  # octets that one of Postfix's commands may print
_MAX_TEXT = 1_000_000  # octets of a file
_MOST_SAID = 1_000  # characters of its complaint
_MOST_SERVICES = 2_000
_LONGEST = 20_000  # characters of a value
_SUBMISSION = ("submission", "587", "submissions", "smtps", "465")
_LOOPBACK = re.compile(r"127\.[0-9.]+|\[?::1\]?|localhost", re.IGNORECASE)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class NoPostfix(Exception):
    """Postfix is not installed, or its configuration cannot be read. The text says which."""


@dataclass(frozen=True, slots=True)
class Service:
    """A line of master.cf. ``overrides`` are its -o options as written, ``values`` its parameters, expanded."""

    name: str
    kind: str
    program: str
    chrooted: bool = False
    overrides: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name}/{self.kind}"

    @property
    def port(self) -> str:
        """The name without the address before it."""
        return self.name.rpartition(":")[2]

    @property
    def is_local(self) -> bool:
        """Does it listen on loopback only?"""
        return self.kind == "inet" and bool(_LOOPBACK.fullmatch(self.name.rpartition(":")[0]))

    @property
    def is_submission(self) -> bool:
        """Is it for mail submission by users (RFC 6409, RFC 8314)?"""
        wrapped = self.overrides.get("smtpd_tls_wrappermode", "no").strip().lower() == "yes"
        return self.kind == "inet" and (self.port in _SUBMISSION or wrapped)


@dataclass(frozen=True, slots=True)
class Postfix:
    """``written`` and ``values`` are main.cf's, as written and expanded; ``folder`` is the given directory."""

    written: Mapping[str, str]
    values: Mapping[str, str]
    services: tuple[Service, ...] = ()
    folder: str | None = None

    @property
    def version(self) -> tuple[int, ...]:
        """Such as (3, 7, 11), without the date of a snapshot."""
        return tuple(int(number) for number in re.findall("[0-9]{1,9}", self.values.get("mail_version", ""))[:3])

    def has(self, *releases: tuple[int, ...]) -> bool:
        """Does it have what came with these releases, each but the last the first of its series? Yes if unknown."""
        found, latest = self.version, releases[-1]
        return not found or found >= latest or any(found[:2] == each[:2] and found >= each for each in releases)

    def value(self, name: str, service: Service | None = None) -> str:
        """A parameter, expanded; empty if this Postfix does not have it."""
        if service and name in service.values:
            return service.values[name]
        return self.values.get(name, "")

    def as_written(self, name: str, service: Service) -> str:
        """A parameter as it is written, where the service has it from."""
        return service.overrides.get(name, self.written.get(name, ""))

    def where(self, name: str, service: Service) -> str:
        """The parameter in words: with the service, if the service overrides it."""
        return f"{name} of {service} (master.cf)" if name in service.overrides else name

    def set(self, name: str, value: str, service: Service) -> str:
        """The command that sets a parameter in the place from which a service has it."""
        if name in service.overrides:
            return self.override(name, value, service)
        return self.command("postconf", "-e", f"{name}={value}")

    def override(self, name: str, value: str, service: Service) -> str:
        """The command that sets a parameter for one service."""
        return self.command("postconf", "-P", f"{service}/{name}={unspaced(value)}")

    def unchroot(self, service: Service) -> str:
        """The command that lets a service see the whole file system."""
        return self.command("postconf", "-F", f"{service}/chroot=n")

    def command(self, program: str, *arguments: str) -> str:
        """A command of Postfix's, as a shell takes it."""
        return shlex.join([program, *(["-c", self.folder] if self.folder else []), *arguments])


def seconds(text: str) -> float:
    """A time as postconf(5) writes it; infinity if it is not one."""
    number = re.fullmatch(r"\s*([0-9]+)\s*([smhdw]?)\s*", text)
    return float(number[1]) * _UNITS[number[2] or "s"] if number else float("inf")


def unspaced(text: str, levels: int = 3) -> str:
    """A list without white space, which ``postconf -P`` does not take (Postfix 3.7); no list nests deeper."""
    return ",".join(
        "{" + unspaced(token[1:-1], levels - 1) + "}" if levels and token[0] == "{" and token[-1] == "}" else token
        for token in tokens(text)
    )


def parameters(output: str) -> dict[str, str]:
    """What ``postconf`` prints: ``name = value`` a line."""
    # a value may contain characters at which splitlines() would split it
    pairs = (line.partition("=") for line in output.split("\n") if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def overrides(output: str) -> dict[str, dict[str, str]]:
    """What ``postconf -P`` prints, by service: ``smtp/inet/name = value`` a line."""
    found: dict[str, dict[str, str]] = {}
    for place, value in parameters(output).items():
        service, slash, name = place.rpartition("/")
        if slash:
            found.setdefault(service, {})[name] = value
    return found


def services(output: str, chrooted: bool) -> Iterator[Service]:
    """What ``postconf -M`` prints; ``chrooted``: what ``-`` means in the fifth column (master(5))."""
    for line in output.split("\n"):
        columns = line.split(None, 7)
        if len(columns) == 8 and not line.startswith(("#", " ", "\t")):
            name, kind, _, _, chroot, _, _, command = columns
            jailed = chrooted if chroot == "-" else chroot == "y"
            yield Service(name, kind, command.split()[0], jailed)


def examined(folder: str | None, until: float) -> Postfix:
    """The Postfix of a configuration directory; None means the default one. Raises NoPostfix.

    ``until``, by the monotonic clock, limits the time of Postfix's commands.
    """
    written = _bounded(parameters(run("postconf", folder, until, *PARAMETERS)))
    bare = Postfix(written, _bounded(parameters(run("postconf", folder, until, "-x", *PARAMETERS))), folder=folder)
    level = re.match("[0-9]{1,9}", bare.value("compatibility_level"))
    listed = [*services(run("postconf", folder, until, "-M"), chrooted=not level or int(level[0]) < 1)]
    if len(listed) > _MOST_SERVICES:
        raise NoPostfix(f"master.cf has {len(listed)} services; at most {_MOST_SERVICES} are examined")
    options = overrides(run("postconf", folder, until, "-P"))
    return Postfix(
        bare.written,
        bare.values,
        tuple(_with(each, _bounded(options.get(str(each), {})), folder, until) for each in listed),
        folder,
    )


def _bounded(values: dict[str, str]) -> dict[str, str]:
    for name, value in values.items():
        if len(value) > _LONGEST:
            raise NoPostfix(f"{name} has {len(value)} characters; at most {_LONGEST} are examined")
    return values


def _with(service: Service, options: Mapping[str, str], folder: str | None, until: float) -> Service:
    """A service with its options. They also change main.cf's parameters that refer to them."""
    values: Mapping[str, str] = {}
    if options and service.program in ("smtpd", "cleanup", "smtp", "lmtp"):
        given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        values = _bounded(parameters(run("postconf", folder, until, "-x", *given, *PARAMETERS)))
    return replace(service, overrides=options, values=values)


def run(program: str, folder: str | None, until: float, *arguments: str) -> str:
    """What one of Postfix's commands prints. Raises NoPostfix."""
    if not (path := found(program)):
        raise NoPostfix(f"there is no {program} command: Postfix is not installed here")
    status, printed, said = _done([path, *(["-c", folder] if folder else []), *arguments], until)
    if status:
        raise NoPostfix(f"{program} fails: {said.strip()[:_MOST_SAID] or f'exit status {status}'}")
    return printed


def found(program: str) -> str | None:
    """The path of a command; None if there is none. Not every PATH has Postfix's commands."""
    return shutil.which(program) or shutil.which(program, path=_PATH)


def listed(folder: str | None, until: float, table: str) -> list[str]:
    """The keys of a table that can be listed. Raises NoPostfix."""
    lines = run("postmap", folder, until, "-s", table).split("\n")
    return [line.partition("\t")[0] for line in lines if line]


def beginning(path: str) -> str:
    """The beginning of a file. Raises OSError, also if it is not a regular file: nobody may ever write to a FIFO."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read(_MAX_TEXT).decode(errors="replace")


def looked_up(folder: str | None, until: float, table: str, key: str) -> str:
    """The value of a key in a table, as Postfix reads it; empty if there is none. Raises NoPostfix."""
    if not (path := found("postmap")):
        return ""
    return _done([path, *(["-c", folder] if folder else []), "-q", key, table], until)[1].strip()


def _done(command: list[str], until: float) -> tuple[int, str, str]:
    """Run a command. Returns the exit status, stdout and stderr. Raises NoPostfix."""
    program = os.path.basename(command[0])
    try:
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            try:
                assert process.stdout
                assert process.stderr
                printed, said = _read(program, process.stdout, process.stderr, until)
                status = process.wait(max(0.0, until - time.monotonic()))
            finally:
                process.kill()
    except subprocess.TimeoutExpired:
        raise NoPostfix(f"{program} takes too long") from None
    except OSError as error:
        raise NoPostfix(f"{program} cannot be run: {error}") from error
    return status, _text(printed), _text(said)


def _read(program: str, stdout: IO[bytes], stderr: IO[bytes], until: float) -> tuple[bytes, bytes]:
    """All output of both. Raises NoPostfix if it is too much or takes too long."""
    found = {stdout.fileno(): bytearray(), stderr.fileno(): bytearray()}
    with selectors.DefaultSelector() as selector:
        for number in found:
            selector.register(number, selectors.EVENT_READ)
        while selector.get_map():
            left = until - time.monotonic()
            ready = selector.select(left) if left > 0 else []
            if not ready:
                raise NoPostfix(f"{program} takes too long")
            for key, _ in ready:
                octets = os.read(key.fd, 65_536)
                if not octets:
                    selector.unregister(key.fd)
                found[key.fd] += octets
            if max(map(len, found.values())) > _MOST_PRINTED:
                raise NoPostfix(f"{program} prints more than {_MOST_PRINTED} octets")
    return bytes(found[stdout.fileno()]), bytes(found[stderr.fileno()])


def _text(octets: bytes) -> str:
    """Text without NUL: no path or user name has one, and Python's functions for these raise ValueError."""
    return octets.decode(errors="replace").replace("\0", "\ufffd")
