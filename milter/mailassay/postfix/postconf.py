"""A parameter of the Postfix of this machine, by postconf(1)."""

from __future__ import annotations

import os
import shutil
import subprocess

_MAIN_CF = "/etc/postfix/main.cf"
_PATIENCE = 5.0  # seconds


def value(name: str) -> str | None:
    """Postfix's value of a parameter, expanded; None if it cannot be asked."""
    program = shutil.which("postconf", path="/usr/sbin:/usr/local/sbin:/sbin:/usr/bin")
    return _printed(program, "-xh", name) if program and has_main_cf(program) else None


def has_main_cf(program: str) -> bool:
    """Is there a main.cf? Without one postconf, which is ``program``, sleeps for a second, and then fails."""
    if folder := os.environ.get("MAIL_CONFIG"):
        return os.path.exists(f"{folder}/main.cf")
    # a Postfix may be built for another folder; postconf answers this question without a main.cf
    return os.path.exists(_MAIN_CF) or os.path.exists(f"{_printed(program, '-dh', 'config_directory')}/main.cf")


def _printed(*command: str) -> str | None:
    """What a command prints; None if it fails."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
