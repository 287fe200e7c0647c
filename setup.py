"""Build the fused OpenVINO operator, when this machine can, and take the engines in; metadata is in setup.cfg."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.errors import BaseError, CCompilerError

NAME = "malle_rt.ops.libmalle_openvino"
SOURCES = Path("malle_rt/ops/csrc")
LIBRARIES = ("libopenvino.so.*", "libtbb.so.*")


class NotBuildable(BaseError):
    """Something the build needs is not on this machine."""


def openvino_folder() -> Path:
    """The installed OpenVINO wheel: it carries headers and libraries. Found without importing it."""
    spec = importlib.util.find_spec("openvino")
    if spec is None or not spec.submodule_search_locations:
        raise NotBuildable("the openvino package is not installed")
    return Path(next(iter(spec.submodule_search_locations)))


def openvino_libraries(folder: Path) -> list[str]:
    """The wheel's shared libraries, whose names carry its version; by path, as no linker name exists."""
    found = [sorted((folder / "libs").glob(pattern)) for pattern in LIBRARIES]
    if not all(found):
        raise NotBuildable(f"the openvino package on {sys.platform} has no {' or '.join(LIBRARIES)}")
    return [str(matches[0]) for matches in found]


class BuildOptional(build_ext):
    """Build a plain shared library, or warn in one line and install without it."""

    def get_ext_filename(self, fullname: str) -> str:
        """OpenVINO loads it, not Python: no interpreter tag in the name."""
        return str(Path(*fullname.split("."))) + ".so"

    def build_extension(self, ext: Extension) -> None:
        """Add what only this machine knows, compile, and never fail the installation."""
        try:
            folder = openvino_folder()
            ext.extra_objects = openvino_libraries(folder)
            # As system headers: their warnings are not ours.
            ext.extra_compile_args += ["-isystem", str(folder / "include")]
            super().build_extension(ext)
        except (BaseError, CCompilerError, OSError) as exc:
            reason = f"{type(exc).__name__}: {exc}".splitlines()[0][:120]
            self.warn(f"malle-rt is installed WITHOUT its fused OpenVINO operator (slower): {reason}")


class BuildWithEngines(build_py):
    """Put ``engines/`` of the source tree into the package; an editable installation reads it where it is."""

    def run(self) -> None:
        """Copy the package, then the engines, without what an earlier build left there."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "malle_rt" / "engines"
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree("engines", target)
            sample = Path(self.build_lib) / "malle_rt" / "sample"
            sample.mkdir(exist_ok=True)
            shutil.copyfile("docs/noisy.mp4", sample / "noisy.mp4")  # what "malle-rt demo" cleans


class WheelForEveryPython(bdist_wheel):
    """The operator is a plain library: the wheel belongs to a platform and to no interpreter."""

    def get_tag(self) -> tuple[str, str, str]:
        """Tags of interpreter, of its C interface and of the platform."""
        return "py3", "none", super().get_tag()[2]


setup(
    ext_modules=[
        Extension(
            NAME,
            sources=[str(path) for path in sorted(SOURCES.glob("*.cpp"))],
            depends=[str(path) for path in sorted(SOURCES.glob("*.hpp"))],
            define_macros=[("OV_THREAD", "OV_THREAD_TBB")],
            # A contracted multiply-add is not ISO C++, so not every compiler does it unasked.
            extra_compile_args=["-std=c++17", "-O3", "-g0", "-ffp-contract=fast", "-fvisibility=hidden"],
            extra_link_args=["-Wl,--strip-all"],
            language="c++",
            optional=True,
        )
    ],
    cmdclass={"bdist_wheel": WheelForEveryPython, "build_ext": BuildOptional, "build_py": BuildWithEngines},
)
