"""Header field examples (RFC 8601 Appendix B and others): ``expect.parse`` is ``ok`` or ``fail``.

mailassay reads Authentication-Results fields for one purpose, to remove those that claim to be its own (section 5). So
each string comes in twice above a message, in the name of two receivers:

- of the host whose name it bears (``expect.authserv_id``, else its first word): it must be removed, the more so where
  it must not parse, for what we cannot parse somebody else may. Where it bears no name there is nothing to claim.
- of another host: where it parses, it must stay as it is; where it must not, it may stay or go.

Either way the message is judged and gets one field of ours, which authres must be able to read and in which nothing of
the string has its way: DMARC fails, and no method is there but our five.

What an example states of methods that are ours (iprev, spf, dkim) is also brought about: DNS, client and signatures are
made so that it is true, and our field must state it in the same words: method, result, property, value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from authres import AuthenticationResultsHeader
from authres.core import AuthResError

from mailassay.message import split
from tests.lab.serve import AUTHSERV_ID

from .bench import CLIENT, Bench, Case, Judgement, Stated, stated
from .facts import Facts

_METHODS = {"iprev", "spf", "dkim", "arc", "dmarc"}
_NAME = re.compile(r'[\s"]*([\w.-]+)(?!\w*=)')
_FIELD = re.compile(r"authentication-results:", re.IGNORECASE)
_OURS = {("iprev", "policy.iprev"), ("spf", "smtp.mailfrom"), ("dkim", "header.d"), ("dkim", "header.i")}
_AUTHOR = "author.example"


def cases(path: Path) -> list[Case]:
    """The cases of a file."""
    return [case(each) for each in json.loads(path.read_text())]


def case(case: dict[str, Any]) -> Case:
    """One string."""
    text = _FIELD.sub("", case["header"], count=1)
    parses = {"ok": True, "fail": False}[case["expect"]["parse"]]
    named = _NAME.match(text)
    claimed = case["expect"].get("authserv_id") or (named[1] if named else "")

    def replay(bench: Bench) -> Iterable[str]:
        if claimed:
            yield from _differs(bench, text, claimed, removed=True)
        yield from _differs(bench, text, AUTHSERV_ID, removed=False if parses else None)
        yield from _unstated(bench, text)

    return Case(case["id"], replay)


def _differs(bench: Bench, text: str, authserv_id: str, *, removed: bool | None) -> Iterator[str]:
    """What is wrong where the message comes to ``authserv_id``."""
    field = (b"Authentication-Results", f" {text}".encode())
    facts = Facts(_AUTHOR, zone={f"_dmarc.{_AUTHOR}": {"TXT": ["v=DMARC1; p=reject"]}})
    headers, body = split(facts.message)
    judged = bench.replay(facts.published, ([field, *headers], [body]), authserv_id=authserv_id)
    after = judged.answer.apply([field, *headers])
    if removed is not None and removed == (field in after):
        yield f"to {authserv_id} it {'stayed' if removed else 'did not stay'}"
    if judged.result("dmarc") != "fail" or {each.method for each in judged.stated} != _METHODS:
        yield f"to {authserv_id} we stated {judged.stated}"


def _unstated(bench: Bench, text: str) -> Iterator[str]:
    """What the text states and our field does not, although it is true."""
    wanted = list(_ours(text))
    found = _brought_about(bench, wanted).stated if wanted else ()
    for each in wanted:
        same = [one for one in found if (one.method, one.result) == (each.method, each.result)]
        if not any(each.properties.items() <= one.properties.items() for one in same):
            yield f"{each} is true, and we stated {found}"


def _ours(text: str) -> Iterator[Stated]:
    """What it states in words that can be ours."""
    try:
        parsed = AuthenticationResultsHeader.parse(f"Authentication-Results: {text}")
    except AuthResError:
        return
    for each in stated(parsed):
        properties = {(each.method, name) for name in each.properties}
        # of a MAIL FROM address we state the domain
        address = each.method == "spf" and "@" in each.properties.get("smtp.mailfrom", "")
        if each.result in ("pass", "fail") and len(properties) == 1 and properties <= _OURS and not address:
            yield each


def _brought_about(bench: Bench, wanted: list[Stated]) -> Judgement:
    """The judgement of a message of which all that is true."""
    spf, dkim, zone, client_ip = None, [], {}, CLIENT
    for each in wanted:
        (value,) = each.properties.values()
        if each.method == "iprev":
            client_ip = value
            zone[ip_address(value).reverse_pointer] = {"PTR": ["host.example"]}
            zone["host.example"] = {"A": [value if each.result == "pass" else CLIENT]}
        elif each.method == "spf":
            spf = (value, each.result)
        else:
            dkim.append((value, each.result))
    return Facts(_AUTHOR, spf, dkim, zone).judge(bench, client_ip)
