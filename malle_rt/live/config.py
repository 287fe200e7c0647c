"""What a user can choose about a live session, checked where it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from malle_rt.config import DenoiseConfig
from malle_rt.errors import ConfigError
from malle_rt.live.capture.device import CaptureRequest
from malle_rt.live.frame import VIEWS, View
from malle_rt.live.outlets.address import PushAddress
from malle_rt.live.scaling import Scale, check_scale
from malle_rt.live.web.address import WebAddress
from malle_rt.media.encode_config import EncodeConfig

__all__ = ["LiveConfig"]


@dataclass(frozen=True, kw_only=True)
class LiveConfig:
    """How a live session runs.

    Attributes:
        capture: where pictures come from.
        denoise: how they are denoised at first; its model may be "auto": the best that keeps the source's rate.
        encode: how recordings are encoded.
        hwaccel: "auto" lets NVDEC decode network streams where the network runs on an NVIDIA GPU; "none" does not.
        window: whether a window shows the picture.
        scale: share of width and height that pictures are denoised and shown at; "auto": what keeps the source's rate.
        view: what it shows at first, one of ``VIEWS``.
        record: path of a recording that begins at once; None: only when asked for.
        overwrite: whether it may replace an existing file.
        outputs: URLs to send the denoised video to.
        virtual_camera: name or path of a virtual camera to feed, "" for any; None: none.
        web: address of the page; None: none.
        token: the page's access token; None: a new one.
        folder: where snapshots and recordings begun by a key go.
        max_latency: seconds; pictures older than that are not shown. None: no bound.
        duration: seconds after which the session ends; None: it goes on.

    Raises:
        ConfigError: for a value outside its range, or when there is no window and no output.
    """

    capture: CaptureRequest = field(default_factory=CaptureRequest)
    denoise: DenoiseConfig = field(default_factory=DenoiseConfig)
    encode: EncodeConfig = field(default_factory=EncodeConfig)
    hwaccel: Literal["auto", "none"] = "auto"
    window: bool = True
    scale: Scale = "1"
    view: View = "split"
    record: Path | None = None
    overwrite: bool = False
    outputs: tuple[str, ...] = ()
    virtual_camera: str | None = None
    web: WebAddress | None = None
    token: str | None = None
    folder: Path = Path()
    max_latency: float | None = None
    duration: float | None = None

    def __post_init__(self) -> None:
        if self.view not in VIEWS:
            raise ConfigError(f"view must be one of {', '.join(VIEWS)}, got {self.view!r}")
        check_scale(self.scale)
        if self.hwaccel not in ("auto", "none"):
            raise ConfigError(f"hwaccel must be auto or none for live pictures, got {self.hwaccel!r}")
        for name, value in (("max_latency", self.max_latency), ("duration", self.duration)):
            if value is not None and value <= 0:
                raise ConfigError(f"{name} must be positive, got {value:g} s")
        for url in self.outputs:
            PushAddress.parse(url)
        if not self.folder.is_dir():
            raise ConfigError(f"folder must be one that exists, got {self.folder}. Create it first")
        if self.token is not None and self.web is None:
            raise ConfigError("a token needs the page it guards: pass --web as well")
        if not (self.window or self.record or self.outputs or self.web or self.virtual_camera is not None):
            raise ConfigError("no window and no output: add --record, --output, --web or --virtual-camera")
