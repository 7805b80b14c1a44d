"""Four honest senders beside attackers who send a dear message, through Postfix.

``python -m tests.bench.attackers``: how long an honest message takes, from the connection to the last reply, with more
and more attackers, each of whom sends again at once; and with as many who send ordinary mail in their place, since
whoever sends all the time takes a share of the machine. Root needed; all of it runs in namespaces of its own.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import threading
import time
from functools import partial
from pathlib import Path
from statistics import quantiles

from tests.lab import mta

from . import namespace
from .__main__ import dns_server
from .corpus import Corpus, Message, corpus
from .dearest import Parts, made
from .load import Sent, session
from .stacks import NAMESERVER, OURS, STACKS, running

HONEST = 4
_DEAR = Parts(
    signatures=10, sets=50, bits=2048, decoy="the longest exponent", decoys=3, author="labels that are none",
    others="as many fields as there may be", spf="unknown modifiers",
)  # fmt: skip


def _attack() -> tuple[Message, dict[str, dict[str, list[str]]]]:
    """The message, and its DNS."""
    dear = made(_DEAR)
    zone = {name: {rdtype: list(records)} for (name, rdtype), records in dear.zone.items()}
    message = Message("attack", "198.51.100.66", dear.helo, "", "a@r0.example", "", dear.message, "permerror", False)
    return message, zone


def _loads(
    port: int, honest: Corpus, attack: Message | None, others: int, seconds: float
) -> tuple[list[Sent], list[Sent]]:
    """What the honest and the others have sent in that time; these send honest mail too if there is no attack."""
    end = time.monotonic() + seconds
    sent: tuple[list[Sent], list[Sent]] = [], []
    waiting, lock = itertools.cycle(honest.messages), threading.Lock()

    def work(is_honest: bool) -> None:
        while time.monotonic() < end:
            with lock:
                message = next(waiting) if is_honest or attack is None else attack
            sent[not is_honest].append(session(port, message))

    threads = [threading.Thread(target=work, args=(number < HONEST,)) for number in range(HONEST + others)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sent


def _bench(seconds: float, numbers: list[int], folder: Path) -> int:
    honest = corpus(200)
    attack, zone = _attack()
    honest.zone.update(zone)
    print("others  who send       messages  honest  wrong  p50 ms  p99 ms", flush=True)
    wrong = 0
    with dns_server(folder, honest), running(STACKS[OURS], folder / "stack") as stack:
        # caches are warm in every line, the first included
        _loads(stack.postfix.port, honest, attack, 2, seconds / 3)
        for others, sending in itertools.product(numbers, (attack, None)):
            if not (others or sending):
                continue
            ours, theirs = _loads(stack.postfix.port, honest, sending, others, seconds)
            parts = quantiles([each.seconds * 1000 for each in ours], n=100)
            not_right = sum(not each.is_right for each in ours)
            wrong += not_right
            print(
                f"{others:6}  {'the dear one' if sending else 'ordinary mail':13}  {len(theirs):8}  {len(ours):6}"
                f"  {not_right:5}  {parts[49]:6.1f}  {parts[98]:6.1f}",
                flush=True,
            )
    return int(wrong > 0)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.attackers", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15, help="for each number; default: %(default)s")
    parser.add_argument("attackers", type=int, nargs="*", default=[0, 8, 30], help="default: 0 8 30")
    options = parser.parse_args()
    if why := mta.missing():
        print(f"impossible here: {why}", file=sys.stderr)
        return 2
    return namespace.run(partial(_bench, options.seconds, options.attackers), NAMESERVER)


if __name__ == "__main__":
    sys.exit(main())
