"""rspamd as a judge of signatures and seals: a process of its own, with DNS that has the keys."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from mailassay.zone import Zone

from .dns import DnsServer
from .folder import open_folder
from .limits import LIMITS


class _Local(HTTPConnection):
    """HTTP on a Unix socket."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.host)


Ask = Callable[[bytes, Mapping[str, str]], dict[str, Any]]
"""Gives what rspamd answers about a message, with facts of its transaction as HTTP fields."""


@contextmanager
def running(folder: Path, plugins: Sequence[str], more: str, dns: str = "127.0.0.1:9") -> Iterator[Ask]:
    """A rspamd with these plugins, which writes into a folder and asks the name server at ``dns``.

    ``more`` are sections of its configuration. Skips the test where rspamd is not installed, or cannot be started.
    """
    program = shutil.which("rspamd", path="/usr/bin:/usr/sbin") or pytest.skip(reason="rspamd is not installed")
    if os.geteuid():
        pytest.skip(reason="only root can start rspamd as another user")
    folder.chmod(0o777)
    place = folder / "worker.sock"
    # to read the whole list of suffixes, and the languages, would take it half a minute
    (folder / "suffixes").write_text("org\nnet\nexample\n")
    paths = " ".join(f'path = "/usr/share/rspamd/plugins/{each}.lua";' for each in plugins)
    (folder / "rspamd.conf").write_text(f"""
options {{
  filters = "dkim"; tempdir = "{folder}"; hs_cache_dir = "{folder}"; cache_file = "{folder}/symbols.cache";
  pidfile = "{folder}/rspamd.pid"; control_socket = "{folder}/control.sock mode=0600"; url_tld = "{folder}/suffixes";
  dns {{ nameserver = ["{dns}:1"]; timeout = 5s; }}
}}
logging {{ type = "console"; level = "error"; }}
lang_detection {{ languages = "{folder}"; }}
modules {{ {paths} }}
actions {{ reject = 1000; }}
worker "normal" {{ bind_socket = "{place} mode=0666"; count = 1; }}
{more}
""")
    command = [program, "-f", "-c", str(folder / "rspamd.conf"), "-u", "_rspamd", "-g", "_rspamd"]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            end = time.monotonic() + 60
            while not place.exists():
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < end
                time.sleep(0.05)
            yield lambda message, facts: _answer(str(place), message, facts)
        finally:
            process.terminate()


def _answer(place: str, message: bytes, facts: Mapping[str, str]) -> dict[str, Any]:
    client = _Local(place)
    client.request("POST", "/checkv2", message, dict(facts))
    found: dict[str, Any] = json.loads(client.getresponse().read())
    client.close()
    return found


@contextmanager
def rspamd(records: Mapping[str, str]) -> Iterator[Callable[[bytes], dict[str, list[str]]]]:
    """A function that gives the symbols of a message with their options. ``records`` are TXT records by their names."""
    zone = Zone("\n".join(f'{name} TXT "{record}"' for name, record in records.items()), limits=LIMITS)
    judges = "arc { sign_inbound = false; sign_local = false; sign_authenticated = false; }"
    with (
        DnsServer(zone) as dns,
        open_folder() as folder,
        running(folder, ("spf", "arc"), judges, f"{dns.address}:{dns.port}") as ask,
    ):

        def symbols(message: bytes) -> dict[str, list[str]]:
            found = ask(message, {"IP": "192.0.2.1", "Helo": "x.example"})["symbols"]
            return {name: sorted(each.get("options", ())) for name, each in found.items()}

        yield symbols
