"""The log lines of messages, read strictly."""

from __future__ import annotations

import json
import re


def read_back(line: str) -> dict[str, str]:
    """The pairs of a line; it must hold nothing else."""
    assert line.isprintable()
    pairs = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|[^" ]+)(?: |$)', line)
    assert " ".join(f"{key}={value}" for key, value in pairs) == line
    assert len({key for key, _ in pairs}) == len(pairs)
    # grep and fail2ban do not know of quotes
    assert [*re.findall(r' ([a-z_]+)=[^\s"]', f" {line}")] == [key for key, value in pairs if value[0] != '"']
    return {key: json.loads(value) if value.startswith('"') else value for key, value in pairs}
