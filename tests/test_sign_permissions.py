"""Permissions of key files: who can read and replace them, and the commands that mend that."""

import os
import pwd
import subprocess
import sys

import pytest

from mailassay.sign import permissions
from mailassay.sign.permissions import Account
from tests.lab.folder import open_folder
from tests.lab.signing import DOMAIN, RSA, write

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files to others")
NOBODY = pwd.getpwnam("nobody")
SOMEBODY = Account("nobody", NOBODY.pw_uid, frozenset([NOBODY.pw_gid]))
READ = """
import os, sys
from mailassay.domain import Domain
from mailassay.sign import keys, private_key
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[3]))
try:
    keys.read(sys.argv[1], Domain("example.org"), "2026a")
except keys.UnusableKey as error:
    print(error, error.fix, sep="\\n")
"""


def read_by_nobody(folder):
    """What the user nobody is told who reads the key: nothing, or what is wrong, and the command that mends it."""
    command = [sys.executable, "-c", READ, str(folder), str(NOBODY.pw_gid), str(NOBODY.pw_uid)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def mend(fix):
    subprocess.run(["sh", "-c", fix.replace("chgrp mailassay", f"chgrp {NOBODY.pw_gid}")], check=True)


def found(place, reader=None):
    return [*permissions.doubts(str(place), reader)]


@pytest.fixture
def place():
    """A key that root and the group of nobody can read."""
    with open_folder() as outer:
        outer.chmod(0o755)
        folder = outer / "above" / "keys"
        folder.mkdir(parents=True)
        made = write(folder, DOMAIN, RSA)
        folder.parent.chmod(0o755)
        for each in (folder, made.parent):
            each.chmod(0o750)
        if not os.geteuid():
            for each in (folder, made.parent, made):
                os.chown(each, 0, NOBODY.pw_gid)
        yield made


@as_root
@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_the_part_of_the_path_that_is_closed_is_named_with_the_command_that_opens_it(place, level):
    """By the service that cannot read its key, and by root who checks the configuration for it."""
    assert (read_by_nobody(place.parents[1]), found(place, SOMEBODY)) == ([], [])
    part = [place, *place.parents][level]
    os.chown(part, 0, 0)
    part.chmod(0o700 if level else 0o600)
    what, fix = read_by_nobody(place.parents[1])
    assert what == f"{place} cannot be read: Permission denied" + (f" for {part}" if level else "")
    doubts = found(place, SOMEBODY)
    [(doubt, again)] = doubts
    assert again == fix
    assert f"the service cannot read {f'keys in {part}' if level else place}: " in doubt
    mend(fix)
    assert (read_by_nobody(place.parents[1]), found(place, SOMEBODY)) == ([], [])


@as_root
def test_a_link_to_a_folder_that_is_closed(place):
    elsewhere = place.parents[2] / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    place.rename(elsewhere / "key.pem")
    place.symlink_to(elsewhere / "key.pem")
    [(what, fix)] = found(place, SOMEBODY)
    assert (f"keys in {elsewhere}" in what, fix) == (True, f"chmod o+x {elsewhere}")
    mend(fix)
    assert (read_by_nobody(place.parents[1]), found(place, SOMEBODY)) == ([], [])


@pytest.mark.parametrize(
    ("level", "mode", "who"),
    [
        (0, 0o644, "everybody on this host can read the key, and sign with it"),
        (0, 0o660, "others than its owner can replace the key"),
        (1, 0o777, "everybody on this host can replace the key"),
        (1, 0o770, "can replace the key"),
        (2, 0o777, "everybody on this host can replace the keys"),
        (2, 0o770, "can replace the keys"),
    ],
)
def test_a_key_that_others_can_read_or_replace_is_a_doubt(place, level, mode, who):
    assert found(place) == []
    changed = [place, *place.parents][level]
    changed.chmod(mode)
    [(what, fix)] = found(place)
    assert what.startswith(f"{changed} has the mode {mode:04o}: ")
    assert what.endswith(who)
    mend(fix)
    assert found(place) == []


@as_root
@pytest.mark.parametrize("level", [0, 1, 2])
def test_an_owner_who_is_neither_root_nor_the_service_is_a_doubt(place, level):
    changed = [place, *place.parents][level]
    os.chown(changed, 12345, -1)
    [(what, fix)] = found(place, SOMEBODY)
    assert what.startswith(f"{changed} belongs to the user 12345, who can ")
    mend(fix)
    assert found(place, SOMEBODY) == []
    os.chown(changed, NOBODY.pw_uid, -1)
    assert found(place, SOMEBODY) == []
    assert len(found(place)) == 1


@as_root
def test_a_group_that_is_not_the_services_is_a_doubt(place):
    os.chown(place, NOBODY.pw_uid, 12345)
    [(what, fix)] = found(place, SOMEBODY)
    assert what == f"the group 12345 can read {place}, and sign with it"
    mend(fix)
    assert found(place, SOMEBODY) == []


def test_the_folder_that_a_link_leads_to_counts(place):
    elsewhere = place.parents[2] / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    place.rename(elsewhere / "key.pem")
    place.symlink_to(elsewhere / "key.pem")
    [(what, _)] = found(place)
    assert what == f"{elsewhere} has the mode 0777: everybody on this host can replace the key"


def test_a_key_that_is_missing_is_no_doubt(place):
    place.unlink()
    assert found(place, SOMEBODY) == []
