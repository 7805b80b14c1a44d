"""``mailassay files``."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from ..terminal import complain, printable
from .options import DEFAULT_CONFIG, Commands

# what the files say, and which of their folders it is
_PROGRAM = "/usr/bin/mailassay"
_SHARED = {"/usr/share/mailassay/policies": "policies", "/usr/share/mailassay": "conf"}
_PLACES = re.compile(rf"(?:{'|'.join([_PROGRAM, *_SHARED])})(?![\w.-])")
_PLAIN = re.compile(r"[\w./+-]+", re.ASCII)  # a path that a unit can name as it is
# ProtectHome= and PrivateTmp= of the service
_OUT_OF_REACH = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "files",
        help="write the policies, systemd units, manual pages and examples that belong to the program",
        description="Write what belongs to the program into a folder: example configurations and the JSON Schema "
        "(conf), manual pages (man), policies, and systemd units with sysusers.d and tmpfiles.d (systemd). The paths "
        "in them are those of this program and of the folder. Print the name of each file, and the commands that put "
        "the files where the system looks for them. For an installation by pip or pipx; the packages and `make "
        "install` have done this. Exit status 73 if a file is there already, or if no unit can name the path of this "
        "program; then nothing is written.",
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="where to write; it is made if it is missing")
    parser.add_argument("--force", action="store_true", help="overwrite files of an earlier run")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    folder: Path = arguments.folder.absolute()
    program = _program()
    if not _PLAIN.fullmatch(program):
        complain(
            f"mailassay: {printable(program)}: systemd would take a character of this path for something else. Install "
            "mailassay in a folder whose path has only letters, digits and . _ + -"
        )
        return os.EX_CANTCREAT
    found = {folder / name: _here(text, program, folder) for name, text in shipped().items()}
    there = [path for path in found if os.path.lexists(path)]
    if there and not arguments.force:
        complain(f"mailassay: {printable(str(there[0]))} is there already; --force overwrites it")
        return os.EX_CANTCREAT
    for path, text in found.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(printable(str(path)))
    print("\nNext, as root:\n")
    for line in _next(folder, Path(DEFAULT_CONFIG).parent):
        print(printable(f"    {line}"))
    print(f"\nThen add it to Postfix. {printable(str(folder))}/conf/postfix-main.cf explains each setting.")
    out_of_reach = _out_of_reach([Path(program), Path(sys.prefix), Path(sys.base_prefix)])
    if out_of_reach:
        complain(
            f"mailassay: warning: the service cannot run {out_of_reach}: the unit keeps it out of home directories and "
            "/tmp (ProtectHome=, PrivateTmp=). Install mailassay elsewhere, for example in /opt/mailassay, with a "
            "Python of the system"
        )
    return 0


def shipped() -> Mapping[str, str]:
    """The files by name, from conf/mailassay.schema.json to systemd/tmpfiles.d/mailassay.conf."""
    return dict(_below(files("mailassay") / "files", ""))


def _below(folder: Traversable, prefix: str) -> Iterator[tuple[str, str]]:
    for each in sorted(folder.iterdir(), key=lambda each: each.name):
        name = prefix + each.name
        if each.is_dir():
            yield from _below(each, f"{name}/")
        else:
            yield name, each.read_text(encoding="utf-8")


def _program() -> str:
    """The path of this program, as a unit names it; a link stays one, since upgrades may move what it leads to."""
    called = Path(sys.argv[0])
    if called.name != "mailassay":
        called = Path(sys.executable).with_name("mailassay")
    return str(called.absolute())


def _here(text: str, program: str, folder: Path) -> str:
    """A file with the paths of this installation."""

    def path(match: re.Match[str]) -> str:
        named = match[0]
        return program if named == _PROGRAM else str(folder / _SHARED[named])

    return _PLACES.sub(path, text)


def _next(folder: Path, configuration: Path) -> Iterator[str]:
    """The commands that put the files where they belong. A configuration that is there already stays."""
    own = shlex.quote(str(folder))
    if not (configuration / "mailassay.yaml").exists():
        yield f"install -D -m 644 {own}/conf/start.yaml {configuration}/mailassay.yaml"
    if not (configuration / "policy.yaml").exists():
        yield f"install -D -m 644 {own}/policies/monitor.yaml {configuration}/policy.yaml"
    yield f"install -D -m 644 -t /etc/systemd/system {own}/systemd/mailassay*"
    for kind in ("sysusers.d", "tmpfiles.d"):
        yield f"install -D -m 644 -t /etc/{kind} {own}/systemd/{kind}/mailassay.conf"
    for section in ("5", "8"):
        yield f"install -D -m 644 -t /usr/local/share/man/man{section} {own}/man/*.{section}"
    yield "systemd-sysusers && systemd-tmpfiles --create"
    yield "systemctl daemon-reload"
    timers = "mailassay-held.timer mailassay-keys.timer mailassay-reports.timer"
    yield f"systemctl enable --now mailassay mailassay-collector {timers}"


def _out_of_reach(paths: Sequence[Path]) -> str:
    """The first of the paths that the service cannot reach, or an empty string."""
    for path in paths:
        if any(path.resolve().is_relative_to(each) for each in _OUT_OF_REACH):
            return str(path.resolve())
    return ""
