"""Debian's Chromium without a window, driven by Playwright."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from mailassay.config import Listen
from mailassay.web import server

CHROMIUM = "/usr/bin/chromium"


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; skips the test if there is none."""
    if not os.access(CHROMIUM, os.X_OK):
        pytest.skip(reason=f"no {CHROMIUM}: apt-get install chromium")
    with sync_playwright() as play:
        # its sandbox does not work for root
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        try:
            yield browser
        finally:
            browser.close()


def free() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


@contextmanager
def served(application: Any, port: int) -> Iterator[str]:
    """A WSGI application behind the server of the pages, in a thread of this process; gives its address."""
    found = server.server(application, server.opened(Listen("inet", host="127.0.0.1", port=port)))
    thread = threading.Thread(target=found.run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        found.close()


class Watched:
    """A page of the browser. ``said`` is what it wrote to the console: errors, and violations of the CSP among them."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self._address = page, address
        self.said: list[str] = []
        page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(str(error)))

    def go(self, path: str) -> Page:
        """Open a page by its path."""
        self.page.goto(self._address + path)
        return self.page

    def is_too_wide(self) -> bool:
        """Would a reader have to scroll sideways?"""
        found: bool = self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        return found
