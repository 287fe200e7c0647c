"""A live session: everything opened, connected, and ended well."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median

from malle_rt.backends.select import select_backend
from malle_rt.config import DenoiseConfig
from malle_rt.denoiser import FrameDenoiser
from malle_rt.live.capture.device import DeviceAddress
from malle_rt.live.capture.source import LiveSource, open_capture
from malle_rt.live.config import LiveConfig
from malle_rt.live.control import Controls, Tuning
from malle_rt.live.denoiser import LiveDenoiser
from malle_rt.live.fan_out import FanOut
from malle_rt.live.frame import Latest, LiveFrame
from malle_rt.live.outlets.address import PushAddress
from malle_rt.live.outlets.outlet import Outlet
from malle_rt.live.outlets.push import PushSink
from malle_rt.live.outlets.recording import Recording, Recordings
from malle_rt.live.outlets.snapshots import Snapshots
from malle_rt.live.outlets.virtual_camera import VirtualCameraSink
from malle_rt.live.overview import Overview, PaceWatch
from malle_rt.live.scaling import SizeKeeper, fitting, noise_frames, scaled_size
from malle_rt.live.statistics import LiveReport, Meter, Statistics, StatusLine
from malle_rt.live.view.window import Window, require_display
from malle_rt.live.web.server import WebServer
from malle_rt.media.output_file import OutputFile
from malle_rt.pipeline import Pipeline, PipelineConfig, Progress
from malle_rt.protocols import Sink

__all__ = ["LiveSession"]

log = logging.getLogger(__name__)

_POLL = 0.1  # seconds between two looks of a main thread that has no window

# What --model auto chooses from.
_FASTEST_FIRST = ("rt-s", "rt-m", "rt-l")
# One denoised frame waits at most: an older one would only be shown later than it could be.
_SHALLOW = PipelineConfig(depth=1)


class LiveSession:
    """One camera or stream on its way to viewers and files; a context manager. Satisfies ``SessionControl``.

    Attributes:
        backend: what denoises, and why, one line.
        fit: what was chosen to keep the source's rate, one line; None where nothing was.
        controls: strength and mix.
        latest: the newest denoised frame.
    """

    def __init__(self, config: LiveConfig) -> None:
        """Open everything; the first picture has been captured, none denoised.

        Raises:
            ConfigError: options that cannot work.
            SourceError, SinkError: the source cannot be read, an output not written; no display.
            BackendUnavailable: the backend asked for cannot run here.
        """
        self._config = config
        self.controls = Controls(
            Tuning(strength=config.denoise.strength, mix=config.denoise.mix, scale=config.scale)
        )
        self.latest = Latest()
        self._meter = Meter()
        self._status_line = StatusLine()
        self.fit: str | None = None
        self._keeper = SizeKeeper()
        self._stopping = False
        self._failure: BaseException | None = None
        self._ended = threading.Event()
        self._outputs: list[Outlet] = []
        self._seen: dict[Outlet, tuple[str | None, str | None]] = {}
        measures = not config.window and config.web is None
        self._fan_out = FanOut(self.latest, self._meter, max_latency=config.max_latency, measures=measures)
        with ExitStack() as undo:
            self._open(undo)
            undo.pop_all()

    def _open(self, undo: ExitStack) -> None:
        config = self._config
        if config.window:
            require_display()
        if config.record is not None:  # before a camera is switched on in vain
            OutputFile(config.record, overwrite=config.overwrite)
        self._gpu: int | None = None  # that may decode
        measures = "auto" in (config.denoise.model, config.scale) and config.denoise.backend != "none"
        if not measures:  # what cannot run is said before a camera is switched on
            running_on = self._open_denoiser(config.denoise, undo)
        self._source = LiveSource(lambda: open_capture(replace(config.capture, gpu=self._gpu)))
        undo.callback(self._source.close)
        if measures:
            running_on = self._open_denoiser(self._fitted(), undo)
        undo.callback(self._fan_out.finish)
        self._snapshots = Snapshots(config.folder, self._status_line.say)
        undo.callback(self._snapshots.close)
        self._recordings = Recordings(self._make_recording, self._fan_out, self._status_line)
        self._overview = Overview(
            self._source,
            self._meter,
            self.controls,
            self._recordings,
            self._outputs,
            self._status_line,
            running_on,
            self._keeper,
            config.max_latency,
        )
        if config.record is not None:
            self._recordings.begin(config.record)
        self._open_outputs()
        self._pipeline = Pipeline(self._source, self._denoiser, self._fan_out, _SHALLOW)
        self._web: WebServer | None = None
        if config.web is not None:
            self._web = WebServer(self, config.web, token=config.token, counts_display=not config.window)
            undo.callback(self._web.close)
            self._web.start()

    def _open_denoiser(self, config: DenoiseConfig, undo: ExitStack) -> str:
        """Open it; gives name, model and precision of what denoises."""
        self._pace = PaceWatch(
            config.model,
            sizeable=DeviceAddress.parse(self._config.capture.device).takes_modes,
            scalable=self._config.scale != "auto",
        )
        inner, self.backend, running_on = _open_denoiser(config)
        self._denoiser = LiveDenoiser(inner, self.controls, self._keeper)
        self._gpu = inner.gpu if inner is not None and self._config.hwaccel == "auto" else None
        undo.callback(self._denoiser.close)
        return running_on

    def _fitted(self) -> DenoiseConfig:
        """The configuration with the network, and the share of the size, that keep the source's rate."""
        config, info = self._config, self._source.info
        models = _FASTEST_FIRST if config.denoise.model == "auto" else (config.denoise.model,)
        rate = float(info.frame_rate or 30)

        def seconds_of(model: str, width: int, height: int) -> float:
            return _seconds_of(replace(config.denoise, model=model), width, height, rate)

        model, scale, seconds = fitting(info, models, config.scale, seconds_of)
        self._keeper.choose(scale)
        width, height = scaled_size(info.width, info.height, scale)
        self.fit = (
            f"{model} at {width}x{height}, {scale} of the source's size, takes about {1000 * seconds:.0f} ms of the "
            f"{1000 / rate:.0f} ms between two pictures"
        )
        return replace(config.denoise, model=model)

    def _open_outputs(self) -> None:
        template = self._source.template
        for url in self._config.outputs:
            self._add_output(PushAddress.parse(url).shown, PushSink(url, template))
        if self._config.virtual_camera is not None:
            camera = VirtualCameraSink(self._config.virtual_camera or None, template.info)
            self._add_output("virtual camera", camera)

    def _add_output(self, name: str, sink: Sink) -> None:
        outlet = Outlet(name, sink)
        self._outputs.append(outlet)
        self._fan_out.add(outlet)

    def _make_recording(self, path: Path | None) -> Recording:
        config = self._config
        return Recording(
            path, self._source.template, config.encode, overwrite=config.overwrite, folder=config.folder
        )

    def run(self) -> LiveReport:
        """Run until the source ends, a viewer quits or ``stop``; on the main thread, which a window needs. Once.

        Raises:
            PipelineError: a stage failed; recordings are finished by then.
        """
        worker = threading.Thread(target=self._work, name="malle-live", daemon=False)
        worker.start()
        try:
            if self._config.window:
                Window(self, view=self._config.view).run()
            while self.running:
                self._ended.wait(_POLL)
        finally:
            self.stop()
            while not self._ended.wait(_POLL):
                pass
            self.close()
        if self._failure is not None:
            raise self._failure
        return self._overview.report(self.backend, self._denoiser.untouched)

    @property
    def source(self) -> str:
        """What frames come from, one line."""
        return self._source.status.description

    @property
    def url(self) -> str | None:
        """Address of the page, with its token; None where there is none."""
        return self._web.url if self._web is not None else None

    @property
    def running(self) -> bool:
        """False once the session ends."""
        return not (self._stopping or self._ended.is_set())

    def stop(self) -> None:
        """End the session well; from any thread or a signal handler, returns at once."""
        self._stopping = True
        self._pipeline.stop()

    def close(self) -> None:
        """Give back what was opened. May be called twice."""
        if self._web is not None:
            self._web.close()
        self._fan_out.finish()
        self._recordings.close()
        self._snapshots.close()
        self._source.close()
        self._denoiser.close()

    def __enter__(self) -> LiveSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def recordings(self) -> Sequence[Path]:
        """Files that were recorded and finished, the newest last."""
        return tuple(self._recordings.paths)

    def statistics(self) -> Statistics:
        """A snapshot."""
        return self._overview.statistics()

    def note_displayed(self, frame: LiveFrame) -> None:
        """A viewer has put this frame on a screen just now."""
        self._meter.add_age(time.monotonic() - frame.captured)

    def snapshot(self, frame: LiveFrame) -> None:
        """Save a frame as a pair of PNG files, raw and clean."""
        self._snapshots.save(frame)

    def toggle_recording(self) -> None:
        """Begin or end a recording."""
        self._recordings.toggle()

    def _work(self) -> None:
        """The pipeline, beside the thread that has the window."""
        self._meter.start()
        try:
            self._overview.progress = self._pipeline.run(self._look)
        except BaseException as error:
            self._failure = error
        finally:
            self._meter.stop()
            self._ended.set()

    def _look(self, progress: Progress) -> None:
        """A few times per second: what nobody else watches."""
        self._overview.progress = progress
        self._recordings.look(self._source.status.lost_since)
        self._report_problems()
        self._overview.report_scale()
        self._overview.report_pace(self._pace)
        duration = self._config.duration
        if (duration is not None and progress.seconds >= duration) or self._is_pointless():
            self.stop()

    def _report_problems(self) -> None:
        """Log what goes wrong with outputs, each thing once, if it lasts for two looks: nobody may be watching."""
        for outlet in self._outputs:
            problem, (before, told) = outlet.problem, self._seen.get(outlet, (None, None))
            if problem is not None and problem == before and problem != told:
                log.warning("%s: %s", outlet.name, problem)
                told = problem
            self._seen[outlet] = problem, told

    def _is_pointless(self) -> bool:
        """Whether nobody can see the pictures, and nothing takes them any more."""
        seen = self._config.window or self._web is not None
        return not (seen or self._recordings.active or any(outlet.running for outlet in self._outputs))


def _seconds_of(config: DenoiseConfig, width: int, height: int, rate: float) -> float:
    """What a frame of this size takes, in seconds: the middle of a few, or of fewer where they take far too long."""
    denoiser, _, _ = _open_denoiser(replace(config, strength=20.0))
    if denoiser is None:
        return 0.0
    taken: list[float] = []
    try:
        for frame in noise_frames(width, height, 6):
            begin = time.perf_counter()
            denoiser.start(frame)()
            taken.append(time.perf_counter() - begin)
            if sum(taken[1:]) > 8 / rate:
                break
    finally:
        denoiser.close()
    return median(taken[1:])  # the first one sets things up


def _open_denoiser(config: DenoiseConfig) -> tuple[FrameDenoiser | None, str, str]:
    """The denoiser (None: none wanted), a line on what runs and why, and its short form."""
    if config.backend == "none":
        return None, "none (asked for): pictures pass through", "none"
    selection = select_backend(config)
    info = selection.backend.info
    return (
        FrameDenoiser(selection.backend, config, watch=True),
        str(selection),
        f"{info.name} {info.model} {info.precision}",
    )
