"""A plan from an opendkim.conf(5): its domains and keys, by what opendkim would do with mail of each domain."""

from __future__ import annotations

from collections.abc import Iterable

from . import exempt_domains
from .clients import networks
from .data_set import DataSet, opened
from .examination import NAME_THEM, Examination
from .key_table import Tables
from .opendkim_file import Settings
from .opendkim_options import Fate
from .plan import Plan, Source, Use
from .remark import Code, Place, error, note, warning

_OVERSIGNED = ("from", "to", "cc", "subject", "date", "reply-to")


def plan(path: str) -> Plan:
    """The plan of a configuration. Raises Unreadable if the file cannot be read."""
    settings = Settings(path)
    found = Plan("opendkim", path)
    found.say(*settings.remarks)
    found.passed_over = [(name, each.place) for name, each in settings.passed_over(Fate.NOTHING, Fate.CHECKING)]
    mode = settings.get("Mode")
    if mode and "s" not in mode.value.lower():
        what = f"Mode is {mode.value}: this opendkim signs nothing"
        found.say(warning(mode.place, Code.DISABLED, what))
        return found
    if settings.get("KeyTable"):
        _by_tables(found, settings)
    else:
        _by_domain(found, settings)
    exempt_domains.leave_out(found, settings)
    found.why_believed = (
        "opendkim signs whatever MAIL FROM is. With envelope, Postfix keeps users from each other's domains "
        "(reject_sender_login_mismatch); any signs as before"
    )
    _clients(found, settings)
    _authors(found, settings)
    found.say(*settings.others())
    return found


def _by_domain(found: Plan, settings: Settings) -> None:
    """Domain, Selector and KeyFile: one key for all domains of a list."""
    domains, selector, file = (settings.get(name) for name in ("Domain", "Selector", "KeyFile"))
    if table := settings.get("SigningTable"):
        found.say(error(table.place, Code.DATA_SET, "SigningTable needs a KeyTable, and opendkim refuses it alone"))
    if not domains or not selector or not file:
        lacking = [name for name in ("Domain", "Selector", "KeyFile") if not settings.get(name)]
        what = f"nothing signs: {' and '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} not set"
        found.say(warning(Place(found.file), Code.DISABLED, what))
        return
    source = _file(found, file.value, file.place, settings, "")
    members, remarks = opened("Domain", domains, settings)
    found.say(*remarks)
    if source is None or members is None:
        return
    for entry in members.entries:
        if "*" in entry.key and (members.patterns or entry.key == "*"):
            what = f"{entry.key} signs for all domains that it matches, with one key"
            found.say(warning(entry.place, Code.WILDCARD, what, NAME_THEM))
        else:
            found.add(entry.key, Use(selector.value, source, entry.place))
    if below := settings.get("SubDomains"):
        found.subdomains, found.why_subdomains = below.is_on, f"{below.place}, SubDomains"


def _by_tables(found: Plan, settings: Settings) -> None:
    """KeyTable and SigningTable."""
    key_table, signing_table = settings.get("KeyTable"), settings.get("SigningTable")
    assert key_table
    for name in ("Domain", "Selector", "KeyFile"):
        if ignored := settings.get(name):
            found.say(note(ignored.place, Code.UNUSED, f"opendkim ignores {name}, since there is a KeyTable"))
    if not signing_table:
        what = "nothing signs: there is no SigningTable"
        found.say(warning(key_table.place, Code.DISABLED, what))
        return
    keys, remarks = opened("KeyTable", key_table, settings)
    signing, more = opened("SigningTable", signing_table, settings)
    found.say(*remarks, *more)
    if keys and signing:
        tables = Tables(signing, keys, several=settings.is_on("MultipleSignatures"))
        chroot = settings.get("ChangeRootDirectory")
        # the files of a KeyTable are read after that
        root = chroot.value.rstrip("/") if chroot else ""
        Examination(found, tables, lambda path, place: _file(found, path, place, settings, root), root).run()


def _file(found: Plan, path: str, place: Place, settings: Settings, root: str) -> Source | None:
    whole = settings.absolute(path)
    if whole is None:
        what = f"where the key {path} is depends on the folder in which opendkim was started"
        found.say(error(place, Code.FILE, what, "Write its whole path"))
        return None
    return Source(root + whole)


def _clients(found: Plan, settings: Settings) -> None:
    """Whose mail opendkim signs."""
    if internal := settings.get("InternalHosts"):
        members, remarks = opened("InternalHosts", internal, settings)
        found.say(*remarks)
        if members:
            found.networks, remarks = networks(_members(members), "InternalHosts")
            found.clients = f"{internal.place}, InternalHosts"
            found.say(*remarks)
    if peers := settings.get("PeerList"):
        what = "PeerList: opendkim does nothing to mail of these clients, and mailassay signs mail of trusted clients"
        found.say(warning(peers.place, Code.CLIENTS, what, "Leave them out of trusted_networks: their mail is judged"))
    for name, which in (("MacroList", "with certain macros"), ("MTA", "by services with certain names")):
        if setting := settings.get(name):
            what = f"{name}: mail that comes in {which} is signed; mailassay signs mail of clients that logged in or "
            what += "are in trusted_networks"
            found.say(warning(setting.place, Code.CLIENTS, what))


def _members(members: DataSet) -> Iterable[tuple[str, Place]]:
    return ((entry.key, entry.place) for entry in members.entries)


def _authors(found: Plan, settings: Settings) -> None:
    """Which field has the author, and how the signature is made."""
    if (senders := settings.get("SenderHeaders")) and senders.value.lower() != "from":
        what = f"SenderHeaders is {senders.value}: d= follows another field than From, which DMARC does not look at"
        found.say(warning(senders.place, Code.AUTHOR, what, "d= is the domain in From"))
    algorithm = settings.get("SignatureAlgorithm")
    if algorithm and algorithm.value.lower() == "rsa-sha1":
        what = "SignatureAlgorithm is rsa-sha1, which proves nothing (RFC 8301); mailassay signs with SHA-256"
        found.say(note(algorithm.place, Code.OPTION, what))
    if oversigned := settings.get("OversignHeaders"):
        members, remarks = opened("OversignHeaders", oversigned, settings)
        found.say(*remarks)
        more = [each.key for each in members.entries if each.key.lower() not in _OVERSIGNED] if members else []
        if more:
            what = f"OversignHeaders has {', '.join(more)}; docs/signing.md says which fields are signed"
            found.say(note(oversigned.place, Code.OPTION, what))
