"""What is shown of a configuration: little of each word, and nothing that could be a private key."""

from __future__ import annotations

import re

_MAX_WORD = 60  # characters
_MAX_PATH = 300
_MAX_TEXT = 600  # of a whole sentence with what it quotes
_MAX_PIECE = 20  # of a path, between two slashes, where it could be base64 too
_HEAD = 12  # characters that stay of what could be a key: they say which one, and nothing that is secret
_BASE64 = re.compile(r"[A-Za-z0-9+/]{40,}=*")
_WORD = re.compile(r"\S{61,}")


def excerpt(text: str) -> str:
    """The text without the middle of what is long, and without most of what could be base64 of a key."""
    shown = _WORD.sub(_shortened, _BASE64.sub(_without_key, text))
    return _middle_out(shown, _MAX_TEXT) if len(shown) > _MAX_TEXT else shown


def _without_key(found: re.Match[str]) -> str:
    word = found[0]
    if word[0] == "/" and all(len(each) <= _MAX_PIECE and each.isalnum() for each in word[1:].split("/")):
        return word
    return f"{word[:_HEAD]}…"


def _shortened(found: re.Match[str]) -> str:
    word = found[0]
    # what could be base64 is gone
    most = _MAX_PATH if "/" in word else _MAX_WORD
    return _middle_out(word, most) if len(word) > most else word


def _middle_out(text: str, most: int) -> str:
    half = (most - 1) // 2
    return f"{text[:half]}…{text[-half:]}"
