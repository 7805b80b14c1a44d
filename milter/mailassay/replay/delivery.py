"""The part of a header section that the receiving host wrote: fields on top that the milter did not see."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from ..authres.read import resinfos
from ..authres.render import is_ours
from ..config import Relays
from ..message import Field, Headers
from ..received import read as received
from ..result import NO_CLIENT, Resinfo
from .fact import Unknown

_DELIVERY = (b"return-path", b"x-original-to", b"delivered-to", b"envelope-to", b"received")


def without(headers: Headers, stripped: set[int]) -> tuple[Headers, list[Field]]:
    """The header section without the fields at these places; and those fields, from top to bottom."""
    kept = Headers(each for number, each in enumerate(headers.fields) if number not in stripped)
    return kept, [headers.fields[number] for number in sorted(stripped)]


def names_of(fields: Sequence[Field]) -> tuple[str, ...]:
    """The names of the fields."""
    return tuple(each.name.decode() for each in fields)


def received_by(fields: Sequence[Field], hosts: Sequence[str], relays: Relays = Relays()) -> int:
    """The place of the Received field that this host wrote when the message came in. Raises Unknown.

    Programs of one host pass a message on (LMTP, a content filter on a loopback address): the first field with a client
    from outside counts, or else the last one that this host wrote. Without ``hosts``, the topmost field is this host's.
    """
    last = None
    for place, each in enumerate(fields):
        if each.name.lower() != b"received":
            continue
        found = received(each.value)
        if not hosts and last is None and found.by:
            hosts = (found.by,)
        if found.protocol.startswith("LMTP"):
            continue
        if last is None and any(_results(above, (found.by,)) for above in fields[:place]):
            # our own field names this host, and a sender's fields are below it
            hosts = (*hosts, found.by)
        if not any(same_host(found.by, host) for host in (*hosts, "localhost")):
            if last is None:
                writer = f"was written by {found.by}" if found.by else "does not say who wrote it"
                raise Unknown(
                    f"the topmost Received field {writer}, and this host is {' or '.join(hosts)}; "
                    "name the host that received the message with --host, or give the client's address with --ip"
                )
            break
        last = place
        if not found.inside or (found.client_ip is not None and found.client_ip in relays.networks):
            break
    if last is None:
        raise Unknown("no Received field has the client's address; give it with --ip")
    return last


def same_host(name: str, host: str) -> bool:
    """Is a name that of a host? A host without a dot matches in any domain."""
    name, host = name.lower().rstrip("."), host.lower().rstrip(".")
    return bool(name) and (name == host or ("." not in host and name.partition(".")[0] == host))


def added_after(
    fields: Sequence[Field], place: int, tags: Sequence[str], hosts: Sequence[str]
) -> tuple[set[int], tuple[Resinfo, ...], str]:
    """The fields that this host added after the milter saw the message, to ``place``; our results; the host's name.

    A field below our own that is neither ours nor of the delivery was added by an earlier milter, so ours saw it.
    """
    host = received(fields[place].value).by
    ours = next((number for number in range(place) if _results(fields[number], (host, *hosts))), None)
    if ours is None:
        return set(range(place + 1)), (), host
    names = {name.lower().encode() for name in tags}
    own = len(list(takewhile(lambda each: each.name.lower() in names, fields[ours + 1 : place])))
    stripped = set(range(ours + 1 + own))
    stripped |= {number for number in range(ours, place + 1) if fields[number].name.lower() in _DELIVERY}
    return stripped, _results(fields[ours], (host, *hosts)), host


def _results(each: Field, hosts: Sequence[str]) -> tuple[Resinfo, ...]:
    """The results in a field, if they are ours for a message that was judged; else empty.

    Above the Received field of this host only its own programs write. Only mailassay writes iprev under its name, or
    the reason that the client of a relay is not known.
    """
    if each.name.lower() != b"authentication-results" or not any(is_ours(each.value, host) for host in hosts if host):
        return ()
    found = resinfos(each.value)
    # a field that was written earlier has no fault, only the reason
    is_judged = any(one.method == "iprev" or one.reason.startswith(NO_CLIENT) for one in found)
    return found if is_judged else ()
