"""DMARC reports of a day's mail through a real Postfix: what came in, the runs of `mailassay reports`, what arrives."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable
from datetime import date
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from mailassay.history.spool import SPOOL
from mailassay.store import database
from mailassay.store.tables import delivery

from .mta import Lab
from .outgoing import DAY, mail
from .program import ENVIRONMENT, PROGRAM
from .smtp import Reply

_PATIENCE = 120.0  # seconds
_TIME = re.compile(rb'("kind":"message","values":\[)([0-9]{10})\b')


class Reporting:
    """A lab whose history is in ``history``; the programs get the configuration of its milter, in ``folder``.

    ``environment`` is that of `mailassay reports`.
    """

    def __init__(self, lab: Lab, history: Path, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        self._history, self._names = history, 0
        self._messages = 0
        self.environment = ENVIRONMENT

    def come(
        self, client: str, helo: str, mail_from: str, message: bytes, recipient: str = "bob@receiver.example"
    ) -> Reply:
        """A message comes in; the reply to it."""
        with self.lab.postfix.client() as smtp:
            smtp.command("EHLO x")
            smtp.become(client)
            smtp.command(f"EHLO {helo}")
            reply = smtp.send(mail_from, [recipient], message)
        self._messages += 1
        return reply

    @property
    def date(self) -> date:
        """The day of all reports."""
        [found] = {each["day"] for each in self.listed()["reports"].values()}
        return date.fromisoformat(found)

    def days_ago(self, days: int) -> None:
        """All that has come is so old now, and in the database. Nothing may be in the database before."""
        wait(lambda: sum(len(_TIME.findall(each.read_bytes())) for each in self._segments()) == self._messages)
        for each in self._segments():
            found = each.read_bytes()
            older = _TIME.sub(lambda match: match[1] + b"%d" % (int(match[2]) - days * DAY), found)
            # in place and as long as before: the worker goes on at its end
            with each.open("r+b") as file:
                file.write(older)
        self.collect()

    def _segments(self) -> list[Path]:
        return sorted((self._history / SPOOL).iterdir())

    def collect(self) -> None:
        """`mailassay collect --once`."""
        subprocess.run([*PROGRAM, "collect", "--once", "--config", self._config()], check=True, env=ENVIRONMENT)

    def run(self, *words: str, **changes: Any) -> subprocess.CompletedProcess[str]:
        """`mailassay reports` with these words; ``changes`` are keys of the configuration's section `reports`."""
        return subprocess.run(self._command(words, changes), env=self.environment, capture_output=True, text=True)

    def start(self, *words: str, **changes: Any) -> subprocess.Popen[str]:
        """The same, without waiting for its end."""
        return subprocess.Popen(self._command(words, changes), env=self.environment, stderr=subprocess.PIPE, text=True)

    def _command(self, words: tuple[str, ...], changes: dict[str, Any]) -> list[str]:
        return [*PROGRAM, "reports", *words, "--config", self._config(**changes)]

    def _config(self, **changes: Any) -> str:
        found = json.loads(self.lab.serve.config.read_text())
        found["reports"] |= {"smtp": f"127.0.0.1:{self.lab.postfix.port}", **changes}
        found["log"] = {"level": "info", "format": "text"}
        self._names += 1
        path = self.folder / f"{self._names}.yaml"
        path.write_text(json.dumps(found))
        return str(path)

    def time_passes(self) -> None:
        """Every mail that waits for its time is due."""
        engine = database.connect(database.address(str(self._history), None))
        with engine.begin() as connection:
            connection.execute(delivery.update().values(due=0))
        engine.dispose()

    def listed(self) -> dict[str, Any]:
        """What `mailassay reports list` knows: all reports by their domains, each with its deliveries, and the rest."""
        done = self.run("list", "--all", "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        reports = found["reports"]
        found["reports"] = {each["domain"]: each for each in reports}
        assert len(found["reports"]) == len(reports)
        return found

    def stages(self) -> dict[str, str]:
        """What became of the only delivery of each report, by the domain."""
        found = {domain: each["deliveries"] for domain, each in self.listed()["reports"].items()}
        assert all(len(each) <= 1 for each in found.values())
        return {domain: each[0]["stage"] for domain, each in found.items() if each}

    def arrived(self) -> list[bytes]:
        """The mails with reports in the mailbox."""
        found = [each.read_bytes() for each in sorted(self.lab.postfix.folder.glob("mail/inbox/new/*"))]
        return [each for each in found if (mail(each)["Subject"] or "").startswith("Report Domain: ")]

    def about(self, domain: str) -> tuple[bytes, EmailMessage]:
        """The only one about a domain, as octets and parsed."""
        [found] = [each for each in self.arrived() if mail(each)["Subject"].startswith(f"Report Domain: {domain} ")]
        return found, mail(found)


def wait(is_so: Callable[[], bool], tell: Callable[[], str] = str) -> None:
    """Until something is so. Raises AssertionError with what ``tell`` says if it does not become so."""
    end = time.monotonic() + _PATIENCE
    while not is_so():
        assert time.monotonic() < end, tell()
        time.sleep(0.02)
