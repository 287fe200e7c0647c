"""A network on the GPU made ready for one frame size: three CUDA streams over a ring of slots.

    host ──upload──> slot ──compute: pack, align, network, unpack──> slot ──download──> host

Frames that are on the device already are copied into the slot there, and results that stay are copied out of it.
Each stream works on another frame; events order the steps of one frame. The network's own tensors exist once,
since the compute stream takes one frame after the other; the recurrent state exists twice, read and written in turns,
and never leaves the device. Networks that are told all of the noise get it moved to where it is in the frame. Where the
driver can, the parts of compute are one CUDA graph for each slot.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import cast

import numpy as np
import numpy.typing as npt

from malle_rt.backends.base import FrameShape, Planes420
from malle_rt.backends.gpu.borrowed import DECODER, Borrowed, DecoderStream
from malle_rt.backends.gpu.layout import PlaneLayout
from malle_rt.backends.gpu.looks import SurfaceLooks
from malle_rt.backends.gpu.network import Capture, DeviceNetwork, TensorSizes
from malle_rt.backends.gpu.pool import SurfacePool
from malle_rt.backends.gpu.ring import Result, Slot
from malle_rt.contract import TOLD, Noise
from malle_rt.cuda.driver import Driver, Graph, Stream
from malle_rt.cuda.kernels import Kernels
from malle_rt.cuda.launches import padded_size
from malle_rt.cuda.motion import Past, motion_memory
from malle_rt.errors import KernelError, MalleError, OutOfDeviceMemory
from malle_rt.frame import Plane, Surface

__all__ = ["SLOTS", "GpuSession"]

log = logging.getLogger(__name__)

# Even, since a slot's place decides which of the two states it reads; 4 keep all three streams busy.
SLOTS = 4

_STATE = ("y", "uv", "hidden")


class GpuSession:
    """One frame size on the GPU. Used by one thread; results may be read from another.

    Args:
        driver: opened on the device, current on this thread; the session does not close it.
        kernels: loaded on that driver.
        network: ready for the padded size; the session closes it.
        shape: of the frames.
        slots: frames that may be in flight, an even number.
        capture: makes CUDA graphs; None launches everything anew for each frame.
        decoder: CUDA stream in which surfaces are made.

    Attributes:
        ahead: frames worth starting before the first result is asked for.
        graphs: whether frames run as CUDA graphs.

    Raises:
        OutOfDeviceMemory: nothing is left allocated.
    """

    def __init__(
        self,
        driver: Driver,
        kernels: Kernels,
        network: DeviceNetwork,
        shape: FrameShape,
        *,
        slots: int = SLOTS,
        capture: Capture | None = None,
        decoder: Stream | DecoderStream = DECODER,
    ) -> None:
        self._driver, self._kernels, self._network, self._shape = driver, kernels, network, shape
        self._before = PlaneLayout.of(shape, surface=True)
        self._after = PlaneLayout.of(shape, surface=shape.stays)
        self._decoder = cast(Stream, decoder)  # an event can be recorded in either
        self._padded = padded_size(shape.width, shape.height)
        self._sizes = TensorSizes.of(*self._padded, network.hidden, network.storage)
        self.ahead = slots - 1
        self.graphs = False
        self._graphs: list[Graph] = []
        self._last: object | None = None
        self._turn = 0
        with ExitStack() as undo:
            undo.callback(network.close)
            self._upload, self._compute, self._download = (
                undo.enter_context(closing(driver.stream())) for _ in range(3)
            )
            self._told = network.told
            told = {self._told: 4 * TOLD[self._told]}
            self._inputs = self._tensors({"y": self._sizes.y, "uv": self._sizes.uv, **told}, undo)
            state = {name: getattr(self._sizes, name) for name in _STATE}
            self._states = [self._tensors(state, undo) for _ in range(2)]
            self._moved: dict[str, int] = {}  # the state, moved to where it is in the frame
            if network.told == "noise":
                search = {"search": motion_memory(self._padded)}
                self._moved = self._tensors(state, undo)
                self._search = self._tensors(search, undo)["search"]
            self._slots: list[Slot] = []
            for index in range(slots):
                self._slots.append(Slot(index, driver, self._before, self._after))
                undo.callback(self._slots[-1].close)
            self._decoded = driver.event()
            undo.callback(self._decoded.close)
            self._looks = SurfaceLooks(driver, kernels, shape) if shape.pitches is not None else None
            if self._looks is not None:
                undo.callback(self._looks.close)
            self._pool = SurfacePool(driver, self._after.told) if shape.stays else None
            if self._pool is not None:
                undo.callback(self._pool.close)
            self._warm_up()
            if capture is not None:
                self._capture(capture)
            self._undo = undo.pop_all()

    def start(
        self, planes: Planes420, noise: Noise, state: object | None
    ) -> tuple[Callable[[], Planes420], object]:
        """Start one frame; see ``Session``. Waits only when the whole ring is in flight."""
        slot = self._next_slot(state)
        slot.upload(planes, self._levels(noise), self._upload)
        result = self._go_on(slot, first=state is None)
        return cast("Callable[[], Planes420]", result.settle), result

    def start_surface(
        self, surface: Surface, noise: Noise, state: object | None
    ) -> tuple[Callable[[], Planes420 | Surface], object]:
        """Start one frame that is on the device; see ``SurfaceSession``."""
        borrowed = Borrowed(surface, self._shape, self._driver.device.index)
        slot = self._next_slot(state)
        self._decoded.record(self._decoder)
        self._upload.wait_for(self._decoded)
        slot.copy(borrowed, self._levels(noise), self._upload)
        result = self._go_on(slot, first=state is None)
        return result.settle, result

    def block_sums(self, surface: Surface, step: int) -> npt.NDArray[np.uint32]:
        """See ``SurfaceSession``."""
        with self._lent(surface) as borrowed:
            return self._looks_at().block_sums(borrowed, step)

    def parts(self, surface: Surface, parts: Sequence[tuple[slice, slice]]) -> tuple[Plane, Plane]:
        """See ``SurfaceSession``."""
        with self._lent(surface) as borrowed:
            return self._looks_at().parts(borrowed, parts)

    def run(self, planes: Planes420, noise: Noise, state: object | None) -> tuple[Planes420, object]:
        """Denoise one frame and wait for it; see ``Session``."""
        result, after = self.start(planes, noise, state)
        return result(), after

    def compute_milliseconds(self, planes: Planes420, sigma: float = 15.0) -> float:
        """Time on the device of pack, network and unpack of one frame: for benchmarks. A new video starts after it."""
        self._driver.make_current()
        slot = self._slots[self._turn % len(self._slots)]
        slot.free()
        slot.upload(planes, self._levels(Noise.white(sigma)), self._upload)
        slot.uploaded.wait()
        self._first_state(slot)
        with ExitStack() as undo:
            begin, end = (self._driver.event(timing=True) for _ in range(2))
            undo.callback(begin.close)
            undo.callback(end.close)
            begin.record(self._compute)
            self._put(slot)
            end.record(self._compute)
            end.wait()
            self._last = None
            return end.milliseconds_since(begin)

    def close(self) -> None:
        """Wait for what is in flight and give everything back, before the driver is closed. May be called twice."""
        self._driver.make_current()
        for slot in self._slots:
            try:
                slot.free()
            except MalleError as exc:
                log.warning("a frame in flight was lost: %s", exc)
        self._slots, self._last = [], None
        try:
            for graph in self._graphs:
                graph.close()
            self._undo.close()
        except MalleError as exc:
            # After some errors the context takes nothing any more; its end gives the memory back.
            log.warning("closing after an error on the GPU: %s", exc)
        self._graphs = []

    def _looks_at(self) -> SurfaceLooks:
        assert self._looks is not None, "the shape has no pitches"
        return self._looks

    @contextmanager
    def _lent(self, surface: Surface) -> Iterator[Borrowed]:
        """The surface for a short look, once it has been decoded."""
        self._driver.make_current()
        borrowed = Borrowed(surface, self._shape, self._driver.device.index)
        try:
            self._decoded.record(self._decoder)
            self._looks_at().stream.wait_for(self._decoded)
            yield borrowed
        finally:
            borrowed.release()

    def _next_slot(self, state: object | None) -> Slot:
        """The slot for the frame after ``state``, empty."""
        if state is not None and state is not self._last:
            raise KernelError("the state belongs to another session; start the video again with state=None")
        self._driver.make_current()
        slot = self._slots[self._turn % len(self._slots)]
        slot.free()
        return slot

    def _go_on(self, slot: Slot, *, first: bool) -> Result:
        """Start the rest of the frame whose upload has been started."""
        self._compute.wait_for(slot.uploaded)
        if first:
            self._first_state(slot)
        self._put(slot)
        slot.computed.record(self._compute)
        result = self._take_out(slot)
        self._turn += 1
        self._last = result
        return result

    def _take_out(self, slot: Slot) -> Result:
        if self._pool is None:
            return slot.download(self._download)
        lease = self._pool.take()
        return slot.move(lease.pointer, lease.surface(self._shape, self._after), self._download)

    def _tensors(self, sizes: Mapping[str, int], undo: ExitStack) -> dict[str, int]:
        """Device memory for each name."""
        addresses = {}
        for name, nbytes in sizes.items():
            buffer = self._driver.allocate(nbytes)
            undo.callback(buffer.close)
            addresses[name] = buffer.pointer
        return addresses

    def _warm_up(self) -> None:
        """Run one frame of each parity outside any capture: runtimes allocate and choose algorithms at first use."""
        for slot in self._slots[:2]:
            self._driver.clear(slot.source, self._before.nbytes, self._compute)
            self._first_state(slot)
            self._frame(slot)
        self._compute.synchronize(seconds=60)

    def _capture(self, capture: Capture) -> None:
        """One graph for each slot: they differ in their planes and in which state is read."""
        graphs: list[Graph] = []
        with ExitStack() as undo:
            try:
                for slot in self._slots:
                    graphs.append(capture(self._compute, lambda slot=slot: self._frame(slot)))  # type: ignore[misc]
                    undo.callback(graphs[-1].close)
            except OutOfDeviceMemory:
                raise  # a smaller ring may fit, graphs and all
            except KernelError as exc:
                log.warning("CUDA graphs are not used, launching each kernel instead: %s", exc)
                return
            undo.pop_all()
        self._graphs, self.graphs = graphs, True

    def _put(self, slot: Slot) -> None:
        """Start the slot's frame, as a graph if there is one."""
        if self._graphs:
            self._graphs[slot.index].launch(self._compute)
        else:
            self._frame(slot)

    def _frame(self, slot: Slot) -> None:
        """Put pack, network and unpack of the slot's frame into the compute stream."""
        before, after = self._states_of(slot)
        self._pack(slot)
        tensors = dict(self._inputs)
        if self._moved:
            self._align(before)
            before = self._moved
        tensors |= {f"{name}_before": before[name] for name in _STATE}
        tensors |= {"y_clean": after["y"], "uv_clean": after["uv"], "hidden": after["hidden"]}
        self._network.enqueue(tensors, self._compute.handle)
        self._kernels.unpack(
            after["y"],
            after["uv"],
            self._after.on_device(slot.target),
            padded=self._padded,
            storage=self._network.storage,
            stream=self._compute.handle,
        )

    def _align(self, before: Mapping[str, int]) -> None:
        self._kernels.align(
            self._inputs["y"],
            Past(**before),
            Past(**self._moved),
            self._search,
            hidden=self._network.hidden,
            padded=self._padded,
            storage=self._network.storage,
            stream=self._compute.handle,
        )

    def _levels(self, noise: Noise) -> tuple[float, ...]:
        """What the network is told of the noise."""
        return noise.scaled() if self._told == "noise" else (noise.sigma / 255,)

    def _first_state(self, slot: Slot) -> None:
        """Before the first frame stands that frame itself, and nothing hidden; see ``MalleNetRT.first_state``."""
        before, _ = self._states_of(slot)
        self._pack(slot)
        self._driver.copy(before["y"], self._inputs["y"], self._sizes.y, self._compute)
        self._driver.copy(before["uv"], self._inputs["uv"], self._sizes.uv, self._compute)
        self._driver.clear(before["hidden"], self._sizes.hidden, self._compute)

    def _pack(self, slot: Slot) -> None:
        self._kernels.pack(
            self._before.on_device(slot.source),
            slot.source + self._before.told,
            self._inputs["y"],
            self._inputs["uv"],
            self._inputs[self._told],
            levels=TOLD[self._told],
            padded=self._padded,
            storage=self._network.storage,
            stream=self._compute.handle,
        )

    def _states_of(self, slot: Slot) -> tuple[dict[str, int], dict[str, int]]:
        return self._states[slot.index % 2], self._states[(slot.index + 1) % 2]
