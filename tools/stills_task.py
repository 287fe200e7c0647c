"""Training of MalleNet for stills: photographs with white noise of every strength.

The network is blind: sigma 0 to 55, never told. The loss is the PSNR itself, the figure that counts: the logarithm
of each crop's squared error. Under L1 or Charbonnier the noisiest crops would make most of the gradient. Nothing is
clipped, since a clipped output has no gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from evaluation.stills import Still, psnr_of
from training import Run, autocast, grow, psnr_loss
from trainset import Photographs

from malle_rt.net.mallenet import MalleNet, MalleNetConfig

__all__ = ["StillsTask"]

BLIND = (0.0, 55.0)  # sigma of the training noise, 8-bit scale
VALIDATED = (15.0, 25.0, 50.0)


class StillsTask:
    """A stills network, see ``training.Task``.

    Args:
        config: of the network.
        data: on the device to train on.
        checks: clean photographs to measure on; without any, the newest weights count as the best.
        small: a trained network to grow the new one from.
    """

    exploded = 6.0  # chance moves it by less than one
    steepest = 1.0
    seconds_between_checks = 300.0
    dtype = torch.float16

    def __init__(
        self,
        config: MalleNetConfig,
        data: Photographs,
        checks: dict[str, Still],
        small: MalleNet | None = None,
    ) -> None:
        self.config, self.data, self.checks, self.small = config, data, checks, small
        self.device = data.noise.device
        self.state: Callable[[], Any] = data.state
        self.restore: Callable[[Any], None] = data.restore

    def network(self) -> MalleNet:
        """A fresh one, or one grown from the small one; ``ValueError`` where that does not fit."""
        net = MalleNet(self.config)
        if self.small:
            grow(net, self.small)
        return net

    def batch(self, run: Run[MalleNet]) -> None:
        """One step on fresh crops."""
        noisy, clean = self.data.draw(run.recipe.batch, run.recipe.size, BLIND)
        with autocast(self.device, float32=run.recipe.float32):
            output = run.net(noisy)
        run.learn(psnr_loss(output.float(), clean))

    def check(self, average: MalleNet) -> tuple[dict[str, Any], float | None]:
        """PSNR in dB by sigma."""
        if not self.checks:
            return {"psnr": {}}, None
        psnr = {f"{sigma:g}": psnr_of(average, self.checks, sigma, self.device) for sigma in VALIDATED}
        return {"psnr": {sigma: round(value, 3) for sigma, value in psnr.items()}}, sum(psnr.values())
