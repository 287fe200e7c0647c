"""Other people's architectures: their published size, what reaches what in them, and the library that has them too."""

import pytest
import torch
from evaluation.peernets import DRUNet, FastDVDnet
from evaluation.swinir import SwinIR
from evaluation.swinir import _Block as SwinBlock
from evaluation.swinir import _mask as swin_mask

from malle_rt.net.cost import kmac_per_pixel

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("net", "millions"),
    [(SwinIR, 11.50), (DRUNet, 32.64), (FastDVDnet, 2.48)],
    ids=["swinir", "drunet", "fastdvdnet"],
)
def test_they_have_their_published_size(net, millions):
    parameters = sum(each.numel() for each in net().parameters())
    assert parameters / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize("net", [SwinIR, DRUNet], ids=["swinir", "drunet"])
def test_pictures_of_any_size_keep_it(net):
    with torch.inference_mode():
        assert net().eval()(torch.rand(1, 3, 13, 18), 25.0).shape == (1, 3, 13, 18)


@pytest.mark.slow
def test_arithmetic_of_attention_is_counted():
    layers = 36 * (180 * 180 * 4 + 2 * 180 * 360)
    convolutions = 9 * (7 * 180 * 180 + 2 * 3 * 180)
    attention = 36 * 2 * 64 * 180
    found = kmac_per_pixel(lambda picture: SwinIR()(picture), side=16)
    assert found * 1e3 == pytest.approx(layers + convolutions + attention)


def test_a_shifted_window_does_not_reach_round_the_picture():
    block = SwinBlock(shift=4).eval()
    x = torch.randn(1, 16, 24, 180)
    changed = x.clone()
    changed[0, 0, 0] = torch.randn(180)
    mask = swin_mask(16, 24, like=x)
    with torch.inference_mode():
        moved = (block(x, mask) - block(changed, mask)).abs().amax(-1)[0] > 1e-6
    assert moved[:4, :4].all(), "the window in the corner is cut to a quarter"
    assert moved.sum() == 16


def test_fastdvdnet_cleans_the_middle_one_of_five_frames():
    net = FastDVDnet().eval()
    frames = torch.rand(1, 5, 3, 16, 24, requires_grad=True)
    clean = net(frames, 25.0)
    assert clean.shape == (1, 3, 16, 24)
    clean.sum().backward()
    assert (frames.grad.abs().amax((0, 2, 3, 4)) > 0).all(), "every frame has a say"
    for parameter in net.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.inference_mode():
        assert torch.equal(net(frames, 25.0), frames[:, 2])


def test_drunet_listens_to_the_noise_level():
    net, noisy = DRUNet().eval(), torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        assert not torch.allclose(net(noisy, 5.0), net(noisy, 50.0))


@pytest.fixture
def spandrel():
    try:
        from spandrel.architectures import DRUNet, SwinIR
    except (ImportError, RuntimeError):  # the latter: its torchvision was built for another torch
        pytest.skip("spandrel is not here, or its torchvision does not fit torch: pip install spandrel")
    return SwinIR.SwinIR, DRUNet.DRUNet


def test_they_compute_what_the_library_computes(spandrel):
    swinir, drunet = spandrel
    sizes = {"in_chans": 3, "embed_dim": 180, "depths": [6] * 6, "num_heads": [6] * 6, "mlp_ratio": 2.0}
    settings = {"img_size": 128, "window_size": 8, "upscale": 1, "upsampler": "", "resi_connection": "1conv"}
    theirs = swinir(**sizes, **settings).eval()
    ours = SwinIR().eval()
    lacks = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert not lacks.missing_keys
    noisy = torch.rand(1, 3, 20, 29)
    with torch.inference_mode():
        torch.testing.assert_close(ours(noisy), theirs(noisy), atol=1e-4, rtol=0)
        told = drunet(in_nc=4, out_nc=3).eval()
        again = DRUNet().eval()
        again.load_state_dict(told.state_dict())
        noisy, level = torch.rand(1, 3, 16, 24), torch.full((1, 1, 16, 24), 25 / 255)
        torch.testing.assert_close(again(noisy, 25.0), told(torch.cat((noisy, level), 1)))
