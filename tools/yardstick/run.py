"""The comparison from start to end."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from yardstick.codecs import h264
from yardstick.machine import describe_machine
from yardstick.noisy_clip import NoisyClip, noisy_clip
from yardstick.other_load import OtherLoad
from yardstick.ours import MalleRt
from yardstick.overlap import measure_overlap
from yardstick.picture import save_picture
from yardstick.quality import score_noise, score_tool, tuned
from yardstick.result import Comparison, ToolScore
from yardstick.search import Setting
from yardstick.speed import measure_speed
from yardstick.speed_clip import SpeedClip
from yardstick.tool import Tool

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
        sigmas: of the noise, 8-bit scale; speed is measured at the last.
        seed: of the noise.
        crf: constant rate factor of x264 that the noisy clips go through; None: they do not.
        peers: tools beside ours.
        model: our network.
        strength: of our row that is not tuned.
        known: settings of peers found before, by sigma and name; ours is tuned again, for it may have a new network.
        tune_frames: of each clip, for the search.
        rounds: of the speed measurement; 0 leaves it out.
        seconds: about how long one run of it lasts.
        longest: most frames of one run.
        pictures: folder for PNGs.
    """

    clips: Sequence[Path]
    size: tuple[int, int]
    frames: int
    sigmas: Sequence[float]
    seed: int
    crf: float | None
    peers: Sequence[Tool]
    model: str
    strength: str
    known: Mapping[tuple[float, str], Setting]
    tune_frames: int
    rounds: int
    seconds: float
    longest: int
    pictures: Path | None

    def tools(self) -> list[Tool]:
        """Ours, by itself and tuned, and the peers."""
        by_itself = MalleRt(f"malle-rt {self.strength}", self.model, self.strength)
        return [by_itself, MalleRt(OURS, self.model, None), *self.peers]

    def noisy_clips(self, sigma: float) -> list[NoisyClip]:
        """The clips at one sigma; each has noise of its own."""
        clips = [
            noisy_clip(path, self.size, self.frames, sigma, self.seed + 1000 * index)
            for index, path in enumerate(self.clips)
        ]
        if self.crf is None:
            return clips
        return [replace(clip, noisy=h264(clip.noisy, crf=self.crf)) for clip in clips]


def run(plan: Plan) -> Comparison:
    """Compare. Everything is written to a temporary folder but the pictures."""
    comparison = Comparison(machine=[describe_machine()])
    with tempfile.TemporaryDirectory(prefix="malle-compare-") as name:
        folder = Path(name)
        for sigma in plan.sigmas:
            clips = plan.noisy_clips(sigma)
            scores = comparison.scores[sigma] = _scores(plan, clips, sigma, folder)
            if plan.pictures:
                _save_pictures(plan.pictures, scores, clips, sigma)
        through = "" if plan.crf is None else f", x264 at CRF {plan.crf:g}"
        comparison.clips = [
            f"{clip.name} {clip.size[0]}x{clip.size[1]}, {len(clip.clean)}{through}" for clip in clips
        ]
        if plan.rounds:
            _measure_speed(plan, comparison, clips[0], folder)
    comparison.machine.append(describe_machine())
    return comparison


def _scores(plan: Plan, clips: Sequence[NoisyClip], sigma: float, folder: Path) -> list[ToolScore]:
    """Tune every tool, then score it on the whole clips."""
    scores = [ToolScore("noisy", "", (), tuple(score_noise(clip) for clip in clips))]
    for tool in plan.tools():
        log.info("sigma %g: %s", sigma, tool.name)
        setting = plan.known.get((sigma, tool.name))
        if setting is None or tool not in plan.peers:
            # A search tries ten settings and more, so slow tools get half their frames for it.
            frames = min(plan.tune_frames, (tool.frame_limit or 2 * plan.tune_frames) // 2)
            setting = tuned(tool, clips, sigma, frames, folder)
        scored = tuple(score_tool(tool, setting, clip, folder) for clip in clips)
        scores.append(ToolScore(tool.name, tool.label(setting), setting, scored))
    return scores


def _save_pictures(
    folder: Path, scores: Sequence[ToolScore], clips: Sequence[NoisyClip], sigma: float
) -> None:
    """One PNG per clip. The frame is the last that every tool has cleaned."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, clip in enumerate(clips):
        shown = min(len(score.clips[index].pictures) for score in scores) - 1
        tiles = [
            (f"{score.tool} {score.clips[index].psnr[shown]:.2f} dB", score.clips[index].pictures[shown])
            for score in scores
        ]
        save_picture(folder / f"{clip.name}-{sigma:g}.png", [*tiles, ("clean", clip.clean[shown])])


def _measure_speed(plan: Plan, comparison: Comparison, clip: NoisyClip, folder: Path) -> None:
    """At the settings found for the last sigma; strength does not change what a tool costs."""
    log.info("speed, on %s", clip.name)
    found = {score.tool: score.setting for score in comparison.scores[plan.sigmas[-1]]}
    tools: dict[Tool, Setting] = {tool: found[tool.name] for tool in plan.tools()}
    tools[MalleRt(NONE, plan.model, "0")] = ()
    bench = SpeedClip(clip.noisy, folder, plan.longest)
    others = OtherLoad()
    comparison.speed = measure_speed(tools, bench, rounds=plan.rounds, seconds=plan.seconds)
    for strength in (plan.strength, "0"):
        source = bench.h264(plan.longest)
        overlap = measure_overlap(source, bench.transcoded, plan.model, strength)
        comparison.overlap[f"--strength {strength}"] = overlap
    comparison.other_cores = others.cores()
