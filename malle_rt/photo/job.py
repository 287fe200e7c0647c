"""Picture files on their way to clean ones: which, where to, and one after the other."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from malle_rt.config import Strength
from malle_rt.errors import ConfigError, SinkError, SourceError
from malle_rt.media.output_file import OutputFile
from malle_rt.memory import Reservations
from malle_rt.photo.denoiser import Canvas, PhotoDenoiser
from malle_rt.photo.picture import LARGE, SUFFIXES, open_picture, without_limit
from malle_rt.photo.saving import save

__all__ = ["PhotoReport", "clean_file", "planned"]

_READ_ONLY = {".gif", ".bmp"}  # become PNG
_MARK = ".clean"
_WIDEST, _DETAIL = 640, 300  # pixels of one picture on a sheet: longest side, height of a detail
_MEMORY = Reservations()
_PLACES = (0.25, 0.5, 0.75)  # of details, down and across


@dataclass(frozen=True)
class PhotoReport:
    """What became of one picture.

    Attributes:
        source, output: files.
        size: width and height.
        sigma: strength, 8-bit scale; None: nothing was changed.
        seconds: that it took.
        notes: what a user must know, sentence by sentence.
        compare: the picture of before and after, if one was asked for.
    """

    source: Path
    output: Path
    size: tuple[int, int]
    sigma: float | None
    seconds: float
    notes: tuple[str, ...]
    compare: Path | None

    def summary(self) -> str:
        """One line for the user."""
        what = "left as it is" if self.sigma is None else f"strength {self.sigma:.1f}"
        width, height = self.size
        parts = [f"wrote {self.output}: {width}x{height}, {what}, {self.seconds:.1f} s", *self.notes]
        if self.compare:
            parts.append(f"wrote {self.compare}")
        return "; ".join(parts)


def planned(
    inputs: Sequence[str],
    *,
    output: str | None = None,
    output_dir: str | None = None,
    suffix: str | None = None,
    recursive: bool = False,
) -> list[tuple[Path, Path]]:
    """Each picture and where its clean copy goes: NAME.clean.EXT beside it, or its own name in ``output_dir``.

    Args:
        inputs: files and folders; of a folder its pictures, without clean copies of an earlier run.
        output: for a single file: the file to write.
        output_dir: folder to write to; below it, pictures of folders lie as they lay.
        suffix: of what is written, for example ".png"; None: as the source.
        recursive: whether folders in folders are looked through.

    Raises:
        ConfigError: nothing to do, or two pictures would get one name.
    """
    if output is not None and (output_dir is not None or len(inputs) != 1 or Path(inputs[0]).is_dir()):
        raise ConfigError("a name for the output is for one picture", hint="For more, give output_dir=DIR")
    if suffix is not None and suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"the format must be one of {', '.join(each[1:] for each in SUFFIXES)}, got {suffix[1:]!r}"
        )
    pairs: list[tuple[Path, Path]] = []
    for name in inputs:
        root = Path(name)
        found = sorted(_pictures(root, recursive)) if root.is_dir() else [root]
        if not found:
            hint = "" if recursive else "recursive=True looks into its folders"
            raise ConfigError(f"{root}: no pictures in this folder", hint=hint)
        for source in found:
            inside = source.relative_to(root) if root.is_dir() else Path(source.name)
            pairs.append((source, _target(source, inside, output, output_dir, suffix)))
    taken: dict[Path, Path] = {}
    for source, target in pairs:
        if taken.setdefault(target, source) != source:
            raise ConfigError(
                f"{taken[target]} and {source} would both become {target}. Clean them one by one"
            )
    return list(dict.fromkeys(pairs))


def _pictures(folder: Path, recursive: bool) -> Iterator[Path]:
    for path in folder.rglob("*") if recursive else folder.iterdir():
        known = path.suffix.lower() in SUFFIXES.keys() | _READ_ONLY
        if known and not path.stem.endswith((_MARK, ".compare", ".partial")) and path.is_file():
            yield path


def _target(
    source: Path, inside: Path, output: str | None, output_dir: str | None, suffix: str | None
) -> Path:
    if output is not None:
        target = Path(output)
        if target.suffix.lower() not in SUFFIXES:
            raise ConfigError(f"the output must be a {', '.join(SUFFIXES)} file, got {output!r}")
        return target
    own = source.suffix if source.suffix.lower() in SUFFIXES else ".png"
    suffix = suffix or own
    if output_dir is None:
        return source.with_name(f"{source.stem}{_MARK}{suffix}")
    return Path(output_dir) / inside.with_name(inside.stem + suffix)


def clean_file(
    denoiser: PhotoDenoiser,
    source: Path,
    output: Path,
    *,
    strength: Strength = "auto",
    mix: float = 1.0,
    quality: int | None = None,
    overwrite: bool = False,
    compare: Path | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> PhotoReport:
    """Clean one picture file into another, which appears whole or not at all.

    Args:
        denoiser: what cleans it.
        source: file of the noisy picture.
        output: file to write; its suffix chooses the format.
        strength: see ``PhotoDenoiser.denoise``.
        mix: see there.
        quality: 1 to 100 of lossy formats; None: as the source, or better.
        overwrite: whether an existing file may be replaced.
        compare: a picture of before and after to write too.
        on_progress: told the share that is done, now and then.

    Raises:
        ConfigError: an option that cannot work.
        SourceError: the picture cannot be read, or is of a kind that is not cleaned.
        SinkError: the output may not or cannot be written.
    """
    begin = time.monotonic()
    form = SUFFIXES.get(output.suffix.lower())
    if form is None:
        raise ConfigError(f"the output must be a {', '.join(SUFFIXES)} file, got {output}")
    if not source.exists():
        raise SourceError(f"{source}: there is no such file")
    targets = [
        OutputFile(each, overwrite=overwrite, source=str(source))
        for each in (output, compare)
        if each is not None
    ]
    for target in targets:
        if target.is_pipe:
            raise SinkError(f"{target.target}: pictures are not written into pipes. Give a file name")
    try:
        picture = open_picture(source, _MEMORY)
        before = _shown(picture.canvas) if compare is not None else []
        sigma = denoiser.denoise(picture.canvas, strength, mix, on_progress)
        after = _shown(picture.canvas) if compare is not None else []
        notes = list(picture.notes)
        width, height = picture.canvas.width, picture.canvas.height
        if width * height > LARGE:
            denoiser.release()  # what it holds is needed for encoding; it is made again for the next picture
        if sigma is None and form == picture.format and quality is None:
            _write(targets[0], lambda path: shutil.copyfile(source, path))
            found_nothing = strength != 0 and mix != 0
            notes = ["almost no noise found: a copy of the source; strength=4 cleans anyway"] * found_nothing
        else:
            _write(targets[0], lambda path: notes.extend(save(picture, path, form, quality)))
        if compare is not None:
            widest = max(part.shape[1] for part in before)
            rows = [_row(*pair, widest) for pair in zip(before, after, strict=True)]
            sheet = Image.fromarray(np.concatenate(rows))
            _write(targets[1], sheet.save)
        seconds = time.monotonic() - begin
        return PhotoReport(source, output, (width, height), sigma, seconds, tuple(notes), compare)
    finally:
        _MEMORY.give_back()


def _write(target: OutputFile, write: Callable[[Path], object]) -> None:
    """Write a file and see that it is a picture; whole or not at all."""
    target.claim()
    try:
        try:
            write(target.partial)
            with without_limit(), Image.open(target.partial) as written:
                written.verify()
        except SinkError as exc:
            raise SinkError(f"{target.target}: {exc}") from exc
        except (OSError, SyntaxError, ValueError) as exc:
            raise SinkError(f"{target.target}: cannot be written ({exc})") from exc
        target.commit()
    finally:
        target.discard()


def _shown(canvas: Canvas) -> list[npt.NDArray[np.uint8]]:
    """The whole picture, every so many pixels, and details of it, each (rows, columns, 3) with 8 bits."""
    width, height = canvas.width, canvas.height
    step = -(-max(width, height) // _WIDEST)
    whole = np.concatenate([canvas.read(row, 0, row + 1, width)[:, ::step] for row in range(0, height, step)])
    parts = [whole]
    if step > 1:
        rows, columns = min(_DETAIL, height), min(_WIDEST, width)
        for place in _PLACES:
            top, left = int((height - rows) * place), int((width - columns) * place)
            parts.append(canvas.read(top, left, top + rows, left + columns))
    scale = 255 / canvas.largest
    return [np.rint(np.broadcast_to(each, (*each.shape[:2], 3)) * scale).astype(np.uint8) for each in parts]


def _row(before: npt.NDArray[np.uint8], after: npt.NDArray[np.uint8], width: int) -> npt.NDArray[np.uint8]:
    """Both side by side, each in this width, white between and below."""
    row = np.full((before.shape[0] + 4, 2 * width + 4, 3), 255, np.uint8)
    for left, part in ((0, before), (width + 4, after)):
        row[: part.shape[0], left : left + part.shape[1]] = part
    return row
