"""What the doctor says of a real Postfix and a real daemon, and how somebody obeys it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

from mailassay.config import load
from mailassay.doctor import Finding, all_facts, examine
from mailassay.finding import Severity

from .healthy import GOOD

SOUND = """
smtpd_forbid_bare_newline = normalize
mynetworks = 192.0.2.250/32
"""
"""Lines of main.cf with which nothing is wrong."""

OTHER = "unix:/nowhere/else.sock"
"""Another milter."""

SUBMISSION = ("-M", "587/inet=587 inet n - n - - smtpd")
"""A service for users, for postconf."""


def age(folder: Path) -> None:
    """Postfix waits a second before it reads a file that has just been written."""
    for path in folder.iterdir():
        os.utime(path, (0, 0))


def postconf(folder: Path, *arguments: str) -> None:
    """Change a configuration."""
    age(folder)
    subprocess.run(["/usr/sbin/postconf", "-c", folder, *arguments], check=True)


def findings(config: Path, folder: Path) -> list[Finding]:
    """Those that are not fine, whatever this machine has, and whoever works on the package while this runs."""
    age(folder)
    around_here = all_facts(load(str(config), keys=True), (), str(config), str(folder))
    facts = replace(around_here, installed=0.0, signers={}, signing={}, system=GOOD.system)
    return [each for each in examine(facts) if each.severity is not Severity.FINE]


def codes(config: Path, folder: Path) -> set[str]:
    """The codes of all findings that are not fine."""
    return {each.code for each in findings(config, folder)}


def errors(config: Path, folder: Path) -> list[Finding]:
    """The errors."""
    return [each for each in findings(config, folder) if each.severity is Severity.ERROR]


def fix(found: Finding) -> None:
    """Obey."""
    for command in found.commands:
        path = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
        subprocess.run(["/bin/sh", "-ec", command], check=True, env={**os.environ, "PATH": path}, timeout=60)
