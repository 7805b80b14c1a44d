"""What was measured, as a table and as a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from .stacks import ALONE


@dataclass(frozen=True)
class Cell:
    """One load on one stack: DNS latency in ms, messages a second, session times in s, CPU s of a message and MB.

    ``wrong`` counts the messages whose verdict was not the expected one; of Postfix alone, which has none, it is 0.
    """

    latency: int
    throughput: float
    sessions: tuple[float, ...]
    cpu: float
    questions: float
    memory: float
    wrong: int


Cells = dict[str, list[Cell]]
"""By stack."""


def percentile(values: Iterable[float], share: float) -> float:
    """The least of the values that this share of them does not exceed (nearest rank). Raises ValueError for none."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def throughput(cells: list[Cell], latency: int) -> float:
    """Messages a second."""
    return median(cell.throughput for cell in _at(cells, latency))


def cpu(cells: list[Cell], latency: int) -> float:
    """Milliseconds of a message."""
    return 1000 * median(cell.cpu for cell in _at(cells, latency))


def questions(cells: list[Cell], latency: int) -> float:
    """DNS questions of a message."""
    return median(cell.questions for cell in _at(cells, latency))


def session(cells: list[Cell], latency: int, share: float) -> float:
    """Milliseconds that this share of the sessions does not exceed."""
    return 1000 * median(percentile(cell.sessions, share) for cell in _at(cells, latency))


def memory(cells: list[Cell]) -> float:
    """Megabytes after a load."""
    return median(cell.memory for cell in cells)


def _at(cells: list[Cell], latency: int) -> list[Cell]:
    return [cell for cell in cells if cell.latency == latency]


@dataclass(frozen=True)
class Row:
    """A line of the table. ``of_postfix``: Postfix alone has it too; ``reference``: whose figure is 1.00, or empty."""

    title: str
    figure: Callable[[list[Cell]], float]
    digits: int = 0
    reference: str = ""
    of_postfix: bool = False


def rows(latencies: Sequence[int], chain: str) -> list[Row]:
    """The lines for these latencies; ``chain`` is the stack that the others are held against, empty for none."""
    least = min(latencies)
    sessions = [
        Row(
            f"session p{share * 100:.0f} ms, DNS {latency} ms",
            partial(session, latency=latency, share=share),
            reference=chain,
            of_postfix=True,
        )
        for latency in latencies
        for share in (0.5, 0.95)
    ]
    return [
        Row(f"messages/s, DNS {least} ms", partial(throughput, latency=least), 0, chain, of_postfix=True),
        Row(f"messages/s, DNS {least} ms", partial(throughput, latency=least), 0, ALONE, of_postfix=True),
        *sessions,
        Row("CPU ms per message", partial(cpu, latency=least), 2, chain),
        Row("DNS questions per message", partial(questions, latency=least), 1, chain),
        Row("memory MB (PSS)", memory, 0, chain),
        Row("wrong verdicts", lambda cells: sum(cell.wrong for cell in cells)),
    ]


def table(cells: Cells, latencies: Sequence[int], chain: str) -> str:
    """In Markdown; behind a figure, in brackets, how many times that of ``chain``, or of whom the line names."""
    lines = [["", *cells], [":--", *("--:" for _ in cells)]]
    for row in rows(latencies, chain):
        title = f"{row.title} (× {row.reference})" if row.reference == ALONE else row.title
        reference = row.figure(cells[row.reference]) if row.reference else 0.0
        lines.append([title, *(_shown(row, name, found, reference) for name, found in cells.items())])
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    text = "".join(
        "| " + " | ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)) + " |\n"
        for line in lines
    )
    return text + (f"\nIn brackets: how many times the figure of {chain}.\n" if chain else "")


def _shown(row: Row, name: str, cells: list[Cell], reference: float) -> str:
    if name == ALONE and not row.of_postfix:
        return "–"
    figure = row.figure(cells)
    text = f"{figure:.{row.digits}f}"
    return f"{text} ({figure / reference:.2f})" if reference and name != row.reference else text


def plot(cells: Cells, latencies: Sequence[int], path: Path) -> None:
    """As a PNG. Raises ImportError where matplotlib is not installed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names, least = [*cells], min(latencies)
    labels = [name.replace(", ", ",\n") for name in names]
    colours = [f"C{at}" for at in range(len(names))]
    figure, ((messages, cpus), (sessions, memories)) = pyplot.subplots(2, 2, figsize=(13, 8), layout="constrained")
    for place, title, heights in (
        (messages, f"messages/s, DNS {least} ms", [throughput(cells[name], least) for name in names]),
        (cpus, "CPU ms per message", [cpu(cells[name], least) for name in names]),
        (memories, "memory MB (PSS)", [memory(cells[name]) for name in names]),
    ):
        place.bar(labels, heights, color=colours)
        place.set_title(title)
    width = 0.8 / len(names)
    for at, name in enumerate(names):
        places = [index + at * width for index in range(len(latencies))]
        for share, alpha in ((0.95, 0.4), (0.5, 1.0)):
            heights = [session(cells[name], latency, share) for latency in latencies]
            label = name if share == 0.5 else None
            sessions.bar(places, heights, width * 0.9, color=colours[at], alpha=alpha, label=label)
    middles = [index + 0.4 - width / 2 for index in range(len(latencies))]
    sessions.set_xticks(middles, [f"DNS {latency} ms" for latency in latencies])
    sessions.set_title("session ms: p50, and p95 pale above it")
    sessions.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
