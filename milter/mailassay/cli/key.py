"""``mailassay key``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from ..domain import BadDomain, Domain
from ..key import adding, making, ring
from ..key import folder as folders
from ..key.adding import Wanted
from ..key.folder import Folder
from ..key.making import ED25519, RSA
from ..key.ring import BadRing, Busy, Kept
from ..sign.keys import MAX_BITS, MIN_BITS, UnusableKey, is_selector
from ..terminal import complain
from . import key_check, key_rotate, key_text
from . import key_world as world
from .options import Commands, settings, takes_config, takes_json, takes_zone

_KINDS = {"both": (RSA, ED25519), RSA: (RSA,), ED25519: (ED25519,)}


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "key",
        help="make, publish, check, replace and retire the keys that sign",
        description="The life of the keys that sign outgoing mail: prepared, published (every authoritative server has "
        "the record, and no resolver has an older answer), active, retired (its record stays for a week), revoked. The "
        "file keys.json beside the keys of a domain has their states.",
        epilog="Exit status 1 if something is to be done or waited for; check: 2 if mail that is signed now cannot be "
        "verified. 73 if a key exists, 75 if another process changes the keys, 77 if this needs root, 78 if the "
        "configuration or keys.json has a mistake.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    new = _action(actions, "new", "make keys for a domain, and print the DNS records to publish", _new)
    _takes_domain(new)
    new.add_argument(
        "--selector",
        type=_selector,
        action="append",
        default=[],
        metavar="S",
        help="the selector, once for each key (default: the year and the next free letter, such as 2026a)",
    )
    new.add_argument("--algorithm", choices=[*_KINDS], default="both", help="which keys to make (default: both)")
    new.add_argument(
        "--bits", type=_bits, default=making.DEFAULT_BITS, metavar="N", help="of an RSA key (default: 2048)"
    )
    form = new.add_mutually_exclusive_group()
    form.add_argument("--format", choices=key_text.FORMS, help="print the records alone: for a zone file, or as text")
    takes_json(form)
    new.set_defaults(refuse=new.error)
    listing = _action(actions, "list", "list keys and their states, and what to do next", _list)
    _takes_domain(listing, nargs="?")
    takes_json(listing)
    check = _action(actions, "check", "compare keys with DNS, at every authoritative server", key_check.run)
    _takes_domain(check, nargs="?")
    check.add_argument("--quiet", action="store_true", help="log only warnings and errors, for the timer")
    takes_zone(check)
    takes_json(check)
    rotate = _action(
        actions, "rotate", "replace the keys of a domain, a step each time, safe to repeat", key_rotate.rotate
    )
    _takes_domain(rotate)
    rotate.add_argument("--wait", action="store_true", help="wait until the new keys can be active")
    # only what verifiers see makes a key active, so no file stands in for DNS
    rotate.set_defaults(zone=None)
    retire = _action(actions, "retire", "stop signing with a key; later, revoke it", key_rotate.retire)
    _takes_domain(retire)
    retire.add_argument("selector", type=_selector, metavar="SELECTOR", help="the key")
    retire.add_argument("--last", action="store_true", help="even if no other key of the domain is active")


def _action(
    actions: Commands, name: str, help_text: str, act: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.")
    takes_config(parser)
    parser.set_defaults(run=lambda arguments: _guarded(act, arguments))
    return parser


def _takes_domain(parser: argparse.ArgumentParser, nargs: str | None = None) -> None:
    text = "the domain (default: all that have keys)" if nargs else "the domain"
    parser.add_argument("domain", type=_domain, nargs=nargs, metavar="DOMAIN", help=text)


def _domain(text: str) -> Domain:
    try:
        domain = Domain(text)
    except BadDomain as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a domain name: {error}") from error
    if len(domain.labels) < 2 or domain.labels[-1].isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a domain such as example.org")
    return domain


def _selector(text: str) -> str:
    if not is_selector(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a selector of letters, digits, _, . and -, such as 2026a")
    return text


def _bits(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and MIN_BITS <= int(text) <= MAX_BITS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {MIN_BITS} to {MAX_BITS}")
    return int(text)


def _guarded(act: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    """Run an action. What it may find wrong with files becomes a message and an exit status."""
    try:
        return act(arguments)
    except (BadRing, UnusableKey) as error:
        if isinstance(error.__cause__, PermissionError):
            complain(f"mailassay key: {error}; run this as root")
            return os.EX_NOPERM
        complain(f"mailassay key: {'; '.join(filter(None, (str(error), error.fix)))}")
        return os.EX_CONFIG
    except Busy as error:
        complain(f"mailassay key: {error}; try again")
        return os.EX_TEMPFAIL
    except making.Exists as error:
        complain(f"mailassay key: {error}")
        return os.EX_CANTCREAT
    except BadDomain as error:
        complain(f"mailassay key: the name of a key record would be too long: {error}")
        return 2
    except PermissionError as error:
        complain(f"mailassay key: {error.filename}: {error.strerror}; run this as root")
        return os.EX_NOPERM


# --- new


def _new(arguments: argparse.Namespace) -> int:
    sign, domain = settings(arguments).sign, arguments.domain
    kinds = _KINDS[arguments.algorithm]
    if arguments.selector and len(arguments.selector) != len(kinds):
        arguments.refuse(
            f"{len(kinds)} keys need as many selectors: give --selector as often, or --algorithm {RSA} or {ED25519}"
        )
    wanted = [Wanted(kind, arguments.bits) for kind in kinds]
    undone = making.folder(sign.directory, domain)
    with ring.locked(sign.directory, domain):
        found = folders.look(sign, domain, world.now())
        made, more = adding.add(found, wanted, world.now(), arguments.selector)
    for each in (*undone, *more):
        complain(f"mailassay key: {each}")
    try:
        _print_made(arguments, found, made)
        sys.stdout.flush()
    except OSError:
        complain(f"mailassay key: the keys are made; mailassay key rotate {domain} prints their records")
        raise
    return os.EX_OK


def _print_made(arguments: argparse.Namespace, found: Folder, made: Sequence[Kept]) -> None:
    records = [found.record(each) for each in made]
    if arguments.json:
        key_text.print_json({"domain": found.domain, "keys": [key_text.made_as_json(found, each) for each in made]})
    elif arguments.format:
        key_text.print_records(records, arguments.format)
    else:
        key_text.made(found, made)
        key_text.to_publish(records)
        print(f"\nThen: mailassay key rotate {found.domain} --wait")


# --- list


def _list(arguments: argparse.Namespace) -> int:
    sign = settings(arguments).sign
    chosen = [arguments.domain] if arguments.domain else folders.domains(sign)
    found = [folders.look(sign, each, world.now()) for each in chosen]
    if arguments.domain and not found[0].is_known:
        complain(f"mailassay key: {folders.unknown(arguments.domain)}")
        return 1
    if arguments.json:
        key_text.print_json({"domains": [key_text.folder_as_json(each, world.now()) for each in found]})
    elif not any(each.selectors for each in found):
        print("no keys; mailassay key new DOMAIN makes some")
    else:
        key_text.print_list(found, world.now())
    return os.EX_OK
