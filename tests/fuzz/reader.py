"""A strict reader of RFC 8601 section 2.2, as narrow as what we may write; it shares nothing with what writes it."""

from __future__ import annotations

import re

_REASON = r"""[A-Za-z0-9]+|"[A-Za-z0-9 .,:()'/_=\[\]-]+\""""
_DOMAIN = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
_ADDRESS = rf"[A-Za-z0-9_+.-]*@{_DOMAIN}"
_VALUE = rf"(?:{_ADDRESS}|[A-Za-z0-9_+.-]+|\"[\w.@+/:\[\]-]+\")"
_SPACE = r"(?: |\n )"
_CLAUSE = re.compile(
    rf"(?P<method>[a-z]+)=(?P<result>[a-z]+)(?:{_SPACE}reason=(?:{_REASON}))?"
    rf"(?P<properties>(?:{_SPACE}[a-z]+\.[a-z-]+={_VALUE})*)(?:{_SPACE}\({_DOMAIN}\))?"
)
_PROPERTY = re.compile(rf"{_SPACE}(?P<name>[a-z]+\.[a-z-]+)=(?P<value>{_VALUE})")

_ERRORS = {"temperror", "permerror"}
METHODS = {
    "iprev": ({"pass", "fail", *_ERRORS}, {"policy.iprev"}),
    "spf": ({"none", "pass", "fail", "softfail", "neutral", "policy", *_ERRORS}, {"smtp.mailfrom", "smtp.helo"}),
    "dkim": (
        {"none", "pass", "fail", "policy", "neutral", *_ERRORS},
        {"header.d", "header.i", "header.s", "header.a", "header.b"},
    ),
    "arc": ({"none", "pass", "fail"}, {"smtp.remote-ip", "header.oldest-pass"}),
    "dmarc": ({"none", "pass", "fail", *_ERRORS}, {"header.from", "policy.dmarc"}),
}


def clauses(value: str, authserv_id: str, *, utf8: bool = False) -> list[tuple[str, str, dict[str, str]]]:
    """(method, result, properties) of each clause. Raises AssertionError where the value is not what we may write."""
    assert utf8 or value.isascii()
    assert "\r" not in value
    assert "\0" not in value
    name = "Authentication-Results: "
    assert all(len(line.encode()) <= 998 for line in (name + value).split("\n")), "a line that is too long"
    assert value.startswith(authserv_id)
    at = len(authserv_id)
    if value[at:] == "; none":
        return []
    found = []
    while at < len(value):
        assert value[at : at + 3] == ";\n ", value[at:]
        clause = _CLAUSE.match(value, at + 3)
        assert clause, value[at:]
        at = clause.end()
        properties = [(each["name"], each["value"]) for each in _PROPERTY.finditer(clause["properties"])]
        assert len(dict(properties)) == len(properties), "a property twice"
        found.append((clause["method"], clause["result"], dict(properties)))
    return found


def check(value: str, authserv_id: str, *, utf8: bool = False) -> dict[str, str]:
    """The results by method (of dkim the first). Raises AssertionError where a word is not in our vocabulary."""
    found = clauses(value, authserv_id, utf8=utf8)
    if not found:
        return {}
    for method, result, properties in found:
        assert method in METHODS, method
        results, names = METHODS[method]
        assert result in results, (method, result)
        assert names.issuperset(properties), (method, properties)
    methods = [method for method, _, _ in found]
    assert [method for at, method in enumerate(methods) if method != "dkim" or "dkim" not in methods[:at]] == [
        "iprev", "spf", "dkim", "arc", "dmarc"
    ], methods  # fmt: skip
    return {method: result for method, result, _ in reversed(found)}


_METHOD = re.compile(r"([\w-]+(?:[ \t]*\.[ \t]*[\w-]+)*)[ \t]*(?:/[ \t]*0*1[ \t]*)?=[ \t]*(.*)", re.ASCII)
_PASS = re.compile(r"pass(?=[ \t]|\Z)(?![ \t]*[=.@])", re.IGNORECASE)


def outline(value: str) -> list[tuple[str, bool]] | None:
    """Of each clause of anybody's value the method, and whether it is a pass, by going through it mark by mark.

    None where comments and quoted strings do not end, or a clause begins with no method. Comments are a blank; what a
    clause has behind its result is not looked at.
    """
    bare, depth, quoted, escaped = "", 0, False, False
    for mark in value.replace("\r\n", "").replace("\n", ""):
        if escaped:
            escaped = False
        elif mark == "\\":
            if not (depth or quoted):
                return None
            escaped = True
        elif quoted:
            quoted = mark != '"'
        elif depth:
            depth += {"(": 1, ")": -1}.get(mark, 0)
        elif mark == ")":
            return None
        else:
            quoted, depth = mark == '"', int(mark == "(")
            bare += " " if depth else mark
    if depth or quoted or escaped:
        return None
    _, *clauses = bare.rstrip(" \t;").split(";")
    if [each.strip(" \t").lower() for each in clauses] == ["none"]:
        return []
    found = [_METHOD.fullmatch(each.strip(" \t")) for each in clauses]
    if not all(found):
        return None
    return [(re.sub(r"[ \t]", "", each[1]).lower(), bool(_PASS.match(each[2]))) for each in found if each]
