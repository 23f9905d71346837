"""Headless Chromium from the distribution (Debian's package ``chromium``), driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, sync_playwright


class WatchedPage:
    """A page and what it has requested and logged since it was last opened."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.errors.append(message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self, url: str) -> Page:
        """Load ``url`` anew, even if only its fragment changes."""
        self.page.goto("about:blank")
        self.requests.clear()
        self.errors.clear()
        self.page.goto(url)
        return self.page


@contextmanager
def open_browser() -> Iterator[WatchedPage]:
    """An offline browser with one page; skips the test if Chromium is not installed."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        # Chromium refuses to run its sandbox as root.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield WatchedPage(browser.new_context(offline=True).new_page())
        browser.close()


def check_readable(page: Page) -> None:
    """The page fits the window, and the contrast of every text is at least 4.5:1 (WCAG AA)."""
    assert page.viewport_size is not None
    scroll_width = page.evaluate("document.documentElement.scrollWidth")
    assert scroll_width <= page.viewport_size["width"]
    ratios = page.evaluate(CONTRAST_RATIOS)
    assert len(ratios) > 20
    assert min(ratios) >= 4.5, ratios


# The contrast ratio of each visible element with text of its own, as WCAG 2 defines it.
CONTRAST_RATIOS = """
() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const luminance = (color) => {
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3)
      .map((c) => c / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = (element) => {
    const color = getComputedStyle(element).backgroundColor;
    return color === "rgba(0, 0, 0, 0)" ? background(element.parentElement) : color;
  };
  const foreground = (element) =>
    getComputedStyle(element)[element instanceof SVGElement ? "fill" : "color"];
  const hasText = (node) => node.nodeType === Node.TEXT_NODE && node.data.trim();
  return [...document.querySelectorAll("main *, header *")]
    .filter((e) => e.checkVisibility() && [...e.childNodes].some(hasText))
    .filter((e) => e.ariaDisabled !== "true" && e.localName !== "style")
    .map((e) => [luminance(foreground(e)), luminance(background(e))].sort((a, b) => b - a))
    .map(([high, low]) => (high + 0.05) / (low + 0.05));
}
"""
