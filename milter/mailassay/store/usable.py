"""Whether the database of the history can be read by this version and by this user, and what to do if not."""

from __future__ import annotations

import pwd
from pathlib import Path

from . import REVISION


class Unusable(Exception):
    """The database is not one that this version can use. The text says why, and what to do."""


def is_made(name: str, revision: str | None) -> bool:
    """Are the tables made, up to this version? Raises Unusable if they are those of another.

    ``revision`` is the migration up to which they are made.
    """
    if revision is not None and revision > REVISION:
        raise Unusable(
            f"the tables of {name} are of a later version of mailassay ({revision}; this one knows {REVISION}). "
            "Install that version"
        )
    if revision not in (REVISION, None):
        raise Unusable(
            f"the tables of {name} are of an older version of mailassay; mailassay-collector.service updates it"
        )
    return revision is not None


def closed(path: Path, directory: Path, error: OSError) -> Unusable:
    """Why a file or folder of the history in ``directory`` cannot be read."""
    if not isinstance(error, PermissionError):
        return Unusable(f"{path}: {error.strerror}")
    try:
        owner = pwd.getpwuid(directory.stat().st_uid).pw_name
    except (OSError, KeyError):
        owner = "mailassay"
    return Unusable(f"{path} cannot be read by this user. Try `sudo -u {owner} mailassay ...`, or as root")
