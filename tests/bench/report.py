"""What was measured, as a table and as a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from .corpus import BIG
from .stacks import ALONE, OURS


@dataclass(frozen=True)
class Setting:
    """What a load is sent under: DNS latency in ms, all of it sent once before or not; or one big message instead."""

    latency: int
    is_warm: bool = False
    is_big: bool = False

    def __str__(self) -> str:
        return f"DNS {self.latency} ms{', warm' * self.is_warm}{', a big message' * self.is_big}"


@dataclass(frozen=True)
class Cell:
    """One load on one stack: messages a second, session times in s, CPU s and DNS questions of a message, MB (PSS).

    ``growth`` is by how many MB the load took the processes above what they were. ``wrong`` counts the messages whose
    verdict was not the expected one; of Postfix alone, which has none, it is 0.
    """

    setting: Setting
    throughput: float
    sessions: tuple[float, ...]
    cpu: float
    questions: float
    memory: float
    growth: float
    wrong: int

    def session(self, share: float) -> float:
        """Milliseconds that this share of the sessions does not exceed."""
        return 1000 * percentile(self.sessions, share)


Cells = dict[str, list[Cell]]
"""By stack; the cells of a setting in the order of the turns."""


def percentile(values: Iterable[float], share: float) -> float:
    """The least of the values that this share of them does not exceed (nearest rank). Raises ValueError for none."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def settings(latencies: Sequence[int]) -> list[Setting]:
    """One for each latency; caches warm at the middle one; one big message."""
    ordered = sorted({*latencies})
    return [
        *(Setting(latency) for latency in ordered),
        Setting(ordered[len(ordered) // 2], is_warm=True),
        Setting(ordered[0], is_big=True),
    ]


@dataclass(frozen=True)
class Row:
    """A line of the table. ``of_postfix``: Postfix alone has it too; ``reference``: whose figure is 1, or empty."""

    title: str
    setting: Setting
    figure: Callable[[Cell], float]
    digits: int = 0
    reference: str = OURS
    of_postfix: bool = False

    def value(self, cells: list[Cell]) -> float:
        """The median of the turns."""
        return median(self.figure(cell) for cell in self._turns(cells))

    def ratio(self, cells: list[Cell], reference: list[Cell]) -> float:
        """The median of the turns' ratios: within a turn, a slow moment of the machine's is everyone's."""
        pairs = zip(self._turns(cells), self._turns(reference), strict=True)
        figures = [(self.figure(cell), self.figure(other)) for cell, other in pairs]
        return median(one / other if other else math.nan for one, other in figures)

    def _turns(self, cells: list[Cell]) -> list[Cell]:
        return [cell for cell in cells if cell.setting == self.setting]


def rows(chosen: Sequence[Setting]) -> list[Row]:
    """The lines for these settings, the first of which is the one for what does not depend on DNS."""
    first = chosen[0]
    loads = [each for each in chosen if not each.is_big]
    found = [
        Row(f"messages/s, {first}", first, lambda cell: cell.throughput, of_postfix=True),
        Row(f"messages/s, {first} (× {ALONE})", first, lambda cell: cell.throughput, reference=ALONE, of_postfix=True),
    ]
    for each in loads:
        found.append(Row(f"session p50 ms, {each}", each, lambda cell: cell.session(0.5), of_postfix=True))
        found.append(Row(f"session p95 ms, {each}", each, lambda cell: cell.session(0.95), of_postfix=True))
    for each in loads:
        if each == first or each.is_warm:
            found.append(Row(f"CPU ms per message, {each}", each, lambda cell: 1000 * cell.cpu, 2))
            found.append(Row(f"DNS questions per message, {each}", each, lambda cell: cell.questions, 1))
    found.append(Row("memory MB (PSS)", first, lambda cell: cell.memory))
    for each in chosen:
        if each.is_big:
            found.append(
                Row(f"a message of {BIG // 10**6} MB: session ms", each, lambda cell: cell.session(1), of_postfix=True)
            )
            found.append(Row(f"a message of {BIG // 10**6} MB: CPU ms", each, lambda cell: 1000 * cell.cpu))
            found.append(
                Row(f"a message of {BIG // 10**6} MB: MB more", each, lambda cell: cell.growth, 1, reference="")
            )
    return found


def table(cells: Cells, chosen: Sequence[Setting]) -> str:
    """In Markdown; behind a figure, in brackets, how many times mailassay's it is, or that of whom the line names."""
    lines = [["", *cells], [":--", *("--:" for _ in cells)]]
    for row in rows(chosen):
        lines.append([row.title, *(_shown(row, name, cells) for name in cells)])
    wrong = (str(sum(cell.wrong for cell in found)) if name != ALONE else "–" for name, found in cells.items())
    lines.append(["wrong verdicts", *wrong])
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    text = "".join(
        "| " + " | ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)) + " |\n"
        for line in lines
    )
    return f"{text}\nMedians of the turns. In brackets: how many times the figure of {OURS}, turn by turn.\n"


def _shown(row: Row, name: str, cells: Cells) -> str:
    if name == ALONE and not row.of_postfix:
        return "–"
    text = f"{row.value(cells[name]):.{row.digits}f}"
    if row.reference in ("", name):
        return text
    return f"{text} ({row.ratio(cells[name], cells[row.reference]):.2f})"


def plot(cells: Cells, chosen: Sequence[Setting], path: Path) -> None:
    """As a PNG. Raises ImportError where matplotlib is not installed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, places = pyplot.subplot_mosaic(
        [["messages/s", "CPU ms", "memory"], ["session", "session", "DNS questions"]],
        figsize=(15, 8.5),
        layout="constrained",
    )
    lines = rows(chosen)
    for start in ("messages/s", "CPU ms", "memory"):
        row = next(row for row in lines if row.title.startswith(start))
        _bars(places[start], row, cells)
    for start in ("session p95", "session p50", "DNS questions"):
        found = [row for row in lines if row.title.startswith(start) and not row.setting.is_big]
        _groups(places[start.partition(" p")[0]], found, cells, pale=start == "session p95")
    places["session"].set_title("session ms: p50, and p95 pale behind it")
    places["session"].legend(fontsize="small")
    places["DNS questions"].set_title("DNS questions per message")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _bars(place: Any, row: Row, cells: Cells) -> None:
    """A bar for each stack, with its name and its figure."""
    shown = {name: f"C{at}" for at, name in enumerate(cells) if row.of_postfix or name != ALONE}
    bars = place.barh(
        [name.replace(", ", ",\n") for name in shown],
        [row.value(cells[name]) for name in shown],
        color=[*shown.values()],
    )
    place.bar_label(bars, fmt=f"%.{row.digits}f", padding=3)
    place.margins(x=0.15)
    place.invert_yaxis()
    place.set_title(row.title)


def _groups(place: Any, found: list[Row], cells: Cells, *, pale: bool = False) -> None:
    """A group of bars for each row, in it one for each stack."""
    shown = {name: f"C{at}" for at, name in enumerate(cells) if found[0].of_postfix or name != ALONE}
    width = 0.8 / len(shown)
    for at, (name, colour) in enumerate(shown.items()):
        bars = place.bar(
            [group + (at + 0.5) * width for group in range(len(found))],
            [row.value(cells[name]) for row in found],
            width * 0.9,
            color=colour,
            alpha=0.35 if pale else 1.0,
            label="" if pale else name,
        )
        place.bar_label(bars, fmt=f"%.{found[0].digits}f", padding=1, fontsize="x-small")
    place.set_xticks([group + 0.4 for group in range(len(found))], [str(row.setting) for row in found])
