"""An eye on the page: the clock is read from the canvas by a script in the browser itself."""

from __future__ import annotations

from livebench.browser import Browser
from livebench.clock import PLACE

__all__ = ["PageEye"]

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
