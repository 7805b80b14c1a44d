"""Gathers what DNS has for the keys that sign or seal."""

from __future__ import annotations

from ..config import Problem, Settings
from ..config.signing import doubts as of_keys
from ..feedback.asking import ask_for_each
from ..nameservers import Nameservers, system_nameservers
from ..resolver import Cached
from ..sign import Seal
from ..sign.permissions import Account
from ..sign.published import Published, look
from .facts import User

_PATIENCE = 15.0  # seconds for each key; many are asked for at a time


def doubts(settings: Settings, config: str | None, daemon: User | None) -> tuple[Problem, ...]:
    """What is wrong with the permissions of the keys, as the user of the daemon would find them."""
    reader = Account(daemon.name, daemon.uid, daemon.gids) if daemon else None
    return tuple(of_keys(settings, config or "", reader))


def published(settings: Settings, unseen: list[str], *, is_root: bool) -> tuple[Published, ...]:
    """What DNS has for each key, in the order of the configuration; last the one that seals.

    Raises ConfigError if resolv.conf(5) is needed and cannot be used.
    """
    signing = [key for each in settings.signing_keys.values() for key in each]
    if settings.sealing_key and settings.sealing_key not in signing:
        signing.append(settings.sealing_key)
    if (settings.sign.domains or settings.sign.seal is Seal.ALL) and not is_root:
        unseen.append("whether DNS has the keys that sign: only root can read them")
    if not signing:
        return ()
    limits = settings.policy.limits
    nameservers = Nameservers(settings.dns.nameservers or system_nameservers(), settings.dns.timeout, limits)
    try:
        source = Cached(nameservers, settings.dns.cache_size)
        found = dict(ask_for_each(signing, look, source, _PATIENCE))
    finally:
        nameservers.close()
    return tuple(found[key] for key in signing)
