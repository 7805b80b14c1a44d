"""The question whether DNS does not work at all, so that nobody can say what an author's policy is."""

from __future__ import annotations

from collections.abc import Callable

from ..dmarc import Dmarc, questions, top_level
from ..limits import Limits
from ..resolver import DnsLimit, DnsTempError, Resolver, Shared
from ..result import Result

_TOP_LEVEL = "com"  # asked for if the author domain is missing, or has no public top-level domain


def is_dns_down(dmarc: Dmarc, shared: Shared, limits: Limits, anew: Callable[[], Resolver]) -> bool:
    """Does DNS give no answer? ``shared`` has the questions of the message; ``anew`` makes a resolver without cache.

    That may be so if no question of the message was answered, or none for the policy of an author; the sender chooses
    all other questions, and the resolver may have zones of its own. Then the top-level domain of each author is asked
    for, even if it is cached, so that one domain's trouble is not taken for everybody's.
    """
    readings = (dmarc, *dmarc.readings)
    without = [
        each
        for each in readings
        if each.result is Result.TEMPERROR
        and not (each.header_from and shared.heard(questions(each.header_from, limits)))
    ]
    if not without and not shared.unanswered():
        return False
    # a resolver may never answer for names that are not public, such as those below local
    domains = {top_level(each.header_from) or _TOP_LEVEL for each in readings if each.header_from}
    resolve = anew()
    try:
        for domain in sorted(domains) or [_TOP_LEVEL]:
            resolve(f"_dmarc.{domain}", "TXT")
    except DnsTempError:
        return True
    except DnsLimit:
        pass
    return False
