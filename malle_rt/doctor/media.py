"""Encoders, windows and cameras."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import av

from malle_rt.doctor.encoders import try_encoders
from malle_rt.doctor.finding import Finding, State
from malle_rt.errors import MediaError
from malle_rt.opencv import opencv

__all__ = ["examine_media"]


def examine_media() -> Iterator[Finding]:
    """PyAV, encoders, OpenCV, display, cameras."""
    libraries = av.library_versions.get("libavcodec", ())
    detail = f"{av.__version__} with libavcodec {'.'.join(map(str, libraries))}"
    yield Finding(section="media", name="PyAV", state="ok", detail=detail)
    for codec, problem in try_encoders().items():
        state: State = "missing" if problem else "ok"
        yield Finding(section="media", name=codec, state=state, detail=problem or "encodes a frame")
    yield _opencv()
    yield _display()
    yield from _cameras(Path("/sys/class/video4linux"))


def _opencv() -> Finding:
    try:
        found = opencv().__version__
    except MediaError as exc:
        what, _, advice = str(exc).partition(". ")
        return Finding(section="media", name="OpenCV", state="broken", detail=what, advice=advice)
    return Finding(section="media", name="OpenCV", state="ok", detail=str(found))


def _display() -> Finding:
    if sys.platform != "linux":
        return Finding(section="media", name="display", state="ok", detail=sys.platform)
    kinds = [
        kind for kind, name in (("Wayland", "WAYLAND_DISPLAY"), ("X11", "DISPLAY")) if os.environ.get(name)
    ]
    if kinds:
        return Finding(section="media", name="display", state="ok", detail=", ".join(kinds))
    return Finding(
        section="media", name="display", state="missing", detail="neither DISPLAY nor WAYLAND_DISPLAY is set"
    )


def _cameras(folder: Path) -> Iterator[Finding]:
    """Names of Video4Linux devices, the loop-back among them."""
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    names = {
        entry.name: (entry / "name").read_text().strip() for entry in entries if (entry / "name").is_file()
    }
    detail = ", ".join(f"/dev/{device}: {name}" for device, name in names.items())
    state: State = "ok" if names else "missing"
    yield Finding(section="media", name="cameras", state=state, detail=detail or "no /dev/video*")
    loaded = Path("/sys/module/v4l2loopback").is_dir()
    yield Finding(
        section="media",
        name="v4l2loopback",
        state="ok" if loaded else "missing",
        detail="loaded" if loaded else "virtual cameras on Linux need this module",
        advice="" if loaded else "sudo apt install v4l2loopback-dkms && sudo modprobe v4l2loopback",
    )
