"""Corrects records: slips of the pen in SPF, DMARC and DKIM, and what to publish instead.

Most functions here work on texts only. ``fixed`` asks DNS: it examines the corrected records as if they were published,
and gives a problem changes only if they remove it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from ipaddress import ip_address, ip_network, summarize_address_range
from typing import NamedTuple

from ..dkim.key import BadKey
from ..dkim.key import parse as parse_key
from ..dmarc import Disposition
from ..dmarc.record import Record
from ..domain import BadDomain, Domain
from ..finding import Severity
from ..resolver import Answer, DnsTempError, Resolver
from ..spf.record import BadRecord, parse
from .asking import start
from .problem import Change, Problem, error

POLICIES = tuple(map(str, Disposition))
SPF_NAMES = ("include", "a", "mx", "ptr", "exists", "redirect", "all", "ip4", "ip6", "exp")
_ROUNDS = 4  # of examining the corrected records
_ZONES = 3  # that are tried as the zone whose name was repeated
LONGEST = 2000  # octets of a record that is corrected
_MAX_TERMS = 200
# the general advice for these is replaced if it is known what was meant
_GENERAL = {
    "spf-malformed",
    "spf-several",
    "spf-syntax",
    "dmarc-malformed",
    "dmarc-several",
    "dmarc-policy",
    "dmarc-uri",
    "dkim-unusable",
}
_MODIFIERS = ("redirect", "exp")
_IP = ("ip", "ip4", "ip6", "ipv4", "ipv6", "ipaddress", "cidr")
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212"), "-")
_BLANKS = dict.fromkeys(map(ord, "\u00a0\u2003\u2009\u202f\t\r\n"), " ")
_NOTHING = dict.fromkeys(map(ord, '\ufeff\u200b\u200e\u200f\u2018\u2019\u201c\u201d"`\\'))
_LETTERS = {**_DASHES, **_BLANKS, **_NOTHING}
_SPF = re.compile(r"\W*(?:v\s*[=:]?\s*)?spf\s*1?(?![0-9])[\s;,.:']*|\W*v\s*[=:]\s*spf\w*[\s;,.:']*", re.IGNORECASE)
_TERM = re.compile(r"([+?~-]*)([^:=/]*)([:=/]?)(.*)", re.DOTALL)
_GLUED = re.compile(
    r"(?<=[^:=+?~-])[+?~-]?(?:(?:ip[46]|include|exists|mx|a|ptr):|redirect=)|[~?+-]all\Z", re.IGNORECASE
)
_DKIM_TAGS = ("v", "h", "k", "n", "p", "s", "t", "g")
_PEM = re.compile(r"-----[A-Z ]+-----")
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]{40,}={0,2}")
_MAILBOX = re.compile(r"[^\s,;<>:\"/]+@[^\s,;<>:\"!/]+")


class Fixed(NamedTuple):
    """A corrected record, and the steps to it, in sentences."""

    text: str
    said: tuple[str, ...] = ()


def _plain(text: str) -> str:
    """The text with each character in its plain form, without quotes and backslashes."""
    with suppress(UnicodeError):
        text = text.encode("latin-1").decode("utf-8")
    return text.translate(_LETTERS).strip()


def _typed(text: str) -> list[str]:
    """Advice about characters in a record that belong to the zone file format."""
    said = []
    if "\\" in text:
        said.append("Remove the backslashes: before semicolons they belong in a zone file, not in the record.")
    if '"' in text:
        said.append("Remove the quotation marks: they belong in a zone file, not in the record.")
    return said


# SPF


def spf_terms(text: str) -> tuple[list[str], list[str]] | None:
    """The terms that a record was meant to have, and the advice; None if they cannot be guessed."""
    if len(text) > LONGEST:
        return None
    plain = _plain(text)
    start = _SPF.match(plain)
    said = _typed(text)
    words = plain[start.end() if start else 0 :].split(" ")
    terms: list[str] = []
    for word in _joined(list(filter(None, words))):
        if word in terms:
            continue
        meant = _term(word)
        if meant is None:
            return None
        if meant != [word]:
            said.append(f"Replace {word} with {' '.join(meant)}." if meant else f"Remove {word}.")
        terms += meant
    return (terms, said) if len(terms) <= _MAX_TERMS else None


def _joined(words: list[str]) -> Iterable[str]:
    """The words, with those joined that a blank had split: ``ip4: 192.0.2.1``, ``- all``."""
    at = 0
    while at < len(words):
        word, following = words[at], words[at + 1] if at + 1 < len(words) else ""
        is_half = word in ("-", "~", "?", "+") or (word[-1] in ":=" and following and _address(following))
        is_half = is_half or (word[-1] in ":=" and "." in following and not re.search("[:=]", following))
        if is_half and following:
            yield word + following
            at += 1
        else:
            yield word
        at += 1


def _is_term(word: str) -> bool:
    try:
        parse(f"v=spf1 {word}")
    except BadRecord:
        return False
    return word.isascii() and " " not in word


def _term(word: str) -> list[str] | None:
    """The terms that a word was meant to be; empty if it has no meaning, None if that cannot be guessed."""
    name = word.lstrip("+?~-").partition("=")[0].lower()
    mistaken = "=" in word and name in SPF_NAMES and name not in _MODIFIERS
    if pieces := _unglued(word):
        return pieces
    if _is_term(word) and not mistaken and "," not in word:
        return [word]
    if _is_term(word.strip(",;")) and "," not in word.strip(",;") and not mistaken:
        return [word.strip(",;")]
    pieces = [piece for piece in re.split("[,;]+", word) if piece]
    if not pieces:
        return []
    first = _TERM.fullmatch(pieces[0])
    front = "".join(first.groups()[:3]) if first and first[3] else ""
    found: list[str] = []
    for piece in pieces:
        meant = _slip(piece if re.search("[:=]", piece) or piece is pieces[0] or _is_term(piece) else front + piece)
        if meant is None:
            return None
        found += meant
    return found


def _unglued(word: str) -> list[str]:
    """The terms in a word that lacks the blanks between them; empty if it is a single term."""
    places = [found.start() for found in _GLUED.finditer(word) if found.start()]
    if not places:
        return []
    pieces = [word[start:end] for start, end in zip([0, *places], [*places, len(word)], strict=True)]
    meant = [_slip(piece) for piece in pieces]
    return [each for one in meant if one for each in one] if all(meant) else []


def _slip(word: str) -> list[str] | None:
    """One term without its slip of the pen; None if it cannot be guessed."""
    found = _TERM.fullmatch(word)
    if not found:
        return None
    signs, name, mark, rest = found.groups()
    sign, name = signs[-1:], name.strip().lower()
    rest = re.sub(r"\A(?:https?://|//|@)|[/.]+\Z", "", rest.strip()) if mark in ("", ":", "=") else mark + rest
    for text in (rest,) if name in SPF_NAMES else (word[len(signs) :], rest):
        if mark != "/" and (networks := _address(text)):
            return [f"{sign}ip{network.partition(' ')[0]}:{network.partition(' ')[2]}" for network in networks]
    if name in _IP:
        if not rest:
            return []
        return [f"{sign}a:{rest}"] if _is_term(f"a:{rest}") else None
    near = [name] if name in SPF_NAMES else get_close_matches(name, SPF_NAMES, 1)
    if not near:
        return None
    term = _written(sign, near[0], rest, is_length=mark == "/")
    if not term:
        return []
    return [term] if _is_term(term) else None


def _written(sign: str, name: str, rest: str, *, is_length: bool) -> str:
    """A term from its parts; empty if a required part is missing. ``is_length``: ``rest`` is a prefix length."""
    if name in _MODIFIERS:
        return f"{name}={rest}" if rest else ""
    if name == "all":
        return f"{sign}all"
    if is_length:
        return f"{sign}{name}{rest}"
    if rest:
        return f"{sign}{name}:{rest}"
    return f"{sign}{name}" if name in ("a", "mx", "ptr") else ""


def _address(text: str) -> list[str]:
    """``4 192.0.2.0/24``: the version and the network of an address, however it is written; empty if it is not one."""
    text = text.strip("[],;")
    low, dash, high = text.partition("-")
    try:
        if dash:
            ends = ip_address(low), ip_address(high)
            return [f"{each.version} {each}" for each in summarize_address_range(*ends)]
        if found := re.fullmatch(r"((?:[0-9]{1,3}\.){1,3})\*", text):
            parts = found[1].rstrip(".").split(".")
            network = ip_network(f"{'.'.join([*parts, *['0'] * (4 - len(parts))])}/{8 * len(parts)}")
            return [f"4 {network}"]
        host, _, prefix = text.partition("/")
        address = ip_address(host)
        if "." in prefix:
            prefix = str(ip_network(f"0.0.0.0/{prefix}").prefixlen)
    except (ValueError, TypeError):
        return []
    fits = prefix.isascii() and prefix.isdecimal() and int(prefix[:4]) <= address.max_prefixlen
    return [f"{address.version} {host}{f'/{int(prefix)}' if fits else ''}"]


# DMARC


def dmarc(texts: Sequence[str], known: Mapping[str, Sequence[str] | None]) -> Fixed | None:
    """One record to replace these; None if they are empty. ``known`` has the allowed values of tags; None: any."""
    found: dict[str, str] = {}
    said: list[str] = []
    if sum(map(len, texts)) > LONGEST:
        return None
    for text in texts:
        said += _typed(text)
        for name, value in _dmarc_tags(text, known, said).items():
            if name == "rua" and name in found:
                found[name] = ",".join(dict.fromkeys([*found[name].split(","), *value.split(",")]))
            elif name in ("p", "sp", "np") and name in found and {value, found[name]} <= {*POLICIES}:
                found[name] = min(value, found[name], key=POLICIES.index)
            else:
                found.setdefault(name, value)
    if len(texts) > 1:
        said.append("Merge them into one record.")
    if not found:
        return None
    if "p" not in found:
        said.append("Add p=none, p=quarantine or p=reject; without it, receivers assume p=none.")
    order = {"p": found.pop("p", "none"), **found}
    return Fixed(
        "; ".join(["v=DMARC1", *(f"{name}={value}" for name, value in order.items())]), (*dict.fromkeys(said),)
    )


def _dmarc_tags(text: str, known: Mapping[str, Sequence[str] | None], said: list[str]) -> dict[str, str]:
    names = "|".join(sorted(known, key=len, reverse=True))
    plain = re.sub(r"\A[\s\W]*(?:v\s*[=:]?\s*)?dmarc\s*1?(?![0-9])[\s;,.]*", "", _plain(text), flags=re.IGNORECASE)
    # a tag begins after a semicolon; after a comma or a blank, the semicolon was forgotten
    parts = re.split(rf"\s*;[\s;]*|[\s,]+(?=(?:{names})\s*[=:])", plain, flags=re.IGNORECASE)
    found: dict[str, str] = {}
    last = ""
    for part in filter(None, map(str.strip, parts)):
        tag = re.fullmatch(r"([A-Za-z]+)\s*(?:=|(?<!mailto):(?!//)|\s)\s*(.*)", part, re.DOTALL | re.IGNORECASE)
        if not tag or tag[1].lower() == "mailto":
            if last in ("rua", "ruf") and "@" in part:
                found[last] = ",".join(filter(None, (found.get(last), part)))
            continue
        name, value = tag[1].lower(), tag[2].strip(" ,.'" if tag[1].lower() not in ("rua", "ruf") else " ,'")
        if "=" not in part.removeprefix(tag[1]).lstrip()[:1]:
            said.append(f'Replace "{part[:60]}" with {name}={value}: "=" goes between a tag and its value.')
        if name == "v" and value.upper().startswith("DMARC"):
            continue
        if name not in known and name not in ("pct", "rf", "ri"):
            if value.lower() in POLICIES and not re.search(r"(?:\A|;)\s*p\s*=", plain, re.IGNORECASE):
                name = "p"
            elif (near := get_close_matches(name, known, 1)) and near[0] not in ("v", "t"):
                name = near[0]
        last = name
        if (value := _dmarc_value(name, value, known.get(name))) is not None:
            found.setdefault(name, value)
    return found


def _dmarc_value(name: str, value: str, allowed: Sequence[str] | None) -> str | None:
    """The value that was meant; None if the tag should be left out."""
    if name in ("rf", "ri") or (name == "pct" and value == "100"):
        return None
    if name in ("rua", "ruf"):
        parts = [part.strip() for part in value.split(",")]
        whole = Record.parse(f"v=DMARC1; rua={value}")
        if whole and len(whole.rua) == len(parts):
            return value
        return ",".join(dict.fromkeys(f"mailto:{address}" for address in _MAILBOX.findall(value))) or None
    if name == "fo":
        options = [each for each in re.split(r"[:,\s]+", value.lower()) if each in ("0", "1", "d", "s")]
        return ":".join(dict.fromkeys(options)) or None
    if not allowed or value.lower() in allowed:
        return value
    word = value.lower()
    near = next((each for each in allowed if len(each) == 1 and word.startswith(each)), None)
    near = near or next(iter(get_close_matches(word, [each for each in allowed if len(each) > 1], 1)), None)
    return near or ("none" if name == "p" else None)


def with_tag(record: Fixed, name: str, value: str) -> Fixed:
    """The record with a tag added or changed."""
    parts = [part for part in record.text.split("; ") if not part.startswith(f"{name}=")]
    return Fixed("; ".join([*parts[:2], f"{name}={value}", *parts[2:]]), (*record.said, f"Write {name}={value}."))


# DKIM


def dkim(text: str) -> Fixed | None:
    """A usable record with the same key, to replace an unusable one; None if there is none."""
    if len(text) > LONGEST:
        return None
    said = _typed(text)
    plain = _plain(text.replace("\\n", "").replace("\\r", ""))
    if _PEM.search(plain):
        said.append("Remove the BEGIN and END lines of the PEM file; the value of p= is the text between them.")
        plain = _PEM.sub("", plain)
    names = "|".join(_DKIM_TAGS)
    parts = re.split(rf"\s*[;]+\s*|[\s,]+(?=(?:{names})\s*[=:](?!\s*\Z))|,", plain)
    found: dict[str, str] = {}
    for part in filter(None, map(str.strip, parts)):
        tag = re.fullmatch(r"([A-Za-z])\s*([=:])\s*(.*)", part, re.DOTALL)
        if tag:
            found.setdefault(tag[1].lower(), tag[3].strip())
            if tag[2] == ":":
                said.append(f'Replace "{tag[1]}:" with {tag[1].lower()}=.')
        elif _BASE64.fullmatch(part) and "p" not in found:
            found["p"] = part
            said.append("Write p= before the key.")
    material = re.sub(r"\s+", "", found.get("p", ""))
    if not material:
        return None
    flags = [each for each in re.split(r"[:\s]+", found.get("t", "")) if each]
    for kind in dict.fromkeys([found.get("k", "rsa").lower(), "rsa", "ed25519"]):
        meant = {"v": "DKIM1", "k": kind, "p": material, **({"t": ":".join(flags)} if flags else {})}
        record = "; ".join(f"{name}={value}" for name, value in meant.items())
        if found.get("n") and found["n"].isascii():
            record += f"; n={found['n']}"
        try:
            parse_key(record)
        except BadKey:
            continue
        return Fixed(record, (*said, *_of_key(text, found, kind)))
    return None


def _of_key(text: str, found: Mapping[str, str], kind: str) -> list[str]:
    said = []
    if found.get("k", "rsa").lower() != kind:
        said.append(f"Write k={kind}: that is the type of the key.")
    if not re.match(r"v\s*=\s*DKIM1\s*(?:;|\Z)", text) and re.search("dkim|v *[=:]", text, re.IGNORECASE):
        said.append('Begin the record with "v=DKIM1;", in exactly these letters.')
    if "sha256" not in found.get("h", "sha256").lower():
        said.append("Remove h=, or write h=sha256.")
    if "s" in found and not {"*", "email"} & {*found["s"].split(":")}:
        said.append("Remove s=, or write s=email.")
    return said


# DNS as it would be


def publishing(resolve: Resolver, changes: Sequence[Change]) -> Resolver:
    """DNS as it would be after these changes."""

    def changed(name: str, rdtype: str) -> Answer:
        mine = [each for each in changes if (each.name, each.type) == (str(name).lower(), rdtype)]
        if not mine:
            return resolve(name, rdtype)
        answer = resolve(name, rdtype) if mine[0].instead else Answer()
        kept = tuple(text for text in answer.records if text not in mine[0].instead)
        return Answer((*kept, *mine[0].records), True, answer.ttl)

    return changed


Again = Callable[[Resolver], tuple[Iterable[Problem], Fixed | None]]


def fixed(
    problems: Iterable[Problem], change: Change, resolve: Resolver, again: Again, said: Sequence[str] = ()
) -> list[Problem]:
    """The problems; those that the change removes have it, and the steps to it.

    ``again`` examines the answers of a resolver: the problems, and the corrected record. A change is rejected if it
    leads to a new error, or to a record that is not printable ASCII.
    """
    before = list(problems)
    try:
        if resolve(change.name, "CNAME").records:
            # the record is elsewhere, and no record can be beside an alias (RFC 1034 section 3.6.2)
            return before
    except DnsTempError:
        return before
    after: list[Problem] = []
    sentences = list(said)
    for _ in range(_ROUNDS):
        found, better = again(publishing(resolve, [change]))
        after = list(found)
        if better is None or (better.text,) == change.records:
            break
        change = replace(change, records=(better.text,))
        sentences += better.said
    else:
        # the last change was not examined
        return before
    left = {each.code for each in after}
    worse = {each.code for each in after if each.severity is Severity.ERROR} - {each.code for each in before}
    # nobody can type non-ASCII text into a zone and be sure of its octets
    is_plain = all(text.isascii() and text.isprintable() for text in change.records)
    if worse or change.records == change.instead or not is_plain:
        return before
    words = " ".join(dict.fromkeys(sentences))
    return [
        each
        if each.code in left or each.changes
        else replace(each, fix=(words if each.code in _GENERAL else "") or each.fix, changes=(change,))
        for each in before
    ]


def doubled(
    code: str,
    what: str,
    missing: str,
    problems: list[Problem],
    at: str,
    domain: Domain,
    resolve: Resolver,
    is_one: Callable[[str], object],
) -> list[Problem]:
    """The problems, with another one if the ``missing`` record exists at a name with the zone's name repeated.

    DNS panels do that to a full name. ``at`` is the right name; the zone may be the domain or one above it.
    """
    if not any(each.code == missing for each in problems):
        return problems
    labels = str(domain).split(".")
    zones = [".".join(labels[place:]) for place in range(max(1, min(len(labels) - 1, _ZONES)))]
    questions = []
    for zone in zones:
        with suppress(BadDomain):
            questions.append(str(Domain(f"{at}.{zone}")))
    start(((each, "TXT") for each in questions), resolve)
    for each in questions:
        with suppress(DnsTempError):
            if found := tuple(filter(is_one, resolve(each, "TXT").records)):
                zone = each.removeprefix(f"{at}.")
                short = at.removesuffix(zone).rstrip(".") or "@"
                return [
                    *(replace(each, fix="") if each.code == missing else each for each in problems),
                    error(
                        code,
                        f"The {what} is at {each}, where nobody looks: the name of the zone was added twice, as DNS"
                        " panels do to a full name.",
                        f"Enter the name as {short}, or with a dot at its end.",
                        changes=(Change(each, "TXT", found, ()), Change(at, "TXT", (), found)),
                    ),
                ]
    return problems


def alias(name: str, resolve: Resolver) -> str:
    """The target of the CNAME at a name; empty if there is none, or if that is unknown."""
    with suppress(DnsTempError):
        return next(iter(resolve(name, "CNAME").records), "")
    return ""


def leads_nowhere(target: str, what: str, *, exists: bool | None) -> str:
    """The target of an alias that leads nowhere, in words."""
    return f"{target}, which does not exist" if exists is False else f"{target}, where there is no {what}"
