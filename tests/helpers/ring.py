"""A small pipeline of three CUDA streams, as the runtime has it, with any one of its events left out."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np
from helpers.fakecuda import IMAGE

SLOTS, FRAMES, COUNT = 2, 8, 32


@dataclass
class Slot:
    """What one frame occupies: host and device memory, and the marks behind its three steps."""

    into: object
    out: object
    device_in: object
    device_out: object
    uploaded: object
    computed: object
    downloaded: object

    @classmethod
    def of(cls, driver):
        pinned = [driver.pinned((COUNT,), np.float32) for _ in range(2)]
        buffers = [driver.allocate(4 * COUNT) for _ in range(2)]
        return cls(*pinned, *buffers, *(driver.event() for _ in range(3)))

    def close(self):
        for thing in vars(self).values():
            thing.close()


def run_ring(driver, *, omit=None):
    """Send frames of constant value 0, 1, 2, ... through the kernel "average", frame by frame.

    Args:
        driver: to use.
        omit: the event that nobody waits for: "uploaded", "computed" or "downloaded".

    Returns:
        The distinct values of every frame that came out.
    """
    upload, compute, download = (driver.stream() for _ in range(3))
    slots = [Slot.of(driver) for _ in range(SLOTS)]
    average = driver.load(IMAGE)("average")
    results = []
    for index in range(FRAMES + SLOTS):
        slot = slots[index % SLOTS]
        if index >= SLOTS:
            if omit != "downloaded":
                slot.downloaded.wait()
            results.append(set(slot.out.array.tolist()))
        if index >= FRAMES:
            continue
        slot.into.array[:] = index
        driver.upload(slot.device_in.pointer, slot.into.array, upload)
        slot.uploaded.record(upload)
        if omit != "uploaded":
            compute.wait_for(slot.uploaded)
        source = ctypes.c_uint64(slot.device_in.pointer)
        arguments = (ctypes.c_uint64(slot.device_out.pointer), source, source, ctypes.c_int(COUNT))
        driver.launch(average, (1, 1, 1), (COUNT, 1, 1), arguments, compute.handle)
        slot.computed.record(compute)
        if omit != "computed":
            download.wait_for(slot.computed)
        driver.download(slot.out.array, slot.device_out.pointer, download)
        slot.downloaded.record(download)
    for stream in (upload, compute, download):
        stream.synchronize()
    for thing in (*slots, upload, compute, download):
        thing.close()
    return results


EXPECTED = [{float(index)} for index in range(FRAMES)]
