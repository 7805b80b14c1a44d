"""The figures as a summary for a terminal, with small bars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..terminal import BOLD, DIM, painted, printable, wrapped
from . import reported, words
from .figures import PERCENTILES, Figures

_EIGHTHS = " ▏▎▍▌▋▊▉"
_MOST_BAR, _LEAST_BAR = 30, 6  # columns
_INDENT = "  "


class Row(NamedTuple):
    """A line with a bar: a name, a number, and a note after the bar. A row without a bar is about the one above it."""

    name: str
    many: int
    note: str = ""
    has_bar: bool = True


@dataclass(frozen=True, slots=True)
class Style:
    """How a summary is printed: the width in columns; bars of block characters, or of ``#``; with colours or not."""

    width: int
    blocks: bool = False
    colour: bool = False

    def head(self, text: str) -> str:
        """A heading."""
        return painted(text, BOLD) if self.colour else text

    def bar(self, value: int, most: int, columns: int) -> str:
        """A bar whose length shows the value; never empty if the value is not 0."""
        if not self.blocks:
            return "#" * (max(1, round(value * columns / most)) if value else 0)
        eighths = max(1, round(8 * value * columns / most)) if value else 0
        return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def as_text(found: Figures, style: Style) -> Iterator[str]:
    """The summary, line by line. Nothing that a sender wrote can move the cursor."""
    yield from _summary(found, style)
    if found.messages:
        yield from _tables(found, style)
    yield from _reported(found, style)


def _tables(found: Figures, style: Style) -> Iterator[str]:
    unit = "hour" if found.span.by_hour else "day"
    yield from _table(f"Messages by {unit}", _periods(found), style)
    yield from _results(found, style)
    yield from _table("Author domains that fail DMARC most, and from where", _authors(found), style)
    yield from _table(
        "Sources whose messages fail DMARC most",
        [Row(each.client, each.messages, each.name) for each in found.sources],
        style,
    )
    yield from _table("What decided", _rules(found), style)
    yield from _unused(found, style)
    yield from _table(
        "What monitored rules and settings would have done",
        [Row(each.name, each.messages, f"{each.action}{_line(each.line)}") for each in found.monitored],
        style,
    )
    yield from _table("Keys that signed most", [Row(*each) for each in found.signers], style)
    yield from _table("Limits reached", [Row(*each) for each in found.limits.most_common()], style)
    yield from _table(
        "Checks that DNS left without an answer most",
        [Row(each.domain, each.messages, each.method) for each in found.unanswered],
        style,
    )


def _summary(found: Figures, style: Style) -> Iterator[str]:
    def said(text: str) -> Iterator[str]:
        yield from wrapped(printable(text), style.width, rest=_INDENT)

    yield from map(
        style.head, said(", ".join(filter(None, (words.times(found.span), words.place(found.host, found.hosts)))))
    )
    yield ""
    if not found.messages:
        yield from said("The history has no message from this time.")
    else:
        yield from said(f"Of {words.messages(found.judged)} that were judged, {words.counts(found.verdicts)}.")
    if found.changed:
        yield from said(f"Without monitor, it would be: {words.counts(found.would)}.")
    if found.unjudged:
        why = ", ".join(f"{name} {many:,}" for name, many in found.unjudged.most_common())
        yield from said(f"{words.messages(found.unjudged.total())} not judged: {why}.")
    if found.signed or found.unsigned:
        why = ", ".join(f"{name} {many:,}" for name, many in found.unsigned.most_common())
        yield from said(
            f"Outgoing mail: {words.messages(found.signed.total())} signed, {found.unsigned.total():,} not"
            f"{f': {why}' if why else ''}."
        )
    if found.judged:
        times = ", ".join(f"{percent}% {words.seconds(found.at_most(percent))}" for percent in PERCENTILES)
        yield from said(f"Time taken, at most: {times}.")
    if found.dns["sent"]:
        failed = f"{found.dns['failed']:,} without an answer ({words.share(found.dns['failed'], found.dns['sent'])})"
        yield from said(f"DNS questions: {found.dns['sent']:,} sent, {failed}.")
    if found.on_hold:
        oldest = f", the oldest for {words.age(found.on_hold.oldest)}" if found.on_hold.messages else ""
        yield from said(f"On hold on this host now: {words.messages(found.on_hold.messages)}{oldest}.")
    elif found.hold_trouble:
        yield from said(f"On hold now: not known ({found.hold_trouble}).")
    for why, many in found.lost.most_common():
        yield from said(f"{many:,} record{'' if many == 1 else 's'} of messages lost: {words.LOST.get(why, why)}.")


def _periods(found: Figures) -> list[Row]:
    rows = []
    for each in found.periods:
        others = {action: many for action, many in each.verdicts.items() if action.severity}
        rows.append(Row(words.period(each, found.span), each.messages, words.occurred(others)))
    return rows


def _results(found: Figures, style: Style) -> Iterator[str]:
    if not found.results:
        return
    yield from _title("Results by method", style)
    longest = max(map(len, found.results))
    for method, counts in found.results.items():
        yield from wrapped(printable(words.results(counts)), style.width, f"{_INDENT}{printable(method):<{longest}}  ")


def _authors(found: Figures) -> Iterator[Row]:
    for author in found.authors:
        yield Row(author.domain, author.failed, f"of {author.messages:,}")
        for source in author.sources:
            yield Row(f"{_INDENT}{source.client} {source.name}".rstrip(), source.messages, has_bar=False)


def _rules(found: Figures) -> Iterator[Row]:
    for each in found.rules:
        differs = f", would be {words.occurred(each.would)}" if each.would != each.verdicts else ""
        yield Row(each.name, each.messages, f"{words.occurred(each.verdicts)}{differs}{_line(each.line)}")


def _unused(found: Figures, style: Style) -> Iterator[str]:
    if not found.unused:
        return
    yield from _title("Rules that applied to no message", style)
    for each in found.unused:
        text = f"{each.name}{_line(each.line)}{', expired' if each.expired else ''}"
        yield from wrapped(printable(text), style.width, _INDENT, _INDENT * 2)


def _reported(found: Figures, style: Style) -> Iterator[str]:
    if found.reported is None:
        return

    def said(text: str, indent: int = 1) -> Iterator[str]:
        yield from wrapped(printable(text), style.width, _INDENT * indent, _INDENT * (indent + 1))

    yield from _title("DMARC reports", style)
    for text in reported.sentences(found.reported):
        yield from said(text)
    if found.reported.causes:
        yield from said(f"{reported.nobody(found.reported)}:")
        for word, many in found.reported.causes.most_common():
            yield from wrapped(printable(reported.cause(word)), style.width, f"{_INDENT}{many:6,}  ")
    if found.reported.silent:
        yield from said(f"{reported.silent(found.reported)}:")
        for each in found.reported.suppressed:
            yield from said(f"{each.address}  {reported.until(each)}: {each.why}", 2)
        if more := found.reported.silent - len(found.reported.suppressed):
            yield from said(f"and {more:,} more", 2)


def _line(number: int | None) -> str:
    return f", line {number}" if number else ""


def _title(text: str, style: Style) -> Iterator[str]:
    yield ""
    yield from map(style.head, wrapped(text, style.width))


def _table(title: str, rows: Iterator[Row] | Sequence[Row], style: Style) -> Iterator[str]:
    """Rows with bars on one scale. A name that is too long, or a note, gets lines of its own."""
    rows = [row._replace(name=printable(row.name), note=printable(row.note)) for row in rows]
    if not rows:
        return
    yield from _title(title, style)
    most = max(row.many for row in rows if row.has_bar)
    digits = max(len(f"{row.many:,}") for row in rows)
    names = min(max(len(row.name) for row in rows), style.width // 2 - len(_INDENT))
    rest = style.width - len(_INDENT) - names - 2 - digits - 2
    notes = max(len(row.note) for row in rows)
    beside = notes + 2 + _LEAST_BAR <= rest
    columns = min(_MOST_BAR, rest - notes - 2 if beside and notes else rest)
    for row in rows:
        name = row.name
        if len(name) > names:
            yield from wrapped(name, style.width, _INDENT, _INDENT * 2)
            name = ""
        line = f"{_INDENT}{name:<{names}}  {row.many:>{digits},}"
        bar = style.bar(row.many, most, columns) if row.has_bar and most else ""
        note = f"  {row.note}" if beside and row.note else ""
        # colours take no columns
        filled = f"{bar:<{columns}}"
        yield f"{line}  {filled}{painted(note, DIM) if style.colour and note else note}".rstrip()
        if row.note and not beside:
            yield from wrapped(row.note, style.width, _INDENT * 2)
