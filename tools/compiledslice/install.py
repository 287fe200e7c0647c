"""Put the compiled slice in the place of the reference, for as long as a training run takes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

import malle_rt.ops.motion  # noqa: F401  # registers torch.ops.malle.find_motion
from compiledslice.build import BuildError, build
from compiledslice.library import SliceLibrary

__all__ = ["compiled_slice", "fastest_slice"]


@contextmanager
def compiled_slice(library: SliceLibrary) -> Iterator[None]:
    """Within it, ``malle_slice`` and its gradient on the CPU are the library's: in all threads of the process."""
    # A kernel for the CPU goes before the reference, which is registered for every device. torch takes it back when
    # the registration is collected.
    registration = torch.library.Library("malle", "IMPL")
    registration.impl("slice", library.slice, "CPU")
    registration.impl("slice_backward", library.gradient, "CPU")
    registration.impl("find_motion", library.find_motion, "CPU")
    try:
        yield
    finally:
        del registration


@contextmanager
def fastest_slice(device: torch.device, *, compiled: bool = True) -> Iterator[str]:
    """The compiled slice where it can be had, or a line on the standard error that says why not.

    Args:
        device: to train on; only the CPU has a compiled slice.
        compiled: False leaves the reference.

    Yields:
        What runs, for the log: "compiled slice" or "slice in torch".
    """
    library = None
    if compiled and device.type == "cpu":
        try:
            library = SliceLibrary(build())
        except (BuildError, OSError) as exc:
            print(f"the slice runs in plain torch, training is slower: {exc}", file=sys.stderr, flush=True)
    if library is None:
        yield "slice in torch"
        return
    with compiled_slice(library):
        yield "compiled slice"
