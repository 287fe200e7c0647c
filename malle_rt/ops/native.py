"""The fused ``malle_slice`` of OpenVINO on the CPU: is it there, and what runs instead when it is not."""

from __future__ import annotations

import logging
from functools import cache
from importlib.metadata import PackageNotFoundError, requires
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from malle_rt.errors import KernelError

if TYPE_CHECKING:
    from malle_rt.vino import ov

__all__ = ["TO_BUILD", "Alignment", "align_node", "extension_path", "load_extension", "openvino_pin"]

log = logging.getLogger(__name__)

Levels = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]

_LIBRARY = "libmalle_openvino.so"
TO_BUILD = (
    "Install g++, then run: python -m pip install --force-reinstall --no-deps --no-cache-dir SOURCE, "
    "where SOURCE is what malle-rt was installed from"
)


def extension_path() -> Path | None:
    """Where the compiled extension lies; None when it was not built at install time."""
    path = Path(str(files("malle_rt.ops"))) / _LIBRARY
    return path if path.is_file() else None


def load_extension(core: ov.Core) -> bool:
    """Teach ``core`` to read our ONNX node, fused if possible; call it before reading a model.

    Without the compiled extension the node becomes standard OpenVINO operations, same result, 10 to 30 times
    slower; the reason is logged as a warning, once for each reason.

    Args:
        core: changed in place.

    Returns:
        Whether the fused operator is in use.
    """
    path = extension_path()
    if path is None:
        reason = f"{_LIBRARY} was not built (no C++ compiler when malle-rt was installed?)"
        advice = TO_BUILD
    else:
        try:
            core.add_extension(str(path))
        except RuntimeError as exc:
            cause = "most likely it was built for another OpenVINO version"
            reason = f"{path.name} does not load, {cause} ({_last_line(exc)})"
            advice = f"Run: python -m pip install '{openvino_pin()}'"
        else:
            return True
    # Only machines without the extension pay for importing the frontend's Python side.
    from malle_rt.ops.decomposed import conversion_extension

    core.add_extension(conversion_extension())
    _warn(reason, advice)
    return False


def align_node(
    y: ov.Output,
    y_before: ov.Output,
    uv_before: ov.Output,
    hidden_before: ov.Output,
    *,
    whole: bool = False,
) -> ov.Node:
    """The operation that moves what is kept of a video to where it is in a frame; see ``malle_rt.ops.motion``.

    Args:
        y: (N, 1, H, W) luma of the frame in [0, 1].
        y_before: (N, 1, H, W), to be moved.
        uv_before: (N, 2, H/2, W/2), likewise.
        hidden_before: (N, C, H/2, W/2), likewise.
        whole: move by whole pixels.

    Returns:
        A node whose three outputs are the moved ones; the extension must be there.
    """
    from malle_rt.vino import NodeFactory

    factory = NodeFactory()
    factory.add_extension(str(extension_path()))
    return factory.create("RTAlign", [y, y_before, uv_before, hidden_before], {"whole": whole})


class Alignment:
    """Moves the luma and the chroma of a frame to where they are in the next one, by whole pixels.

    So its noise stays as it is; see ``malle_rt.ops.motion``.

    Args:
        parts: of a frame, that lie on top of each other and are looked at one by one.
        rows: of the luma of a part, a multiple of 8.
        columns: likewise.

    Raises:
        KernelError: there is no compiled extension.
    """

    def __init__(self, parts: int, rows: int, columns: int) -> None:
        from malle_rt.vino import opset13 as op
        from malle_rt.vino import ov

        core = ov.Core()
        if not load_extension(core):
            raise KernelError(f"{_LIBRARY} is not there, or not for this OpenVINO")
        half = (rows // 2, columns // 2)
        shapes = ((parts, 1, rows, columns),) * 2 + ((parts, 2, *half), (parts, 1, *half))
        ports = [op.parameter(list(shape), np.float32) for shape in shapes]
        node = align_node(*(port.output(0) for port in ports), whole=True)
        model = ov.Model([op.result(output) for output in node.outputs()[:2]], ports)
        # One thread: it runs beside the network, and is too short for more.
        self._compiled = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": 1})
        # Always the same memory: rows of what is given may lie in any order.
        self._inputs = [np.zeros(shape, np.float32) for shape in shapes]

    def __call__(self, now: Levels, before: Levels) -> Levels:
        """Move ``before``; both are luma (parts * H, W) and chroma (2, parts * H/2, W/2), 8-bit scale."""
        y, y_before, uv_before, _ = self._inputs
        scale = np.float32(1 / 255)
        np.multiply(now[0].reshape(y.shape), scale, out=y)
        np.multiply(before[0].reshape(y.shape), scale, out=y_before)
        uv_before[:] = before[1].reshape(2, *uv_before[:, 0].shape).swapaxes(0, 1)
        moved_y, moved_uv = self._compiled(self._inputs).to_tuple()
        return moved_y.reshape(now[0].shape) * np.float32(255), moved_uv.swapaxes(0, 1).reshape(now[1].shape)


@cache
def _warn(reason: str, advice: str) -> None:
    """Say it once for each reason, however many cores are made."""
    log.warning(
        "the fused slicing operator is not available: %s. Running it as standard operations, 10 to 30 times "
        "slower. %s",
        reason,
        advice,
    )


def openvino_pin() -> str:
    """The OpenVINO that this installation requires, and was built against, as pip takes it."""
    try:
        declared = requires("malle-rt") or []
    except PackageNotFoundError:
        declared = []
    return next((each for each in declared if each.startswith("openvino==")), "openvino")


def _last_line(exc: BaseException) -> str:
    """The most telling line of an OpenVINO error, which begins with its own source location."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return lines[-1] if lines else type(exc).__name__
