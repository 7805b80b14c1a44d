"""The picture of the pages in the README, and in docs/pages.md.

python -m tests.screenshots writes docs/overview.png.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from tests.lab.chromium import chromium, free, served
from tests.lab.pages import Asked, fill
from tests.lab.week import week

NOW = 1_795_876_200.0  # a Saturday afternoon
_PICTURE = Path(__file__).parents[1] / "docs" / "overview.png"
_SIZE = {"width": 1100, "height": 1020}
_MESSAGES = 40_000
_MOST = 200_000  # octets


def main() -> int:
    """Write the picture. Returns the exit status."""
    # the same everywhere
    os.environ["TZ"] = "UTC"
    time.tzset()
    with tempfile.TemporaryDirectory() as name, chromium() as browser:
        folder = Path(name)
        fill(folder, week(NOW, _MESSAGES))
        with served(Asked(folder, NOW).pages, free()) as address:
            page = browser.new_page(viewport=_SIZE)
            page.goto(f"{address}/")
            page.screenshot(path=_PICTURE)
    if (octets := _PICTURE.stat().st_size) > _MOST:
        print(f"{_PICTURE} has {octets} octets, and may have {_MOST}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
