"""One training run of a stills network: its steps, its checkpoints, and what it does when it diverges."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from evaluation.stills import Still
from growing import grow
from torch import Tensor
from training import append_row, autocast, follow, psnr_loss, rate_at, save_whole

from malle_rt.net.mallenet import MalleNet, MalleNetConfig
from malle_rt.net.weights import save_network
from stills.photographs import Photographs
from stills.validation import psnr_of

__all__ = ["Diverged", "Recipe", "Run"]

BLIND = (0.0, 55.0)  # sigma of the training noise, 8-bit scale
VALIDATED = (15.0, 25.0, 50.0)
SECONDS_BETWEEN_CHECKS = 300
# Losses are read together: reading one waits for the device.
WINDOW = 20  # steps
EXPLODED = 6.0  # dB that a window's loss may lie above the best window's; chance moves it by less than one
HALVINGS = 6  # of the rate, before a run is given up


class Diverged(RuntimeError):
    """The run went wrong again and again, whatever the rate."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train.

    Attributes:
        steps: length of the run; None when ``minutes`` says it.
        minutes: of training, resumed runs included; checks come on top. The rate follows whichever is given.
        batch: crops of a step.
        size: side of a crop in pixels.
        rate: largest learning rate.
        seed: of the weights, the crops and the noise.
        channels_last: memory order of the network.
        float32: compute in it even where bfloat16 would be faster.
    """

    steps: int | None = None
    minutes: float | None = None
    batch: int = 16
    size: int = 128
    rate: float = 1e-3
    seed: int = 0
    channels_last: bool = True
    float32: bool = False


class Run:
    """A network in training and everything that its checkpoint must hold.

    Args:
        config: of the network.
        recipe: how to train it.
        data: on the device to train on.
        folder: of the run: last.pt, best.safetensors and log.jsonl come to lie here.
        checks: clean photographs to measure on; without any, the newest weights count as the best.
        small: a trained network to grow the new one from.

    Raises:
        ValueError: the small network does not fit into the new one.
    """

    def __init__(
        self,
        config: MalleNetConfig,
        recipe: Recipe,
        data: Photographs,
        folder: Path,
        checks: dict[str, Still],
        small: MalleNet | None = None,
    ) -> None:
        self.recipe, self.data, self.folder, self.checks = recipe, data, folder, checks
        self.device = data.noise.device
        torch.manual_seed(recipe.seed)
        self.net = MalleNet(config)
        if small:
            grow(self.net, small)
        self.net.to(self.device)
        if recipe.channels_last:
            self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
        self.average = copy.deepcopy(self.net).requires_grad_(False).eval()
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=recipe.rate, weight_decay=1e-4)
        self.step = 0
        self.spent = 0.0  # seconds of training so far
        self.best = -math.inf  # sum of the validated PSNRs
        self.lowest = 0.0  # loss of the best window; 0 dB is white for black
        self.halvings = 0
        self._pending: list[Tensor] = []  # losses that nobody has read yet
        self._windows: list[float] = []  # mean losses since the last check

    @property
    def progress(self) -> float:
        """Share of the run that is done."""
        if self.recipe.minutes is not None:
            return self.spent / (self.recipe.minutes * 60)
        return self.step / (self.recipe.steps or 1)

    @property
    def rate(self) -> float:
        """Learning rate of the next step."""
        return self.recipe.rate * 0.5**self.halvings * rate_at(self.progress, self.step)

    def train(self, stopping: Callable[[], bool]) -> None:
        """Until the run is done or ``stopping``; either way the last step is in last.pt.

        Raises:
            Diverged: when halving the rate did not help.
        """
        if self.progress >= 1:
            return
        if self.step == 0:
            self.save()  # what a run that diverges at once goes back to
        checked = self.spent
        while self.progress < 1 and not stopping():
            begun = time.monotonic()
            self.one_step()
            if len(self._pending) == WINDOW:
                self.look()
            self.spent += time.monotonic() - begun
            if self.spent - checked > SECONDS_BETWEEN_CHECKS:
                checked = self.spent
                self.check()
        if self.progress >= 1:
            self.check()
        elif self.look():
            self.save()

    def one_step(self) -> None:
        """Learn from one batch."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        noisy, clean = self.data.draw(self.recipe.batch, self.recipe.size, BLIND)
        with autocast(self.device, float32=self.recipe.float32):
            output = self.net(noisy)
        loss = psnr_loss(output.float(), clean)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        follow(self.average, self.net, self.step)
        self._pending.append(loss.detach())

    def look(self) -> bool:
        """Read the losses since the last look; False when they had diverged and the run went back."""
        if not self._pending:
            return True
        mean, count = float(torch.stack(self._pending).mean()), len(self._pending)
        self._pending.clear()
        # A finite loss can leave a gradient that is not, and with it the weights.
        sound = bool(torch.stack([value.isfinite().all() for value in self.net.parameters()]).all())
        if not sound or not math.isfinite(mean) or mean > self.lowest + EXPLODED:
            self._go_back(mean)
            return False
        if count == WINDOW:  # a few steps alone can be low by chance
            self.lowest = min(self.lowest, mean)
        self._windows.append(mean)
        return True

    def _go_back(self, loss: float) -> None:
        """To the last checkpoint, at half the rate; crops and noise go on, so that the same batch does not return."""
        at, halvings = self.step, self.halvings + 1
        spent, drawn = self.spent, self.data.state()
        self.resume()
        self.spent, self.halvings = spent, halvings
        self.data.restore(drawn)
        row = {"diverged_at": at, "loss": str(loss), "back_to": self.step, "largest_rate": self.recipe.rate}
        append_row(row | {"halvings": halvings}, self.folder / "log.jsonl")
        if halvings > HALVINGS:
            raise Diverged(
                f"diverged {halvings} times, the last at step {at}: start again with a lower --rate"
            )
        self.save()

    def check(self) -> None:
        """Measure the averaged weights, log, keep them when they are the best so far, and write last.pt."""
        if not self.look():
            return
        psnr = {
            f"{s:g}": psnr_of(self.average, self.checks, s, self.device) for s in VALIDATED if self.checks
        }
        row = {
            "step": self.step,
            "minutes": round(self.spent / 60, 2),
            "loss": round(sum(self._windows) / max(len(self._windows), 1), 3),
            "rate": self.rate,
            "megapixels": round(self.step * self.recipe.batch * self.recipe.size**2 / 1e6),
            "psnr": {sigma: round(value, 3) for sigma, value in psnr.items()},
        }
        self._windows.clear()
        append_row(row, self.folder / "log.jsonl")
        if sum(psnr.values()) >= self.best or not psnr:
            self.best = sum(psnr.values())
            note = {"step": str(self.step)}
            save_network(self.average, self.folder / "best.safetensors", dtype=torch.float16, note=note)
        self.save()

    def save(self) -> None:
        """Write last.pt."""
        save_whole(
            {
                "net": self.net.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "data": self.data.state(),
                "counts": (self.step, self.spent, self.best, self.lowest, self.halvings),
            },
            self.folder / "last.pt",
        )

    def resume(self) -> None:
        """Take up last.pt."""
        saved = torch.load(self.folder / "last.pt", map_location="cpu", weights_only=True)
        self.net.load_state_dict(saved["net"])
        self.average.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.data.restore(saved["data"])
        self.step, self.spent, self.best, self.lowest, self.halvings = saved["counts"]
