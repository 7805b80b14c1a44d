"""The load benchmark: Postfix alone, with mailassay, and with the chains it replaces, under the same mail in one run.

Whichever of opendkim, opendmarc, postfix-policyd-spf-python and rspamd are installed take part; nothing is installed.
The stacks take turns, every one starts fresh each time, its caches empty, and a figure is the median of its turns. All
of it runs in namespaces of its own (root needed) with nothing but a loopback, and ends with the run however it ends.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.lab import mta

from . import namespace, processes
from .corpus import Corpus, corpus
from .load import Load, send
from .report import Cell, Cells, plot, table
from .stacks import LOG, NAMESERVER, OURS, ROOT, STACKS, Running, missing, running

_SLOW = 20  # ms of DNS latency; beyond it fewer messages are sent, so that all latencies take about as long


class Dns:
    """The DNS server's process, as one end of its two pipes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def set(self, latency: int) -> int:
        """The latency in ms from now on; the number of questions since the last call."""
        assert self._process.stdin
        assert self._process.stdout
        print(latency, file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())


@contextmanager
def _dns(folder: Path, made: Corpus) -> Iterator[Dns]:
    zone = folder / "zone.json"
    zone.write_text(json.dumps(made.zone))
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.dns", str(zone), f"{NAMESERVER}:53"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    ) as process:
        assert process.stdout
        if not process.stdout.readline():
            raise RuntimeError("the DNS server did not start")
        yield Dns(process)


def measure(name: str, folder: Path, made: Corpus, dns: Dns, latency: int, count: int, connections: int) -> Cell:
    """One load on one stack."""
    with running(name, folder) as stack:
        dns.set(latency)
        send(stack.postfix, made.warm, connections)
        dns.set(latency)
        cpu = processes.cpu(stack.pids)
        messages = list(itertools.islice(itertools.cycle(made.messages), count))
        load = send(stack.postfix, messages, connections)
        cpu = processes.cpu(stack.pids) - cpu
        questions = dns.set(latency)
        return Cell(
            latency,
            count / load.seconds,
            tuple(each.seconds for each in load.sent),
            cpu / count,
            questions / count,
            processes.pss(stack.pids),
            _wrong(name, stack, made, load) if stack.pids else 0,
        )


def _wrong(name: str, stack: Running, made: Corpus, load: Load) -> int:
    """Messages with another reply than expected; of ours, or with another DMARC result in the log, if that is more."""
    replies = sum(not each.is_right for each in load.sent)
    if name != OURS:
        return replies
    expected = Counter((each.message.client, each.message.header_from, each.message.dmarc) for each in load.sent)
    expected.update((each.client, each.header_from, each.dmarc) for each in made.warm)
    entries = [json.loads(line) for line in (stack.folder / LOG).read_text().splitlines()]
    found = Counter((each["client"], each["header_from"], each["dmarc"]) for each in entries if "dmarc" in each)
    return max(replies, (expected - found).total())


def _bench(options: argparse.Namespace, names: Sequence[str], folder: Path) -> int:
    made = corpus(options.messages if options.messages < 200 else 200)
    cells: Cells = {name: [] for name in names}
    with _dns(folder, made) as dns:
        for turn in range(options.turns):
            for latency in options.latency:
                count = options.messages * _SLOW // max(latency, _SLOW)
                # who comes first differs, so that what the machine does beside is nobody's disadvantage
                for name in (*names[turn % len(names) :], *names[: turn % len(names)]):
                    print(f"turn {turn + 1}, DNS {latency} ms: {count} messages, {name}", file=sys.stderr, flush=True)
                    cell = measure(name, folder / "stack", made, dns, latency, count, options.connections)
                    cells[name].append(cell)
    chain = next((name for name in list(STACKS)[2:] if name in cells), "")
    print(table(cells, options.latency, chain), flush=True)
    if options.png:
        try:
            plot(cells, options.latency, options.png)
        except ImportError:
            print("no plot: matplotlib is not installed (pip install '.[bench]')", file=sys.stderr)
    return int(any(cell.wrong for cell in cells[OURS]))


def _latencies(text: str) -> list[int]:
    return sorted({int(each) for each in text.split(",")})


def main(arguments: list[str] | None = None) -> int:
    """The command line; exit status 1 where a verdict of ours was wrong, 2 where nothing can be measured here."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one turn of 100 messages")
    parser.add_argument("--messages", type=int, metavar="N", help="in a turn; default: 400")
    parser.add_argument("--turns", type=int, default=0, metavar="N", help="default: 3")
    parser.add_argument("--connections", type=int, default=4, metavar="N", help="at a time; default: %(default)s")
    parser.add_argument(
        "--latency", type=_latencies, default=[0, 20, 80], metavar="MS,MS", help="of DNS; default: 0,20,80"
    )
    parser.add_argument("--png", type=Path, metavar="FILE", help="a plot as well (needs matplotlib)")
    options = parser.parse_args(arguments)
    options.messages = options.messages or (100 if options.quick else 400)
    options.turns = options.turns or (1 if options.quick else 3)
    if options.png:
        options.png = options.png.absolute()
    if why := mta.missing():
        print(f"the load benchmark cannot run here: {why}", file=sys.stderr)
        return 2
    lacking = {name: missing(name) for name in STACKS}
    for name, packages in lacking.items():
        if packages:
            print(f"left out: {name} ({', '.join(packages)} not installed)", file=sys.stderr)
    names = [name for name in STACKS if not lacking[name]]
    try:
        return namespace.run(partial(_bench, options, names), NAMESERVER)
    except OSError as error:
        print(f"the load benchmark cannot run here: {error.strerror}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
