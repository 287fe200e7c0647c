"""What training computes in, by what the device can do."""

import pytest
import torch
from training import autocast, computing

CPU = torch.device("cpu")


def can(monkeypatch, **capabilities):
    """A processor of these capabilities: whether this one has them is chance."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)


def computed_in(device=CPU, **options):
    layer = torch.nn.Conv2d(3, 4, 3).to(device)
    with autocast(device, **options):
        return layer(torch.rand(1, 3, 8, 8, device=device)).dtype


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16"])
def test_processors_with_bfloat16_train_in_it(monkeypatch, name):
    can(monkeypatch, **{name: True}, avx512_f=True)
    assert computed_in() == torch.bfloat16
    assert ", bfloat16, compiled slice" in computing(CPU, "compiled slice")


def test_others_train_in_float32(monkeypatch):
    can(monkeypatch, avx512_bf16=False, avx512_f=True)
    assert computed_in() == torch.float32
    assert ", float32, slice in torch" in computing(CPU, "slice in torch")


def test_float32_can_be_asked_for(monkeypatch):
    can(monkeypatch, avx512_bf16=True)
    assert computed_in(float32=True) == torch.float32
    assert ", float32, " in computing(CPU, "slice in torch", float32=True)


def test_torch_that_cannot_tell_stays_with_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert computed_in() == torch.float32


@pytest.mark.gpu
def test_gpus_train_in_bfloat16():
    assert computed_in(torch.device("cuda")) == torch.bfloat16
    assert computed_in(torch.device("cuda"), float32=True) == torch.float32
