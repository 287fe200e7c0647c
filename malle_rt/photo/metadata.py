"""What picture files carry beside their pixels, as it stands: Exif, colour profile, XMP, resolution, texts."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, TiffImagePlugin

__all__ = ["Metadata", "jpeg_segments", "png_chunk", "png_chunks", "read_metadata", "tiff_tags"]

_PNG_HEAD = 8 + 25  # signature and IHDR
# What a new PNG has of its own, and what is about a palette or the frames of a film.
_NOT_COPIED = {
    b"IHDR",
    b"PLTE",
    b"IDAT",
    b"IEND",
    b"tRNS",
    b"hIST",
    b"bKGD",
    b"sBIT",
    b"acTL",
    b"fcTL",
    b"fdAT",
}
_MOST = 64 << 20  # bytes of metadata; more is no metadata
# Tags that say how the pixels of a TIFF are stored, and where its thumbnails and other pictures are.
_STRUCTURE = {
    *(
        254,
        255,
        256,
        257,
        258,
        259,
        262,
        266,
        273,
        277,
        278,
        279,
        280,
        281,
        284,
        288,
        289,
        290,
        291,
        292,
        293,
    ),
    *(317, 320, 322, 323, 324, 325, 326, 327, 328, 330, 332, 333, 334, 337, 338, 339, 340, 341, 342, 347),
    *range(512, 522),
    *(529, 530, 531, 532, 34665, 34853, 40965),
}
_SUB_FOLDERS = (34665, 34853)  # Exif and GPS


@dataclass(frozen=True)
class Metadata:
    """Beside the pixels.

    Attributes:
        exif: as ``Image.Exif`` takes it, without the "Exif" header of JPEG; empty: none.
        icc: colour profile; empty: none.
        xmp: a packet of XML; empty: none.
        dpi: pixels per inch across and down; None: not said.
        segments: of a JPEG file, as they stand in it.
        chunks: of a PNG file, as they stand in it.
        tags: of a TIFF file.
    """

    exif: bytes = b""
    icc: bytes = b""
    xmp: bytes = b""
    dpi: tuple[float, float] | None = None
    segments: bytes = b""
    chunks: bytes = b""
    tags: TiffImagePlugin.ImageFileDirectory_v2 | None = None


def read_metadata(path: Path, image: Image.Image) -> Metadata:
    """Of a picture that has been decoded.

    Args:
        path: its file.
        image: as Pillow has opened and loaded it.
    """
    info = image.info
    exif = bytes(info.get("exif") or b"")
    if not exif and image.format == "TIFF":
        with suppress(Exception):  # broken Exif is none
            exif = image.getexif().tobytes()
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp") or b""
    dpi = info.get("dpi")
    sides = None
    with suppress(TypeError, ValueError, ZeroDivisionError):
        across, down = (float(value) for value in dpi or ())
        sides = (across, down) if across > 0 and down > 0 else None
    return Metadata(
        exif=exif.removeprefix(b"Exif\0\0"),
        icc=bytes(info.get("icc_profile") or b""),
        xmp=xmp.encode() if isinstance(xmp, str) else bytes(xmp),
        dpi=sides,
        segments=jpeg_segments(path) if image.format in ("JPEG", "MPO") else b"",
        chunks=png_chunks(path) if image.format == "PNG" else b"",
        tags=tiff_tags(image) if image.format == "TIFF" else None,
    )


def jpeg_segments(path: Path) -> bytes:
    """APP1 to APP13, APP15 and comments of a JPEG file, one after the other.

    Left out are those that a new file has of its own (JFIF; Adobe, which says how the colours are coded), and the
    table of further pictures behind the first (MPF), which are not kept.
    """
    found: list[bytes] = []
    with path.open("rb") as file:
        file.seek(2)
        while len(head := file.read(4)) == 4 and head[0] == 0xFF:
            marker = head[1]
            if marker == 0xFF:  # padding
                file.seek(-3, 1)
                continue
            if marker == 0xDA:  # the pixels
                break
            body = file.read(max(0, int.from_bytes(head[2:], "big") - 2))
            if marker == 0xFE or (0xE1 <= marker <= 0xEF and marker != 0xEE and body[:4] != b"MPF\0"):
                found.append(head + body)
    return b"".join(found)


def png_chunks(path: Path) -> bytes:
    """Chunks of a PNG file that are about the picture and not the pixels, one after the other; no damaged ones."""
    found: list[bytes] = []
    with path.open("rb") as file:
        file.seek(8)
        total = 0
        while len(head := file.read(8)) == 8:
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            if kind in _NOT_COPIED or total + length > _MOST:
                file.seek(length + 4, 1)
                continue
            body = file.read(length + 4)
            total += length
            if body[length:] == zlib.crc32(kind + body[:length]).to_bytes(4, "big"):
                found.append(head + body)
    return b"".join(found)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk as it stands in a file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def new_png_chunks(metadata: Metadata) -> bytes:
    """Chunks for the metadata of a file of another kind."""
    chunks = []
    if metadata.icc:
        chunks.append(png_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc)))
    if metadata.dpi:
        chunks.append(
            png_chunk(b"pHYs", struct.pack(">IIB", *(round(each / 0.0254) for each in metadata.dpi), 1))
        )
    if metadata.exif:
        chunks.append(png_chunk(b"eXIf", metadata.exif))
    if metadata.xmp:
        chunks.append(png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp))
    return b"".join(chunks)


def tiff_tags(image: Image.Image) -> TiffImagePlugin.ImageFileDirectory_v2:
    """Tags of a TIFF file that are not about how its pixels are stored."""
    kept = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\0\0\0\0")
    upright = 274 not in image.getexif()  # Pillow turns some of them while it decodes
    source: Any = getattr(image, "tag_v2", kept)
    for tag, value in _readable(source):
        if tag in _STRUCTURE or (tag == 274 and upright):
            continue
        kept[tag] = value
        if tag in source.tagtype:
            kept.tagtype[tag] = source.tagtype[tag]
    for tag in _SUB_FOLDERS:
        if folder := image.getexif().get_ifd(tag):
            kept[tag] = folder
    return kept


def exif_tags(metadata: Metadata) -> TiffImagePlugin.ImageFileDirectory_v2:
    """Tags of a TIFF file for the metadata of a file of another kind."""
    tags = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\0\0\0\0")
    exif = Image.Exif()
    exif.load(metadata.exif)
    for tag, value in exif.items():
        if tag in _SUB_FOLDERS:
            tags[tag] = exif.get_ifd(tag)
        elif tag not in _STRUCTURE:
            tags[tag] = value
    if metadata.icc:
        tags[34675] = metadata.icc
    if metadata.xmp:
        tags[700] = metadata.xmp
    if metadata.dpi:
        tags[282], tags[283], tags[296] = *metadata.dpi, 2
    return tags


def _readable(tags: Any) -> Iterator[tuple[int, Any]]:
    for tag in tags:
        with suppress(Exception):  # values whose bytes make no sense
            yield tag, tags[tag]
