"""Encoders, windows and cameras."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import av

from malle_rt.doctor.encoders import try_encoders
from malle_rt.doctor.finding import Finding, State
from malle_rt.errors import MediaError
from malle_rt.live.capture.cameras import list_cameras
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
    yield from _cameras()
    yield _optional("aiohttp", "serves the page of webcam --web", "web")
    yield _optional("pyvirtualcam", "feeds the virtual camera of webcam --virtual-camera", "virtual-camera")


def _opencv() -> Finding:
    try:
        found = opencv().__version__
    except MediaError as exc:
        return Finding(section="media", name="OpenCV", state="broken", detail=exc.what, advice=exc.hint)
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


def _cameras() -> Iterator[Finding]:
    """Cameras, and what makes virtual ones on Linux."""
    if sys.platform != "linux":  # elsewhere cameras are found by opening them, lamps and all
        return
    cameras = list_cameras()
    for camera in cameras:
        state: State = "broken" if camera.problem else "ok"
        yield Finding(section="media", name="camera", state=state, detail=camera.problem or camera.label)
    if not cameras:
        yield Finding(section="media", name="camera", state="missing", detail="none is connected")
    loaded = Path("/sys/module/v4l2loopback").is_dir()
    yield Finding(
        section="media",
        name="v4l2loopback",
        state="ok" if loaded else "missing",
        detail="loaded" if loaded else "virtual cameras on Linux need this module",
        advice="" if loaded else "sudo apt install v4l2loopback-dkms && sudo modprobe v4l2loopback",
    )


def _optional(module: str, purpose: str, extra: str) -> Finding:
    there = find_spec(module) is not None
    advice = "" if there else f"pip install 'malle-rt[{extra}]'"
    return Finding(
        section="media", name=module, state="ok" if there else "missing", detail=purpose, advice=advice
    )
