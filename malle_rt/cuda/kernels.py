"""Our compiled kernels on one GPU: which file fits it, and a typed call for each kernel."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from malle_rt.cuda.driver import DeviceInfo, Driver
from malle_rt.cuda.launches import (
    DevicePlanes,
    Launch,
    Layout,
    SliceDims,
    Storage,
    pack_launch,
    slice_launch,
    unpack_launch,
)
from malle_rt.cuda.motion import Past, align_launches
from malle_rt.errors import BackendError, BackendUnavailable

__all__ = ["COMPILED", "DevicePlanes", "Kernels", "Launch", "Layout", "SliceDims", "Storage", "choose_image"]

COMPILED = Path(__file__).parent / "compiled"

_PTX = "compute_75.ptx"
_PTX_FROM = (7, 5)


def choose_image(device: DeviceInfo, names: Iterable[str], compiler: int) -> str:
    """The file to load on a GPU.

    A cubin of its own architecture, else of the highest lower one with the same major version, else PTX, which the
    driver compiles once and keeps. Drivers of an older major version than the compiler do not take its cubins.

    Args:
        device: the GPU.
        names: files there are: "sm_89.cubin", "compute_75.ptx" ...
        compiler: major version of the CUDA that compiled them.

    Raises:
        BackendUnavailable: none of them runs there.
    """
    cubins = {_capability(name): name for name in names if name.endswith(".cubin")}
    major, minor = device.capability
    fitting = [each for each in cubins if each[0] == major and each[1] <= minor]
    if fitting and device.driver // 1000 >= compiler:
        return cubins[max(fitting)]
    if device.capability >= _PTX_FROM:
        return _PTX
    raise BackendUnavailable(
        f"kernel image missing for this GPU: {device.name} has compute capability {major}.{minor}, "
        f"our kernels need {_PTX_FROM[0]}.{_PTX_FROM[1]} or newer (GeForce RTX 20, Jetson Orin)",
        hint='Use backend="openvino"',
    )


class Kernels:
    """The kernels, loaded on the GPU of one driver.

    Nothing here allocates device memory, waits, or loads anything after construction, so every call may be
    captured into a CUDA graph. Streams are the driver's handles as integers.

    Args:
        driver: opened on the device, current on this thread.
        folder: where the compiled files and their manifest lie.

    Attributes:
        image: name of the file in use.
        checksum: sha256 of it, in hexadecimal.

    Raises:
        BackendUnavailable: no compiled file runs on this GPU.
        BackendError: the files are not those of this release.
    """

    def __init__(self, driver: Driver, folder: Path = COMPILED) -> None:
        self._driver = driver
        manifest = _manifest(folder)
        compiler = int(manifest["nvcc"].split(".")[0])
        self.image = choose_image(driver.device, manifest["files"], compiler)
        self.checksum: str = manifest["files"][self.image]
        look_up = driver.load(_read(folder / self.image, self.checksum))
        self._functions = {name: look_up(name) for name in manifest["kernels"]}

    def start(self, launch: Launch, stream: int) -> None:
        """Put a launch that was prepared before into a stream."""
        self._driver.launch(self._functions[launch.name], launch.grid, launch.block, launch.arguments, stream)

    def slice(self, x: int, grid: int, y: int, dims: SliceDims, dtype: Storage, stream: int) -> None:
        """``malle_slice``; see ``malle_rt.ops.reference``.

        The sizes of MalleNet-RT take the fast kernels if x, grid and y lie at multiples of 16 bytes and the width is
        a multiple of 8 (f16) or 4 (f32); everything else takes the general one.

        Args:
            x: device address of (N, C, H, W), dense.
            grid: of (N, G * (kernel_size**2 + 1), h, w), dense.
            y: of the result, as x; must not overlap either.
            dims: the sizes.
            dtype: of all three.
            stream: handle of the stream.
        """
        self.start(slice_launch(x, grid, y, dims, dtype), stream)

    def pack(
        self,
        planes: DevicePlanes,
        told: int,
        y: int,
        uv: int,
        to_told: int,
        *,
        levels: int,
        padded: tuple[int, int],
        storage: Storage,
        stream: int,
    ) -> None:
        """Bring a frame and what is told of its noise to the network's inputs.

        Code values are divided by the largest; the last row and column repeat outward up to the padded size.

        Args:
            planes: the frame.
            told: device address of ``levels`` float32 numbers.
            y: of (1, 1, rows, columns), written.
            uv: of (1, 2, rows / 2, columns / 2), written.
            to_told: of (1, levels, 1, 1), written.
            levels: numbers that tell the network of the noise.
            padded: rows and columns of y, even, no smaller than the frame.
            storage: element type of what is written.
            stream: handle of the stream.
        """
        launch = pack_launch(planes, told, y, uv, to_told, levels=levels, padded=padded, storage=storage)
        self.start(launch, stream)

    def align(
        self,
        y: int,
        before: Past,
        after: Past,
        memory: int,
        *,
        hidden: int,
        padded: tuple[int, int],
        storage: Storage,
        stream: int,
    ) -> None:
        """Move what is kept of a video to where it is in a frame; see ``malle_rt.cuda.motion.align_launches``."""
        launches = align_launches(y, before, after, memory, hidden=hidden, padded=padded, storage=storage)
        for launch in launches:
            self.start(launch, stream)

    def unpack(
        self, y: int, uv: int, planes: DevicePlanes, *, padded: tuple[int, int], storage: Storage, stream: int
    ) -> None:
        """Bring the network's outputs to a frame: rounded, halves to even, clipped, cropped.

        Args:
            y: device address of (1, 1, rows, columns), read.
            uv: of (1, 2, rows / 2, columns / 2), read.
            planes: the frame, whose planes are written; bytes between their rows are left alone.
            padded: rows and columns of y.
            storage: element type of y and uv.
            stream: handle of the stream.
        """
        self.start(unpack_launch(y, uv, planes, padded=padded, storage=storage), stream)


def _capability(name: str) -> tuple[int, int]:
    """Of a cubin by its name: (12, 0) for "sm_120.cubin"."""
    digits = name.removeprefix("sm_").removesuffix(".cubin")
    return int(digits[:-1]), int(digits[-1])


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    except (OSError, ValueError) as exc:
        raise BackendError(f"the compiled CUDA kernels are missing ({exc}): reinstall malle-rt") from exc
    return manifest


def _read(path: Path, checksum: str) -> bytes:
    """The file, which must have this sha256."""
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise BackendError(f"a compiled CUDA kernel is missing ({exc}): reinstall malle-rt") from exc
    found = hashlib.sha256(content).hexdigest()
    if found != checksum:
        raise BackendError(
            f"{path.name} is not the file of this release: its sha256 begins with {found[:12]}, "
            f"wanted {checksum[:12]}; reinstall malle-rt"
        )
    return content
