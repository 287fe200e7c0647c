"""A picture file, opened: its pixels to be read and replaced, and everything else that it carries."""

from __future__ import annotations

import importlib.util
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, JpegImagePlugin, UnidentifiedImageError

from malle_rt.errors import SourceError
from malle_rt.memory import Reservations
from malle_rt.opencv import opencv
from malle_rt.photo.denoiser import ArrayCanvas, Canvas, Pixels
from malle_rt.photo.metadata import Metadata, read_metadata

__all__ = ["LARGE", "SUFFIXES", "Picture", "open_picture", "without_limit"]

# By the names that Pillow has for formats. GIF and BMP are read only.
SUFFIXES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".avif": "AVIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
}
_READ = ("JPEG", "PNG", "TIFF", "WEBP", "AVIF", "GIF", "BMP")
_LARGEST = 1_000_000_000  # pixels
LARGE = 50_000_000  # pixels from which memory is spared at the cost of time and bytes
_NETWORK = 700 << 20  # bytes that the network takes beside the picture
_UNKNOWN = {
    "CMYK": "it has the inks of a printer (CMYK). Convert it to RGB first, with its colour profile",
    "1": "it is black and white, 1 bit a pixel, and has no noise of a camera",
    "F": "its pixels are floating-point numbers. Convert it to 16 bits first",
    "I": "its pixels have 32 bits, or signs. Convert it to 16 bits without signs first",
}

# Tags of TIFF, and what they may say.
_PHOTOMETRIC, _ORIENTATION, _EXTRA_SAMPLES = 262, 274, 338
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _MULTIPLIED = 0, 1, 1  # the last: alpha by which the colours are multiplied
_ROWS = 256  # at once

_pillow = threading.Lock()  # of its limit for pixels


class PillowCanvas:
    """A picture of Pillow as a canvas, mode L, LA, RGB or RGBA; alpha stays as it is."""

    largest = 255

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self.width, self.height = image.size
        self._colours = len(image.getbands()) - image.mode.endswith("A")

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """See ``Canvas``."""
        pixels = np.asarray(self._part(left, top, right, bottom))
        return pixels[..., None] if pixels.ndim == 2 else pixels[..., : self._colours]

    def write(self, top: int, left: int, pixels: Pixels) -> None:
        """See ``Canvas``."""
        rows, columns = pixels.shape[:2]
        patch = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if self._colours == 1 else pixels))
        if self.image.mode.endswith("A"):
            patch.putalpha(self._part(left, top, left + columns, top + rows).getchannel("A"))
        self.image.paste(patch, (left, top))

    def _part(self, left: int, top: int, right: int, bottom: int) -> Image.Image:
        with without_limit():  # older versions of Pillow have it for parts, too
            return self.image.crop((left, top, right, bottom))


@dataclass
class Picture:
    """One picture file, decoded.

    Attributes:
        format: Pillow's name for its kind; "JPEG" also where further pictures stand behind the first.
        canvas: its pixels.
        metadata: what it carries beside them.
        image: the picture with 8 bits; None where it has 16.
        array: with 16 bits: (H, W) gray, (H, W, 3) BGR or (H, W, 4) BGR and alpha; None where it has 8.
        tables: quantisation tables of a JPEG, by number.
        subsampling: of its colours, as Pillow numbers it.
        progressive: whether a JPEG is that.
        lossless: whether a WebP is that.
        compression: Pillow's name of that of a TIFF.
        notes: what a user must know of what is read.
    """

    format: str
    canvas: Canvas
    metadata: Metadata
    image: Image.Image | None = None
    array: npt.NDArray[np.uint16] | None = None
    tables: dict[int, list[int]] = field(default_factory=dict)
    subsampling: int = -1
    progressive: bool = False
    lossless: bool = False
    compression: str = "raw"
    notes: list[str] = field(default_factory=list)


def open_picture(path: Path, memory: Reservations | None = None) -> Picture:
    """Decode a picture file.

    Args:
        path: of the file.
        memory: where what the picture needs is reserved, by this thread, until ``give_back``; None: for it alone.

    Raises:
        SourceError: it cannot be read, is damaged, too large, or of a kind that is not cleaned; one line says which.
    """
    try:
        with _opened(path) as image:
            _check(path, image, memory or Reservations())
            return _decoded(path, image)
    except (SourceError, KeyboardInterrupt):
        raise
    except FileNotFoundError as exc:
        raise SourceError(f"{path}: there is no such file") from exc
    except UnidentifiedImageError as exc:
        raise SourceError(f"{path}: {_unidentified(path)}") from exc
    except MemoryError as exc:
        raise SourceError(f"{path}: there is not enough memory for it") from exc
    except OSError as exc:
        raise SourceError(f"{path}: cannot be read ({exc.strerror or exc})") from exc
    except Exception as exc:  # broken files make Pillow's parsers raise anything
        raise SourceError(f"{path}: is damaged ({type(exc).__name__}: {exc})") from exc


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    formats = list(_READ)
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
        formats.append("HEIF")
    with warnings.catch_warnings(), path.open("rb") as file:
        warnings.simplefilter("ignore")
        with without_limit():  # ``_check`` has one of its own
            image = Image.open(file, formats=formats)
        with image:
            yield image


@contextmanager
def without_limit() -> Iterator[None]:
    """Let Pillow open pictures of any size, and without warnings; its limit is one for the process."""
    with _pillow, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _check(path: Path, image: Image.Image, memory: Reservations) -> None:
    """Refuse what cannot be cleaned before its pixels are decoded."""
    frames = int(getattr(image, "n_frames", 1))
    if frames > 1 and image.format != "MPO":
        kinds = {"TIFF": f"has {frames} pages", "HEIF": f"has {frames} pictures"}
        what = kinds.get(str(image.format), f"is animated, {frames} pictures")
        raise SourceError(f"{path}: {what}; only single pictures are cleaned. Take it apart first")
    if image.mode in _UNKNOWN:
        raise SourceError(f"{path}: {_UNKNOWN[image.mode]}")
    if image.mode not in ("L", "LA", "RGB", "RGBA", "RGBX", "P", "PA", "I;16", "I;16L", "I;16B", "I;16N"):
        raise SourceError(
            f"{path}: its colours are of a kind that is not cleaned ({image.mode}). Convert it to RGB"
        )
    width, height = image.size
    pixels = width * height
    if pixels > _LARGEST:
        raise SourceError(
            f"{path}: {width}x{height} is {pixels / 1e6:.0f} megapixels, {_LARGEST / 1e6:.0f} are the most"
        )
    needed = pixels * (20 if _is_deep(path, image) else 6) + _NETWORK
    there = memory.take(needed)
    if there is not None:
        raise SourceError(
            f"{path}: {width}x{height} needs about {needed / 2**30:.1f} GiB of memory, {there / 2**30:.1f} GiB can be "
            "had. Close other programs, or raise the limit (ulimit -v, the container's)"
        )


def _decoded(path: Path, image: Image.Image) -> Picture:
    form = "JPEG" if image.format == "MPO" else str(image.format)
    notes = []
    if image.format == "MPO":
        more = int(getattr(image, "n_frames", 1)) - 1
        notes.append(
            f"{more} more picture{'s' * (more > 1)} in the file (preview, depth or gain map) not kept"
        )
    bits = (
        _avif_bits(path) if form == "AVIF" else int(image.info.get("bit_depth", 8)) if form == "HEIF" else 8
    )
    if bits > 8:
        notes.append(f"its {bits} bits became 8")
    if lost := _further_channels(image):
        notes.append(
            f"{lost} further channel{'s' * (lost > 1)}, which {'are' if lost > 1 else 'is'} no alpha, not kept"
        )
    if _is_deep(path, image):
        # Pillow turns a TIFF upright while it decodes, OpenCV leaves it as it lies.
        tags = read_metadata(path, image) if form == "TIFF" else None
        image.load()  # finds damage that OpenCV passes over, and without a word on standard error
        array = _deep_pixels(path, image)
        if array.ndim == 3 and image.mode in ("L", "LA"):
            notes.append("its gray became colour")
        view = array if array.ndim == 2 else array[..., 2::-1]  # BGR, alpha last
        return Picture(
            form,
            ArrayCanvas(view),
            tags or read_metadata(path, image),
            array=array,
            compression=str(image.info.get("compression", "raw")),
            notes=notes,
        )
    image.load()
    pixels: Image.Image = image
    if "transparency" in image.info or image.mode == "PA":
        pixels = image.convert("RGBA")
    elif image.mode in ("P", "RGBX"):
        pixels = image.convert("RGB")
    if image.mode in ("P", "PA"):
        notes.append("its palette became full colour")
    return Picture(
        form,
        PillowCanvas(pixels),
        read_metadata(path, image),
        image=pixels,
        tables=dict(getattr(image, "quantization", {})),
        subsampling=JpegImagePlugin.get_sampling(image) if form == "JPEG" else -1,
        progressive=bool(image.info.get("progressive")),
        lossless=form == "WEBP" and _is_lossless_webp(path),
        compression=str(image.info.get("compression", "raw")),
        notes=notes,
    )


def _is_deep(path: Path, image: Image.Image) -> bool:
    """Whether the file has 16 bits for each sample, of which Pillow reads the upper 8 in colour pictures."""
    if image.format == "PNG":
        with path.open("rb") as file:
            return file.read(25)[24:] == b"\x10"
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(258, (1,))
        return 16 in (bits if isinstance(bits, tuple) else (bits,))
    return False


def _further_channels(image: Image.Image) -> int:
    """Channels of a TIFF that are neither colour nor alpha."""
    tags = getattr(image, "tag_v2", {})
    extra = tags.get(_EXTRA_SAMPLES, ())
    return sum(kind not in (_MULTIPLIED, 2) for kind in (extra if isinstance(extra, tuple) else (extra,)))


def _deep_pixels(path: Path, image: Image.Image) -> npt.NDArray[np.uint16]:
    cv2 = opencv()
    found = cv2.imdecode(np.frombuffer(_as_it_lies(path.read_bytes()), np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None or found.dtype != np.uint16 or (found.ndim == 3 and found.shape[2] not in (3, 4)):
        raise SourceError(f"{path}: its 16-bit pixels cannot be read. Save it as PNG first")
    array: npt.NDArray[np.uint16] = found
    tags = getattr(image, "tag_v2", {})
    if tags.get(_PHOTOMETRIC, _BLACK_IS_ZERO) == _WHITE_IS_ZERO:
        np.invert(array, out=array)
    if array.ndim == 3 and array.shape[2] == 4 and _further_channels(image):
        array = np.ascontiguousarray(array[..., :3])
    elif array.ndim == 3 and tags.get(_EXTRA_SAMPLES) in (_MULTIPLIED, (_MULTIPLIED,)):
        for band in np.array_split(array, max(1, len(array) // _ROWS)):
            alpha = np.maximum(band[..., 3:], 1).astype(np.float32)
            band[..., :3] = np.minimum(np.rint(band[..., :3] * (65535 / alpha)), 65535)
    return array


def _as_it_lies(data: bytes) -> bytes:
    """A file without a TIFF's words of how it lies and whether white is 0: versions of OpenCV differ there."""
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return data
    begin = int.from_bytes(data[4:8], order)
    count = int.from_bytes(data[begin : begin + 2], order)
    for entry in range(begin + 2, begin + 2 + 12 * count, 12):
        tag, value = (int.from_bytes(data[place : place + 2], order) for place in (entry, entry + 8))
        if tag == _ORIENTATION or (tag == _PHOTOMETRIC and value == _WHITE_IS_ZERO):
            data = data[: entry + 8] + (1).to_bytes(2, order) + data[entry + 10 :]
    return data


def _avif_bits(path: Path) -> int:
    with path.open("rb") as file:
        head = file.read(1 << 16)
    place = head.find(b"av1C")
    if place < 0 or place + 6 >= len(head) or not head[place + 6] & 0x40:
        return 8
    return 12 if head[place + 6] & 0x20 else 10


def _is_lossless_webp(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(1 << 16)
    return b"VP8L" in head and b"VP8 " not in head


def _unidentified(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(16)
    if not head:
        return "is empty"
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"hevc"):
        if importlib.util.find_spec("pillow_heif") is None:
            return "HEIC needs pillow-heif: pip install 'malle-rt[photo]'"
        return "is damaged, or no HEIC that can be read"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return (
            "is damaged, or a TIFF of a kind that cannot be read: a camera's raw picture, floating-point numbers, "
            "further channels. Save it with 8 or 16 bits in RGB or gray first"
        )
    return "is no picture that can be read: JPEG, PNG, TIFF, WebP, AVIF and HEIC are"
