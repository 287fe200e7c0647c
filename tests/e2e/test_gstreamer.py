"""The element ``malledenoise``, in real pipelines of ``gst-launch-1.0``."""

import os
import shutil
import subprocess
import sys
import sysconfig
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import malle_rt
from malle_rt.api import open_denoiser
from malle_rt.config import DenoiseConfig
from malle_rt.frame import Frame, pixel_layout
from malle_rt.media.synthetic import SyntheticSource

pytestmark = pytest.mark.slow  # each starts a pipeline
SIZE = (96, 64)
FOLDER = Path(malle_rt.__file__).parent / "gstreamer"


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Variables with which GStreamer finds the element, and its Python what is installed here."""
    if shutil.which("gst-launch-1.0") is None:
        pytest.skip("no GStreamer here")
    paths = [str(FOLDER.parents[1]), *(path for path in sys.path if path and "lib-dynload" not in path)]
    standard = sysconfig.get_path("stdlib")
    found = os.environ | {
        "GST_PLUGIN_PATH": str(FOLDER),
        "GST_REGISTRY": str(tmp_path_factory.mktemp("gst") / "registry"),
        # Not this Python's own library: the loader runs the system's.
        "PYTHONPATH": os.pathsep.join(
            path for path in paths if path != standard and not path.endswith(".zip")
        ),
    }
    done = subprocess.run(
        ["gst-inspect-1.0", "malledenoise"],
        capture_output=True, text=True, timeout=120, check=False, env=found,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"GStreamer's Python loader is not here: {done.stderr[-200:]}")
    pipeline = (
        "videotestsrc num-buffers=1 ! video/x-raw,format=I420,width=96,height=64 ! malledenoise ! fakesink"
    )
    trial = subprocess.run(
        ["gst-launch-1.0", "-q", *pipeline.split()],
        capture_output=True, text=True, timeout=120, check=False, env=found,
    )  # fmt: skip
    if "No module named 'numpy." in trial.stderr:
        pytest.skip("GStreamer's Python loader is of another Python: it cannot load this one's numpy")
    return found


def launch(environment, pipeline, timeout=120, fails=False):
    done = subprocess.run(
        ["gst-launch-1.0", "-q", *pipeline.split()],
        capture_output=True, text=True, timeout=timeout, check=False, env=environment,
    )  # fmt: skip
    assert (done.returncode != 0) == fails, done.stderr
    assert "Traceback" not in done.stderr
    return done


def noisy_frames(count, pix_fmt):
    layout = pixel_layout(pix_fmt)
    frames = []
    for frame in SyntheticSource(count, SIZE, noise_sigma=12):
        shapes = layout.plane_shapes(*SIZE)
        planes = [np.resize(plane, shape) for plane, shape in zip(frame.planes, shapes, strict=False)]
        frames.append([plane.astype(layout.dtype) << (layout.bits - 8) for plane in planes])
    return frames


def expected(frames, pix_fmt, strength, fields=None):
    denoiser, _ = open_denoiser(DenoiseConfig(strength=strength))
    made = []
    for number, planes in enumerate(frames):
        frame = Frame(
            planes=tuple(planes), pix_fmt=pix_fmt, pts=number, time_base=Fraction(1, 25), fields=fields
        )
        made.append(
            b"".join(np.ascontiguousarray(plane).tobytes() for plane in denoiser.start(frame)().planes)
        )
    denoiser.close()
    return b"".join(made)


@pytest.mark.parametrize(
    ("name", "pix_fmt", "strength", "more", "fields"),
    [
        ("i420", "yuv420p", "12", "", None),
        ("i420", "yuv420p", "auto", "", None),
        ("y42b", "yuv422p", "12", "", None),
        ("gray8", "gray", "12", "", None),
        ("i420-10le", "yuv420p10le", "12", "", None),
        ("i420", "yuv420p", "12", " interlaced=true top-field-first=true", "top"),
    ],
)
def test_a_pipeline_gives_what_the_denoiser_gives(
    tmp_path, environment, name, pix_fmt, strength, more, fields
):
    frames = noisy_frames(6, pix_fmt)
    noisy, clean = tmp_path / "noisy.raw", tmp_path / "clean.raw"
    noisy.write_bytes(b"".join(plane.tobytes() for planes in frames for plane in planes))
    launch(
        environment,
        f"filesrc location={noisy} ! rawvideoparse width={SIZE[0]} height={SIZE[1]} format={name} framerate=25/1{more} "
        f"! malledenoise strength={strength} ! filesink location={clean}",
    )
    number = strength if strength == "auto" else float(strength)
    assert clean.read_bytes() == expected(frames, pix_fmt, number, fields)


def test_what_it_does_not_take_is_converted_by_the_element_before(tmp_path, environment):
    clean = tmp_path / "clean.raw"
    launch(
        environment,
        "videotestsrc num-buffers=4 pattern=snow ! video/x-raw,format=BGRx,width=96,height=64 ! videoconvert "
        f"! malledenoise ! videoconvert ! video/x-raw,format=RGB ! filesink location={clean}",
    )
    assert clean.stat().st_size == 4 * 96 * 64 * 3


def test_late_frames_are_dropped_where_a_sink_keeps_the_time(tmp_path, environment):
    done = launch(
        environment,
        "videotestsrc num-buffers=120 is-live=true ! video/x-raw,format=I420,width=640,height=360,framerate=120/1 "
        "! malledenoise strength=12 ! fakesink sync=true qos=true max-lateness=1000000",
        timeout=60,
    )
    assert "ERROR" not in done.stderr


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ("strength=120", "strength must be auto, light, medium, strong or 0 to 75, got 120"),
        ("model=none", "model"),
        ("backend=tensorrt", "backend 'tensorrt' needs TensorRT"),
    ],
)
def test_what_cannot_be_is_an_error_of_the_pipeline(environment, properties, said):
    done = launch(
        environment, f"videotestsrc num-buffers=2 ! malledenoise {properties} ! fakesink", fails=True
    )
    assert said in done.stderr.split("malledenoise: ", 1)[1]
