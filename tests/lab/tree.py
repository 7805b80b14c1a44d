"""Clean Debian trees, running in namespaces of their own, and nothing kept.

Each is made once, in ``build/``; what a test does to it is written into memory. Unless it is ``online``, a tree has no
network but a loopback.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TypeVar

BUILD = Path(__file__).parents[2] / "build"
SYSTEMD = ("systemd", "systemd-sysv")
NO_SYSTEMD = ("systemd-standalone-sysusers", "systemd-standalone-tmpfiles")
CHAIN = ("opendkim", "opendkim-tools", "openssl", "procps", "opendmarc", "postfix-policyd-spf-python")
"""What mailassay takes the place of, and what opendkim-genkey and the unit of opendkim call."""
LIBRARIES = ("python3", "libmilter1.0.1")
"""What `make install` does not bring along."""
HOST_NAME = "mx.receiver.example"
RELEASES = {
    "bookworm": "mailassay_*~deb12u1_*.deb",
    "trixie": "mailassay_*_all.deb",
    "forky": "mailassay_*_all.deb",
}
"""Debian 12, 13 and the next one: which package is for it."""
OF_TREES = BUILD / "trees"
"""Packages that were made in trees; `make deb` removes those in ``build/`` that are older."""
_MOUNTS = Path("/proc/mounts")
# how this machine reaches Debian: the settings of apt that a tree gets, by the start of their names
_REACH = ("Acquire::http", "Acquire::https", "Acquire::ForceIPv", "Acquire::Check-Valid-Until", "Acquire::Check-Date")
# and PyPI: the files
_REACH_FILES = ("etc/pip.conf", "etc/ssl/certs/ca-certificates.crt")
FOLLOWING_RELEASE = "sed -i s/bookworm/trixie/ /etc/apt/sources.list"
"""From Debian 12 to 13."""
_POSTFIX = f"""postfix postfix/main_mailer_type select Internet Site
postfix postfix/mailname string {HOST_NAME}
"""
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}
_REACH_VARIABLES = re.compile(r"(https?|ftp|no|all)_proxy|PIP_\w+", re.IGNORECASE)
REACHING = ENVIRONMENT | {name: value for name, value in os.environ.items() if _REACH_VARIABLES.fullmatch(name)}
"""The same, and what this machine's environment says of the way to Debian and PyPI."""
_NAMESPACES = ("--mount", "--pid", "--uts", "--ipc", "--cgroup")
# it ends with the process that starts it, also if that is killed, and everything in it ends with it
_UNSHARE = ("setpriv", "--pdeathsig", "KILL", "unshare", *_NAMESPACES, "--fork", "--kill-child")
# $1 the tree, $2 a folder to mount on, the rest what is to be the first process
_ENTER = """
set -e
tree=$1 folder=$2 root=$2/root
shift 2
mount --make-rprivate /
mount -t tmpfs tmpfs "$folder"
mkdir "$folder/new" "$folder/work" "$root"
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$folder/new,workdir=$folder/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
exec chroot "$root" "$@"
"""
_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1

T = TypeVar("T")


def missing() -> str:
    """Why no tree can run here; empty where one can."""
    if os.geteuid():
        return "only root can run a Debian tree"
    if not shutil.which("debootstrap"):
        return "debootstrap is not installed"
    done = subprocess.run([*_UNSHARE, "true"], stderr=subprocess.DEVNULL)
    return "the kernel does not allow namespaces" if done.returncode else ""


def package(release: str, *folders: Path) -> Path | None:
    """The newest package in the folders (``build/`` and ``OF_TREES``) that is for that release."""
    found = [path for folder in folders or (BUILD, OF_TREES) for path in folder.glob(RELEASES[release])]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def bare(release: str) -> Path:
    """The smallest tree that debootstrap makes, which reaches Debian as this machine does."""

    def make(part: Path) -> None:
        # An older debootstrap does not know the name of a newer release; the script is the same for all.
        # debootstrap mounts /proc in the tree, and leaves it there if it is killed; so it has mounts of its own.
        _command("unshare", "--mount", "debootstrap", "--variant=minbase", release, str(part), _mirror(), "sid")

    tree = _made(BUILD / f"debian-{release}-bare", make)
    settings = _command("apt-config", "dump").splitlines()
    reach = "".join(f"{line}\n" for line in settings if line.startswith(_REACH))
    (tree / "etc/apt/apt.conf.d/90reach").write_text(reach)
    _reach(tree)  # before apt installs ca-certificates, and maybe by https
    return tree


def base(package: Path, release: str) -> Path:
    """A tree with Postfix, and with all that installing the package may fetch lying in apt's cache."""

    def make(part: Path) -> None:
        _command("cp", "--archive", str(bare(release)), str(part))
        # no daemon is started in what is no system yet
        no_daemon = part / "usr/sbin/policy-rc.d"
        no_daemon.write_text("#!/bin/sh\nexit 101\n")
        no_daemon.chmod(0o755)
        _chroot(part, "debconf-set-selections", given=_POSTFIX)
        _chroot(part, "apt-get", "update")
        _chroot(part, *_install("postfix"))
        no_daemon.unlink()

    tree = _made(BUILD / f"debian-{release}", make)
    fetched = tree / "var/cache/fetched"
    wanted = "\n".join(
        [_command("dpkg-deb", "--field", str(package), "Depends"), *SYSTEMD, *NO_SYSTEMD, *CHAIN, *LIBRARIES]
    )
    if not fetched.exists() or fetched.read_text() != wanted:
        shutil.copy(package, tree / "package.deb")
        _chroot(tree, "apt-get", "update")
        for others in (SYSTEMD, NO_SYSTEMD, CHAIN, LIBRARIES):
            _chroot(tree, *_install("--download-only", "/package.deb", *others))
        (tree / "package.deb").unlink()
        fetched.write_text(wanted)
    return tree


def upgrade(package: Path, following: Path) -> Path:
    """All that apt fetches while Debian 12 with a package becomes Debian 13 with another: folders of /var."""
    fetched = BUILD / "bookworm-to-trixie"
    wanted = "\n".join(_command("dpkg-deb", "--field", str(each), "Depends") for each in (package, following))
    if not (fetched / "wanted").exists() or (fetched / "wanted").read_text() != wanted:
        shutil.rmtree(fetched, ignore_errors=True)
        tree = base(package, "bookworm")
        with (
            tempfile.TemporaryDirectory(dir=BUILD) as folder,
            Tree(tree, Path(tempfile.mkdtemp(dir=folder)), systemd=False, online=True) as running,
        ):
            running.run(" ".join(_install(*SYSTEMD)), seconds=600)
            running.install(package)
            running.run(FOLLOWING_RELEASE)
            running.run("apt-get update && apt-get dist-upgrade -y --download-only", seconds=1800)
            running.install(following, "--download-only")
            for name in ("cache/apt/archives", "lib/apt/lists"):
                shutil.copytree(running.root / "var" / name, fetched / name)
        (fetched / "wanted").write_text(wanted)
    return fetched


def _made(tree: Path, make: Callable[[Path], None]) -> Path:
    """That tree; what is half made has another name."""
    if not tree.exists():
        BUILD.mkdir(exist_ok=True)
        part = tree.with_suffix(".part")
        if part.exists():
            # what is removed below a mount is not the tree's
            mounted = [line.split()[1] for line in _MOUNTS.read_text().splitlines() if f" {part}/" in line]
            if mounted:
                raise RuntimeError(f"an earlier attempt left mounts; unmount them first: {' '.join(mounted)}")
            shutil.rmtree(part)
        make(part)
        part.rename(tree)
    return tree


def _reach(tree: Path) -> None:
    """Let a tree trust whom this machine trusts."""
    for name in _REACH_FILES:
        if (file := Path("/", name)).exists():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, tree / name)


def _mirror() -> str:
    """Where this machine fetches its own packages, if it is a Debian; empty for what debootstrap takes by itself."""
    lines = _command("apt-get", "indextargets", "--format=$(REPO_URI)", "Identifier: Packages", "Label: Debian")
    return next(iter(lines.splitlines()), "")


def _install(*arguments: str) -> tuple[str, ...]:
    return ("apt-get", "install", "-y", "--no-install-recommends", *arguments)


def _chroot(tree: Path, *command: str, given: str = "") -> str:
    """Run a command in a tree that does not run, with a /proc, which systemd's scripts need; what it printed."""
    enter = 'tree=$1; shift; mount -t proc proc "$tree/proc" && exec chroot "$tree" "$@"'
    return _command("unshare", "--mount", "/bin/sh", "-c", enter, "sh", str(tree), *command, given=given)


def _command(*command: str, given: str = "") -> str:
    done = subprocess.run(command, env=REACHING, cwd="/", input=given, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Tree:
    """A running tree; ``folder`` is an empty one. ``systemd`` is the first process, or nothing that does anything.

    ``online``: its network is this machine's.
    """

    def __init__(self, tree: Path, folder: Path, *, systemd: bool, online: bool = False) -> None:
        self._tree, self._folder, self._systemd, self._online = tree, folder, systemd, online
        self._network_too = () if online else ("--net",)
        self.environment = REACHING if online else ENVIRONMENT
        self._unshare: subprocess.Popen[str] | None = None
        # its one thread is in the tree's network
        self._network = ThreadPoolExecutor(1)

    def __enter__(self) -> Tree:
        first = "while :; do sleep 3600; done"  # a shell, since somebody must collect what has ended
        if self._systemd:
            first = " ".join(_install(*SYSTEMD)) + " && exec /lib/systemd/systemd --log-target=console"
        self._log = (self._folder.parent / f"{self._folder.name}.log").open("w+")
        self._unshare = subprocess.Popen(
            [
                *_UNSHARE,
                *self._network_too,
                "/bin/sh",
                "-c",
                _ENTER,
                "sh",
                self._tree,
                self._folder,
                "/bin/sh",
                "-c",
                first,
            ],
            env={**ENVIRONMENT, "container": "other"},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            text=True,
        )
        try:
            self._wait_until(lambda: self._children() != [])
            self._first = self._children()[0]
            self._wait_until(self._is_apart)
            if not self._online:
                self.inside(self._join_network)
            if self._systemd:
                states = ("running", "degraded")
                self._wait_until(lambda: self.run("systemctl is-system-running", check=False).strip() in states)
            self.run(f"hostname {HOST_NAME}; echo nameserver 127.0.0.1 >/etc/resolv.conf")
            if self._online:
                shutil.copy("/etc/resolv.conf", self.root / "etc/resolv.conf")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._network.shutdown()
        if self._unshare:
            for child in self._children():
                os.kill(child, signal.SIGKILL)
            self._unshare.wait()
        self._log.close()

    def _children(self) -> list[int]:
        assert self._unshare
        pid = self._unshare.pid
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def _wait_until(self, there: Callable[[], bool], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not there():
            assert self._unshare
            if self._unshare.poll() is not None or time.monotonic() > end:
                self._log.seek(0)
                raise RuntimeError(f"the tree does not come up:\n{self._log.read()}")
            time.sleep(0.05)

    def _join_network(self) -> None:
        with open(f"/proc/{self._first}/ns/net") as network:
            if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "cannot enter the network of the tree")
        with socket.socket() as any_socket:
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))

    def _is_apart(self) -> bool:
        """Until it has changed its root, the first process sees the files of this machine."""
        return not os.path.samefile(f"/proc/{self._first}/root", "/")

    @property
    def root(self) -> Path:
        """The tree's files, as they are now."""
        if not self._is_apart():
            raise RuntimeError("this is not the tree, but the machine it runs on")
        return Path(f"/proc/{self._first}/root")

    def command(self, script: str) -> list[str]:
        """The command of this machine that runs it in a shell in the tree, with ``environment``."""
        place = [f"--target={self._first}", *_NAMESPACES, *self._network_too, f"--root={self.root}", "--wd"]
        return ["nsenter", *place, "/bin/sh", "-c", script]

    def run(self, script: str, *, check: bool = True, seconds: float = 120.0) -> str:
        """What a shell in the tree printed, errors too. Raises RuntimeError where it fails, TimeoutExpired."""
        done = subprocess.run(
            self.command(script),
            env=self.environment,
            cwd="/",
            timeout=seconds,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        if check and done.returncode:
            raise RuntimeError(f"{script}: exit status {done.returncode}\n{done.stdout}")
        return done.stdout

    def install(self, package: Path, *options: str) -> str:
        """Have apt install a package file, with what it depends on; what it printed."""
        shutil.copy(package, self.root / "package.deb")
        printed = self.run(" ".join(_install(*options, "/package.deb")), seconds=600)
        self.run("rm /package.deb")
        return printed

    def fetch(self, *packages: str) -> None:
        """Have apt fetch and install packages; an online tree then reaches PyPI as this machine does."""
        self.run(f"apt-get update && {' '.join(_install('ca-certificates', *packages))}", seconds=600)
        _reach(self.root)

    def inside(self, make: Callable[[], T]) -> T:
        """Call something where sockets are the tree's; it gives back what may be used anywhere."""
        return self._network.submit(make).result()
