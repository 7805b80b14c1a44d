"""What signs in the demo, and what others say of its signatures."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mailassay.domain import Domain
from mailassay.message import crlf
from mailassay.sign import keys

from ..lab.dns import DnsServer
from ..lab.program import ENVIRONMENT
from ..lab.signing import pem, write
from .looking_back import short

DOMAIN = "receiver.example"
SELECTORS = {"rsa": "rsa-sha256", "ed": "ed25519-sha256"}


@dataclass(frozen=True)
class Own:
    """The keys of this host's own domain: the folder of their files, and the key records by their names."""

    folder: Path
    records: Mapping[str, str]

    @property
    def sign(self) -> dict[str, object]:
        """The section of the configuration."""
        return {"domains": {DOMAIN: list(SELECTORS)}, "directory": str(self.folder)}

    @property
    def zone(self) -> str:
        """The lines of the zone."""
        return "".join(f'{name} TXT "{record}"\n' for name, record in self.records.items())


def own(folder: Path) -> Own:
    """Make the keys in a new folder."""
    folder.mkdir()
    records = {}
    for selector, algorithm in SELECTORS.items():
        write(folder, DOMAIN, selector, pem("rsa" if algorithm.startswith("rsa") else "ed25519"))
        records[f"{selector}._domainkey.{DOMAIN}"] = keys.read(str(folder), Domain(DOMAIN), selector).record
    return Own(folder, records)


def verified(message: bytes, found: Own, dns: DnsServer, file: Path) -> tuple[str, bool]:
    """What other programs say of a message that was delivered, which goes into ``file``; and whether all agree."""
    file.write_bytes(message)
    command = [short(Path(sys.executable)), "-m", "tests.demo.verify", dns.address, str(dns.port), short(file)]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    said = f"$ {shlex.join(command)}\n{done.stdout}{done.stderr}"
    passes = [each.split()[2] for each in done.stdout.splitlines() if each.endswith(": pass")]
    agree = done.returncode == 0 and passes == list(SELECTORS.values())
    if opendkim := shutil.which("opendkim", path="/usr/sbin:/usr/bin"):
        words = _opendkim(opendkim, message, found, file.parent)
        said += f"opendkim, with the same keys: {', '.join(words)}\n"
        agree = agree and words == ["dkim=pass"] * len(SELECTORS)
    return said, agree


def _opendkim(program: str, message: bytes, found: Own, folder: Path) -> list[str]:
    """The word of opendkim on each signature."""
    public, config, file = folder / "opendkim.keys", folder / "opendkim.conf", folder / "opendkim.eml"
    public.write_text("".join(f"{name} {record}\n" for name, record in found.records.items()))
    config.write_text(f"Mode v\nTestPublicKeys {public}\nSyslog no\n")
    file.write_bytes(crlf(message))
    done = subprocess.run([program, "-x", config, "-t", file, "-vvv"], capture_output=True, text=True, check=False)
    return re.findall(r"\bdkim=\w+", done.stdout)
