"""The load benchmark: Postfix alone, with mailassay, and with the chains it replaces, under the same mail in one run.

Whichever of opendkim, opendmarc, postfix-policyd-spf-python and rspamd are installed take part; nothing is installed.
The stacks take turns, and every one starts fresh each time, its caches empty, or warm where all messages have been sent
once before. A figure is the median of the turns; a ratio is taken within a turn, and is the median of those. All of it
runs in namespaces of its own (root needed) with nothing but a loopback, and ends with the run however it ends.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.lab import mta

from . import namespace, processes
from .corpus import Corpus, corpus
from .load import send, wrong
from .report import Cell, Cells, Setting, plot, settings, table
from .stacks import ALONE, LOG, NAMESERVER, OURS, ROOT, STACKS, missing, running

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
def dns_server(folder: Path, made: Corpus) -> Iterator[Dns]:
    """DNS of these messages, for as long as the context lasts."""
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


def measure(name: str, folder: Path, made: Corpus, dns: Dns, setting: Setting, count: int, connections: int) -> Cell:
    """One load on one stack. Raises RuntimeError or OSError where a part of it does not start, or ends meanwhile."""
    with running(STACKS[name], folder) as stack:
        dns.set(0)
        sent = send(stack.postfix, made.warm, connections).sent
        if setting.is_warm:
            sent += send(stack.postfix, made.messages, connections).sent
        messages = [made.big] if setting.is_big else list(itertools.islice(itertools.cycle(made.messages), count))
        dns.set(setting.latency)
        resident, cpu = processes.begin(stack.pids), processes.cpu(stack.pids)
        load = send(stack.postfix, messages, connections)
        cpu = processes.cpu(stack.pids) - cpu
        questions = dns.set(0)
        entries = None
        if name == OURS:
            entries = [json.loads(line) for line in (stack.folder / LOG).read_text().splitlines()]
        return Cell(
            setting,
            len(messages) / load.seconds,
            tuple(each.seconds for each in load.sent),
            cpu / len(messages),
            questions / len(messages),
            processes.pss(stack.pids),
            processes.growth(resident),
            wrong([*sent, *load.sent], entries) if stack.pids else 0,
        )


def _bench(options: argparse.Namespace, names: Sequence[str], folder: Path) -> int:
    made = corpus(min(options.messages, 200))
    chosen = settings(options.latency)

    def cell(name: str, setting: Setting, many: int) -> Cell | None:
        try:
            return measure(name, folder / "stack", made, dns, setting, many, options.connections)
        except (RuntimeError, OSError) as error:
            print(f"left out: {name}: {error}", file=sys.stderr, flush=True)
            return None

    with dns_server(folder, made) as dns:
        # a trial first: who cannot run is left out, and what a stack keeps for its next start is there in every turn
        cells: Cells = {name: [] for name in names if cell(name, chosen[0], 1)}
        for turn, setting in itertools.product(range(options.turns), chosen):
            many = options.messages * _SLOW // max(setting.latency, _SLOW)
            # who comes first differs, so that what the machine does beside is nobody's disadvantage
            for name in (*names[turn % len(names) :], *names[: turn % len(names)]):
                if name not in cells:
                    continue
                print(f"turn {turn + 1} of {options.turns}, {setting}: {name}", file=sys.stderr, flush=True)
                if found := cell(name, setting, many):
                    cells[name].append(found)
                else:
                    del cells[name]
            if not cells.keys() >= {ALONE, OURS}:
                return 1
    print(table(cells, chosen), flush=True)
    if options.png:
        try:
            plot(cells, chosen, options.png)
        except ImportError:
            print("no plot: matplotlib is not installed (pip install '.[bench]')", file=sys.stderr)
    return int(any(cell.wrong for cell in cells[OURS]))


def _latencies(text: str) -> list[int]:
    return sorted({count(each, least=0) for each in text.split(",")})


def count(text: str, least: int = 1) -> int:
    """A number of the command line. Raises ValueError if it is smaller."""
    number = int(text)
    if number < least:
        raise ValueError
    return number


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        epilog="Exit status: 0, measured, and every verdict of mailassay's was the expected one; 1, one was not, or"
        " mailassay or Postfix failed; 2, nothing can be measured here, as without root (0 with --if-possible).",
    )
    default = "; default: %(default)s"
    parser.add_argument("--quick", action="store_true", help="one turn of 100 messages")
    parser.add_argument(
        "--messages", type=count, metavar="N", help="in a load, fewer where DNS is slower; default: 400"
    )
    parser.add_argument("--turns", type=count, metavar="N", help="default: 3")
    parser.add_argument("--connections", type=count, metavar="N", default=4, help=f"at a time{default}")
    parser.add_argument("--latency", type=_latencies, default="0,20,80", metavar="MS,MS", help=f"of DNS{default}")
    parser.add_argument("--only", metavar="NAME", help="beside Postfix alone and mailassay, only stacks with this word")
    parser.add_argument("--png", type=Path, metavar="FILE", help="a plot as well (needs matplotlib)")
    parser.add_argument(
        "--if-possible", action="store_true", help="where nothing can be measured say why, and end with status 0"
    )
    options = parser.parse_args(arguments)
    options.messages = options.messages or (100 if options.quick else 400)
    options.turns = options.turns or (1 if options.quick else 3)
    if options.png:
        options.png = options.png.absolute()
    if why := mta.missing():
        return _impossible(why, options)
    names = []
    for name in STACKS:
        if name not in (ALONE, OURS) and (options.only or "") not in name:
            continue
        if packages := missing(STACKS[name]):
            print(f"left out: {name} ({', '.join(packages)} not installed)", file=sys.stderr)
        else:
            names.append(name)
    try:
        return namespace.run(partial(_bench, options, names), NAMESERVER)
    except OSError as error:
        return _impossible(str(error.strerror), options)


def _impossible(why: str, options: argparse.Namespace) -> int:
    skipped = "skipped" if options.if_possible else "impossible here"
    print(f"the load on mailassay and other filters is {skipped}: {why}", file=sys.stderr)
    return 0 if options.if_possible else 2


if __name__ == "__main__":
    sys.exit(main())
