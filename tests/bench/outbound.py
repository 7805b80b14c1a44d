"""What signing costs: opendkim with an RSA key, and mailassay with the same key, and with an Ed25519 key beside it.

All get the same mail of 20 kB in one run, behind a real Postfix that sends it on to a next hop, where every message
must come out with its signatures. The filters take turns, and start fresh each time. CPU is that of the filter, user
and system. A ratio is taken within a turn; a figure is the median of the turns.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from tests.lab import mta
from tests.lab.signing import DOMAIN, ED, RSA, pem, write
from tests.lab.sink import Sink
from tests.lab.smtp import SmtpClient

from . import namespace, processes
from .__main__ import count
from .load import at_a_time
from .stacks import NAMESERVER, OPENDKIM, Part, missing, running, settings_of_mailassay

CLIENT, SENDER, RECIPIENT = "192.0.2.1", f"alice@{DOMAIN}", "bob@next.example"
OCTETS, BIG = 20_000, 20_000_000
_WORDS = ["river", "stone", "letter", "harbour", "winter", "garden", "copper", "paper", "morning", "signal", "window"]
_WAIT = 300.0  # seconds for the last message to come out


def _opendkim(folder: Path, place: Path) -> Sequence[str | Path]:
    key = folder / "opendkim.pem"
    key.write_bytes(pem())
    key.chmod(0o644)
    (folder / "clients").write_text("192.0.2.0/24\n")
    (folder / "opendkim.conf").write_text(
        f"Mode s\nDomain {DOMAIN}\nSelector {RSA}\nKeyFile {key}\nCanonicalization relaxed/relaxed\n"
        "SignatureAlgorithm rsa-sha256\nOversignHeaders From,To,Cc,Subject,Date,Reply-To\nRequireSafeKeys false\n"
        f"InternalHosts {folder}/clients\nNameservers {NAMESERVER}\nSocket local:{place}\nUMask 000\n"
        f"UserID opendkim\nPidFile {folder}/opendkim.pid\n"
    )
    return [OPENDKIM.path, "-f", "-x", folder / "opendkim.conf"]


def _mailassay(selectors: Sequence[str], folder: Path, place: Path) -> Sequence[str | Path]:
    keys = folder / "keys"
    keys.mkdir()
    write(keys, DOMAIN, RSA)
    write(keys, DOMAIN, ED, pem("ed25519"))
    settings = settings_of_mailassay(place) | {
        "trusted_networks": ["192.0.2.0/24"],
        "sign": {"directory": str(keys), "domains": {DOMAIN: [*selectors]}},
    }
    (folder / "mailassay.yaml").write_text(json.dumps(settings))
    return [sys.executable, "-m", "mailassay", "serve", "--config", folder / "mailassay.yaml"]


PEER, RSA_ONLY, BOTH = "opendkim, RSA", "mailassay, RSA", "mailassay, RSA and Ed25519"
STACKS: dict[str, tuple[Part, int]] = {
    PEER: (Part("opendkim", "opendkim", _opendkim), 1),
    RSA_ONLY: (Part("", sys.executable, partial(_mailassay, [RSA])), 1),
    BOTH: (Part("", sys.executable, partial(_mailassay, [RSA, ED])), 2),
}
"""Each filter, and how many signatures a message has after it."""


@dataclass(frozen=True)
class Figures:
    """Of one load: CPU ms of a message, MB (PSS) after it, MB by which the big message made the processes grow."""

    cpu: float
    memory: float
    growth: float


def message(octets: int, number: int) -> bytes:
    """A message of about that many octets."""
    chance = random.Random(number)
    # a long text is one that is repeated: to choose each word of it would take long
    lines = [" ".join(chance.choices(_WORDS, k=10)) for _ in range(250)]
    text = "\r\n".join(lines)
    header = (
        f"From: Alice <{SENDER}>\r\nTo: Bob <{RECIPIENT}>\r\nSubject: {' '.join(chance.choices(_WORDS, k=5))}\r\n"
        f"Date: Sat, 28 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{number}@{DOMAIN}>\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n\r\n"
    )
    return (header + f"{text}\r\n" * (1 + octets // len(text)))[:octets].encode() + b"\r\n"


def send(port: int, content: bytes) -> None:
    """Send a message, over a connection of its own."""
    with SmtpClient("127.0.0.1", port) as client:
        client.command("EHLO client.example.org")
        client.become(CLIENT, "client.example.org")
        client.command("EHLO client.example.org")
        if (reply := client.send(SENDER, [RECIPIENT], content)).code != 250:
            raise RuntimeError(f"a message was refused: {reply}")


def measure(name: str, folder: Path, many: int, connections: int, big: int) -> Figures:
    """One load of so many messages on one filter. Raises RuntimeError if a message comes out without its signatures."""
    part, signatures = STACKS[name]
    with Sink() as sink:
        more = (
            f"transport_maps = inline:{{{{next.example = smtp:[127.0.0.1]:{sink.port}}}}}\n"
            "relay_domains = next.example\nrelay_recipient_maps =\nmessage_size_limit = 104857600\n"
        )
        with running((part,), folder, more) as stack:

            def through(messages: Sequence[bytes]) -> None:
                at_a_time(messages, connections, partial(send, stack.postfix.port))
                for _ in messages:
                    header = sink.next(_WAIT).partition(b"\r\n\r\n")[0].lower()
                    if (found := header.count(b"dkim-signature:")) != signatures:
                        raise RuntimeError(f"{name}: a message has {found} signatures, not {signatures}")

            through([message(OCTETS, number) for number in range(20)])
            messages = [message(OCTETS, number) for number in range(many)]
            before = processes.cpu(stack.pids)
            through(messages)
            cpu = 1000 * (processes.cpu(stack.pids) - before) / many
            memory = processes.pss(stack.pids)
            resident = processes.begin(stack.pids)
            through([message(big, 0)])
            return Figures(cpu, memory, processes.growth(resident))


def table(found: dict[str, list[Figures]]) -> str:
    """What was measured, as text."""
    lines = [f"{'':28}{'CPU ms':>9}{'of opendkim':>13}{'MB (PSS)':>10}{'+ MB, 20 MB':>13}"]
    for name, turns in found.items():
        ratio = ""
        if PEER in found:
            ratio = f"{median(ours.cpu / peer.cpu for ours, peer in zip(turns, found[PEER], strict=True)):.2f}"
        cpu, memory, growth = (median(getattr(each, key) for each in turns) for key in ("cpu", "memory", "growth"))
        lines.append(f"{name:28}{cpu:9.2f}{ratio:>13}{memory:10.1f}{growth:13.1f}")
    return "\n".join(lines)


def _bench(options: argparse.Namespace, names: Sequence[str], folder: Path) -> int:
    found: dict[str, list[Figures]] = {name: [] for name in names}
    for turn in range(options.turns):
        for name in (*names[turn % len(names) :], *names[: turn % len(names)]):
            print(f"turn {turn + 1} of {options.turns}: {name}", file=sys.stderr, flush=True)
            found[name].append(measure(name, folder / "stack", options.messages, options.connections, BIG))
    print(table(found), flush=True)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.outbound", description=__doc__)
    default = "; default: %(default)s"
    parser.add_argument("--messages", type=count, metavar="N", default=400, help=f"in a load{default}")
    parser.add_argument("--turns", type=count, metavar="N", default=3, help=default.removeprefix("; "))
    parser.add_argument("--connections", type=count, metavar="N", default=4, help=f"at a time{default}")
    parser.add_argument(
        "--if-possible", action="store_true", help="where nothing can be measured say why, and end with status 0"
    )
    options = parser.parse_args(arguments)
    names = [name for name, (part, _) in STACKS.items() if not missing((part,))]
    if PEER not in names:
        print("left out: opendkim is not installed", file=sys.stderr)
    try:
        if why := mta.missing():
            raise OSError(0, why)
        return namespace.run(partial(_bench, options, names), NAMESERVER)
    except OSError as error:
        print(f"the cost of signing cannot be measured here: {error.strerror}", file=sys.stderr)
        return 0 if options.if_possible else 2


if __name__ == "__main__":
    sys.exit(main())
