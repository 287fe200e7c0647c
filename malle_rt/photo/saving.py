"""Pictures into files, with all that their sources carried."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, JpegImagePlugin

from malle_rt.errors import SinkError
from malle_rt.opencv import opencv
from malle_rt.photo.metadata import Metadata, exif_tags, new_png_chunks
from malle_rt.photo.picture import LARGE, Picture, without_limit

__all__ = ["QUALITY", "save"]

QUALITY = 92  # of lossy formats, where the source's own is less fine, or none
_HEAD = 8 + 25  # of a PNG: signature and IHDR
_STRIP = 1 << 20  # bytes of a TIFF's strip before compression, about
_EFFORT = 6  # of PNG's compression, of 9


def save(picture: Picture, path: Path, form: str, quality: int | None) -> list[str]:
    """Write a picture.

    Args:
        picture: as it is to be written.
        path: of the file, which exists and is empty.
        form: Pillow's name of its kind.
        quality: 1 to 100 for JPEG, WebP and AVIF; None: as the source, or better.

    Returns:
        What a user must know of what is written, sentence by sentence.

    Raises:
        SinkError: it cannot be written as that.
    """
    notes: list[str] = []
    if picture.array is not None and form not in ("PNG", "TIFF"):
        notes.append("its 16 bits became 8")
    try:
        with path.open("r+b") as file:
            _WRITERS[form](picture, file, quality, notes)
    except KeyError as exc:
        raise SinkError(f"{form} files are not written") from exc
    except OSError as exc:
        raise SinkError(f"cannot be written ({exc.strerror or exc})") from exc
    except (ValueError, TypeError, struct.error, OverflowError) as exc:  # what Pillow's writers raise
        raise SinkError(f"cannot be written as {form} ({exc})") from exc
    return notes


def _eight_bits(picture: Picture) -> Image.Image:
    if picture.image is not None:
        return picture.image
    assert picture.array is not None  # a picture has one of the two
    array = (picture.array.astype(np.uint32) * 255 + 32767) // 65535
    codes = array.astype(np.uint8)
    if codes.ndim == 3:
        codes = codes[..., [2, 1, 0, 3][: codes.shape[2]]]
    return Image.fromarray(np.ascontiguousarray(codes))


def _without_alpha(image: Image.Image, notes: list[str]) -> Image.Image:
    if not image.mode.endswith("A"):
        return image
    notes.append("its alpha channel was left out: JPEG has none")
    return image.convert(image.mode[:-1])


def _jpeg(picture: Picture, file: IO[bytes], quality: int | None, notes: list[str]) -> None:
    image, metadata = _without_alpha(_eight_bits(picture), notes), picture.metadata
    # Both keep a second copy of the picture.
    large = image.width * image.height > LARGE
    options: dict[str, Any] = {"progressive": picture.progressive and not large, "optimize": not large}
    if picture.progressive and large:
        notes.append("not progressive any more, for the memory that takes")
    options["comment"] = b""
    if picture.format == "JPEG":
        options["extra"] = metadata.segments
    else:
        options |= {
            "exif": b"Exif\0\0" + metadata.exif if metadata.exif else b"",
            "icc_profile": metadata.icc,
        }
        options["xmp"] = metadata.xmp
    if metadata.dpi:
        options["dpi"] = metadata.dpi
    if quality is None and picture.tables and sum(picture.tables[0]) <= sum(_tables(QUALITY)[0]):
        options["qtables"] = list(picture.tables.values())
        notes.append("JPEG as fine as the source")
    else:
        options["quality"] = quality or QUALITY
        notes.append(f"JPEG of quality {quality or QUALITY}")
    options["subsampling"] = picture.subsampling if picture.subsampling >= 0 else 0
    _bare(image).save(file, "JPEG", **options)


def _tables(quality: int) -> dict[int, list[int]]:
    """Quantisation tables of a quality."""
    with io.BytesIO() as file:
        Image.new("RGB", (8, 8)).save(file, "JPEG", quality=quality)
        image = Image.open(file)
        return dict(image.quantization) if isinstance(image, JpegImagePlugin.JpegImageFile) else {}


class _WithChunks(io.BytesIO):
    """A file that gets further chunks behind the head of the PNG that is written to it, in one pass."""

    def __init__(self, file: IO[bytes], chunks: bytes) -> None:
        super().__init__()
        self._file, self._chunks, self._written = file, chunks, 0

    def write(self, data: Any) -> int:
        """Pass on, the chunks at their place."""
        view = memoryview(data).cast("B")
        cut = max(0, _HEAD - self._written)
        if self._chunks and len(view) >= cut:
            self._file.write(view[:cut])
            self._file.write(self._chunks)
            self._chunks = b""
            self._file.write(view[cut:])
        else:
            self._file.write(view)
        self._written += len(view)
        return len(view)


def _png(picture: Picture, file: IO[bytes], _quality: int | None, _notes: list[str]) -> None:
    metadata = picture.metadata
    chunks = metadata.chunks if picture.format == "PNG" else new_png_chunks(metadata)
    out = _WithChunks(file, chunks)
    if picture.array is not None:
        cv2 = opencv()
        done, data = cv2.imencode(".png", picture.array, [cv2.IMWRITE_PNG_COMPRESSION, _EFFORT])
        if not done:
            raise OSError("OpenCV cannot encode it")
        out.write(data)
    else:
        _bare(_eight_bits(picture)).save(out, "PNG", compress_level=_EFFORT)


def _webp(picture: Picture, file: IO[bytes], quality: int | None, notes: list[str]) -> None:
    lossless = quality is None and (picture.lossless or picture.format in ("PNG", "TIFF"))
    notes.append("WebP without loss" if lossless else f"WebP of quality {quality or QUALITY}")
    options = _plain(picture.metadata)
    # In a lossless file the figure is the effort.
    _bare(_eight_bits(picture)).save(
        file, "WEBP", lossless=lossless, quality=75 if lossless else quality or QUALITY, **options
    )


def _avif(picture: Picture, file: IO[bytes], quality: int | None, notes: list[str]) -> None:
    notes.append(f"AVIF of quality {quality or QUALITY}")
    image = _bare(_eight_bits(picture))
    image.save(file, "AVIF", quality=quality or QUALITY, subsampling="4:4:4", **_plain(picture.metadata))


def _heif(picture: Picture, file: IO[bytes], quality: int | None, notes: list[str]) -> None:
    notes.append(f"HEIC of quality {quality or QUALITY}")
    image = _bare(_eight_bits(picture))
    image.save(file, "HEIF", quality=quality or QUALITY, **_plain(picture.metadata))


def _plain(metadata: Metadata) -> dict[str, Any]:
    """What there is: pillow-heif takes an empty text for broken metadata."""
    exif = b"Exif\0\0" + metadata.exif if metadata.exif else b""
    carried = {"exif": exif, "icc_profile": metadata.icc, "xmp": metadata.xmp}
    return {name: content for name, content in carried.items() if content}


def _tiff(picture: Picture, file: IO[bytes], _quality: int | None, _notes: list[str]) -> None:
    """Strip by strip, the tags behind them: Pillow writes no 16 bits in colour, and no Exif in a compressed file."""
    tags = picture.metadata.tags if picture.metadata.tags is not None else exif_tags(picture.metadata)
    plain = picture.compression == "raw" and picture.format == "TIFF"
    rows, columns, channels = picture.canvas.height, picture.canvas.width, _channels(picture)
    bits = 8 if picture.array is None else 16
    step = max(1, _STRIP // (columns * channels * bits // 8))
    file.write(b"II*\0" + bytes(4))  # where the tags are is put in at the end
    places, sizes = [], []
    for top in range(0, rows, step):
        strip = _strip(_rgb_rows(picture, top, min(top + step, rows)), plain=plain)
        places.append(file.tell())
        sizes.append(len(strip))
        file.write(strip)
    if file.tell() % 2:
        file.write(b"\0")
    begin = file.tell()
    if begin > (1 << 32) - (1 << 24):
        raise OSError("a TIFF holds 4 GiB")
    tags[256], tags[257], tags[258], tags[259] = columns, rows, (bits,) * channels, 1 if plain else 8
    tags[262], tags[277], tags[278], tags[284] = 2 if channels > 2 else 1, channels, step, 1
    tags[317] = 1 if plain else 2
    if channels in (2, 4):
        tags[338] = 2  # alpha, not multiplied in
    tags[_PLACES], tags[_SIZES] = (0,) * len(places), tuple(sizes)
    for tag in (_PLACES, _SIZES):
        tags.tagtype[tag] = 4
    file.write(_with_places(tags.tobytes(begin), begin, places))
    file.seek(4)
    file.write(struct.pack("<I", begin))


_PLACES, _SIZES = 273, 279  # tags: of strips


def _with_places(tags: bytes, begin: int, places: list[int]) -> bytes:
    """Tags as Pillow has made them, with the places of the strips, which it takes to be behind the tags."""
    data = bytearray(tags)
    for entry in range(2, 2 + 12 * int.from_bytes(data[:2], "little"), 12):
        if int.from_bytes(data[entry : entry + 2], "little") == _PLACES:
            where = entry + 8
            if len(places) > 1:
                where = int.from_bytes(data[where : where + 4], "little") - begin
            struct.pack_into(f"<{len(places)}I", data, where, *places)
    return bytes(data)


def _channels(picture: Picture) -> int:
    if picture.image is not None:
        return len(picture.image.getbands())
    assert picture.array is not None  # a picture has one of the two
    return 1 if picture.array.ndim == 2 else picture.array.shape[2]


def _rgb_rows(picture: Picture, top: int, bottom: int) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """Rows of a picture, (rows, columns, channels): gray or RGB, then alpha."""
    if picture.image is not None:
        with without_limit():
            rows = np.asarray(picture.image.crop((0, top, picture.image.width, bottom)))
        return rows[..., None] if rows.ndim == 2 else rows
    assert picture.array is not None
    deep = picture.array[top:bottom]
    return deep[..., None] if deep.ndim == 2 else deep[..., [2, 1, 0, 3][: deep.shape[2]]]


def _strip(pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], *, plain: bool) -> bytes:
    """Rows, little endian; where they are compressed, as differences from pixel to pixel."""
    codes = pixels.astype(pixels.dtype.newbyteorder("<"))
    if plain:
        return codes.tobytes()
    codes[:, 1:] -= codes[:, :-1].copy()
    return zlib.compress(codes.tobytes(), _EFFORT)


def _bare(image: Image.Image) -> Image.Image:
    """The picture without what Pillow has read beside its pixels: writers take that where they are given nothing."""
    image.info = {}
    return image


_WRITERS = {"JPEG": _jpeg, "PNG": _png, "WEBP": _webp, "AVIF": _avif, "HEIF": _heif, "TIFF": _tiff}
