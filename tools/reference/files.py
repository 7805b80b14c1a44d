"""The files that are generated, and what they have to hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mailassay.config import schema

from . import alerts, dashboard, manual, markdown, metrics

ROOT = Path(__file__).parents[2]


def _json(found: Mapping[str, Any]) -> str:
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


FILES: Mapping[str, Callable[[], str]] = {
    "conf/mailassay.schema.json": lambda: _json(schema.settings().schema),
    "policies/mailassay-policy.schema.json": lambda: _json(schema.policy().schema),
    "conf/grafana-dashboard.json": dashboard.file,
    "conf/prometheus-alerts.yaml": alerts.file,
    "docs/metrics.md": metrics.page,
    "docs/reference.md": markdown.page,
    "man/mailassay.8": manual.program,
    "man/mailassay.yaml.5": manual.settings,
    "man/mailassay-policy.5": manual.policy,
}
