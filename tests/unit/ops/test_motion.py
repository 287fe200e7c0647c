"""The search for motion in plain torch: what moves is found, what stands still stays, cuts and noise lead nowhere."""

import math

import pytest
import torch
import torch.nn.functional as F

from malle_rt.ops.motion import WHOLE, find_motion, move


def texture(height: int, width: int, seed: int = 0, spread: int = 3) -> torch.Tensor:
    """A picture with detail of several sizes, (1, 1, height, width) uint8."""
    generator = torch.Generator().manual_seed(seed)
    fine = torch.rand(1, 1, height, width, generator=generator)
    coarse = torch.rand(1, 1, -(-height // 16), -(-width // 16), generator=generator)
    wide = F.interpolate(coarse, size=(height, width), mode="bicubic")
    return (80 * wide + 150 * F.avg_pool2d(fine, spread, 1, spread // 2)).clamp(0, 255).byte()


def noisy(codes: torch.Tensor, sigma: float, seed: int = 1) -> torch.Tensor:
    noise = torch.randn(codes.shape, generator=torch.Generator().manual_seed(seed)) * sigma
    return (codes.float() + noise).round().clamp(0, 255).byte()


@pytest.mark.parametrize("step", [(0, 0), (1, 0), (0, -1), (3, 5), (-7, 2), (12, -20), (-30, 31)])
@pytest.mark.parametrize("sigma", [0, pytest.param(15, marks=pytest.mark.slow)])
def test_finds_a_shift(step: tuple[int, int], sigma: float) -> None:
    scene = texture(240, 272)
    down, right = step
    now = scene[..., 40:200, 40:232]
    before = scene[..., 40 - down : 200 - down, 40 - right : 232 - right]
    motion = find_motion(noisy(now, sigma), before)
    # What was `step` higher up in the frame before: the block's past lies that much further down.
    inner = motion[..., 5:-5, 5:-5]
    expected = WHOLE * torch.tensor(step, dtype=torch.int16).view(1, 2, 1, 1)
    assert (inner == expected).all(1).float().mean() > 0.9


@pytest.mark.slow
def test_moves_back_what_moved() -> None:
    scene = texture(200, 200)
    now, before = scene[..., 20:180, 20:180], scene[..., 14:174, 28:188]
    motion = find_motion(now, before)
    inside = (..., slice(40, -40), slice(40, -40))
    assert (move(before, motion, nearest=True) == now)[inside].float().mean() > 0.95
    halves = F.avg_pool2d(before.float(), 2), F.avg_pool2d(now.float(), 2)
    inside = (..., slice(20, -20), slice(20, -20))
    still, moved = (
        (each - halves[1])[inside].square().mean() for each in (halves[0], move(halves[0], motion, 4))
    )
    assert moved < still / 20


@pytest.mark.parametrize("sigma", [5, 25, 50])
@pytest.mark.parametrize("spread", [1, 3])
def test_a_still_noisy_scene_stays(sigma: float, spread: int) -> None:
    scene = texture(160, 160, spread=spread)
    # The past is a denoised frame: some of its noise is left.
    motion = find_motion(noisy(scene, sigma), noisy(scene, sigma / 4, seed=2))
    assert (motion != 0).any(1).float().mean() < 0.01


def test_flat_pictures_stay() -> None:
    flat = torch.full((1, 1, 64, 64), 90, dtype=torch.uint8)
    assert not find_motion(noisy(flat, 10), flat).any()


def test_repeated_texture_that_stands_still_stays() -> None:
    stripes = (torch.arange(96) // 4 % 2 * 200).expand(1, 1, 96, 96).byte()
    assert not find_motion(noisy(stripes, 10), stripes).any()


def test_a_small_thing_moves_alone() -> None:
    before = texture(160, 160)
    now = before.clone()
    now[..., 64:104, 72:112] = texture(40, 40, seed=9)
    before = before.clone()
    before[..., 64:104, 60:100] = now[..., 64:104, 72:112]
    motion = find_motion(now, before)
    assert (
        motion[0, :, 9:12, 10:13] == torch.tensor([0, -12 * WHOLE], dtype=torch.int16).view(2, 1, 1)
    ).all()
    assert not motion[0, :, :5].any() and not motion[0, :, -4:].any()


@pytest.mark.slow
def test_every_picture_of_a_batch_for_itself() -> None:
    scene = texture(128, 128)
    now, before = scene[..., 16:112, 16:112], scene[..., 12:108, 16:112]
    both = find_motion(torch.cat((now, now)), torch.cat((before, now)))
    assert torch.equal(both[:1], find_motion(now, before)) and not both[1].any()


@pytest.mark.parametrize("size", [(8, 8), (8, 64), (24, 16)])
def test_small_pictures(size: tuple[int, int]) -> None:
    now, before = texture(*size), texture(*size, seed=3)
    motion = find_motion(now, before)
    assert motion.shape == (1, 2, size[0] // 8, size[1] // 8) and motion.abs().max() < 40 * WHOLE
    assert move(before.float(), motion).shape == before.shape


def test_beyond_the_picture_its_edges_go_on() -> None:
    plane = torch.arange(64.0).view(1, 1, 8, 8)
    motion = WHOLE * torch.tensor([-20, 3], dtype=torch.int16).view(1, 2, 1, 1)
    right = [3, 4, 5, 6, 7, 7, 7, 7]
    assert torch.equal(move(plane, motion)[0, 0], plane[0, 0, 0, right].expand(8, 8))


def shifted(height: int, width: int, down: float, right: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A smooth picture and where it was before, by parts of a pixel: (1, 1, height, width) floats, 0 to 255."""
    generator = torch.Generator().manual_seed(3)
    waves = torch.randn(40, 4, generator=generator)
    row, column = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")

    def picture(down: float, right: float) -> torch.Tensor:
        phase = 0.5 * waves[:, :1, None] * (row + down) + 0.5 * waves[:, 1:2, None] * (column + right)
        return 128 + 12 * torch.sin(phase + math.pi * waves[:, 2:3, None]).sum(0)[None, None]

    return picture(down, right), picture(0, 0)


@pytest.mark.parametrize("sigma", [0, 10, 25])
@pytest.mark.parametrize("step", [(0.25, 0.0), (-0.375, 0.5), (2.25, -3.25)])
def test_finds_parts_of_a_pixel(step: tuple[float, float], sigma: float) -> None:
    now, before = shifted(160, 176, *step)
    motion = find_motion(noisy(now, sigma), noisy(before, 0))
    inner = motion[..., 4:-4, 4:-4].float() / WHOLE
    wrong = (inner - torch.tensor(step).view(1, 2, 1, 1)).abs().amax(1)
    assert wrong.quantile(0.9) <= 0.25


def test_whole_pixels_only_if_asked() -> None:
    now, before = (each.round().clamp(0, 255).byte() for each in shifted(96, 96, 3.25, -0.375))
    assert (find_motion(now, before) % WHOLE).any()
    assert not (find_motion(now, before, whole=True) % WHOLE).any()


@pytest.mark.parametrize("block", [8, 4])
def test_reads_between_pixels(block: int) -> None:
    step = (1.5, -2.625) if block == 8 else (1.25, -0.6875)
    now, before = shifted(64, 64, *step)
    eighths = WHOLE * 8 // block * torch.tensor(step)
    motion = eighths.short().view(1, 2, 1, 1).expand(1, 2, 64 // block, 64 // block)
    inside = (..., slice(8, -8), slice(8, -8))
    assert (move(before, motion, block) - now)[inside].abs().max() < 2
    nearest = move(before, motion, block, nearest=True)
    assert torch.equal(nearest[inside], before.roll((-2, 3) if block == 8 else (-1, 1), (2, 3))[inside])


def test_flat_pictures_keep_their_level_between_pixels() -> None:
    flat = torch.full((1, 1, 16, 16), 0.3)
    motion = torch.tensor([[3, -5], [1, 2]], dtype=torch.int16).view(1, 2, 2, 1).expand(1, 2, 2, 2)
    torch.testing.assert_close(move(flat, motion), flat)


def test_a_picture_of_noise_has_no_parts_of_a_pixel() -> None:
    flat = torch.full((1, 1, 128, 128), 90.0)
    motion = find_motion(noisy(flat, 20), noisy(flat, 6, seed=2))
    assert (motion % WHOLE != 0).any(1).float().mean() < 0.02
