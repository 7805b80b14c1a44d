"""The fuzz targets: a function of octets that raises where something is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from . import parsers, signing, talk

HERE = Path(__file__).parent
CORPUS, WORDS = HERE / "corpus", HERE / "words.dict"


class Target(NamedTuple):
    """``share`` of the time, in parts; ``octets`` of the largest input; ``pieces``: it is made of pieces."""

    run: Callable[[bytes], None]
    share: int = 1
    octets: int = 4096
    pieces: bool = False


TARGETS = {
    "conversation": Target(talk.conversation, 8, 16_384, pieces=True),
    "session": Target(talk.session, 3, 16_384, pieces=True),
    "author": Target(parsers.author, 2),
    "claimed": Target(parsers.claimed, 2),
    "recorded": Target(parsers.recorded),
    "rendered": Target(parsers.rendered),
    "dkim": Target(parsers.dkim, pieces=True),
    "key": Target(parsers.key),
    "arc": Target(parsers.arc, 1, 8192, pieces=True),
    "signed": Target(signing.signed, 2, 8192, pieces=True),
    "dmarc": Target(parsers.dmarc, pieces=True),
    "sender": Target(parsers.sender, 2, pieces=True),
    "domain": Target(parsers.domain, 1, 512),
    "message": Target(parsers.message),
    "received": Target(parsers.received, pieces=True),
    "config": Target(parsers.config),
    "zone": Target(parsers.zone),
    "answer": Target(parsers.answer),
}
