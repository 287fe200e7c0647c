"""Whether the picture keeps up with its source, and what helps where it does not."""

from __future__ import annotations

__all__ = ["PaceWatch"]

_LASTING = 5.0  # seconds: longer than rates remember a gap or a start
_KEEPS_UP = 0.9  # share of the source's frames
_SMALLEST_MODEL = "rt-s"
# Modes that most cameras have, (width, height), large to small.
_SIZES = ((1920, 1080), (1280, 720), (960, 540), (640, 480), (640, 360), (320, 240))


class PaceWatch:
    """Watches two rates, and has something to say once.

    Args:
        model: the network that runs.
        sizeable: whether the source can be asked for a smaller picture.
    """

    def __init__(self, model: str, *, sizeable: bool) -> None:
        self._model = model
        self._sizeable = sizeable
        self._behind_since: float | None = None
        self._told = False

    def look(
        self,
        now: float,
        *,
        captured: float,
        shown: float,
        size: tuple[int, int],
        denoise_ms: float,
        backend: str,
    ) -> str | None:
        """Take the newest figures; gives a line the first time that the picture has been behind for a while.

        Args:
            now: on a clock that only goes forward, in seconds.
            captured: frames per second of the source; 0 where it gives none now.
            shown: frames per second that come out.
            size: (width, height) of a frame.
            denoise_ms: what denoising a frame takes.
            backend: what denoises, for the line.
        """
        if captured <= 0 or shown >= _KEEPS_UP * captured:
            self._behind_since = None
            return None
        if self._behind_since is None:
            self._behind_since = now
        if self._told or now - self._behind_since < _LASTING:
            return None
        self._told = True
        width, height = size
        return (
            f"the picture comes at {shown:.1f} of the source's {captured:.1f} fps: "
            f"denoising {width}x{height} takes {denoise_ms:.0f} ms a frame here ({backend}). "
            f"{self._advice(size, shown / captured)}"
        )

    def _advice(self, size: tuple[int, int], share: float) -> str:
        ways = []
        if self._sizeable:
            fitting = [each for each in _SIZES if each[0] * each[1] <= size[0] * size[1] * share]
            smaller = fitting[0] if fitting else _SIZES[-1]
            if smaller[0] * smaller[1] < size[0] * size[1]:
                ways.append(f"--size {smaller[0]}x{smaller[1]}")
        else:
            ways.append("a source with a smaller picture")
        if self._model != _SMALLEST_MODEL:
            ways.append(f"--model {_SMALLEST_MODEL}")
        return (
            f"Faster: {' or '.join(ways)}"
            if ways
            else "Other programs at work, or a faster machine, decide the rest"
        )
