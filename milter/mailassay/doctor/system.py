"""How this system installs packages and controls services. Distributions differ in both."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass

from ..config import in_container
from .finding import Words

# by ID in os-release(5): the command that installs a package, and whether that starts the service in it
_INSTALLERS = {
    "debian": ("apt-get install", True),
    "fedora": ("dnf install", False),
    "rhel": ("dnf install", False),
    "alpine": ("apk add", False),
    "arch": ("pacman -S", False),
    "suse": ("zypper install", False),
}


@dataclass(frozen=True, slots=True)
class Manager:
    """A service manager: its command for a verb.

    ``enable`` starts a service now and whenever the machine boots; ``revive`` starts one that is not running, even if
    the manager believes that it is; ``disable`` stops one for good.
    """

    command: str
    enable: tuple[str, ...]
    revive: tuple[str, ...]
    disable: tuple[str, ...]


SYSTEMD = Manager(
    "systemctl {verb} {name}",
    enable=("systemctl enable --now {name}",),
    # start does nothing on Debian 12, whose postfix.service stays active when postfix@-.service has failed
    revive=("systemctl restart {name}",),
    disable=("systemctl disable --now {name}",),
)
OPENRC = Manager(
    "rc-service {name} {verb}",
    enable=("rc-update add {name}", "rc-service {name} start"),
    # restart ends if it cannot stop what is not running
    revive=("rc-service {name} zap", "rc-service {name} start"),
    disable=("rc-service {name} stop", "rc-update del {name}"),
)

# what is there once a service manager has booted the machine: sd_booted(3), and OpenRC's name of the runlevel
_BOOTED = {"/run/systemd/system": SYSTEMD, "/run/openrc/softlevel": OPENRC}


@dataclass(frozen=True, slots=True)
class System:
    """The command that installs packages, empty if unknown, and the service manager, None if unknown.

    ``starts``: the installer starts the service of a package. ``in_container``: this is a container, whose name server
    is elsewhere, and which has no service manager unless one is known.
    """

    installer: str = ""
    starts: bool = False
    manager: Manager | None = None
    in_container: bool = False

    def service(self, verb: str, name: str) -> str:
        """The command that starts, restarts or reloads a service, or words if there is no such command here."""
        if self.manager:
            return self.manager.command.format(verb=verb, name=name)
        where = "From outside this container" if self.in_container else "With this host's service manager"
        return Words(f"{where}, {verb} {name}")

    def enable(self, name: str) -> tuple[str, ...]:
        """The commands that start a service now and whenever the machine boots, or words."""
        return self._commands(name, self.manager.enable if self.manager else ())

    def disable(self, name: str) -> tuple[str, ...]:
        """The commands that stop a service for good, or words."""
        return self._commands(name, self.manager.disable if self.manager else (), "stop")

    def revive(self, name: str) -> tuple[str, ...]:
        """The commands that start a service that is not running, or words."""
        return self._commands(name, self.manager.revive if self.manager else ())

    def _commands(self, name: str, commands: tuple[str, ...], verb: str = "start") -> tuple[str, ...]:
        return tuple(each.format(name=name) for each in commands) or (self.service(verb, name),)

    def install(self, package: str) -> tuple[str, ...]:
        """The commands that install a package and start its service of the same name.

        There are none if the distribution is not known, or in a container without services, which loses what is
        installed in it.
        """
        if not self.installer or (self.in_container and not self.manager):
            return ()
        return f"{self.installer} {package}", *(() if self.starts else self.enable(package))


def this_system() -> System:
    """The system on which this runs."""
    try:
        release: Mapping[str, str] = platform.freedesktop_os_release()
    except (OSError, ValueError):
        # there is no such file, or it is not UTF-8
        release = {}
    manager = next((each for path, each in _BOOTED.items() if os.path.exists(path)), None)
    return System(*installer(release), manager, in_container())


def installer(release: Mapping[str, str]) -> tuple[str, bool]:
    """The command that installs packages, by os-release(5), and whether it starts services; empty if not known.

    ID_LIKE has the distributions that this one derives from, the closest first.
    """
    names = [release.get("ID", ""), *release.get("ID_LIKE", "").split()]
    return next((_INSTALLERS[name] for name in names if name in _INSTALLERS), ("", False))
