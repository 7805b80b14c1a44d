"""The units and what goes with them, as systemd's own tools read them."""

import ctypes
import fcntl
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from tests.lab.program import ENVIRONMENT, PROGRAM

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "systemd"
UNITS = sorted(path.name for path in FOLDER.iterdir() if path.is_file())
MAX_EXPOSURE = 15  # tenths, as systemd-analyze takes it
_PR_SET_MDWE, _PR_MDWE_REFUSE_EXEC_GAIN = 65, 1


def run(*command):
    """What a program of systemd said."""
    if not shutil.which(command[0]):
        pytest.skip(reason=f"{command[0]} is not installed (Debian package systemd)")
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})


def value(unit, key):
    """The values of a key, in their order."""
    return re.findall(rf"^{key}=(.*)$", (FOLDER / unit).read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def units(tmp_path_factory):
    """The units with a program that exists."""
    folder = tmp_path_factory.mktemp("units")
    for name in UNITS:
        (folder / name).write_text((FOLDER / name).read_text().replace("/usr/bin/mailassay ", "/bin/true "))
    return folder


def test_all_units_are_there():
    timed = [f"mailassay-{name}.{kind}" for name in ("held", "keys", "reports") for kind in ("service", "timer")]
    assert ["mailassay-collector.service", *timed, "mailassay.service", "mailassay.socket"] == UNITS


@pytest.mark.parametrize("name", UNITS)
def test_verify(units, name):
    # --man=no: the manual is not installed
    done = run("systemd-analyze", "verify", "--man=no", str(units / name))
    ours = [line for line in done.stderr.splitlines() if "mailassay" in line]
    assert (done.returncode, ours) == (0, [])


def test_verify_sees_a_mistake(units, tmp_path):
    unit = tmp_path / "mailassay.service"
    unit.write_text((units / "mailassay.service").read_text().replace("KillMode=mixed", "KillMood=mixed"))
    assert "KillMood" in run("systemd-analyze", "verify", "--man=no", str(unit)).stderr


@pytest.mark.parametrize("name", [name for name in UNITS if name.endswith(".service")])
def test_exposure(units, name):
    command = ("systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={MAX_EXPOSURE}")
    done = run(*command, str(units / name))
    assert "Overall exposure level" in done.stdout
    assert done.returncode == 0, done.stdout


def test_service_tells_systemd():
    # notify-reload is of systemd 253; Debian 12 has 252
    assert value("mailassay.service", "Type") == ["notify"]
    check, hang_up = value("mailassay.service", "ExecReload")
    assert "config check --log" in check
    assert hang_up == "/bin/sh -c 'kill -HUP $MAINPID'"
    assert value("mailassay.service", "RestartPreventExitStatus") == [f"{os.EX_UNAVAILABLE} {os.EX_CONFIG}"]


def test_the_collector_and_the_service_share_the_folder_of_the_history():
    start = yaml.safe_load((ROOT / "conf" / "start.yaml").read_text())
    for name in ("mailassay.service", "mailassay-collector.service", "mailassay-reports.service"):
        (folder,), (mode,) = value(name, "StateDirectory"), value(name, "StateDirectoryMode")
        assert start["history"]["directory"] == f"/var/lib/{folder}"
        assert value(name, "User") == ["mailassay"]
        made = (FOLDER / "tmpfiles.d" / "mailassay.conf").read_text()
        assert f"\nd /var/lib/{folder} {mode} mailassay mailassay\n" in made


def test_the_collector_does_not_touch_the_service():
    """Neither needs the other; an upgrade ends the old collector before there are records of a later version."""
    unit = (FOLDER / "mailassay-collector.service").read_text()
    assert not re.search("^(Requires|BindsTo|PartOf|Wants|Requisite|Conflicts|Before|OnFailure)=", unit, re.MULTILINE)
    assert "collector" not in (FOLDER / "mailassay.service").read_text()
    (after,) = value("mailassay-collector.service", "After")
    assert "mailassay.service" in after.split()


def collect(folder, configuration, **more):
    """Run `mailassay collect --once`."""
    path = folder / "mailassay.yaml"
    path.write_text(configuration)
    command = [*PROGRAM, "collect", "--once", "--config", str(path)]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, **more)


@pytest.mark.process
def test_the_collector_is_started_again_if_that_can_help(tmp_path):
    """Always, except where it would only end again."""
    (prevented,) = value("mailassay-collector.service", "RestartPreventExitStatus")
    (success,) = value("mailassay-collector.service", "SuccessExitStatus")
    assert value("mailassay-collector.service", "Restart") == ["always"]
    # no history
    assert str(collect(tmp_path, "{}").returncode) == success
    # a mistake in the configuration
    assert collect(tmp_path, "history: {days: 0}").returncode == os.EX_CONFIG
    # the database of another program
    with closing(sqlite3.connect(tmp_path / "history.sqlite")) as other:
        other.execute("CREATE TABLE of_another_program (x)")
    done = collect(tmp_path, f"history: {{directory: {tmp_path}}}")
    assert (done.returncode, "belongs to another program" in done.stderr) == (os.EX_CONFIG, True)
    assert prevented.split() == [success, str(os.EX_UNAVAILABLE), str(os.EX_CONFIG)]
    # another one is running, and may end; the folder may be mounted later
    held = os.open(tmp_path / "spool", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    assert str(collect(tmp_path, f"history: {{directory: {tmp_path}}}").returncode) not in prevented.split()
    os.close(held)
    done = collect(tmp_path, "history: {directory: /nonexistent/history}")
    assert str(done.returncode) not in (*prevented.split(), "0"), done.stderr


def test_what_is_held_is_said_every_hour():
    assert value("mailassay-held.timer", "OnCalendar") == ["hourly"]
    (command,) = value("mailassay-held.service", "ExecStart")
    assert command.endswith(" --remind 0s")


def test_reports_are_sent_every_hour():
    """By the user that owns the history, beside whom nobody can read it."""
    assert value("mailassay-reports.timer", "OnCalendar") == ["hourly"]
    (command,) = value("mailassay-reports.service", "ExecStart")
    assert command == "/usr/bin/mailassay reports send --config /etc/mailassay/mailassay.yaml"
    assert value("mailassay-reports.service", "SuccessExitStatus") == [f"{os.EX_NOINPUT} {os.EX_TEMPFAIL}"]
    for key in ("User", "Group", "StateDirectory", "StateDirectoryMode", "UMask"):
        assert value("mailassay-reports.service", key) == value("mailassay-collector.service", key)


def test_keys_are_checked_every_day():
    """By the user who signs: it can read what the service can read. Only what breaks mail now is a failure."""
    assert value("mailassay-keys.timer", "OnCalendar") == ["daily"]
    (command,) = value("mailassay-keys.service", "ExecStart")
    assert command == "/usr/bin/mailassay key check --quiet --config /etc/mailassay/mailassay.yaml"
    assert value("mailassay-keys.service", "SuccessExitStatus") == ["1"]
    for key in ("User", "Group", "UMask", "SystemCallFilter"):
        assert value("mailassay-keys.service", key) == value("mailassay-reports.service", key)


def test_private_keys_are_for_those_who_need_them():
    """The reports need them to say if DNS has the record of each key that signs a report."""
    [folder] = re.findall("^d (/etc/mailassay/keys) ", (FOLDER / "tmpfiles.d/mailassay.conf").read_text(), re.MULTILINE)
    for name in (each for each in UNITS if each.endswith(".service")):
        needs = name in ("mailassay.service", "mailassay-keys.service", "mailassay-reports.service")
        assert value(name, "InaccessiblePaths") == ([] if needs else [f"-{folder}"])
        assert value(name, "LimitCORE") == (["0"] if needs else [])


def test_service_never_gives_up():
    """Its own restarts do not reach the limit; what starts it without a pause, as the socket may, does."""
    (interval,), (burst,), (pause,) = (
        value("mailassay.service", key) for key in ("StartLimitIntervalSec", "StartLimitBurst", "RestartSec")
    )
    assert int(interval) / int(pause) + 1 < int(burst)


def test_service_waits_for_the_network():
    """network.target is reached before there are addresses; nss-lookup.target is for a resolver to pull in."""
    assert value("mailassay.service", "Wants") == ["network-online.target"]
    (after,) = value("mailassay.service", "After")
    assert after.split() == ["network-online.target", "nss-lookup.target"]


def test_one_path_for_the_socket():
    (path,) = value("mailassay.socket", "ListenStream")
    assert value("mailassay.service", "ReadWritePaths") == ["-" + os.path.dirname(path)]
    assert os.path.dirname(path) in (FOLDER / "tmpfiles.d" / "mailassay.conf").read_text()
    assert yaml.safe_load((ROOT / "conf" / "start.yaml").read_text())["listen"] == f"unix:{path}"
    settings = yaml.safe_load((ROOT / "conf" / "mailassay.yaml").read_text())
    assert value("mailassay.socket", "SocketMode") == [settings["socket_mode"]]
    assert value("mailassay.socket", "SocketGroup") == [settings["socket_group"]]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to users")
def test_user_and_folder(tmp_path):
    for kind in ("sysusers.d", "tmpfiles.d"):
        shutil.copytree(FOLDER / kind, tmp_path / "usr" / "lib" / kind)
    (tmp_path / "etc").mkdir()
    done = run("systemd-sysusers", f"--root={tmp_path}")
    assert done.returncode == 0, done.stderr
    user = (tmp_path / "etc/passwd").read_text().strip().split(":")
    assert (user[0], user[-1]) == ("mailassay", "/usr/sbin/nologin")
    groups = dict(line.split(":", 1) for line in (tmp_path / "etc/group").read_text().splitlines())
    assert groups["postfix"].endswith(":mailassay")
    done = run("systemd-tmpfiles", f"--root={tmp_path}", "--create")
    assert done.returncode == 0, done.stderr
    found = (tmp_path / "var/spool/postfix/mailassay").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (
        int(user[2]),
        int(groups["postfix"].split(":")[1]),
        0o750,
    )
    keys = (tmp_path / "etc/mailassay/keys").stat()
    assert (keys.st_uid, keys.st_gid, keys.st_mode & 0o7777) == (0, int(user[3]), 0o750)
    history = (tmp_path / "var/lib/mailassay").stat()
    assert (history.st_uid, history.st_gid, history.st_mode & 0o7777) == (int(user[2]), int(user[3]), 0o700)


def deny():
    """MemoryDenyWriteExecute=, for the program that is started after this."""
    if ctypes.CDLL(None).prctl(_PR_SET_MDWE, _PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0):
        os._exit(os.EX_UNAVAILABLE)


@pytest.mark.process
def test_the_collector_needs_no_writable_executable_memory(tmp_path):
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool/mx1-1800000000.0-1-1.records").write_text('{"v": 1, "kind": "lost", "records": 2}\n')
    done = collect(tmp_path, f"history: {{directory: {tmp_path}}}", preexec_fn=deny)
    if done.returncode == os.EX_UNAVAILABLE:
        pytest.skip(reason="this kernel cannot deny it by prctl (Linux 6.3)")
    assert done.returncode == 0, done.stderr
    with closing(sqlite3.connect(tmp_path / "history.sqlite")) as database:
        assert database.execute("SELECT count FROM hourly WHERE kind = 'lost'").fetchall() == [(2,)]


def test_needs_no_writable_executable_memory():
    """Pymilter, ctypes, cffi and OpenSSL as the daemon uses them."""
    program = """
import mmap
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from mailassay.daemon import libmilter
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
except PermissionError:
    pass
else:
    raise SystemExit("memory may be writable and executable")
libmilter.register()
key = rsa.generate_private_key(65537, 1024)
signature = key.sign(b"x", padding.PKCS1v15(), hashes.SHA256())
key.public_key().verify(signature, b"x", padding.PKCS1v15(), hashes.SHA256())
key = ed25519.Ed25519PrivateKey.generate()
key.public_key().verify(key.sign(b"x"), b"x")
"""
    done = subprocess.run([sys.executable, "-c", program], preexec_fn=deny, capture_output=True, text=True)
    if done.returncode == os.EX_UNAVAILABLE:
        pytest.skip(reason="this kernel cannot deny it by prctl (Linux 6.3)")
    assert done.returncode == 0, done.stderr
