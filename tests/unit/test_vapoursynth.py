"""The filter, in the real VapourSynth."""

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from malle_rt.api import open_denoiser
from malle_rt.config import DenoiseConfig
from malle_rt.errors import ConfigError
from malle_rt.frame import Frame, pixel_layout
from malle_rt.media.synthetic import SyntheticSource

vs = pytest.importorskip("vapoursynth")
from malle_rt.vapoursynth import denoise  # noqa: E402

SIZE = (96, 64)
FORMATS = [
    ("YUV420P8", "yuv420p"),
    ("YUV422P10", "yuv422p10le"),
    ("YUV444P16", "yuv444p16le"),
    ("YUV444P8", "yuv444p"),
    ("GRAY8", "gray"),
    ("GRAY12", "gray12le"),
]


def noisy_frames(count, pix_fmt="yuv420p"):
    """Planes of a drawn clip with noise, in any format."""
    layout = pixel_layout(pix_fmt)
    frames = []
    for frame in SyntheticSource(count, SIZE, noise_sigma=12):
        shapes = layout.plane_shapes(*SIZE)
        planes = [np.resize(plane, shape) for plane, shape in zip(frame.planes, shapes, strict=False)]
        planes[0] = frame.planes[0]
        frames.append([plane.astype(layout.dtype) << (layout.bits - 8) for plane in planes])
    return frames


def clip_of(frames, name="YUV420P8", **props):
    """A VapourSynth clip; ``props``: frame properties by frame number."""
    blank = vs.core.std.BlankClip(width=SIZE[0], height=SIZE[1], format=getattr(vs, name), length=len(frames))

    def draw(n, f):
        made = f.copy()
        for plane, samples in enumerate(frames[n]):
            np.copyto(np.asarray(made[plane]), samples)
        for key, values in props.items():
            made.props[key] = values.get(n, 0)
        return made

    return blank.std.ModifyFrame(blank, draw)


def planes_of(frame):
    return [np.array(frame[plane]) for plane in range(frame.format.num_planes)]


def expected(frames, pix_fmt, strength, fields=None):
    denoiser, _ = open_denoiser(DenoiseConfig(strength=strength))
    results = []
    for number, planes in enumerate(frames):
        frame = Frame(
            planes=tuple(planes), pix_fmt=pix_fmt, pts=number, time_base=Fraction(1, 25), fields=fields
        )
        results.append([np.array(plane) for plane in denoiser.start(frame)().planes])
    denoiser.close()
    return results


def same(found, wanted):
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        for mine, its in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(mine, its)


def wrong(planes, clean):
    return float(np.square(planes[0].astype(float) - clean[0]).mean())


@pytest.mark.parametrize(("name", "pix_fmt"), FORMATS)
def test_a_clip_gives_what_the_denoiser_gives(name, pix_fmt):
    frames = noisy_frames(6, pix_fmt)
    clean = denoise(clip_of(frames, name), strength=12)
    assert (clean.format.name.upper(), clean.num_frames) == (name, 6)
    same([planes_of(frame) for frame in clean.frames()], expected(frames, pix_fmt, 12))


@pytest.mark.parametrize("order", ["together", "backwards", "twice", "stirred"])
def test_the_order_of_requests_changes_nothing_within_reach(order):
    frames = noisy_frames(10)
    clean = denoise(clip_of(frames))
    wanted = expected(frames, "yuv420p", "auto")
    if order == "together":
        same([planes_of(frame) for frame in clean.frames(prefetch=8)], wanted)
        return
    numbers = {"backwards": range(9, -1, -1), "twice": [3, 3, 4, 3], "stirred": [2, 0, 5, 1, 4, 9, 3]}[order]
    for number in numbers:
        same([planes_of(clean.get_frame(number))], [wanted[number]])


def test_far_away_the_network_is_warmed_up_first():
    frames = noisy_frames(80)
    source = SyntheticSource(80, SIZE)
    reference = expected(frames, "yuv420p", "auto")
    clean = denoise(clip_of(frames))
    for number in (70, 2, 60, 79, 33):
        error = wrong(planes_of(clean.get_frame(number)), source.clean(number).planes)
        assert error < 1.1 * wrong(reference[number], source.clean(number).planes)


def test_a_scene_change_that_the_script_knows_of_is_obeyed():
    frames = noisy_frames(8)
    clean = denoise(clip_of(frames, _SceneChangePrev={5: 1}), strength=12)
    wanted = expected(frames[:5], "yuv420p", 12) + expected(frames[5:], "yuv420p", 12)
    same([planes_of(frame) for frame in clean.frames()], wanted)


@pytest.mark.parametrize(("value", "fields"), [(1, "bottom"), (2, "top")])
def test_fields_are_denoised_by_themselves(value, fields):
    frames = noisy_frames(5)
    clean = denoise(clip_of(frames, _FieldBased=dict.fromkeys(range(5), value)), strength=12)
    found = list(clean.frames())
    same([planes_of(frame) for frame in found], expected(frames, "yuv420p", 12, fields))
    assert all(frame.props["_FieldBased"] == value for frame in found)


@pytest.mark.parametrize("name", ["RGB24", "YUV444PS", "GRAYS"])
def test_other_formats_are_refused_with_what_to_do(name):
    with pytest.raises(ConfigError, match=f"(?i)got {name}: convert before"):
        denoise(vs.core.std.BlankClip(format=getattr(vs, name), length=1))


def test_options_are_checked_and_strength_0_is_the_clip():
    clip = vs.core.std.BlankClip(format=vs.YUV420P8, length=1)
    with pytest.raises(ConfigError, match="strength must be"):
        denoise(clip, strength=100)
    assert denoise(clip, strength=0) is clip


@pytest.mark.slow
def test_vspipe_writes_it(tmp_path):
    """The real program at the other end, with as many requests at once as it likes; and one that goes away."""
    pipe = Path(sys.executable).with_name("vspipe")
    if not pipe.is_file():
        pytest.skip("no vspipe here")
    film = tmp_path / "noisy.y4m"
    frames = noisy_frames(20)
    script = tmp_path / "clean.vpy"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"import vapoursynth as vs, numpy as np\n"
        f"frames = np.load({str(tmp_path / 'frames.npz')!r})\n"
        "blank = vs.core.std.BlankClip(width=96, height=64, format=vs.YUV420P8, length=20, fpsnum=25, fpsden=1)\n"
        "def draw(n, f):\n"
        "    made = f.copy()\n"
        "    for plane in range(3):\n"
        "        np.copyto(np.asarray(made[plane]), frames[f'{n}_{plane}'])\n"
        "    return made\n"
        "import malle_rt.vapoursynth\n"
        "malle_rt.vapoursynth.denoise(blank.std.ModifyFrame(blank, draw), strength=12).set_output()\n"
    )
    np.savez(
        tmp_path / "frames.npz",
        **{f"{n}_{plane}": samples for n, each in enumerate(frames) for plane, samples in enumerate(each)},
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    for requests in (1, 8):
        command = [pipe, "-c", "y4m", "-r", str(requests), script, film]
        done = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, timeout=120, check=False, env=environment
        )
        if "library path couldn't be determined" in done.stderr:
            pytest.skip("vspipe does not know this Python yet: vapoursynth config")
        assert done.returncode == 0, done.stderr
        with av.open(str(film)) as container:
            found = [picture.to_ndarray()[: SIZE[1]] for picture in container.decode(video=0)]
        same([[luma] for luma in found], [[planes[0]] for planes in expected(frames, "yuv420p", 12)])
    command = list(map(str, [pipe, "-c", "y4m", script, "-"]))
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as running:
        running.stdout.read(2000)
        running.stdout.close()
        assert running.wait(60) != 0


def test_the_tool_that_times_it_runs(capsys):
    from vapoursynth_speed import main

    assert main(["--size", "64x48", "--frames", "6", "--rounds", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["ratio"] > 0
