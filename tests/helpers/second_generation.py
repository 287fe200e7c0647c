"""Graphs of the weights in training, as a model that everything can run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from malle_rt.media.synthetic import SyntheticSource
from malle_rt.models import PRECISIONS, engines_folder

_SIZE = (128, 96)


def second_generation(folder: Path) -> str:
    """Write the graphs in float32 and in int8; gives what ``--model`` takes. Skips the test where it cannot be."""
    pytest.importorskip("torch")
    from export import export, rounded
    from int8_graph import quantize_graph

    from malle_rt.net.weights import load_rt2

    weights = engines_folder() / "next" / "rt-s.safetensors"
    if not weights.is_file():
        pytest.skip("installed without the weights in training")
    net = load_rt2(weights)
    rounded(net)
    (folder / weights.name).write_bytes(weights.read_bytes())
    source = folder / f"{weights.stem}{PRECISIONS['fp32']}"
    export(net, source)
    quantize_graph(source, folder / f"{weights.stem}{PRECISIONS['int8']}", _samples(source))
    return str(folder / weights.stem)


def _samples(source: Path) -> Iterator[dict[str, np.ndarray]]:
    """Inputs of frames of a drawn clip at three levels of noise."""
    import torch
    from quantize import Player

    from malle_rt.contract import Noise
    from malle_rt.net.noise import Planes420

    player = Player(source)
    for sigma in (4, 12, 30):
        frames = [frame.planes for frame in SyntheticSource(6, _SIZE, noise_sigma=sigma)]
        y = torch.from_numpy(np.stack([luma[None] for luma, *_ in frames]) / np.float32(255))
        uv = torch.from_numpy(np.stack([np.stack(chroma) for _, *chroma in frames]) / np.float32(255))
        told = np.array(Noise.white(sigma).scaled(), np.float32).reshape(1, 4, 1, 1)
        for index, (inputs, _) in enumerate(player.play(Planes420(y, uv), told)):
            if index in (0, 2, 5):
                yield inputs
