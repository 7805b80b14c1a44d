"""A mail on standard input, as dmarc-metrics-exporter reads it, as JSON on standard output."""

import dataclasses
import json
import sys
from email import message_from_binary_file, policy

from dmarc_metrics_exporter.deserialization import get_aggregate_report_from_email

(found,) = get_aggregate_report_from_email(message_from_binary_file(sys.stdin.buffer, policy=policy.default))
json.dump(
    {"type": f"{type(found).__module__}.{type(found).__qualname__}", **dataclasses.asdict(found)},
    sys.stdout,
    default=lambda value: getattr(value, "value", None) or str(value),
)
