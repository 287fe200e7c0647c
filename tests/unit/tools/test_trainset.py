import numpy as np
import pytest
import torch
from PIL import Image
from trainset import TrainSet, load_stills


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


def test_several_folders_of_stills_are_one_set(tmp_path):
    rng = np.random.default_rng(2)
    for name in ("photographs", "drawings", "clips/clip"):
        (tmp_path / name).mkdir(parents=True)
        for number in range(2):
            picture = rng.integers(0, 256, (48, 64, 3), np.uint8)
            Image.fromarray(picture).save(tmp_path / name / f"{number}.png")
    folders = [tmp_path / "photographs", tmp_path / "drawings"]
    cpu = torch.device("cpu")
    data = TrainSet.load(tmp_path / "clips", folders, tmp_path / "cache.pt", cpu, seed=0)
    pictures = [picture for folder in folders for picture in load_stills(folder)]
    assert len(data.clips) == 1
    assert len(data.stills) == 4
    for still, picture in zip(data.stills, pictures, strict=True):
        np.testing.assert_array_equal(still.permute(1, 2, 0).numpy(), picture)
    with pytest.raises(SystemExit, match="other files"):
        TrainSet.load(tmp_path / "clips", folders[:1], tmp_path / "cache.pt", cpu, seed=0)


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
