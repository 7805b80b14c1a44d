"""Mail in the name of a domain with p=reject whose DNS is good, from senders who spend all that we allow them.

However a sender makes us ask, for fresh caches and for warm ones: no message comes in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from mailassay.zone import Zone
from tests.lab.limits import LIMITS
from tests.lab.mta import Lab
from tests.lab.smtp import Reply

MESSAGES = 4
VICTIM = '_dmarc.bank.example TXT "v=DMARC1; p=reject"\nbank.example TXT "v=spf1 -all"\n'
PLAIN = b"From: CEO <ceo@bank.example>\r\n"
SIGNED = (
    b"DKIM-Signature: v=1; a=rsa-sha256; d=bank.example; s=nonesuch; h=from; b=YWJj;"
    b" bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\r\n"
)


@dataclass(frozen=True)
class Attack:
    """What the sender's own DNS says, and the beginning of the header section."""

    zone: str
    header: bytes = PLAIN


def exchanges(name: str, hosts: int) -> str:
    """An MX record with so many hosts, each with an address."""
    lines = [f"{name} MX {host} h{host}.{name}\nh{host}.{name} A 198.51.100.{host}" for host in range(hosts)]
    return "\n".join(lines) + "\n"


def two_sets(hosts: int, more: int = 0) -> str:
    """An include with nine mx, and nine mx behind it: what is prefetched need not be what the check asks for.

    The last mx has ``more`` hosts than the others.
    """
    inner = " ".join(f"mx:i{place}.attacker.example" for place in range(9))
    outer = " ".join(f"mx:o{place}.attacker.example" for place in range(9))
    names = [f"{kind}{place}.attacker.example" for kind in "io" for place in range(9)]
    return (
        f'attacker.example TXT "v=spf1 include:in.attacker.example {outer} -all"\n'
        f'in.attacker.example TXT "v=spf1 {inner} -all"\n'
        + "".join(exchanges(name, hosts + (more if name == names[-1] else 0)) for name in names)
    )


def all_terms(hosts: int) -> str:
    """Ten mx, as many hosts each as are looked at."""
    names = [f"m{place}.attacker.example" for place in range(10)]
    terms = " ".join(f"mx:{name}" for name in names)
    return f'attacker.example TXT "v=spf1 {terms} -all"\n' + "".join(exchanges(name, hosts) for name in names)


COMMENTS = b"".join(b"(a@1.2.3.4.5.6.k%d.attacker%d.example)" % (place, place) for place in range(6))
ATTACKS = {
    "two sets of terms": Attack(two_sets(10)),
    "two sets of terms, and a key of the victim's": Attack(two_sets(7, 1), SIGNED + PLAIN),
    "ten terms, and other authors in comments": Attack(
        all_terms(10), b"From: " + COMMENTS + b" CEO <ceo@bank.example>;\r\n"
    ),
    "ten terms, and a key of the victim's": Attack(all_terms(10), SIGNED + PLAIN),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
@pytest.mark.parametrize(("workers", "temperror"), [(1, "accept"), (2, "defer")])
def test_no_message_comes_in(make_lab: Callable[..., Lab], attack: Attack, workers: int, temperror: str) -> None:
    """Message after message on one connection, and on new ones, some MAIL commands ended by RSET."""
    names = Zone(VICTIM + attack.zone, limits=LIMITS)
    lab = make_lab(names=names, policy={"dmarc": {"temperror": temperror}}, workers=workers)
    message = attack.header + b"Subject: hi\r\n\r\nHello\r\n"
    replies: list[Reply] = []
    for connection in range(3):
        with lab.postfix.client() as smtp:
            smtp.command("EHLO mail.attacker.example")
            smtp.become("198.51.100.66")
            smtp.command("EHLO mail.attacker.example")
            for number in range(MESSAGES):
                if (number + connection) % 2:
                    assert smtp.command("MAIL FROM:<eve@attacker.example>").code == 250
                    assert smtp.command("RSET").code == 250
                replies.append(smtp.send("eve@attacker.example", ["bob@receiver.example"], message))
    # 5.7.26 if SPF fails as well
    assert {reply.code for reply in replies} == {550}
    assert {reply.text.partition(" ")[2] for reply in replies} == {"Email rejected per DMARC policy for bank.example"}
    assert len(replies) == 3 * MESSAGES
