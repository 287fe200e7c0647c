"""What is known of a camera before it is opened."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

__all__ = ["Camera", "Mode", "preferred_fourcc"]

_MJPG = "MJPG"
# Not wanted of a camera in the place of plain pictures: denoising has little to gain from what they have lost.
_COMPRESSED = frozenset({_MJPG, "JPEG", "H264", "HEVC", "MPEG", "VP80", "VP90"})
_USUAL_RATE = Fraction(30)
# (width, height) that OpenCV asks for by itself; every camera manages that without compression.
_OWN_SIZE = (640, 480)


@dataclass(frozen=True)
class Mode:
    """One way in which a camera gives pictures.

    Attributes:
        fourcc: pixel format as Video4Linux calls it, such as "YUYV".
        width, height: in pixels.
        frame_rates: frames per second, the fastest first; empty where the driver does not say.
    """

    fourcc: str
    width: int
    height: int
    frame_rates: tuple[Fraction, ...] = ()

    def __str__(self) -> str:
        rates = ", ".join(f"{float(rate):.4g}" for rate in self.frame_rates)
        return f"{self.width}x{self.height} {self.fourcc}" + (f" at {rates} fps" if rates else "")


@dataclass(frozen=True)
class Camera:
    """A camera that is there, whether or not it can be used now.

    Attributes:
        number: what ``--device`` takes; on Linux N of /dev/videoN, or -1 for a path of another form.
        path: /dev/videoN on Linux, "" elsewhere.
        name: the driver's name of it, "" where that is unknown.
        bus: where it is plugged in, "" where that is unknown.
        modes: what it offers; empty where that is unknown.
        problem: why it cannot be used now, and what to do, one line; None where nothing is known against it.
    """

    number: int
    path: str
    name: str = ""
    bus: str = ""
    modes: tuple[Mode, ...] = ()
    problem: str | None = None

    @property
    def label(self) -> str:
        """What messages call it, such as "camera 0 (USB Cam)"."""
        plain = f"camera {self.number}" if self.number >= 0 else self.path
        return f"{plain} ({self.name})" if self.name else plain

    def __str__(self) -> str:
        """Several lines, for a person: the camera, what is wrong with it, its modes."""
        place = " at ".join(part for part in (self.label, self.bus) if part)
        problem = [self.problem] if self.problem is not None else []
        return "\n    ".join([place, *problem, *map(str, self.modes)])


def preferred_fourcc(
    modes: tuple[Mode, ...], size: tuple[int, int] | None, frame_rate: float | None
) -> str | None:
    """The pixel format to ask for when the user names none.

    USB 2 has no room for large plain pictures at full rate: cameras then give them slowly, and OpenCV takes them so.

    Args:
        modes: what the camera offers.
        size: (width, height) wanted, or None.
        frame_rate: frames per second wanted, or None.

    Returns:
        "MJPG" where the camera has it and is too slow without it; None to leave the choice to OpenCV.
    """
    if size is None or not any(mode.fourcc == _MJPG for mode in modes):
        return None
    fitting = [mode for mode in modes if (mode.width, mode.height) == size]
    if not fitting:
        return _MJPG if size[0] * size[1] > _OWN_SIZE[0] * _OWN_SIZE[1] else None
    plain = _fastest([mode for mode in fitting if mode.fourcc not in _COMPRESSED])
    packed = _fastest([mode for mode in fitting if mode.fourcc == _MJPG])
    wanted = Fraction(frame_rate) if frame_rate is not None else _USUAL_RATE
    return _MJPG if packed > plain and plain < wanted else None


def _fastest(modes: list[Mode]) -> Fraction:
    return max((rate for mode in modes for rate in mode.frame_rates), default=Fraction(0))
