"""What a DMARC report says, as ``mailassay reports show`` prints it."""

from __future__ import annotations

from itertools import islice

from ..aggregate.mail import attached
from ..aggregate.text import Style, lines


def said(mail: bytes, columns: int, most: int) -> list[str]:
    """The first lines of the report in a mail that was made of it."""
    try:
        return list(islice(lines(attached(mail), Style(columns)), most))
    except ValueError as error:
        return [f"it cannot be read: {error}"]
