"""One video file into another, as Python users call it."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from typing import Literal

from malle_rt.api import Transcode, TranscodeOptions, TranscodeReport
from malle_rt.cluster import Cluster
from malle_rt.config import DenoiseConfig, Strength
from malle_rt.errors import ConfigError
from malle_rt.media.deinterlace import Deinterlace
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.pipeline import Progress
from malle_rt.segments.job import SegmentedTranscode

__all__ = ["denoise_video"]


def denoise_video(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    strength: Strength | None = None,
    config: DenoiseConfig | None = None,
    encode: EncodeConfig | None = None,
    start: float | Fraction | None = None,
    duration: float | Fraction | None = None,
    overwrite: bool = False,
    keep_partial: bool = False,
    strict: bool = False,
    compare: str | os.PathLike[str] | None = None,
    hwaccel: str = "auto",
    keep_times: bool = False,
    deinterlace: Deinterlace | None = None,
    frame_rate: float | Fraction | None = None,
    container_format: str | None = None,
    mark_beside: bool = False,
    resume: bool = False,
    jobs: int | Literal["auto"] | None = None,
    cluster: str | None = None,
    cluster_storage: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> TranscodeReport:
    """Denoise one video file into another; sound, subtitles, chapters and metadata come along.

    As ``malle-rt transcode``. Ctrl-C is raised as KeyboardInterrupt once what was done is safe in
    OUT.partial.EXT. An input that is damaged or not whole gives a report with ``losses``.

    Args:
        source: path or URL of the noisy video, or pictures: ``frame_%04d.png``, ``frames/*.png``, a folder.
        output: path of the result; its extension chooses the container. With a number as ``frame_%04d.png`` has it,
            and the extension of a picture, each frame becomes a picture of its own.
        strength: short for ``config=DenoiseConfig(strength=...)``: sigma of the luma's noise on the 8-bit scale, 0 to
            75, or "auto", "light", "medium", "strong".
        config: how to denoise; None: strength "auto" with the best backend there is.
        encode: how to encode; None: H.264, or VP9 where the container is WebM; must be None for pictures.
        start: seconds to skip.
        duration: seconds to transcode; None: all.
        overwrite: replace an existing output.
        keep_partial: give the output its name also where it is stopped early; else it stays OUT.partial.EXT.
        strict: an input that is damaged, or ends before its header says, is an error.
        compare: path of a picture (.png, .jpg, .webp) that shows some frames before and after.
        hwaccel: "auto" lets NVDEC decode, and NVENC encode where it is asked for, without a copy in host memory
            if the backend runs on that GPU and they take the video; "cuda" insists on NVDEC; "none" decodes on
            the processor.
        keep_times: whether the output gets the times of last access and change of the source, if that is a file.
        deinterlace: "field" makes a frame of each field of interlaced pictures, "frame" one of both; None: they
            stay interlaced, and each field is denoised by itself.
        frame_rate: pictures a second of a sequence; None: 25. 29.97 is taken as it is: pass Fraction(30000, 1001).
        container_format: whatever the output is called, "yuv4mpegpipe", "nut", "matroska" or "mpegts";
            None: by its extension. An output "-" is standard output, as Y4M if nothing else is asked for.
        mark_beside: whether a small file beside the output says of which source and with which options it was
            made, where its container cannot.
        resume: work in segments, kept in OUT.segments: after an interruption of any kind the same call goes on.
        jobs: segments at once, "auto" for as many as make the most of the machine; resumes, too.
        cluster: make the segments on the machines of the Ray cluster with this address, "auto" or "local".
        cluster_storage: an address that fsspec knows, where those machines share no folder.
        on_progress: called a few times per second, in the thread of the caller, with what has been done so far.

    Raises:
        ConfigError: an option, or a combination of them, that cannot work.
        SourceError, SinkError: the input cannot be read, the output not written.
        BackendUnavailable: the backend asked for cannot run here.
        PipelineError: a stage failed; nothing is left under the output's name.
    """
    if strength is not None and config is not None:
        raise ConfigError(
            "strength is part of config: pass one of the two, DenoiseConfig(strength=...) for both"
        )
    options = TranscodeOptions(
        config=config or DenoiseConfig(strength="auto" if strength is None else strength),
        encode=encode,
        start=_exact("start", start),
        duration=_exact("duration", duration),
        overwrite=overwrite,
        keep_partial=keep_partial,
        strict=strict,
        compare=compare,
        hwaccel=hwaccel,
        keep_times=keep_times,
        deinterlace=deinterlace,
        frame_rate=_exact("frame_rate", frame_rate),
        container_format=container_format,
        mark_beside=mark_beside,
    )
    if jobs is not None and jobs != "auto" and not (isinstance(jobs, int) and jobs >= 1):
        raise ConfigError(f'jobs must be "auto" or a number of at least 1, got {jobs!r}')
    if cluster_storage is not None and cluster is None:
        raise ConfigError("cluster_storage is for a cluster: pass cluster, or leave it out")
    job: Transcode | SegmentedTranscode
    if resume or jobs is not None or cluster is not None or options.config.gpu == "all":
        job = SegmentedTranscode(
            source,
            output,
            options,
            jobs=None if jobs == "auto" else jobs,
            cluster=None if cluster is None else Cluster(cluster, cluster_storage),
        )
    else:
        job = Transcode(source, output, options)
    with job:
        return job.run(on_progress)


def _exact(name: str, value: float | Fraction | None) -> Fraction | None:
    try:
        # Decimals are meant: 0.1 is a tenth, not the binary number next to it.
        return None if value is None else Fraction(str(value))
    except (ValueError, ZeroDivisionError) as exc:
        raise ConfigError(f"{name} must be a number, got {value!r}") from exc
