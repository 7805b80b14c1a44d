"""A report in lines for a terminal, read from the XML that :mod:`.document` wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from ..terminal import BOLD, GREEN, RED, painted, printable, wrapped
from .document import NAMESPACE

_IN = {"": NAMESPACE}
_TAGS = (("p", "p"), ("sp", "sp"), ("np", "np"), ("fo", "fo"), ("adkim", "adkim"), ("aspf", "aspf"), ("testing", "t"))
_COLOURS = {"pass": GREEN, "quarantine": RED, "reject": RED}
_INDENT = "  "


@dataclass(frozen=True, slots=True)
class Style:
    """How a report is printed: the width in columns, with colours or not."""

    width: int
    colour: bool = False

    def in_colour(self, text: str, colour: int | None) -> str:
        """The text, in that colour if there are colours."""
        return painted(text, colour) if self.colour and colour is not None else text


def lines(xml: bytes, style: Style) -> Iterator[str]:
    """The report, line by line. Nothing that a sender wrote can move the cursor.

    Raises ValueError for a text that is not an aggregate report.
    """
    messages, rows, passed = 0, 0, 0
    dispositions: Counter[str] = Counter()
    for record in _elements(xml, "record"):
        count = _count(record)
        messages, rows = messages + count, rows + 1
        if "pass" in (_text(record, "row/policy_evaluated/dkim"), _text(record, "row/policy_evaluated/spf")):
            passed += count
        dispositions[_text(record, "row/policy_evaluated/disposition")] += count
    yield from _head(xml, style)
    yield ""
    done = ", ".join(f"{name} {number:,}" for name, number in sorted(dispositions.items()))
    said = f"{_messages(messages)} in {rows:,} row{'' if rows == 1 else 's'}: {passed:,} passed DMARC, "
    yield from wrapped(printable(f"{said}{messages - passed:,} did not. Disposition: {done}."), style.width)
    for record in _elements(xml, "record"):
        yield ""
        yield from _record(record, style)


def _head(xml: bytes, style: Style) -> Iterator[str]:
    metadata = next(_elements(xml, "report_metadata"), None)
    policy = next(_elements(xml, "policy_published"), None)
    if metadata is None or policy is None:
        raise ValueError("not an aggregate report")
    try:
        begin, end = (int(_text(metadata, f"date_range/{name}")) for name in ("begin", "end"))
        times = " to ".join(f"{datetime.fromtimestamp(each, UTC):%Y-%m-%d %H:%M:%S}" for each in (begin, end))
    except (OverflowError, OSError) as error:
        raise ValueError("not an aggregate report: its dates are out of range") from error
    title = f"DMARC aggregate report about {_text(policy, 'domain')}"
    for line in wrapped(printable(title), style.width):
        yield style.in_colour(line, BOLD)
    tags = (f"{tag}={value}" for name, tag in _TAGS if (value := _text(policy, name)))
    facts = (
        ("time", f"{times} UTC"),
        ("from", f"{_text(metadata, 'org_name')}, {_text(metadata, 'email')}"),
        ("contact", _text(metadata, "extra_contact_info")),
        ("report id", _text(metadata, "report_id")),
        ("policy", "; ".join(tags)),
        ("error", _text(metadata, "error")),
        ("made by", _text(metadata, "generator")),
    )
    for label, text in facts:
        if text:
            yield from wrapped(printable(text), style.width, f"{_INDENT}{label:<11}")


def _record(record: Element, style: Style) -> Iterator[str]:
    evaluated = "row/policy_evaluated"
    disposition = _text(record, f"{evaluated}/disposition")
    head = f"{_messages(_count(record))} from {_text(record, 'row/source_ip')}: {disposition}"
    for line in wrapped(printable(head), style.width):
        yield style.in_colour(line, _COLOURS.get(disposition))
    names = f"From {_text(record, 'identifiers/header_from')}"
    if (mail_from := record.findtext("identifiers/envelope_from", namespaces=_IN)) is not None:
        names += f", MAIL FROM {mail_from or '<>'}"
    facts = [names, f"aligned: dkim {_text(record, f'{evaluated}/dkim')}, spf {_text(record, f'{evaluated}/spf')}"]
    for reason in record.iterfind(f"{evaluated}/reason", _IN):
        comment = _text(reason, "comment")
        facts.append(f"because of {_text(reason, 'type')}{f': {comment}' if comment else ''}")
    for found in record.iterfind("auth_results/dkim", _IN):
        facts.append(f"dkim={_text(found, 'result')} d={_text(found, 'domain')} s={_text(found, 'selector')}")
    for found in record.iterfind("auth_results/spf", _IN):
        facts.append(f"spf={_text(found, 'result')} {_text(found, 'domain')}")
    for text in facts:
        yield from wrapped(printable(text), style.width, _INDENT, _INDENT * 2)


def _elements(xml: bytes, name: str) -> Iterator[Element]:
    """The elements of that name below the root, each forgotten after it. Raises ValueError."""
    root: Element | None = None
    depth = 0
    try:
        for event, element in ElementTree.iterparse(BytesIO(xml), ("start", "end")):
            root = element if root is None else root
            depth += 1 if event == "start" else -1
            if event == "end" and depth == 1:
                if element.tag == f"{{{NAMESPACE}}}{name}":
                    yield element
                root.clear()
    except ElementTree.ParseError as error:
        raise ValueError(f"not an aggregate report: {error}") from error


def _text(element: Element, path: str) -> str:
    return element.findtext(path, "", _IN)


def _count(record: Element) -> int:
    return int(_text(record, "row/count"))


def _messages(number: int) -> str:
    return f"{number:,} message{'' if number == 1 else 's'}"
