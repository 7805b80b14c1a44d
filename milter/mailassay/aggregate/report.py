"""What an aggregate report says (RFC 9990 section 3.1.1), before it is written as XML.

Domains are A-labels in lower case. Other text is what senders wrote, whatever it is: who writes it makes it fit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

MAX_ROWS = 10_000  # of one report; beyond that, rows are merged
DAY = 86_400  # seconds


class Disposition(StrEnum):
    """What was done by the DMARC policy (Appendix A, DispositionType).

    ``pass``: the message passed DMARC under a policy that asks for quarantine or reject. ``none``: nothing was done.
    """

    NONE = "none"
    PASS = "pass"
    QUARANTINE = "quarantine"
    REJECT = "reject"


class Override(StrEnum):
    """Why what was done is not what the policy asks for (section 3.1.6)."""

    LOCAL_POLICY = "local_policy"
    MAILING_LIST = "mailing_list"
    OTHER = "other"
    POLICY_TEST_MODE = "policy_test_mode"
    TRUSTED_FORWARDER = "trusted_forwarder"


class Reason(NamedTuple):
    """One ``reason`` element (section 3.1.1.14)."""

    type: Override
    comment: str = ""


class Signature(NamedTuple):
    """A DKIM signature and its result (section 3.1.1.12). ``result`` is a word of RFC 8601 section 2.7.1."""

    domain: str
    selector: str
    result: str


class Spf(NamedTuple):
    """SPF of MAIL FROM (section 3.1.1.13). ``result`` is a word of RFC 8601 section 2.7.2."""

    domain: str
    result: str


class Policy(NamedTuple):
    """A DMARC policy configuration, as found at ``domain`` (section 3.1.1.5), the DMARC Policy Domain.

    Tags that the record leaves out have their defaults: ``sp`` that of ``p``, ``np`` that of ``sp``. ``psd`` is ``y``,
    ``n`` or ``u``; no report shows it.
    """

    domain: str
    p: str
    sp: str
    np: str
    fo: str = "0"
    adkim: str = "r"
    aspf: str = "r"
    testing: bool = False
    psd: str = "u"


class Row(NamedTuple):
    """What is the same for all messages of one ``record`` element (sections 3.1.1.7 to 3.1.1.13).

    ``envelope_from`` is None if it is unknown or left out, and empty for a null reverse-path. ``dkim`` and ``spf`` are
    whether an aligned domain passed. ``signatures`` are in the order of section 3.1.3, at most 100.
    """

    source_ip: str
    header_from: str
    envelope_from: str | None
    disposition: Disposition
    dkim: bool
    spf: bool
    reasons: tuple[Reason, ...] = ()
    signatures: tuple[Signature, ...] = ()
    spf_result: Spf | None = None


class Period(NamedTuple):
    """The UTC day of a report: the number of days since 1970-01-01 (section 3.1.1.4)."""

    day: int

    @property
    def begin(self) -> int:
        """The first second of the day, since 1970."""
        return self.day * DAY

    @property
    def end(self) -> int:
        """The last second of the day, since 1970, as in Appendix B."""
        return self.begin + DAY - 1


@dataclass(frozen=True, slots=True)
class Reporter:
    """Who reports (section 3.1.1.3). ``domain`` is the receiver in the file name and the Submitter in the subject."""

    domain: str
    org_name: str
    address: str
    contact: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """One report: one DMARC Policy Domain, one UTC day.

    ``policy`` is the last configuration seen in the period (section 3.1). ``rows`` are pairs of a row and a number of
    messages, at least one, read once. ``errors`` become the ``error`` element (section 3.1.5).
    """

    reporter: Reporter
    period: Period
    policy: Policy
    rows: Iterable[tuple[Row, int]]
    errors: tuple[str, ...] = ()
