"""The comparison from start to end."""

from __future__ import annotations

import logging
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import malle_rt
from malle_rt.measuring import OtherLoad, describe_machine
from yardstick.clips import NoiseKind, NoisyClip, White, clean_clips
from yardstick.peers import MalleRt
from yardstick.process import FFMPEG
from yardstick.raw import save_picture
from yardstick.result import ClipScore, Comparison, ToolScore, score_noise, score_tool, tuned
from yardstick.speed import SpeedClip, measure_busy, measure_overlap, measure_speed
from yardstick.tool import Setting, Tool

__all__ = ["NONE", "OURS", "Plan", "run"]

log = logging.getLogger(__name__)

OURS = "malle-rt tuned"
NONE = "malle-rt none"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to compare, and how.

    Attributes:
        clips: video files or folders of pictures, clean.
        size: (width, height) to scale down to.
        frames: of each clip.
        crop: (width, height) of further clips cut out of each; None: none.
        noises: kinds of noise; speed is measured at the last.
        seed: of the noise.
        peers: tools beside ours.
        model: our network.
        backend: what runs it.
        strength: of our row that is not tuned.
        known: settings of peers found before, by kind of noise, name and clip; ours is tuned again, for it may have a
            new network.
        tune_frames: of each clip, for the search.
        rounds: of the speed measurement; 0 leaves it out.
        seconds: about how long one run of it lasts.
        longest: most frames of one run.
        neighbours: spinning processes beside which single frames are timed; empty leaves it out.
        pictures: folder for PNGs.
    """

    clips: Sequence[Path]
    size: tuple[int, int]
    frames: int
    crop: tuple[int, int] | None
    noises: Sequence[NoiseKind]
    seed: int
    peers: Sequence[Tool]
    model: str
    backend: str
    strength: str
    known: Mapping[tuple[str, str, str], Setting]
    tune_frames: int
    rounds: int
    seconds: float
    longest: int
    neighbours: Sequence[int]
    pictures: Path | None

    def tools(self) -> list[Tool]:
        """Ours, by itself and tuned, and the peers."""
        return [self.ours(f"malle-rt {self.strength}", self.strength), self.ours(OURS, None), *self.peers]

    def ours(self, name: str, strength: str | None) -> MalleRt:
        """Our network at a strength, None: tuned."""
        return MalleRt(name, self.model, strength, backend=self.backend)

    def noisy_clips(self, noise: NoiseKind) -> list[NoisyClip]:
        """The clips with one kind of noise; each has noise of its own."""
        clean = [clip for path in self.clips for clip in clean_clips(path, self.size, self.frames, self.crop)]
        return [noise.noisy(clip, self.seed + 1000 * index) for index, clip in enumerate(clean)]


def run(plan: Plan) -> Comparison:
    """Compare. Everything is written to a temporary folder but the pictures."""
    comparison = Comparison(machine=[_machine()])
    with tempfile.TemporaryDirectory(prefix="malle-compare-") as name:
        folder = Path(name)
        for noise in plan.noises:
            clips = plan.noisy_clips(noise)
            scores = comparison.scores[noise.name] = _scores(plan, clips, noise, folder)
            if plan.pictures:
                _save_pictures(plan.pictures, scores, clips, noise.name)
        comparison.clips = [_in_words(clip, noise) for clip in clips]
        bench = SpeedClip(clips[0].noisy, folder, plan.longest)
        if plan.rounds:
            _measure_speed(plan, comparison, bench)
        if plan.neighbours:
            log.info("frames beside busy neighbours, on %s", clips[0].name)
            tools = _found(plan, comparison)
            rounds = max(plan.rounds, 1)
            comparison.busy = measure_busy(tools, bench.raw(plan.longest), plan.neighbours, rounds)
    comparison.machine.append(_machine())
    return comparison


def _in_words(clip: NoisyClip, noise: NoiseKind) -> str:
    through = f", x264 at CRF {noise.crf:g}" if isinstance(noise, White) and noise.crf is not None else ""
    moving = "moving" if clip.moving else "still"
    return f"{clip.name} {clip.size[0]}x{clip.size[1]} {moving}, {len(clip.clean)}{through}"


def _scores(plan: Plan, clips: Sequence[NoisyClip], noise: NoiseKind, folder: Path) -> list[ToolScore]:
    """Tune every tool, then score it on the whole clips."""
    scores = [ToolScore("noisy", tuple(score_noise(clip) for clip in clips))]
    for tool in plan.tools():
        log.info("%s: %s", noise.name, tool.name)
        scored: list[ClipScore] = []
        for sigma, together in noise.tuned_together(clips):
            setting = plan.known.get((noise.name, tool.name, together[0].name))
            if setting is None or tool not in plan.peers:
                # A search tries ten settings and more, so slow tools get half their frames for it.
                frames = min(plan.tune_frames, (tool.frame_limit or 2 * plan.tune_frames) // 2)
                setting = tuned(tool, together, sigma, frames, folder)
            scored += [score_tool(tool, setting, clip, folder) for clip in together]
        scores.append(ToolScore(tool.name, tuple(scored)))
    return scores


def _save_pictures(folder: Path, scores: Sequence[ToolScore], clips: Sequence[NoisyClip], noise: str) -> None:
    """One PNG per clip. The frame is the last that every tool has cleaned."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, clip in enumerate(clips):
        shown = min(len(score.clips[index].pictures) for score in scores) - 1
        tiles = [
            (f"{score.tool} {score.clips[index].psnr[shown]:.2f} dB", score.clips[index].pictures[shown])
            for score in scores
        ]
        save_picture(folder / f"{clip.name}-{noise}.png", [*tiles, ("clean", clip.clean[shown])])


def _found(plan: Plan, comparison: Comparison) -> dict[Tool, Setting]:
    """The settings found for the last kind of noise; strength does not change what a tool costs."""
    found = {score.tool: score.clips[0].setting for score in comparison.scores[plan.noises[-1].name]}
    return {tool: found[tool.name] for tool in plan.tools()}


def _measure_speed(plan: Plan, comparison: Comparison, bench: SpeedClip) -> None:
    log.info("speed, on %s", comparison.clips[0])
    tools = _found(plan, comparison)
    tools[plan.ours(NONE, "0")] = ()
    others = OtherLoad()
    comparison.speed = measure_speed(tools, bench, rounds=plan.rounds, seconds=plan.seconds)
    for strength in (plan.strength, "0"):
        source = bench.h264(plan.longest)
        overlap = measure_overlap(source, bench.transcoded, plan.model, strength, plan.backend)
        comparison.overlap[f"--strength {strength}"] = overlap
    comparison.other_cores = others.cores()


def _machine() -> dict[str, str]:
    done = subprocess.run([FFMPEG[0], "-version"], capture_output=True, text=True, check=True)
    own = {"malle-rt": malle_rt.__version__, "ffmpeg": done.stdout.split()[2]}
    return describe_machine(("openvino", "av", "opencv-python", "numpy")) | own
