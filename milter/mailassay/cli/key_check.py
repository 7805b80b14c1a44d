"""``mailassay key check``."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from ..config import Settings
from ..domain import Domain
from ..finding import Severity
from ..judge import logline
from ..key import folder as folders
from ..key import ring, rotation
from ..key.check import Problem, problems, status
from ..key.folder import Folder
from ..key.published import Published
from ..key.ring import BadRing, Busy
from ..resolver import Source
from ..terminal import complain, printable
from . import key_text
from . import key_world as world
from .options import settings_anyway, source

_log = logging.getLogger(__name__)


class _Checked(NamedTuple):
    """The keys of a domain, None if nothing is known of them; what DNS has; and what is wrong.

    ``unwritten`` says why what was seen could not be written down; empty if it was.
    """

    domain: Domain
    folder: Folder | None
    dns: Mapping[str, Published]
    problems: list[Problem]
    unwritten: str = ""


def run(arguments: argparse.Namespace) -> int:
    """Compare keys with DNS. Returns the exit status."""
    found, wrong = settings_anyway(arguments)
    if arguments.quiet:
        logline.set_up(found.log.level, found.log.format)
    for mistake in wrong:
        # what is valid is checked all the same
        complain(str(mistake))
    chosen = [arguments.domain] if arguments.domain else folders.domains(found.sign)
    answers = source(arguments, found)
    checked = [_checked(found, arguments, answers, each) for each in chosen]
    worst = max([1 if wrong else 0, *(status(each.problems) for each in checked)])
    if arguments.json:
        key_text.print_json({"status": worst, "domains": [_as_json(each) for each in checked]})
    elif arguments.quiet:
        for each in checked:
            _log_problems(each)
    elif not checked:
        print("nothing to check: sign.domains has no domain, and there are no keys")
    else:
        for number, each in enumerate(checked):
            if number:
                print()
            _show(each)
    return worst


def _checked(found: Settings, arguments: argparse.Namespace, answers: Source, domain: Domain) -> _Checked:
    sign = found.sign
    try:
        folder = folders.look(sign, domain, world.now())
    except BadRing as error:
        severity = Severity.ERROR if domain in sign.domains else Severity.WARNING
        return _Checked(domain, None, {}, [Problem(severity, "key-states", str(error), error.fix)])
    dns = world.look(found, arguments, answers, folder)
    now = world.now()
    seen = replace(folder, ring=rotation.observed(folder.ring, dns, now))
    wrong = problems(seen, dns, now)
    unwritten = f"it is of {arguments.zone}, and not of DNS" if arguments.zone else _written(folder, dns)
    return _Checked(domain, folder, dns, wrong, unwritten)


def _written(folder: Folder, dns: Mapping[str, Published]) -> str:
    """Write down what was seen. Returns why that is not possible; empty if it is."""
    place = ring.path(folder.directory, folder.domain)
    if not folder.ring.keys:
        return ""
    if not os.access(os.path.dirname(place), os.W_OK):
        return f"{place} cannot be written by this user"
    try:
        with ring.locked(folder.directory, folder.domain):
            again = folders.look(folder.sign, folder.domain, world.now())
            folders.store(again, rotation.observed(again.ring, dns, world.now()))
    except (Busy, OSError) as error:
        return f"{place}: {getattr(error, 'strerror', None) or error}"
    return ""


def _as_json(checked: _Checked) -> dict[str, Any]:
    return {
        "domain": checked.domain,
        "findings": [_finding_as_json(each) for each in checked.problems],
        "servers": [
            {"selector": selector, **asdict(seen), "has": seen.has(checked.folder.ring.keys[selector].record)}
            for selector, published in checked.dns.items()
            for seen in published.sightings
            if checked.folder
        ],
        "unwritten": checked.unwritten,
    }


def _finding_as_json(found: Problem) -> dict[str, Any]:
    return {
        "severity": found.severity,
        "code": found.code,
        "selector": found.selector,
        "what": found.what,
        "fix": found.fix,
        "publish": found.publish and found.publish.as_json(),
    }


def _log_problems(checked: _Checked) -> None:
    for each in checked.problems:
        text = printable("; ".join(filter(None, (each.what, each.fix))))
        if each.severity is Severity.ERROR:
            _log.error("keys of %s: %s", checked.domain, text)
        elif each.severity is Severity.WARNING:
            _log.warning("keys of %s: %s", checked.domain, text)


def _show(checked: _Checked) -> None:
    print(checked.domain)
    for each in checked.problems:
        key_text.say(f"  {each.severity:<9}{each.what}", rest=11)
        if each.fix:
            key_text.say(each.fix, 11)
    if not checked.problems:
        signs = ", ".join(checked.folder.signs) if checked.folder else ""
        said = f"No problems found; every server has the record of {signs}." if signs else "No key is active."
        key_text.say(f"  {said}", rest=4)
    if checked.unwritten:
        key_text.say(f"  what was seen is not written down: {checked.unwritten}", rest=4)
    # those of keys that are prepared, which is no problem, are printed by rotate
    records = [each.publish for each in checked.problems if each.publish and each.severity is not Severity.NOTE]
    if records:
        key_text.to_publish(list(dict.fromkeys(records)))
