"""Who can read and who can replace the files of keys, as their permissions say, and the commands that mend them."""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

SERVICE = "mailassay"  # the user of the service, and its group
_READ, _SEARCH = 4, 1
_ACL = "system.posix_acl_access"

May: TypeAlias = Callable[[str, int], bool]
"""May somebody read (4) a file, or search (1) a folder? Also yes if there is none."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user, and all groups of that user."""

    name: str
    uid: int
    gids: frozenset[int]

    def may(self, place: str, bits: int) -> bool:
        """See :data:`May`. Also yes if an access control list decides (acl(5)), which is not looked at."""
        try:
            state = os.stat(place)
            if not self.uid or _ACL in os.listxattr(place):
                return True
        except OSError:
            return True
        shift = 6 if state.st_uid == self.uid else 3 if state.st_gid in self.gids else 0
        return state.st_mode >> shift & bits == bits


def service() -> Account | None:
    """The user of the service; None if this host has none of that name."""
    try:
        entry = pwd.getpwnam(SERVICE)
    except KeyError:
        return None
    return Account(SERVICE, entry.pw_uid, frozenset(os.getgrouplist(SERVICE, entry.pw_gid)))


def this_process(place: str, bits: int) -> bool:
    """See :data:`May`."""
    return os.access(place, bits, effective_ids=True)


def closed(place: str, may: May) -> tuple[str, str] | None:
    """The first part of the path of a key that is closed, from the root on, and the command that opens it."""
    folder = os.path.dirname(place)
    for each in dict.fromkeys([*_above(place), *_above(os.path.realpath(place))]):
        if not may(each, _SEARCH):
            quoted = shlex.quote(each)
            is_ours = each in (folder, os.path.dirname(folder))
            return each, f"chgrp {SERVICE} {quoted} && chmod 0750 {quoted}" if is_ours else f"chmod o+x {quoted}"
    return None if may(place, _READ) else (place, let_read(place))


def let_read(place: str) -> str:
    """The command that gives the file of a key the group and mode that it should have."""
    quoted = shlex.quote(place)
    return f"chgrp {SERVICE} {quoted} && chmod 0640 {quoted}"


def _above(place: str) -> list[str]:
    """All folders that lead to a file, from the root on."""
    found = []
    while (folder := os.path.dirname(place)) != place:
        found.append(folder)
        place = folder
    return found[::-1]


def doubts(place: str, reader: Account | None) -> Iterator[tuple[str, str]]:
    """What is wrong with the permissions of a key, each with the command that mends it.

    Either others can read or replace it, or ``reader`` cannot read it, which is the user of the service; None if that
    is not known, or is this process, which has read it. The permissions that count are those of the file and of the two
    folders above it, and that of the folder where the file really is, if its path is a symbolic link. A path that is
    missing is passed over.
    """
    owners = {0, os.geteuid(), *([reader.uid] if reader else ())}
    if state := _state(place):
        yield from _of_file(place, state, reader)
        yield from _of_owner(place, state, owners, "read and replace the key")
    folder, real = os.path.dirname(place), os.path.realpath(place)
    for each, of in {os.path.dirname(real): "key", folder: "key", os.path.dirname(folder): "keys"}.items():
        if state := _state(each):
            yield from _of_folder(each, state, of)
            yield from _of_owner(each, state, owners, f"replace the {of}")
    if reader and (found := closed(place, reader.may)):
        part, fix = found
        what = f"the service cannot read {place}: it is closed to its user, {reader.name}"
        if part != place:
            what = f"the service cannot read keys in {part}: its user, {reader.name}, may not pass that folder"
        yield what, fix


def _of_file(place: str, state: os.stat_result, reader: Account | None) -> Iterator[tuple[str, str]]:
    mode, quoted = stat.S_IMODE(state.st_mode), shlex.quote(place)
    if mode & stat.S_IROTH:
        what = "everybody on this host can read the key, and sign with it"
        yield f"{place} has the mode {mode:04o}: {what}", f"chmod o-r {quoted}"
    if mode & (stat.S_IWOTH | stat.S_IWGRP):
        what = "others than its owner can replace the key"
        yield f"{place} has the mode {mode:04o}: {what}", f"chmod go-w {quoted}"
    if reader and mode & stat.S_IRGRP and state.st_gid not in {0, *reader.gids}:
        yield f"the group {group_name(state.st_gid)} can read {place}, and sign with it", let_read(place)


def _of_folder(place: str, state: os.stat_result, of: str) -> Iterator[tuple[str, str]]:
    mode = stat.S_IMODE(state.st_mode)
    if mode & (stat.S_IWOTH | stat.S_IWGRP):
        who = "everybody on this host" if mode & stat.S_IWOTH else f"the group {group_name(state.st_gid)}"
        yield f"{place} has the mode {mode:04o}: {who} can replace the {of}", f"chmod go-w {shlex.quote(place)}"


def _of_owner(place: str, state: os.stat_result, owners: set[int], can: str) -> Iterator[tuple[str, str]]:
    if state.st_uid not in owners:
        what = f"{place} belongs to the user {_user(state.st_uid)}, who can {can}"
        yield what, f"chown root {shlex.quote(place)}"


def _state(place: str) -> os.stat_result | None:
    try:
        return os.stat(place)
    except OSError:
        return None


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """The name of a group, or its number if it has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
