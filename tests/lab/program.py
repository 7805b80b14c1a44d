"""The program as a process of its own, and what stands for the programs and the terminal around it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import mailassay

PROGRAM = [sys.executable, "-m", "mailassay"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(mailassay.__file__).parents[1])}
ZONE = """
1.2.0.192.in-addr.arpa PTR  mail.bank.example
mail.bank.example      A    192.0.2.1
bank.example           TXT  "v=spf1 ip4:192.0.2.1 -all"
_dmarc.bank.example    TXT  "v=DMARC1; p=reject"
"""


def overwrite(target: object, **values: object) -> None:
    """Put faults into a module or a class of a process that runs only for that."""
    for name, value in values.items():
        setattr(target, name, value)


def script(folder: Path, name: str, commands: str) -> None:
    """Put a program into a folder: a shell script with these commands."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{commands}\n")
    path.chmod(0o755)


def fits(line: str, width: int) -> bool:
    """Does it, or is it one word that is not broken, beside a label or what else indents it?"""
    word = r"(?:`[^`]+`|\(RFC [^)]+\)|[^ ])+"
    return len(line) <= width or bool(
        re.fullmatch(rf" *{word}|(?:.{{,24}}  | +[0-9]+ |  any other client: ){word}", line)
    )
