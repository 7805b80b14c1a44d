"""Aggregate reports (RFC 9990): what a record of the history adds to one, and how one is written."""

from .report import MAX_ROWS, Disposition, Override, Period, Policy, Reason, Report, Reporter, Row, Signature, Spf

__all__ = [
    "MAX_ROWS",
    "Disposition",
    "Override",
    "Period",
    "Policy",
    "Reason",
    "Report",
    "Reporter",
    "Row",
    "Signature",
    "Spf",
]
