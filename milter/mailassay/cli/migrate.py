"""``mailassay migrate``."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Iterator, Sequence

from .. import migrate
from ..finding import Severity
from ..judge.logline import as_json
from ..migrate import Copy, Exists, Plan, Program, State, Unclear, Unreadable
from ..sign import Sign
from ..terminal import complain, printable
from .options import Commands, takes_json

_COMPLETE = (Severity.NOTE, Severity.FINE)


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "migrate",
        help="turn the signing of opendkim or rspamd into the sign section of mailassay.yaml",
        description="Read the configuration of opendkim (opendkim.conf) or of rspamd's module dkim_signing, with the "
        "tables that it names. Print the sign section for mailassay.yaml, and on standard error what has no "
        "equivalent, with its line and what to do instead. Nothing is written unless --write-keys is given. "
        "Exit status 1 if something has no equivalent or a key cannot be used, 66 or 78 if FILE cannot be "
        "read, 73 if another key is at the place of one; then no key is written.",
    )
    parser.add_argument("file", metavar="FILE", help="opendkim.conf or dkim_signing.conf")
    parser.add_argument(
        "--from",
        dest="program",
        type=Program,
        choices=[*Program],
        metavar="{opendkim,rspamd}",
        help="whose configuration FILE is (default: found out by its lines)",
    )
    parser.add_argument(
        "--keys",
        default=Sign().directory,
        metavar="DIRECTORY",
        help="the folder of the keys, sign.directory (default: %(default)s)",
    )
    parser.add_argument(
        "--write-keys",
        action="store_true",
        help="copy the keys to DIRECTORY/DOMAIN/SELECTOR.pem, as PKCS#8, for the group of DIRECTORY; a file that is "
        "there is never overwritten",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="also name the options that mean nothing here")
    takes_json(parser)
    parser.set_defaults(run=_run, refuse=parser.error)


def _run(arguments: argparse.Namespace) -> int:
    directory: str = arguments.keys
    if not directory.startswith("/") or not directory.isprintable():
        arguments.refuse("argument --keys: expected the absolute path of a folder")
    path = os.path.abspath(arguments.file)
    try:
        plan = migrate.read(path, arguments.program)
    except Unreadable as error:
        complain(f"mailassay: {arguments.file} {error}")
        return os.EX_NOINPUT
    except Unclear as error:
        hint = ""
        if error.place.file == path:
            hint = ". If it is rspamd's, rspamadm configdump -j dkim_signing prints it in a form that can be read"
        complain(f"mailassay: {error.place}: {error}{hint}")
        return os.EX_CONFIG
    keys = migrate.copies(plan, directory)
    states = [each.state() for each in keys]
    taken = [each for each, state in zip(keys, states, strict=True) if state is State.OTHER]
    written, undone = list[Copy](), list[str]()
    if arguments.write_keys and not taken:
        try:
            for copy, rest in migrate.write(keys, directory):
                written.append(copy)
                undone += rest
        except Exists as error:
            complain(f"mailassay: {error}")
            return os.EX_CANTCREAT
    if arguments.json:
        print(as_json(_as_json(plan, directory, keys, states, written), indent=2))
    else:
        _show(plan, directory, arguments.verbose)
        for line in _keys(keys, states, written, arguments):
            complain(line)
    for line in dict.fromkeys(undone):
        complain(line)
    if taken:
        return os.EX_CANTCREAT
    return 0 if plan.domains and all(each.severity in _COMPLETE for each in plan.remarks) else 1


def _show(plan: Plan, directory: str, verbose: bool) -> None:
    order = list(Severity)
    for remark in sorted(plan.remarks, key=lambda each: order.index(each.severity)):
        complain(str(remark))
    if verbose:
        for name, place in plan.passed_over:
            complain(f"{place}: {name} means nothing for signing here")
    if plan.domains:
        for line in migrate.lines(plan, directory):
            print(printable(line))
    else:
        complain(f"mailassay: {plan.file}: no domain is left that could sign")


def _keys(
    keys: Sequence[Copy], states: Sequence[State], written: Sequence[Copy], arguments: argparse.Namespace
) -> Iterator[str]:
    """What became of each key."""
    missing = 0
    for copy, state in zip(keys, states, strict=True):
        if state is State.OTHER:
            yield f"error: {copy.place} is there, and is not the same key as {copy.use.source}; no key was written"
        elif copy in written:
            yield f"copied {copy.use.source} to {copy.place}"
        elif state is State.THERE:
            yield f"{copy.place} is there already"
        else:
            missing += 1
            yield f"not copied yet: {copy.use.source} to {copy.place}"
    if missing and not arguments.write_keys:
        words = ["mailassay", "migrate", arguments.file, "--keys", arguments.keys, "--write-keys"]
        yield f"To copy: {shlex.join(words)}"


def _as_json(
    plan: Plan, directory: str, keys: Sequence[Copy], states: Sequence[State], written: Sequence[Copy]
) -> dict[str, object]:
    return {
        "from": plan.program,
        "file": plan.file,
        "sign": {
            "domains": {domain: [use.selector for use in uses] for domain, uses in plan.domains.items()},
            "directory": directory,
            "subdomains": plan.subdomains,
            "from": plan.believed,
        },
        "trusted_networks": [str(each) for each in plan.networks],
        "keys": [
            {
                "domain": copy.key.domain,
                "selector": copy.key.selector,
                "algorithm": copy.key.algorithm,
                "record": copy.key.record,
                "source": str(copy.use.source.path) or None,
                "file": copy.place,
                "state": "copied" if copy in written else state.value,
            }
            for copy, state in zip(keys, states, strict=True)
        ],
        "findings": [
            {
                "severity": each.severity,
                "code": each.code,
                "what": each.what,
                "fix": each.fix,
                "path": each.place.file,
                "line": each.place.line,
            }
            for each in plan.remarks
        ],
        "passed_over": [{"option": name, "path": place.file, "line": place.line} for name, place in plan.passed_over],
    }
