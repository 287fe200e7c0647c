"""An eye on the page: a headless Chromium, driven by W3C WebDriver, reads the clock from the canvas."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from livebench.camera import PLACE

__all__ = [
    "END",
    "ENTER",
    "ESCAPE",
    "HOME",
    "LEFT",
    "RIGHT",
    "SPACE",
    "TAB",
    "Browser",
    "NoBrowser",
    "PageEye",
]

ENTER, ESCAPE, SPACE, TAB = "\ue007", "\ue00c", "\ue00d", "\ue004"
HOME, END, LEFT, RIGHT = "\ue011", "\ue010", "\ue012", "\ue014"
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_PATIENCE = 20.0
# Neither Python nor Chromium may take a proxy on the way to this machine itself.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NoBrowser(RuntimeError):
    """There is no Chromium here; the text says what to install."""


class Browser:
    """One browser window; a context manager."""

    def __init__(self, profile: Path, size: tuple[int, int] = (1280, 800), *, phone: bool = False) -> None:
        """Start it.

        Args:
            profile: empty folder for the browser's files.
            size: (width, height) of the page in CSS pixels.
            phone: whether it is a touch screen with two device pixels per CSS pixel.

        Raises:
            NoBrowser: Chromium or its driver is not installed.
        """
        driver, chromium = shutil.which("chromedriver"), shutil.which("chromium")
        if driver is None or chromium is None:
            raise NoBrowser("needs Chromium and its driver (Debian: chromium chromium-driver)")
        self._driver = subprocess.Popen(
            [driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._session = ""
        try:
            self._base = f"http://127.0.0.1:{self._port()}/session"
            arguments = [
                f"--user-data-dir={profile}",
                "--headless=new",
                "--no-proxy-server",
                "--hide-scrollbars",
            ]
            if os.name == "posix" and os.geteuid() == 0:
                arguments.append("--no-sandbox")
            metrics = {"width": size[0], "height": size[1], "pixelRatio": 2 if phone else 1}
            metrics |= {"touch": phone, "mobile": phone}
            options = {"binary": chromium, "args": arguments, "mobileEmulation": {"deviceMetrics": metrics}}
            wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            made = self._call("POST", "", {"capabilities": {"alwaysMatch": wanted}})
            self._session = f"/{made['sessionId']}"
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, url: str) -> None:
        """Load a page."""
        self._call("POST", "/url", {"url": url})

    def run(self, code: str, *values: object) -> Any:
        """The result of the body of a JavaScript function; elements are not returned."""
        return self._call("POST", "/execute/sync", {"script": code, "args": list(values)})

    def wait(self, code: str, *values: object, until: Callable[[Any], bool] = bool) -> Any:
        """Run JavaScript until its result suits; gives that."""
        end = time.monotonic() + _PATIENCE
        while not until(found := self.run(code, *values)):
            if time.monotonic() > end:
                raise AssertionError(f"still {found!r} after {_PATIENCE:g} s: {code}")
            time.sleep(0.03)
        return found

    def click(self, css: str) -> None:
        """Click the middle of an element."""
        self._call("POST", f"/element/{self._find(css)}/click", {})

    def type(self, keys: str) -> None:
        """Press keys, wherever the focus is."""
        steps = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._act({"type": "key", "id": "keys", "actions": steps})

    def drag(self, css: str, *shares: float, pointer: str = "mouse") -> None:
        """Press in the middle of an element's height, at the first share of its width, and move to the others."""
        place = self.run(
            "const b = document.querySelector(arguments[0]).getBoundingClientRect();"
            "return [b.left, b.width, b.top + b.height / 2]", css,
        )  # fmt: skip
        spots = [(round(place[0] + place[1] * share), round(place[2])) for share in shares]
        moves = [{"type": "pointerMove", "duration": 50, "x": x, "y": y} for x, y in spots]
        down, up = ({"type": kind, "button": 0} for kind in ("pointerDown", "pointerUp"))
        steps = [moves[0], down, *moves[1:], up]
        self._act(
            {"type": "pointer", "id": pointer, "parameters": {"pointerType": pointer}, "actions": steps}
        )

    def label(self, css: str) -> str:
        """The name of an element as assistive technology gets it."""
        return str(self._call("GET", f"/element/{self._find(css)}/computedlabel"))

    def role(self, css: str) -> str:
        """The role of an element as assistive technology gets it."""
        return str(self._call("GET", f"/element/{self._find(css)}/computedrole"))

    def complaints(self) -> list[str]:
        """What the console has been told as warning or error since the last call."""
        entries = self._call("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in ("WARNING", "SEVERE")]

    def prefer(self, feature: str, value: str) -> None:
        """What the viewer prefers, by the name of the media feature: "prefers-color-scheme", "light"."""
        features = [{"name": feature, "value": value}]
        command = {"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}}
        self._call("POST", "/goog/cdp/execute", command)

    def screenshot(self, path: Path) -> None:
        """Save the visible page as PNG."""
        path.write_bytes(base64.b64decode(self._call("GET", "/screenshot")))

    def close(self) -> None:
        """End browser and driver."""
        if self._session:
            self._call("DELETE", "")
            self._session = ""
        self._driver.terminate()
        self._driver.wait(10)
        if self._driver.stdout is not None:
            self._driver.stdout.close()

    def _find(self, css: str) -> str:
        found = self._call("POST", "/element", {"using": "css selector", "value": css})
        return str(found[_ELEMENT])

    def _act(self, device: dict[str, Any]) -> None:
        self._call("POST", "/actions", {"actions": [device]})

    def _port(self) -> int:
        """The port the driver says it has chosen; a driver that says nothing is ended."""
        watchdog = threading.Timer(_PATIENCE, self._driver.kill)
        watchdog.start()
        try:
            for line in self._driver.stdout or ():
                if found := re.search(r"started successfully on port (\d+)", line):
                    return int(found[1])
        finally:
            watchdog.cancel()
        raise RuntimeError("chromedriver has not started")

    def _call(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._base + self._session + path, data, method=method)
        request.add_header("Content-Type", "application/json")
        try:
            with _OPENER.open(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as exc:
            raise RuntimeError(f"{method} {path}: {json.load(exc)['value']['message']}") from exc


# As ``read_clock``, on every picture the browser is about to show. The strip is shrunk to one pixel per block and row;
# page and camera share the machine's clock.
_SCRIPT = """
const [top, bottom] = arguments, bits = 16, wrap = 65536;
const eye = new OffscreenCanvas(bits, 2).getContext("2d", { willReadFrequently: true });
const canvas = document.getElementById("canvas");
window.ages = [];
let seen = -1;
function look() {
  const height = canvas.height * (bottom - top);
  const block = canvas.width / bits;
  for (let bit = 0; bit < bits; bit++) {
    for (let row = 0; row < 2; row++) {
      eye.drawImage(canvas, (bit + 0.25) * block, canvas.height * top + height * (row * 0.5 + 0.125),
                    block / 2, height / 4, bit, row, 1, 1);
    }
  }
  const pixels = eye.getImageData(0, 0, bits, 2).data;
  let drawn = 0, whole = true;
  for (let bit = 0; bit < bits; bit++) {
    const difference = pixels[4 * bit] - pixels[4 * (bits + bit)];
    whole = whole && Math.abs(difference) > 60;
    drawn = 2 * drawn + (difference > 0 ? 1 : 0);
  }
  if (whole && drawn !== seen) {
    window.ages.push(((Date.now() - drawn) % wrap + wrap) % wrap);
    seen = drawn;
  }
  requestAnimationFrame(look);
}
look();
"""


class PageEye:
    """Notes for every picture how old it was when the page had drawn it."""

    def __init__(self, browser: Browser) -> None:
        """``browser``: with the page open."""
        self._browser = browser
        browser.run(_SCRIPT, *PLACE)

    @property
    def ages(self) -> list[int]:
        """Milliseconds, in the order seen."""
        return [int(age) for age in self._browser.run("return window.ages")]
