"""The virtual camera: real errors of the real module, and pictures through its own interface for backends."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from helpers.outlets import bare_template, shots

from malle_rt.errors import BackendUnavailable
from malle_rt.frame import ColorTags, Packet
from malle_rt.live.outlets.outlet import Outlet
from malle_rt.live.outlets.virtual_camera import VirtualCameraSink

INFO = bare_template().info


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'malle-rt\[virtual-camera\]'"):
        VirtualCameraSink(None, INFO)


@pytest.fixture
def module():
    return pytest.importorskip("pyvirtualcam", reason="pip install pyvirtualcam")


@pytest.fixture
def backend(module, monkeypatch):
    """Cameras of a backend of our own, made as the module's documentation asks for: what programs would see."""

    made = []

    class Backend:
        def __init__(self, *, width, height, fps, fourcc, device, **_):
            self.size, self.fps, self.name = (width, height), fps, device or "first"
            self.pictures, self.closed = [], 0
            made.append(self)

        def send(self, frame):
            self.pictures.append(np.array(frame))

        def close(self):
            self.closed += 1

        def device(self):
            return self.name

        def native_fourcc(self):
            return None

    monkeypatch.setattr(module.camera, "BACKENDS", {})
    module.register_backend("test", Backend)
    return made


@pytest.mark.skipif(sys.platform != "linux", reason="v4l2loopback is of Linux")
@pytest.mark.parametrize("device", [None, "", "/dev/video99", "/dev/null"])
def test_says_how_to_set_it_up(module, device):
    outlet = Outlet("virtual camera", VirtualCameraSink(device, INFO))
    outlet.put(next(shots(1)))
    assert outlet.close(10)
    assert outlet.problem.startswith("cannot be opened (")
    assert "sudo modprobe v4l2loopback exclusive_caps=1 card_label=malle-rt" in outlet.problem


def test_planes_arrive_as_they_are(backend):
    sink = VirtualCameraSink("", INFO)
    given = list(shots(3))
    for shot in given:
        sink.write(shot)
    sink.write(Packet(b"sound"))
    sink.finish()
    sink.abort()
    (camera,) = backend
    assert (camera.size, camera.fps, camera.name, camera.closed) == ((64, 48), 25.0, "first", 1)
    for shot, picture in zip(given, camera.pictures, strict=True):
        np.testing.assert_array_equal(picture, np.concatenate([plane.ravel() for plane in shot.planes]))


def test_another_size_is_scaled_to_the_first(backend):
    sink = VirtualCameraSink("/dev/video2", INFO)
    for shot in (*shots(1, size=(65, 49)), *shots(1, size=(128, 96))):
        sink.write(shot)
    sink.finish()
    (camera,) = backend
    assert (camera.size, camera.name) == ((64, 48), "/dev/video2")
    assert [picture.size for picture in camera.pictures] == [64 * 48 * 3 // 2] * 2


def test_full_range_and_ten_bits_become_what_programs_expect(backend):
    (shot,) = shots(1)
    full = tuple(np.full_like(plane, 255 if number == 0 else 128) for number, plane in enumerate(shot.planes))
    ten = tuple(plane.astype(np.uint16) * 4 for plane in shot.planes)
    sink = VirtualCameraSink(None, INFO)
    sink.write(replace(shot, planes=full, color=ColorTags(color_range=2)))
    sink.write(replace(shot, planes=full, pix_fmt="yuvj420p"))
    sink.write(replace(shot, planes=ten, pix_fmt="yuv420p10le"))
    sink.finish()
    (camera,) = backend
    luma = [picture[: 64 * 48] for picture in camera.pictures]
    assert set(luma[0]) == set(luma[1]) == {235}
    difference = luma[2].astype(int) - shot.planes[0].ravel()
    assert np.abs(difference).max() <= 1
