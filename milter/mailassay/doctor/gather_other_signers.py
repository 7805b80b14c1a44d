"""Which signing filters run on this machine, and for what domains they sign."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from .. import migrate
from ..finding import Severity
from ..migrate.remark import Code
from .facts import Signed

_LONGEST = 15  # characters of a name that the kernel keeps (proc(5), comm)
# of a remark that a filter may sign for more than the plan has
_MORE = frozenset({
    Code.ADDRESS, Code.DATA_SET, Code.DOMAIN, Code.FILE, Code.FOREIGN, Code.SELECTOR, Code.SUBDOMAINS, Code.WILDCARD,
})  # fmt: skip


def running(programs: Iterable[str], processes: Path = Path("/proc")) -> frozenset[str]:
    """Those of the programs that run, by the names of their processes."""
    names = set[str]()
    for each in processes.glob("[0-9]*/comm"):
        # the process may have ended
        with suppress(OSError):
            names.add(each.read_text(errors="replace").rstrip("\n"))
    return frozenset(each for each in programs if each[:_LONGEST] in names)


def signed(files: Iterable[str]) -> dict[str, Signed]:
    """For what domains each configuration in opendkim's form signs. Reads its tables, and no key."""
    return {path: _signed(path) for path in files}


def _signed(path: str) -> Signed:
    try:
        plan = migrate.read(path, migrate.Program.OPENDKIM)
    except migrate.Unreadable as error:
        return Signed(doubt=f"{path} {error}")
    remarks = [each for each in plan.remarks if each.code in _MORE and each.severity is not Severity.NOTE]
    doubt = f"{remarks[0].place}: {remarks[0].what}" if remarks else ""
    if not plan.domains:
        doubt = doubt or f"{path} names no domain that can be found"
    return Signed(frozenset(plan.domains), plan.subdomains, doubt)
