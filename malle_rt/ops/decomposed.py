"""``malle::MalleSlice`` as standard OpenVINO operations, for installations without the compiled extension.

OpenVINO's ONNX frontend ignores the function body that the file carries, so the same decomposition is written
here in its own operations; unrolled, which OpenVINO runs faster than a loop.
"""

from __future__ import annotations

import numpy as np

from malle_rt.vino import ConversionExtension, NodeContext, ov
from malle_rt.vino import opset13 as ops

__all__ = ["conversion_extension"]


def conversion_extension() -> ConversionExtension:
    """What ``Core.add_extension`` takes to read the node ``malle::MalleSlice``."""
    return ConversionExtension("MalleSlice", "malle", _convert)


def _convert(node: NodeContext) -> list[ov.Output]:
    x, grid = node.get_input(0), node.get_input(1)
    kernel_size = int(node.get_attribute("kernel_size"))
    return list(_slice(x, grid, kernel_size).outputs())


def _integers(*values: int) -> ov.Node:
    return ops.constant(np.array(values, np.int64))


def _scalar(value: int) -> ov.Node:
    return ops.constant(np.int64(value))


def _slice(x: ov.Output, grid: ov.Output, kernel_size: int) -> ov.Node:
    """Shapes may be dynamic: groups, sizes and stride are computed in the graph."""
    taps, reach = kernel_size**2, kernel_size // 2
    x_shape, grid_shape = ops.shape_of(x, "i64"), ops.shape_of(grid, "i64")
    plane = _dimensions(x_shape, 2, 3)
    groups = ops.divide(_dimensions(grid_shape, 1), _integers(taps + 1))
    outer = ops.concat([_dimensions(x_shape, 0), groups], 0)
    fine = ops.interpolate(
        grid, plane, "linear_onnx", "sizes", coordinate_transformation_mode="half_pixel", axes=_integers(2, 3)
    )
    # [N, G, taps + 1, H, W], and x as [N, G, C/G, H + 2 reach, W + 2 reach]
    kernels = ops.reshape(fine, ops.concat([outer, _integers(taps + 1), plane], 0), False)
    kernel = ops.split(kernels, _scalar(2), taps + 1)
    margin = _integers(0, 0, reach, reach)
    padded = ops.pad(x, margin, margin, "constant", ops.convert_like(ops.constant(np.float32(0)), x))
    padded_plane = ops.add(plane, _integers(2 * reach, 2 * reach))
    padded = ops.reshape(padded, ops.concat([outer, _integers(-1), padded_plane], 0), False)
    total = kernel.output(taps)
    for tap in range(taps):
        first = _integers(*divmod(tap, kernel_size))
        window = ops.slice(padded, first, ops.add(first, plane), _integers(1, 1), _integers(3, 4))
        total = ops.add(total, ops.multiply(window, kernel.output(tap)))
    return ops.reshape(total, x_shape, False)


def _dimensions(shape: ov.Node, *axes: int) -> ov.Node:
    return ops.gather(shape, _integers(*axes), _scalar(0))
