"""What pyspf knows of a client's address and of names.

It is loaded with the first check: it brings dnspython with it, and ``mailassay why`` checks nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import spf as pyspf


class Forms(NamedTuple):
    """The forms of a client's address (RFC 7208 section 7.3).

    ``rdtype`` is the type of its records, A or AAAA; ``number`` is the address as a number. ``i`` and ``v`` are the
    values of the macros; ``reverse`` is ``i`` with its parts in reverse order.
    """

    rdtype: str
    number: int
    i: str
    v: str
    reverse: str


def forms(address: str) -> Forms:
    """The forms of an IPv4 or IPv6 address."""
    found = pyspf.query(address, "", "")
    return Forms(found.A, int(found.ipaddr), found.i, found.v, pyspf.reverse_dots(found.i))


def is_within(name: str, domain: str) -> bool:
    """Is the name the domain, or below it (RFC 7208 section 5.5)?"""
    return bool(pyspf.domainmatch([name], domain))
