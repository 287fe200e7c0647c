import numpy as np
import torch
from trainset import TrainSet


def made(seed=0):
    rng = np.random.default_rng(1)
    clip = torch.from_numpy(rng.integers(0, 256, (5, 3, 48, 64), np.uint8))
    still = torch.from_numpy(rng.integers(0, 256, (3, 60, 70), np.uint8))
    return TrainSet([clip], [still], torch.Generator().manual_seed(seed))


def test_sequences_have_their_shape_and_range_and_repeat_with_the_seed():
    first, second = made(), made()
    for _ in range(25):
        sequence = first.draw(7, 32)
        assert sequence.shape == (7, 3, 32, 32)
        assert 0 <= float(sequence.min()) <= float(sequence.max()) <= 1
        assert torch.equal(sequence, second.draw(7, 32))


def test_clips_longer_than_the_clip_bounce():
    data = made()
    data.real = 1.0
    sequence = data._real_shot(30, 48)
    assert sequence.shape == (30, 3, 48, 48)
    assert not torch.equal(sequence[0], sequence[1])


def test_some_sequences_stand_still_and_some_move():
    data = made()
    still = data._moved_still(4, 32, still=True)
    assert torch.equal(still[0], still[3])
    moved = [data._moved_still(4, 32, still=False) for _ in range(4)]
    assert any(not torch.allclose(shot[0], shot[3], atol=0.02) for shot in moved)
