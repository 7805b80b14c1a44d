"""A plan as the lines of mailassay.yaml, with comments that say where each comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ..domain import Domain
from ..sign import Sign
from ..terminal import printable, wrapped
from .clients import LOOPBACK
from .plan import Plan, Use

_WIDTH = 110  # columns of a comment
_PLAIN = re.compile("[A-Za-z0-9][A-Za-z0-9_.-]*")
_NOTHING = ("null",)  # words of YAML that are no text


def lines(plan: Plan, directory: str) -> Iterator[str]:
    """The ``sign`` section for keys in ``directory``; valid YAML, if the plan has a domain."""
    yield from _comment(f"By mailassay migrate, from {plan.file}", "")
    yield "sign:"
    yield "  domains:"
    for domain, uses in plan.domains.items():
        yield f"    {_selectors(domain, uses)}  # {_places(uses)}"
    for domain, use in plan.left_out:
        yield from _comment(f"{_selectors(domain, [use])} is left out: its key cannot be used", "    ")
    if directory != Sign().directory:
        yield f"  directory: {_quoted(directory)}"
    if plan.subdomains:
        yield f"  subdomains: true  # {printable(plan.why_subdomains)}"
    yield from _comment(plan.why_believed, "  ")
    yield f"  from: {plan.believed}"
    if plan.networks:
        yield ""
        yield from _comment(
            f"{plan.clients}: {plan.program} signs mail of these clients too. mailassay signs mail of clients that it "
            "trusts, and does not judge it. If they are all your own, trust them too (or write postfix, for Postfix's "
            "mynetworks):",
            "",
        )
        trusted = ", ".join(f'"{each}"' for each in (*LOOPBACK, *plan.networks))
        yield f"# trusted_networks: [{trusted}]"


def _selectors(domain: Domain, uses: Sequence[Use]) -> str:
    return f"{domain}: [{', '.join(_word(use.selector) for use in uses)}]"


def _places(uses: Sequence[Use]) -> str:
    return printable(", ".join(dict.fromkeys(str(use.place) for use in uses)))


def _word(text: str) -> str:
    return text if _PLAIN.fullmatch(text) and text.lower() not in _NOTHING else _quoted(text)


def _quoted(text: str) -> str:
    """Text as YAML has it in double quotes."""
    inner = "".join(each if each.isprintable() and each not in '"\\' else f"\\U{ord(each):08X}" for each in text)
    return f'"{inner}"'


def _comment(text: str, indent: str) -> Iterator[str]:
    yield from wrapped(printable(text), _WIDTH, f"{indent}# ", f"{indent}# ")
