"""From the configuration of opendkim or rspamd to the ``sign`` section of mailassay.yaml. Reads; ``copying`` writes."""

from __future__ import annotations

import re
from enum import StrEnum

from ..key.making import Exists
from . import opendkim, rspamd
from .copying import Copy, State, copies, write
from .opendkim_options import OPTIONS
from .plan import Plan
from .remark import Remark
from .section import lines
from .source import Unreadable, text
from .ucl import Unclear

__all__ = [
    "Copy",
    "Exists",
    "Plan",
    "Program",
    "Remark",
    "State",
    "Unclear",
    "Unreadable",
    "copies",
    "lines",
    "read",
    "write",
]

_WORD = re.compile(r"[ \t]*([A-Za-z0-9-]+)[ \t]+(?![={:])[^;{]*$")


class Program(StrEnum):
    """Whose configuration it is."""

    OPENDKIM = "opendkim"
    RSPAMD = "rspamd"


def read(path: str, program: Program | None = None) -> Plan:
    """The plan of a configuration file. Raises Unreadable, and Unclear if the text of the file cannot be read.

    ``program``: whose it is; None finds it out by its lines.
    """
    program = program or _recognized(text(path))
    return opendkim.plan(path) if program is Program.OPENDKIM else rspamd.plan(path)


def _recognized(content: str) -> Program:
    """opendkim's, if the first line that says anything is an option with a value in opendkim's form."""
    for line in content.split("\n"):
        said = line.partition("#")[0].strip()
        if said:
            found = _WORD.match(said)
            return Program.OPENDKIM if found and found[1].lower() in OPTIONS else Program.RSPAMD
    return Program.RSPAMD
