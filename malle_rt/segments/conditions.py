"""What can be made in segments, by how many jobs, and which segments belong together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from malle_rt.api import TranscodeOptions
from malle_rt.errors import ConfigError
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.opening import is_path, is_pipe, plain_location
from malle_rt.media.segment_file import UNSPLIT
from malle_rt.media.sequence_sink import are_pictures
from malle_rt.media.standard_output import is_standard_output
from malle_rt.memory import available_memory
from malle_rt.shown import shown_address

__all__ = ["difference_between", "likely_jobs", "require_files", "require_segmentable", "with_threads"]

_CORES_PER_JOB = 4


def likely_jobs(cores: int, width: int, height: int, *, gpu: bool = False) -> int:
    """How many segments at once make the most of a machine; docs/batch.md has the model.

    Args:
        cores: that may be used.
        width: of the picture.
        height: of the picture.
        gpu: whether the network runs on a GPU, which one job fills.
    """
    if gpu:
        return 1
    jobs = max(1, cores // _CORES_PER_JOB)
    memory = available_memory()
    while jobs > 1 and memory is not None and jobs * (width * height * 160 + (512 << 20)) > memory:
        jobs -= 1
    return jobs


def with_threads(encode: EncodeConfig, threads: int) -> EncodeConfig:
    """The settings with so many threads for the encoder, whose pictures may depend on their number."""
    options, codec = dict(encode.options), encode.codec
    if codec == "libx265":
        own = options.get("x265-params", "log-level=error")
        if "pools" not in own:
            options["x265-params"] = f"{own}:pools={threads}:frame-threads={min(4, threads)}"
    elif codec == "libsvtav1":
        own = options.get("svtav1-params", "")
        if "lp=" not in own:
            options["svtav1-params"] = f"{own}:lp={threads}".lstrip(":")
    elif "threads" not in options:
        options["threads"] = str(threads)
    return replace(encode, options=options)


def difference_between(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """What makes segments that are there others than those that are wanted; None where nothing does."""
    if found.get("format") != wanted["format"] or found.get("version") != wanted["version"]:
        return f"made by {found.get('version')}, this is {wanted['version']}"
    if found["source"] != wanted["source"]:
        return "of another source, or it has changed since"
    if found["options"].get("model") == wanted["options"]["model"] and found["weights"] != wanted["weights"]:
        return "made with other weights of the network"
    for name, value in wanted["options"].items():
        if found["options"].get(name) != value:
            return f"made with {name.replace('_', '-')} {found['options'].get(name)}, not {value}"
    if found["backend"] != wanted["backend"]:
        return f"made with {found['backend']}, not {wanted['backend']}"
    return None if found["header"] == wanted["header"] else "of another source, or it has changed since"


def require_segmentable(options: TranscodeOptions) -> None:
    """Check that a video can be made so in segments.

    Raises:
        ConfigError: it cannot.
    """
    unfit = {
        "compare=PICTURE": options.compare is not None,
        "keep_partial=True": options.keep_partial,
        "container_format=NAME": options.container_format is not None,
        "frame_rate=RATE": options.frame_rate is not None,
        'hwaccel="cuda"': options.hwaccel == "cuda",
    }
    if names := ", ".join(name for name, given in unfit.items() if given):
        raise ConfigError(f"segments cannot be made with {names}", hint=UNSPLIT)


def require_files(source: str | os.PathLike[str], output: str | os.PathLike[str]) -> Path:
    """The source's path, where it and the output are files.

    Raises:
        ConfigError: they are not.
    """
    location = plain_location(source)
    if not is_path(location):
        raise ConfigError(
            f"{shown_address(location)}: cannot be read twice, or from its middle", hint=UNSPLIT
        )
    if is_standard_output(output) or is_pipe(os.fspath(output)):
        raise ConfigError(f"{os.fspath(output)}: a stream cannot be joined at the end", hint=UNSPLIT)
    if are_pictures(output):
        raise ConfigError(f"{os.fspath(output)}: pictures are no video that could be split", hint=UNSPLIT)
    return Path(location)
