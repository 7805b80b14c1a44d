"""Encoded-words, as careful and careless readers decode them: RFC 2047."""

from __future__ import annotations

import re
from base64 import b64decode
from quopri import decodestring

from .charsets import codec, keeps_ascii
from .tokens import WHITE_SPACE

_START = re.compile(r"=\?([^?\s]*)\?([bq])\?", re.IGNORECASE)
_WHOLE = re.compile(r"=\?([^?\s]+)\?([bq])\?([^?\s]*)\?=", re.IGNORECASE)
_END = re.compile(r"\?=(?![ \t\r\n])")
_WHOLE_BASE64 = re.compile(r"[A-Za-z0-9+/]*+={0,2}")
_NO_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")


def decoded(text: str, *, whole: bool = False) -> str:
    """The text with its encoded-words decoded, whatever their position and content.

    ``whole``: an encoded-word contains no question mark. So one may begin inside text that would otherwise be another.
    """
    pieces, at = [], 0
    for word in _START.finditer(text):
        if word.start() < at:
            continue
        end = text.find("?=", word.end())
        if end < 0:
            break
        if whole and "?" in text[word.end() : end]:
            continue
        before = text[at : word.start()]
        # white space between two encoded-words is not shown (section 6.2)
        if not at or before.strip(WHITE_SPACE):
            pieces.append(before)
        pieces.append(_letters(word[1].lower(), word[2].lower(), text[word.end() : end]))
        at = end + 2
    return "".join([*pieces, text[at:]])


def decodings(text: str) -> tuple[str, str, str]:
    """The texts that readers may get by decoding the encoded-words in a text."""
    # some readers insert the blank that should follow an encoded-word (section 5)
    return decoded(text), decoded(text, whole=True), decoded(_END.sub("?= ", text))


def _letters(charset: str, encoding: str, content: str) -> str:
    """The text of an encoded-word. Only ASCII matters, so charsets in which ASCII is itself are decoded as UTF-8."""
    octets = content.encode("ascii", "replace")
    if encoding == "q":
        octets = decodestring(octets, header=True)
    else:
        # at a "=" that is not at the end, some readers stop, some start again after it, and some skip it
        parts = [part for part in octets.split(b"=") if part]
        readings = [parts[:1], parts, [b"".join(parts)]] if len(parts) > 1 else [parts]
        octets = b" ".join(b"".join(map(_base64, reading)) for reading in readings)
    return octets.decode(codec(charset), "replace")


def _base64(text: bytes) -> bytes:
    """The whole octets of a base64 text, ignoring characters that are not base64."""
    letters = _NO_BASE64.sub(b"", text)
    return b64decode(letters[: len(letters) - (len(letters) % 4 == 1)] + b"==")


def is_encoded_word(text: str) -> bool:
    """Is the text one complete encoded-word, in a charset in which ASCII is itself, or in ISO 2022?"""
    word = _WHOLE.fullmatch(text)
    if not word or (word[2] in "bB" and not _WHOLE_BASE64.fullmatch(word[3])):
        return False
    return keeps_ascii(word[1].lower())
