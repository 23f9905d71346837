"""Headless Chromium over its pipe: open a page, press keys, read what it shows.  Debian's package ``chromium``; no driver."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = [
    *(
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--remote-debugging-pipe",
        "--no-first-run",
    ),
    *(
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-extensions",
    ),
    "--host-resolver-rules=MAP * ~NOTFOUND",
]
START = "import fcntl, os, sys; ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]\n"
START += "os.dup2(ends[0], 3); os.dup2(ends[1], 4); os.execvp(sys.argv[3], sys.argv[3:])"  # the pipe's ends have to be 3 and 4
PATIENCE = 60  # seconds
KEYS = {"ArrowLeft": 37, "ArrowRight": 39, "Tab": 9, "Enter": 13}


class Page:
    """One tab, spoken to by the DevTools protocol."""

    def __init__(self, send: int, receive: int) -> None:
        self.send, self.receive, self.rest, self.number, self.session = send, receive, b"", 0, ""
        self.messages: list[dict[str, Any]] = []
        tab = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer to one command; events that come in between are kept in ``messages``."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params} | (
            {"sessionId": self.session} if self.session else {}
        )
        os.write(self.send, json.dumps(message).encode() + b"\0")
        while (answer := self.read()).get("id") != self.number:
            self.messages.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def read(self) -> dict[str, Any]:
        """The next message."""
        while b"\0" not in self.rest:
            assert select.select([self.receive], [], [], PATIENCE)[0], (
                f"the browser has said nothing for {PATIENCE} s"
            )
            more = os.read(self.receive, 1 << 16)
            assert more, "the browser has gone"
            self.rest += more
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def open(self, url: str) -> None:
        """Load it anew and wait until it is there."""
        for address in (
            "about:blank",
            url,
        ):  # from the page itself to a place in it nothing would be loaded
            self.messages.clear()
            self.call("Page.navigate", url=address)
            while not any(
                message.get("method") == "Page.loadEventFired" for message in self.messages
            ):
                self.messages.append(self.read())

    def get(self, expression: str) -> Any:
        """The value of some JavaScript."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str, shift: bool = False) -> None:
        """One key, down and up."""
        common = {
            "key": key,
            "code": key,
            "windowsVirtualKeyCode": KEYS[key],
            "modifiers": 8 * shift,
        }
        common |= {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, **common)

    def look(self, scheme: str, width: int = 1100, height: int = 900) -> None:
        """Set the size, and "light" or "dark"."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )

    def picture(self, path: Path) -> None:
        """A PNG of what is to be seen."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def said(self, *methods: str) -> list[dict[str, Any]]:
        """The events of these kinds since the page was opened."""
        self.get("0")
        return [message["params"] for message in self.messages if message.get("method") in methods]


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """A fresh browser; the test is skipped where there is none."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium: apt-get install chromium")
    to_child, send = os.pipe()
    receive, from_child = os.pipe()
    command = [
        sys.executable,
        "-c",
        START,
        str(to_child),
        str(from_child),
        program,
        *FLAGS,
        f"--user-data-dir={profile}",
    ]
    process = subprocess.Popen(command, pass_fds=(to_child, from_child), stderr=subprocess.DEVNULL)
    os.close(to_child)
    os.close(from_child)
    try:
        yield Page(send, receive)
    finally:
        process.terminate()
        process.wait(timeout=20)
        os.close(send)
        os.close(receive)
