"""The house's arrows: who may import whom, checked on the sources."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import malle_rt

ROOT = Path(malle_rt.__file__).parent
BASE = {"contract", "frame", "protocols", "config", "errors"}
ALLOWED = {
    "shown": set(),
    "errors": {"shown"},
    "versions": {"errors"},
    "config": {"errors"},
    "frame": {"errors"},
    "protocols": {"frame"},
    "child": {"errors", ""},
    "measuring": set(),
    "memory": {"errors"},
    "models": {"errors"},
    "contract": set(),
    "cuts": {"frame"},
    "fields": {"frame"},
    "telecine": {"frame"},
    "estimate": {"frame"},
    "noise_features": {"estimate"},
    "learned_estimate": {"estimate", "models", "noise_features", "ops", "contract", "errors", "frame"},
    "chroma": {"frame", "opencv"},
    "opencv": {"errors"},
    "vino": set(),
    "ops": {"errors", "vino"},
    "net": {"ops", "errors"},
    "cuda": {"errors"},
    "trt": {"child", "contract", "cuda", "models", "errors"},
    "backends": {"net", "ops", "models", "cuda", "measuring", "trt", "vino"} | BASE,
    "media": {"fields", "opencv", "shown"} | BASE,
    "pipeline": BASE,
    "denoiser": {"backends", "chroma", "cuts", "fields", "learned_estimate", "telecine"} | BASE,
    "engine_job": {"backends", "cuda", "trt", "errors"},
    "api": {"backends", "denoiser", "media", "memory", "pipeline", "models", "photo", ""} | BASE,
    "inputs": {"media", "errors"},
    "segments": {
        "api",
        "backends",
        "child",
        "cuda",
        "denoiser",
        "media",
        "memory",
        "models",
        "photo",
        "pipeline",
        "shown",
        "",
    }
    | BASE,
    "cluster": {"child", "config", "media", "models", "segments", "errors", ""},
    "batch": {"api", "media", "pipeline", "segments", "config", "errors"},
    "watch": {"batch", "inputs", "media", "memory", "pipeline", "segments", "errors"},
    "analysis": {"api", "chroma", "cuts", "fields", "learned_estimate", "media", "memory", "telecine"} | BASE,
    "vapoursynth": {"api", "denoiser"} | BASE,
    "gstreamer": {"api", "backends", "denoiser"} | BASE,
    "preview": {"api", "denoiser", "media", "memory"} | BASE,
    "arrays": {"media", "frame", "errors"},
    "photo": {"backends", "contract", "estimate", "fields", "media", "memory", "models", "opencv"} | BASE,
    "array_denoiser": {"api", "arrays", "denoiser", "memory", "models", "photo", "config", "errors"},
    "doctor": {
        "api",
        "measuring",
        "child",
        "live",
        "backends",
        "cuda",
        "trt",
        "media",
        "models",
        "ops",
        "opencv",
        "vino",
    }
    | BASE,
    "bench": {
        "measuring",
        "child",
        "backends",
        "denoiser",
        "doctor",
        "cuda",
        "media",
        "models",
        "ops",
        "opencv",
        "photo",
        "pipeline",
        "vino",
        "",
    }
    | BASE,
    "live": {"backends", "child", "denoiser", "fields", "media", "opencv", "pipeline", "shown"} | BASE,
    "cli": {
        "analysis",
        "models",
        "live",
        "api",
        "batch",
        "bench",
        "cluster",
        "doctor",
        "engine_job",
        "inputs",
        "media",
        "photo",
        "pipeline",
        "preview",
        "segments",
        "watch",
        "config",
        "memory",
        "trt",
        "versions",
        "errors",
        "shown",
        "",
    },
    "__main__": {"cli"},
    "video_files": {"api", "cluster", "media", "pipeline", "segments", "config", "errors"},
    "": {"api", "array_denoiser", "live", "media", "preview", "video_files", "config", "errors", "frame"},
}
FORBIDDEN = {
    "pipeline": {"torch", "av", "cv2", "openvino"},
    "media": {"torch", "openvino"},
    "photo": {"torch", "openvino"},
    "net": {"av", "cv2", "tensorrt", "openvino"},
    "ops": {"av", "cv2", "tensorrt"},
    "cuda": {"torch", "av", "cv2", "openvino", "tensorrt", "onnx"},
    "trt": {"torch", "av", "cv2", "openvino", "onnx"},
    "cli": {"torch", "av", "cv2", "numpy", "openvino"},
}


def imported(path):
    """Names of all modules that a file imports, at the top or later."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


@cache
def edges():
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        room = "" if parts == ("__init__",) else parts[0]
        found += [(path.relative_to(ROOT), room, name.split(".")) for name in imported(path)]
    return found


def test_rooms_import_only_what_the_drawing_allows():
    wrong = []
    for path, room, name in edges():
        if name[0] == "malle_rt":
            target = name[1] if len(name) > 1 else ""
            if target != room and target not in ALLOWED[room]:
                wrong.append(f"{path} imports {'.'.join(name)}")
        elif name[0] in FORBIDDEN.get(room, set()) | {"tools", "tests"}:
            wrong.append(f"{path} imports {'.'.join(name)}")
    assert not wrong


def test_the_drawing_of_the_documentation_has_every_room_and_its_arrows_point_down():
    page = ROOT.parent / "docs" / "architecture.md"
    if not page.is_file():
        pytest.skip("installed without its documentation")
    drawing = page.read_text().split("<!-- layers -->")[1].split("<!-- /layers -->")[0].strip("\n`")
    order = [room for line in drawing.splitlines() for room in line.split()]
    here = {path.stem for path in ROOT.glob("*.py")} | {
        path.parent.name for path in ROOT.glob("*/__init__.py")
    }
    assert sorted(order) == sorted(here - {"__init__"})
    place = {room: index for index, room in enumerate(order)}
    wrong = [
        f"{path} imports {'.'.join(name)}"
        for path, room, name in edges()
        if name[0] == "malle_rt" and room and len(name) > 1 and name[1] != room and name[1] in place
        if place[name[1]] < place[room]
    ]
    assert not wrong


def test_the_documentation_names_threads_and_files_that_are_there():
    page = ROOT.parent / "docs" / "architecture.md"
    if not page.is_file():
        pytest.skip("installed without its documentation")
    text = page.read_text()
    sources = "".join(path.read_text() for path in ROOT.rglob("*.py"))
    for thread in re.findall(r"\bmalle-(?!rt\b)\w+", text):
        assert f'"{thread}' in sources, thread
    for path in re.findall(r"\b[a-z_]+(?:/[a-z_]+)*\.py\b", text):
        assert (ROOT / path).is_file() or (ROOT.parent / path).is_file(), path


def test_only_one_file_imports_openvino():
    """It must be imported without its telemetry, wherever the first import is."""
    repository = Path(__file__).parents[2]
    found = [
        str(path.relative_to(repository))
        for folder in ("malle_rt", "tools", "tests")
        for path in (repository / folder).rglob("*.py")
        if re.search(r"\b(import|from) openvino\b", path.read_text())  # parsing all of them takes a second
        and any(name.split(".")[0] == "openvino" for name in imported(path))
    ]
    assert set(found) == {"malle_rt/vino.py"}


def test_the_public_names_are_sorted_and_there():
    assert malle_rt.__all__ == sorted(malle_rt.__all__)
    for name in malle_rt.__all__:
        assert getattr(malle_rt, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        malle_rt.nope  # noqa: B018


def test_help_and_import_load_nothing_heavy():
    code = (
        "import sys, malle_rt, malle_rt.cli\n"
        "heavy = {'numpy', 'torch', 'av', 'cv2', 'openvino'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
