"""rspamd as a judge of signatures and seals: a process of its own, with DNS that has the keys."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
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


@contextmanager
def rspamd(records: Mapping[str, str]) -> Iterator[Callable[[bytes], dict[str, list[str]]]]:
    """A function that gives the symbols of a message with their options. ``records`` are TXT records by their names.

    Skips the test where rspamd is not installed, or cannot be started.
    """
    program = shutil.which("rspamd", path="/usr/bin:/usr/sbin") or pytest.skip(reason="rspamd is not installed")
    if os.geteuid():
        pytest.skip(reason="only root can start rspamd as another user")
    zone = Zone("\n".join(f'{name} TXT "{record}"' for name, record in records.items()), limits=LIMITS)
    with DnsServer(zone) as dns, open_folder() as folder:
        folder.chmod(0o777)
        place = folder / "worker.sock"
        (folder / "rspamd.conf").write_text(f"""
options {{
  filters = "dkim"; tempdir = "{folder}"; hs_cache_dir = "{folder}"; cache_file = "{folder}/symbols.cache";
  pidfile = "{folder}/rspamd.pid"; control_socket = "{folder}/control.sock mode=0600";
  url_tld = "/usr/share/rspamd/effective_tld_names.dat";
  dns {{ nameserver = ["{dns.address}:{dns.port}:1"]; timeout = 5s; }}
}}
logging {{ type = "console"; level = "error"; }}
modules {{ path = "/usr/share/rspamd/plugins/spf.lua"; path = "/usr/share/rspamd/plugins/arc.lua"; }}
arc {{ sign_inbound = false; sign_local = false; sign_authenticated = false; }}
actions {{ reject = 1000; }}
worker "normal" {{ bind_socket = "{place} mode=0666"; count = 1; }}
""")
        command = [program, "-f", "-c", str(folder / "rspamd.conf"), "-u", "_rspamd", "-g", "_rspamd"]
        with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
            try:
                end = time.monotonic() + 60
                while not place.exists():
                    assert process.poll() is None, (folder / "log").read_text()
                    assert time.monotonic() < end
                    time.sleep(0.05)
                yield lambda message: _symbols(str(place), message)
            finally:
                process.terminate()


def _symbols(place: str, message: bytes) -> dict[str, list[str]]:
    client = _Local(place)
    client.request("POST", "/checkv2", message, {"IP": "192.0.2.1", "Helo": "x.example"})
    found: dict[str, Any] = json.loads(client.getresponse().read())["symbols"]
    client.close()
    return {name: sorted(each.get("options", ())) for name, each in found.items()}
