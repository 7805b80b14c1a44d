"""Metrics for Prometheus, counted by the collector from what it moves into the database. No worker imports this room.

A label has only values of a closed set, and ``other`` for what is not in it: nothing that a sender chose.
"""

from .exposition import Exposed
from .textfile import Textfile

__all__ = ["Exposed", "Textfile"]
