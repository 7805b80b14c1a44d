"""The Public Suffix List, read from the file that a distribution keeps up to date (publicsuffix.org/list)."""

from __future__ import annotations

from collections.abc import Iterable

from ..domain import BadDomain, Domain


class SuffixList:
    """The list, with the functions of ``publicsuffixlist.PublicSuffixList`` that are used.

    That library brings a list of its own. Debian packages the list, but not the library. Names are A-labels in lower
    case, as in :class:`Domain`.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        """``lines`` of the file. Lines that are no rule are skipped."""
        self._suffixes: set[str] = set()  # rules as they stand
        self._below: set[str] = set()  # *.NAME: each name just below NAME
        self._exceptions: set[str] = set()  # !NAME
        for line in lines:
            rule = next(iter(line.split()), "")
            if not rule or rule.startswith("//"):
                continue
            found = self._suffixes
            if rule.startswith("*."):
                rule, found = rule[2:], self._below
            elif rule.startswith("!"):
                rule, found = rule[1:], self._exceptions
            try:
                found.add(str(Domain(rule)))
            except BadDomain:
                continue

    def __bool__(self) -> bool:
        """Does it have rules?"""
        return bool(self._suffixes)

    def publicsuffix(self, name: str, *, accept_unknown: bool = True) -> str | None:
        """The public suffix of a name.

        If no rule fits, it is the top-level domain, or None without ``accept_unknown``.
        """
        labels = name.split(".")
        # the longest rule decides, and an exception overrides it
        for start in range(len(labels)):
            suffix, above = ".".join(labels[start:]), ".".join(labels[start + 1 :])
            if suffix in self._exceptions:
                return above
            # as the library does: a name below which each name is a suffix is one, too
            if suffix in self._suffixes or suffix in self._below or above in self._below:
                return suffix
        return labels[-1] if accept_unknown else None

    def privatesuffix(self, name: str) -> str | None:
        """The public suffix of a name with one more label; None if the name is a public suffix itself."""
        suffix = self.publicsuffix(name)
        if suffix is None or suffix == name:
            return None
        return ".".join(name.split(".")[-suffix.count(".") - 2 :])

    def is_public(self, name: str) -> bool:
        """Is the name a public suffix?"""
        return self.publicsuffix(name) == name
