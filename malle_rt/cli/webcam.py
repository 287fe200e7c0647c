"""``malle-rt webcam``: a camera or stream in, a clean live picture out."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from malle_rt.cli.options import (
    add_deinterlacing,
    add_denoising,
    add_encoding,
    denoise_config,
    encode_config,
    seconds,
)
from malle_rt.cli.secret import revealed
from malle_rt.cli.signals import stopped_by_signals
from malle_rt.cli.telling import report_error
from malle_rt.errors import MalleError, SourceError

if TYPE_CHECKING:
    from malle_rt.live.config import LiveConfig
    from malle_rt.live.session import LiveSession
    from malle_rt.live.statistics import LiveReport

__all__ = ["add_parser", "run"]

_EPILOG = """\
examples:
  malle-rt webcam                                        first camera, split view; h shows the keys
  malle-rt webcam --device /dev/video2 --size 1280x720 --fps 30 --fourcc MJPG
  malle-rt webcam --device rtsp://user:password@10.0.0.7/stream --record hall.mkv
  malle-rt webcam --no-window --web 0.0.0.0:8077         a page for machines without a screen
  malle-rt webcam --virtual-camera                       clean picture for video calls
  malle-rt webcam --device lavfi:testsrc2=size=640x360:rate=30
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "webcam",
        help="denoise a camera or stream live",
        description="Denoise a camera or stream, and show, record, send or serve it. The newest picture always wins.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    _add_source(parser)
    add_deinterlacing(parser)
    add_denoising(parser).add_argument(
        "--hwaccel",
        default="auto",
        metavar="NAME",
        help="decode network streams on the GPU that denoises: auto or none (auto)",
    )
    _add_outputs(parser)
    add_encoding(parser)
    parser.add_argument(
        "--max-latency", type=float, metavar="MS", help="never show a picture older than this (no bound)"
    )
    parser.add_argument("--duration", type=seconds, metavar="TIME", help="end after seconds or [HH:]MM:SS")
    parser.add_argument("-q", "--quiet", action="store_true", help="no summary")


def _add_source(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where pictures come from")
    group.add_argument(
        "--device",
        default="0",
        metavar="DEVICE",
        help="camera (0, /dev/video0 or part of its name), URL, file, gst:PIPELINE or lavfi:GRAPH; @FILE or env:NAME "
        "for a URL with a password (default: 0)",
    )
    group.add_argument("--list", action="store_true", help="show the cameras and their modes, and end")
    group.add_argument("--size", type=_size, metavar="WxH", help="picture size to ask the camera for")
    group.add_argument("--fps", type=float, metavar="N", help="frame rate to ask the camera for")
    group.add_argument(
        "--scale",
        default="1",
        metavar="SHARE",
        help="denoise and show at this share of the size: 1, 3/4, 1/2, 1/3 or 1/4; auto: the largest that keeps the "
        "source's rate (1). With --model auto the network is chosen for the rate, too",
    )
    group.add_argument("--fourcc", metavar="CODE", help="pixel format to ask the camera for, such as MJPG")
    group.add_argument("--loop", action="store_true", help="begin a file again at its end")


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where pictures go, any mix of them")
    group.add_argument("--no-window", action="store_true", help="no window, for machines without a screen")
    group.add_argument("--view", default="split", metavar="NAME", help="split, side, raw or clean (split)")
    group.add_argument("--record", metavar="FILE", help="record the clean video, with the source's sound")
    group.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    group.add_argument(
        "--output",
        action="append",
        default=[],
        metavar="URL",
        help="send it there: rtsp, rtmp, srt, udp or tcp; may be repeated; @FILE and env:NAME as for --token",
    )
    group.add_argument(
        "--virtual-camera",
        nargs="?",
        const="",
        metavar="NAME",
        help="be a camera for other programs (default: the first virtual camera there is)",
    )
    group.add_argument(
        "--web",
        nargs="?",
        const="",
        metavar="HOST:PORT",
        help="serve a page with the picture and the controls (127.0.0.1:8077)",
    )
    group.add_argument(
        "--token",
        help="access token of the page (default: a new one); @FILE for the first line of a file, env:NAME "
        "for an environment variable: every program of the machine can read a command line",
    )
    group.add_argument(
        "--folder", default=".", metavar="DIR", help="for snapshots and recordings begun by a key (here)"
    )


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    if options.list:
        return _list()
    try:
        code = _watch(options)
    except MalleError as error:
        code = report_error(error, verbose=options.verbose)
    if any(thread.name.startswith("malle-") for thread in threading.enumerate()):
        _leave(code)
    return code


def _watch(options: argparse.Namespace) -> int:
    """Open, run and end a session."""
    from malle_rt.live.session import LiveSession

    session: LiveSession | None = None

    def stop() -> None:
        if session is None:
            raise KeyboardInterrupt  # while it is being opened there is nothing to end well
        session.stop()

    with stopped_by_signals(stop) as received:
        try:
            with LiveSession(_config(options)) as session:
                _introduce(session, quiet=options.quiet)
                report = _run(session, received)
        except KeyboardInterrupt:
            print("malle-rt: interrupted before it began", file=sys.stderr)
            return 128 + received[0]
    if not options.quiet:
        print(report.summary())
    return 128 + received[0] if received else int(bool(report.problems))


def _run(session: LiveSession, received: list[int]) -> LiveReport:
    try:
        return session.run()
    except KeyboardInterrupt:
        print("malle-rt: interrupted twice; an unfinished recording stays beside its name", file=sys.stderr)
        _leave(128 + received[0])


def _leave(code: int) -> NoReturn:
    """End although threads are at work: a driver or network call that never comes back would hold the interpreter."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _introduce(session: LiveSession, *, quiet: bool) -> None:
    if not quiet:
        print(f"source: {session.source}\nbackend: {session.backend}", file=sys.stderr)
        if session.fit is not None:
            print(f"fit: {session.fit}", file=sys.stderr)
    if session.url:  # also where quiet: nobody could guess the token
        print(f"page: {session.url}", file=sys.stderr, flush=True)
        if not quiet and sys.stderr.isatty():
            print(qr_code(session.url), end="", file=sys.stderr, flush=True)


def qr_code(url: str) -> str:
    """The address for the camera of a phone, as lines of text; "" where only this machine can open it, or segno lacks.

    Blocks are the light parts: on a terminal of light letters on dark ground it is as phones want it.
    """
    from malle_rt.live.web.address import is_loopback

    host = urlsplit(url).hostname
    if host is None or is_loopback(host):
        return ""
    try:
        segno: Any = importlib.import_module("segno")
    except ImportError:
        return ""
    drawn = io.StringIO()
    segno.make(url, error="l", micro=False).terminal(out=drawn, border=2, compact=True)
    return drawn.getvalue()


def _config(options: argparse.Namespace) -> LiveConfig:
    from malle_rt.live.capture.device import CaptureRequest
    from malle_rt.live.config import LiveConfig
    from malle_rt.live.web.address import WebAddress
    from malle_rt.media.encode_config import default_codec

    return LiveConfig(
        capture=CaptureRequest(
            device=revealed(options.device),
            size=options.size,
            frame_rate=options.fps,
            fourcc=options.fourcc,
            loop=options.loop,
            deinterlace=options.deinterlace,
        ),
        denoise=denoise_config(options),
        scale=options.scale,
        encode=encode_config(options, default_codec(options.record or "")),
        hwaccel=options.hwaccel,
        window=not options.no_window,
        view=options.view,
        record=Path(options.record) if options.record is not None else None,
        overwrite=options.overwrite,
        outputs=tuple(map(revealed, options.output)),
        virtual_camera=options.virtual_camera,
        web=WebAddress.parse(options.web) if options.web is not None else None,
        token=revealed(options.token) if options.token is not None else None,
        folder=Path(options.folder),
        max_latency=options.max_latency / 1000 if options.max_latency is not None else None,
        duration=float(options.duration) if options.duration is not None else None,
    )


def _list() -> int:
    from malle_rt.live.capture.cameras import list_cameras

    cameras = list_cameras()
    for camera in cameras:
        print(camera)
    if not cameras:
        raise SourceError(
            "no camera found. Plug one in, or name a URL, a file or lavfi:testsrc2 with --device"
        )
    return 0


def _size(text: str) -> tuple[int, int]:
    width, x, height = text.lower().partition("x")
    if not (x and width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError(f"want WIDTHxHEIGHT, such as 1280x720, got {text!r}")
    return int(width), int(height)
