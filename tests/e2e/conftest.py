"""Real parts: a Postfix of our own, DNS on sockets, the daemon as a process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from mailassay.zone import Zone
from tests.demo.scenarios import zone
from tests.lab import mta
from tests.lab.dns import DnsServer
from tests.lab.folder import open_folder
from tests.lab.mta import Lab
from tests.lab.serve import Serve


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs a Postfix; the tests of a module that share one run in the same process."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.postfix)
            if "make_lab" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture(scope="module")
def make_lab() -> Iterator[Callable[..., Lab]]:
    """Start a lab; ``before`` and ``behind`` are further milters, ``more`` lines of main.cf, ``config`` our keys.

    ``names`` is its DNS, that of the demo where none is given; ``policy`` is the standard one where none is given.
    """
    if why := mta.missing():
        pytest.skip(reason=why)
    with ExitStack() as stack:

        def make(
            before: tuple[str, ...] = (),
            behind: tuple[str, ...] = (),
            more: str = "",
            names: Zone | None = None,
            policy: dict[str, Any] | None = None,
            **config: Any,
        ) -> Lab:
            folder = stack.enter_context(open_folder())
            dns = stack.enter_context(DnsServer(names or zone()))
            serve = stack.enter_context(Serve(folder, dns, policy, **config))
            postfix = stack.enter_context(mta.Mta([*before, f"unix:{serve.socket}", *behind], more))
            return Lab(postfix, serve)

        yield make


@pytest.fixture(scope="module")
def lab(make_lab: Callable[..., Lab]) -> Lab:
    """One lab for a module."""
    return make_lab()
