"""A mail on standard input, as parsedmarc reads it, as JSON on standard output."""

import json
import logging
import sys

import parsedmarc

# what it doubts is a warning, and then our fault
warnings = []
handler = logging.Handler(logging.WARNING)
handler.emit = lambda record: warnings.append(record.getMessage())
logging.getLogger().addHandler(handler)
parsedmarc.logger.addHandler(handler)
found = parsedmarc.parse_report_email(
    sys.stdin.buffer.read(), offline=True, always_use_local_files=True, normalize_timespan_threshold_hours=48
)
json.dump({**found, "warnings": warnings}, sys.stdout, default=str)
