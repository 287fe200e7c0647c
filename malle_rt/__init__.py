"""malle-rt: real-time video denoising with malleable convolutions."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from malle_rt.api import Transcode, TranscodeReport
    from malle_rt.array_denoiser import Denoiser, denoise_image
    from malle_rt.config import DenoiseConfig
    from malle_rt.errors import MalleError
    from malle_rt.frame import Frame
    from malle_rt.live.capture.device import CaptureRequest
    from malle_rt.live.config import LiveConfig
    from malle_rt.live.session import LiveSession
    from malle_rt.media.encode_config import EncodeConfig
    from malle_rt.preview import Preview, preview_strengths
    from malle_rt.video_files import denoise_video

__all__ = [
    "CaptureRequest",
    "DenoiseConfig",
    "Denoiser",
    "EncodeConfig",
    "Frame",
    "LiveConfig",
    "LiveSession",
    "MalleError",
    "Preview",
    "Transcode",
    "TranscodeOptions",
    "TranscodeReport",
    "__version__",
    "denoise_image",
    "denoise_video",
    "preview_strengths",
]

__version__ = "0.1.0"

# Imported on first use: ``import malle_rt`` and ``malle-rt --help`` stay instant.
_HOMES = {
    "CaptureRequest": "malle_rt.live.capture.device",
    "DenoiseConfig": "malle_rt.config",
    "Denoiser": "malle_rt.array_denoiser",
    "EncodeConfig": "malle_rt.media.encode_config",
    "Frame": "malle_rt.frame",
    "LiveConfig": "malle_rt.live.config",
    "LiveSession": "malle_rt.live.session",
    "MalleError": "malle_rt.errors",
    "Preview": "malle_rt.preview",
    "Transcode": "malle_rt.api",
    "TranscodeOptions": "malle_rt.api",
    "TranscodeReport": "malle_rt.api",
    "denoise_image": "malle_rt.array_denoiser",
    "denoise_video": "malle_rt.video_files",
    "preview_strengths": "malle_rt.preview",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'malle_rt' has no attribute {name!r}")
    import_module("malle_rt.versions").check_versions()
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
