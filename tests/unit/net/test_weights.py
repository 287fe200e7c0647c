import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from malle_rt.errors import BackendError
from malle_rt.models import model_file
from malle_rt.net.rt import MalleNetRT, RTConfig
from malle_rt.net.weights import load_rt, save_network

TINY = RTConfig(widths=(8, 8, 8), tail=8, hidden=3)


def test_saved_and_loaded_it_gives_the_same_frames(tmp_path):
    torch.manual_seed(0)
    net = MalleNetRT(TINY).eval()
    save_network(net, tmp_path / "tiny.safetensors")
    again = load_rt(tmp_path / "tiny.safetensors")
    assert again.config == net.config
    y, uv = torch.rand(1, 1, 16, 16), torch.rand(1, 2, 8, 8)
    sigma = torch.full((1, 1, 1, 1), 0.1)
    with torch.no_grad():
        for got, wanted in zip(
            again(y, uv, sigma, net.first_state(y, uv)),
            net(y, uv, sigma, net.first_state(y, uv)),
            strict=True,
        ):
            torch.testing.assert_close(got, wanted, rtol=0, atol=0)


def test_the_shipped_weights_load_and_are_finite():
    net = load_rt(model_file("rt-s", ".safetensors"))
    assert all(value.isfinite().all() for value in net.state_dict().values())


@pytest.mark.parametrize("content", [None, b"", b"not weights at all"])
def test_missing_and_damaged_files_are_named(tmp_path, content):
    path = tmp_path / "bad.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BackendError, match=r"cannot read weights .*bad\.safetensors"):
        load_rt(path)


def test_weights_of_another_network_are_refused(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors", metadata={"family": "stills"})
    with pytest.raises(BackendError, match="does not hold MalleNet-RT weights"):
        load_rt(tmp_path / "other.safetensors")


def test_weights_with_a_learned_bias_lose_it(tmp_path):
    torch.manual_seed(0)
    net = MalleNetRT(TINY).eval()
    old = {name: value.clone() for name, value in net.state_dict().items()}
    for pair in ("luma", "chroma"):
        for name in (f"{pair}.{which}.{kind}" for which in ("now", "before") for kind in ("weight", "bias")):
            old[name] = torch.cat((old[name], torch.ones_like(old[name][:1])))
    save_network(net, tmp_path / "new.safetensors")
    with safe_open(tmp_path / "new.safetensors", framework="pt") as file:
        save_file(old, tmp_path / "old.safetensors", metadata=file.metadata())
    again = load_rt(tmp_path / "old.safetensors").state_dict()
    assert all(torch.equal(value, again[name]) for name, value in net.state_dict().items())
