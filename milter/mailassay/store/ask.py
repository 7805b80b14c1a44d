"""How a search asks the database, whichever it is and whatever opened it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

Ask: TypeAlias = Callable[[str, dict[str, Any]], Iterable[Any]]
"""Runs a statement whose values have names (``:name``). Gives its rows, not all of which are fetched at once."""
