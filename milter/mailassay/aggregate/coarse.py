"""Rows that say less, so that there are fewer of them: for domains of which more is seen than a report can say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from ipaddress import ip_network

from .report import Reason, Row

LEVELS = (1, 2, 3, 4)
# the longest prefixes of IPv4 and IPv6 addresses, by level
_PREFIXES = {1: (32, 64), 2: (24, 48), 3: (16, 32), 4: (0, 0)}


def coarse(row: Row, level: int, domain: str) -> Row:
    """The row without what tells apart messages of one network. ``domain`` is the policy domain.

    No level has the envelope's domain, the signatures or the result of SPF. Level 1 has IPv6 networks of 64 bits; 2
    has networks of 24 and 48 bits; 3 has networks of 16 and 32 bits, and the policy domain as the author's; 4 has no
    networks, and no comments of reasons. What DMARC's result was and what was done stays.
    """
    network = ip_network(row.source_ip, strict=False)
    length = min(network.prefixlen, _PREFIXES[level][network.version == 6])
    source_ip = row.source_ip
    if length < network.max_prefixlen:
        source_ip = str(ip_network((network.network_address, length), strict=False))
    return row._replace(
        source_ip=source_ip,
        header_from=domain if level >= 3 else row.header_from,
        envelope_from=None,
        reasons=tuple(dict.fromkeys(Reason(each.type) for each in row.reasons)) if level >= 4 else row.reasons,
        signatures=(),
        spf_result=None,
    )


def merged(rows: Iterable[tuple[Row, int]], most: int, domain: str) -> Counter[Row]:
    """The rows on the first level on which there are no more than ``most`` of them, or on the last one."""
    found: Counter[Row] = Counter()
    for row, messages in rows:
        found[coarse(row, LEVELS[0], domain)] += messages
    for level in LEVELS[1:]:
        if len(found) <= most:
            break
        finer, found = found, Counter()
        for row, messages in finer.items():
            found[coarse(row, level, domain)] += messages
    return found
