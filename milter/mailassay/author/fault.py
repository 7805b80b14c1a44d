"""Why From does not name one clear author domain."""

from __future__ import annotations

from enum import StrEnum


class Fault(StrEnum):
    """One member for each kind of cause. The value is the reason for people; programs compare members."""

    # the field as a whole
    NO_FIELD = "no From field"
    SEVERAL_FIELDS = "several From fields"
    NO_ADDRESS = "no address in From"
    SEVERAL_DOMAINS = "several author domains"
    # larger than is looked at
    HEADER_SECTION = "more header fields than are looked at"
    FIELD_NAME = "a field name longer than a line"
    LINE = "a line of From longer than 998 octets"
    OCTETS = "From is larger than is looked at"
    PIECES = "more words and special characters in From than are looked at"
    NAMES = "more addresses in From than are looked at"
    DOMAINS = "more author domains than are looked at"
    NOT_UTF8 = "octets in a domain of From that are not UTF-8"
    # characters that readers treat differently
    CONTROL = "a control character in From"
    ENCODED_CONTROL = "an encoded control character in From"
    BACKSLASH = "a backslash in From that may be part of a multibyte character"
    DIRECTION = "an address in From with bidirectional control characters"
    # the grammar (RFC 5322 sections 3.4 and 4.4)
    UNCLOSED = "an unclosed quote, bracket or comment in From"
    BRACKETS = "unbalanced angle brackets in From"
    GROUP = "a group in From"
    ROUTE = "a source route in From"
    ADDRESS = "a malformed address in From"
    LITERAL = "an address literal in From"
    DOMAIN = "an invalid domain in From"
    DISPLAY_NAME = "a malformed display name in From"
    ADDRESS_IN_NAME = "an address in the display name of From"
    TEXT_AFTER = "text after the address in From"


class Unclear(ValueError):
    """The field does not conform to RFC 5322 section 3.6.2, or can be read in several ways."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


class Malformed(Unclear):
    """The field has no mailbox by the grammar. Readers agree only if no reading gives a second domain."""


class Sloppy(Unclear):
    """Some programs write such fields. Readers agree on them as long as only one domain can be found."""


class TooMuch(Unclear):
    """The field is larger than is looked at."""
