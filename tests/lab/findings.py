"""The codes of the findings that a file can make."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path


def codes(path: Path) -> Iterator[str]:
    """Those of all findings, but for what is fine."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name | ast.IfExp):
            continue
        if node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str):
            names = {each.id for each in ast.walk(node.func) if isinstance(each, ast.Name)}
            if names & {"error", "warning", "note", "severe"}:
                yield node.args[0].value
