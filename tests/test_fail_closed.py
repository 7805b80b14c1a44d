"""What a sender spends, reaches or breaks can only make his outcome worse.

Mail in the name of a domain with p=reject whose DNS is good, and hostile DNS, senders and header sections around it.
``python -m tests.test_fail_closed 100000 SEED`` tries more than ``make test`` does.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from ipaddress import ip_network
from pathlib import Path

import pytest

from mailassay.config import Relays, Settings, load_policy
from mailassay.dmarc import Remembered
from mailassay.judge.outcome import Outcome
from mailassay.message import split
from mailassay.policy import DmarcActions, Forwarders, Policy
from mailassay.policy.sets import Networks
from mailassay.resolver import Cached
from mailassay.verdict import Action
from tests.lab import hostile
from tests.lab.talk import Talk

ROOT = Path(__file__).parents[1]
BY_RELAY = "by the operator's relay"
NAMES = ["standard", "strict", "temperror accepted", BY_RELAY]
RELAY = "192.0.2.50"
FRIEND = "192.0.2.77"  # a trusted forwarder
PASSES = ["203.0.113.25", FRIEND]  # addresses that would let the message in: the victim's own, and the friend's
CONNECTIONS = 60  # of each policy; about four messages each


def policy_of(name: str) -> Policy:
    if name == "temperror accepted":
        # the victim's DNS is good, so it makes no difference
        return Policy(dmarc=DmarcActions(temperror=Action.ACCEPT))
    if name == BY_RELAY:
        forwarders = Forwarders(Networks((ip_network(FRIEND),)))
        return Policy(dmarc=DmarcActions(trusted_forwarders=forwarders))
    return load_policy(str(ROOT / "policies" / f"{name}.yaml"))


def received(chance: random.Random, client: str, helo: str) -> tuple[bytes, bytes]:
    """A Received field, as one of several MTAs writes it."""
    written = f"IPv6:{client}" if ":" in client else client
    came = chance.choice(
        [
            f" from {helo} (unknown [{written}])\n\tby mx2.receiver.example (Postfix) with ESMTP id 4ABC\n",
            f" from [{client}] (helo={helo})\n\tby mx2.receiver.example with esmtp (Exim 4.96)\n",
            f" from {helo} ([{written}])\n\tby mx2.receiver.example (8.17.1/8.17.1) with SMTP id 1;\n",
        ]
    )
    return b"Received", f"{came}\tfor <bob@receiver.example>; Mon, 21 Sep 2026 14:10:00 +0000".encode()


def by_relay(chance: random.Random, client: str) -> list[tuple[bytes, bytes]]:
    """The relay's own field, and below it what the sender would like it to have written."""
    claimed = chance.choice(PASSES)
    helo = chance.choice(
        [
            "mx.bank.example",
            f"[{claimed}]",
            claimed,
            f"x.test([{claimed}])",
            f"x.test(x[{claimed}])by",
            f"helo=mx.bank.example)([{claimed}]",
            f"(x[{claimed}]",
            f"x.test;from[{claimed}]",
        ]
    )
    forged = [received(chance, chance.choice([*PASSES, RELAY]), "mx.bank.example") for _ in range(chance.randrange(3))]
    return [received(chance, client, helo), *forged]


def outcomes(policy: Policy, seed: int) -> list[tuple[bytes, Outcome]]:
    """What becomes of the messages of one connection."""
    chance, clock = random.Random(seed), hostile.Clock()
    spends = seed % 3 == 0
    dns = hostile.Dns(seed, clock, chance.choice(hostile.POLICIES), spends)
    cached = Cached(dns, chance.choice([0, 1000]), clock)
    is_relayed = bool(policy.dmarc.trusted_forwarders)
    relays = Relays(Networks((ip_network(RELAY),) if is_relayed else ()))
    settings = Settings(authserv_id="mx.receiver.example", policy=policy, relays=relays)
    client = chance.choice(["198.51.100.66", "2001:db8::66"])
    talk = Talk(
        cached,
        settings=settings,
        client=RELAY if is_relayed else client,
        helo=None,
        monotonic=clock,
        anew=dns,
        remembered=Remembered(),
    ).session
    found = []
    for _ in range(chance.randrange(1, 8)):
        for _ in range(chance.choice([0, 1, 1, 3])):
            talk.helo(chance.choice(["mx.bank.example", hostile.plain_name(chance), "[1.2.3.4]", "localhost"]))
        senders = [f"eve@{hostile.plain_name(chance)}"]
        if not spends:
            senders += ["ceo@bank.example", "", "x@no.such.bank.example"]
        for _ in range(chance.choice([0, 0, 1])):
            talk.mail_from(f"<{chance.choice(senders)}>")
            talk.abort()
        talk.mail_from(f"<{chance.choice(senders)}>")
        clock.wait(chance.choice([0.0, 0.1, 1.0]))
        talk.recipient("<bob@receiver.example>")
        message = hostile.message(chance, spends=spends)
        headers, body = split(message)
        for name, value in [*(by_relay(chance, client) if is_relayed else []), *headers]:
            talk.header(name, value)
        talk.end_of_headers()
        talk.body(body)
        found.append((message, talk.end_of_message()))
        clock.wait(chance.choice([0.0, 1.0, 400.0]))
    return found


def is_kept_out(outcome: Outcome) -> bool:
    return outcome.verdict.action in (Action.REJECT, Action.DEFER)


def described(seed: int, message: bytes, outcome: Outcome) -> str:
    return f"seed {seed}: {outcome.verdict} {outcome.evidence and outcome.evidence.dmarc} {message[:2000]!r}"


def let_in(policy: Policy, seed: int) -> list[str]:
    """What came in that must not."""
    return [
        described(seed, message, outcome) for message, outcome in outcomes(policy, seed) if not is_kept_out(outcome)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_no_message_comes_in(name: str) -> None:
    policy, first = policy_of(name), random.randrange(1 << 32)
    for seed in range(first, first + CONNECTIONS):
        assert let_in(policy, seed) == []


@pytest.mark.parametrize("name", NAMES)
def test_who_breaks_his_own_dns_gains_nothing(name: str) -> None:
    """By the lines of what is the sender's own: his SPF record, and the name of his address."""
    policy = policy_of(name)
    for lines in (policy.spf, policy.iprev):
        assert lines.temperror.severity >= max(lines.fail.severity, lines.permerror.severity)


def main(wanted: int, seed: int) -> int:
    """Try so many messages of each policy; the number that came in."""
    bad = 0
    for name in NAMES:
        policy, at = policy_of(name), seed
        actions: Counter[Action] = Counter()
        while actions.total() < wanted:
            for message, outcome in outcomes(policy, at):
                actions[outcome.verdict.action] += 1
                if not is_kept_out(outcome):
                    bad += 1
                    print(described(at, message, outcome))
            at += 1
            if at % 1000 == 0:
                print(f"{name}: {actions.total()} messages so far, {bad} came in", file=sys.stderr)
        counts = ", ".join(f"{count} {action}" for action, count in actions.most_common())
        print(f"{name}: {actions.total()} messages, {counts}", flush=True)
    return bad


if __name__ == "__main__":
    sys.exit(1 if main(int(sys.argv[1]), int(sys.argv[2])) else 0)
