"""The first frames of a new engine, beside the reference: an engine that differs is not trusted."""

from __future__ import annotations

import numpy as np

from malle_rt.backends.base import FrameShape, Planes420, Session
from malle_rt.contract import Noise
from malle_rt.errors import BackendError
from malle_rt.measuring import psnr

__all__ = ["LEAST_PSNR", "agreement", "require_agreement", "require_likeness", "trial_frames"]

_SIGMA = 20.0
_FRAMES = 3  # the state is part of what is compared
# dB between two results of one network. Halves of float16 round at 76 dB and spread over some 20 layers; int8 is worth
# its 0.1 dB of quality. A wrong kernel or a lost state lands below 35 dB.
LEAST_PSNR = {"fp32": 60.0, "fp16": 45.0, "int8": 38.0}


def trial_frames(shape: FrameShape) -> list[Planes420]:
    """A drifting picture with edges and white noise, always the same; planes as a session takes them."""
    random = np.random.default_rng(7)
    rows, columns = np.mgrid[: shape.height, : shape.width]
    dtype = np.uint8 if shape.bits == 8 else np.uint16
    frames = []
    for index in range(_FRAMES):
        across = columns + 2 * index
        luma = 0.5 + 0.2 * np.sin(across / 9) * np.cos(rows / 13) + 0.15 * ((across // 24 + rows // 24) % 2)
        small = luma[::2, ::2]
        noisy = (
            (plane + random.normal(0, _SIGMA / 255, plane.shape)).clip(0, 1) * shape.largest
            for plane in (luma, 0.7 - 0.3 * small, 0.3 + 0.3 * small)
        )
        y, u, v = (plane.round().astype(dtype) for plane in noisy)
        frames.append((y, u, v))
    return frames


def agreement(session: Session, reference: Session, shape: FrameShape) -> float:
    """PSNR in dB between the last trial frames of two sessions, all planes together; infinite where they are equal."""
    ours, theirs = (_last_frame(each, shape) for each in (session, reference))
    one, other = (np.concatenate([plane.ravel() for plane in planes]) for planes in (ours, theirs))
    return psnr(one, other, peak=shape.largest)


def require_agreement(
    session: Session, reference: Session, shape: FrameShape, *, precision: str, what: str
) -> float:
    """Compare, and refuse what differs more than its precision explains.

    Args:
        session: of the new engine.
        reference: of a backend that is trusted, for the same size.
        shape: of both.
        precision: "fp32", "fp16" or "int8".
        what: the engine, for the message.

    Returns:
        The PSNR in dB.

    Raises:
        BackendError: it differs; the engine must not be used.
    """
    found = agreement(session, reference, shape)
    require_likeness(found, precision, what)
    return found


def require_likeness(found: float, precision: str, what: str) -> None:
    """Refuse an engine whose PSNR to the reference, in dB, is too low for its precision; see ``require_agreement``."""
    if not found >= LEAST_PSNR[precision]:
        raise BackendError(
            f"{what} does not compute what the network does: {found:.1f} dB from the reference on its first frames, "
            f"want {LEAST_PSNR[precision]:.0f}. It was not kept; please report this with the GPU's and driver's version"
        )


def _last_frame(session: Session, shape: FrameShape) -> Planes420:
    state, clean = None, None
    for planes in trial_frames(shape):
        clean, state = session.run(planes, Noise.white(_SIGMA), state)
    assert clean is not None
    return clean
